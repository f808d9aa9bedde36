"""Run every tidy check over the tracked files: `python -m tools.tidy`, part of `make check`."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tools.tidy import calls, imports, project, text
from tools.tidy.finding import Finding

ROOT = Path(__file__).resolve().parent.parent.parent
# Written by a program whose format holds the registry's address.
_EXEMPT = {Path("Cargo.lock")}


def findings(root: Path) -> Iterator[Finding]:
    """All findings over what git tracks below `root`."""
    paths = tracked(root)
    python: dict[Path, str] = {}
    for path in paths:
        content = (root / path).read_bytes()
        yield from text.check(path, content)
        if path.suffix == ".py":
            python[path] = content.decode()
            yield from calls.check(path, python[path])
    yield from imports.check(python)
    yield from project.check(root, paths)


def tracked(root: Path) -> list[Path]:
    """What git tracks and is still there, without the exempt."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True)
    paths = (Path(name) for name in listing.stdout.split("\0") if name)
    return [path for path in paths if path not in _EXEMPT and (root / path).is_file()]


def main() -> int:
    """Print the findings; the exit code is 1 when there are any."""
    found = sorted(findings(ROOT))
    for finding in found:
        print(finding)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
