"""Install the Debian packages of `debian-packages.txt` that are missing: `make packages`.

As root it installs them; otherwise it prints the one command that does and fails. Standard library
only, since it runs before the virtual environment exists.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

LIST = Path(__file__).resolve().parent.parent / "debian-packages.txt"
BUILD_SECTION = "# [build]"


def listed(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The packages to install and, apart, those that must be there before anything runs."""
    sections: tuple[list[str], list[str]] = ([], [])
    into = 0
    for line in text.splitlines():
        if line.startswith(BUILD_SECTION):
            into = 1
        if name := line.split("#", 1)[0].strip():
            sections[into].append(name)
    return tuple(sections[0]), tuple(sections[1])


def installed(names: tuple[str, ...]) -> frozenset[str]:
    """Those of `names` that dpkg has completely installed."""
    answer = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *names],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,  # it exits 1 when one of them is unknown, and still prints the others
    )
    pairs = (line.split() for line in answer.stdout.splitlines())
    return frozenset(pair[0] for pair in pairs if pair[1:] == ["installed"])


def main() -> None:
    """Install what is missing, or say how to."""
    wanted, _ = listed(LIST.read_text())
    if shutil.which("dpkg-query") is None:
        sys.exit(f"this is no Debian: install by hand what {LIST.name} names")
    if importlib.util.find_spec("ensurepip") is None:
        wanted = (*wanted, "python3-venv")  # Debian's own Python comes without what `make venv` needs
    present = installed(wanted)
    missing = [name for name in wanted if name not in present]
    if not missing:
        return
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *missing]
    if os.geteuid() != 0:
        sys.exit(f"missing Debian packages; as root: apt-get update && {' '.join(command)}")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    print(f"installing {' '.join(missing)}", flush=True)
    for step in (["apt-get", "update", "-q=2"], [*command, "-q=2"]):
        subprocess.run(step, env=quiet, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)


if __name__ == "__main__":
    main()
