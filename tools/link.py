"""Make the checkout importable in `.venv`, with its console script: `make venv` runs this.

What an editable install would do, without a build back end that compiles Rust first: most work on the
control plane needs no compiler. Standard library only. The wheel is the real installation (`make wheel`).
"""

import sys
import sysconfig
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

SCRIPT = """\
#!{python}
import sys

from {module} import {function}

sys.exit({function}())
"""


def main() -> None:
    """Write the path file and one script for each entry of `[project.scripts]`."""
    if sys.prefix == sys.base_prefix:
        sys.exit("tools/link.py: run it with the virtual environment's python")
    site = Path(sysconfig.get_path("purelib"))
    (site / "shorthorn-checkout.pth").write_text(f"{ROOT / 'src'}\n")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for name, target in project["scripts"].items():
        module, function = target.split(":")
        script = Path(sysconfig.get_path("scripts")) / name
        script.write_text(SCRIPT.format(python=sys.executable, module=module, function=function))
        script.chmod(0o755)


if __name__ == "__main__":
    main()
