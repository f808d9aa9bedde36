"""Files that a program writes from the code, checked in so that a change of contract shows in review.

`python -m tools.generated` writes them, `--check` fails when one has drifted. Each entry names the file and
the function that makes its text; the function is imported only when it is needed.
"""

import argparse
import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Generated:
    """One file: its path from the repository's root, and `module:function` that returns its text."""

    path: str
    source: str

    def text(self) -> str:
        module, function = self.source.split(":")
        made: str = getattr(importlib.import_module(module), function)()
        return made


ALL: tuple[Generated, ...] = (
    Generated("api/openapi.json", "tools.openapi:text"),
    Generated("docs/scenarios.md", "tools.scenario_page:text"),
)


def drifted(root: Path, files: Sequence[Generated]) -> list[Generated]:
    """The files whose text is not what the code makes today."""
    return [one for one in files if not _is_current(root / one.path, one.text())]


def write(root: Path, files: Sequence[Generated]) -> None:
    """Write every file anew."""
    for one in files:
        path = root / one.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(one.text())


def _is_current(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text() == text


def main() -> int:
    """Write or check all generated files; exit 1 when a checked one has drifted."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail on a difference")
    if not parser.parse_args().check:
        write(ROOT, ALL)
        return 0
    behind = drifted(ROOT, ALL)
    for one in behind:
        print(f"{one.path}: differs from what {one.source} makes; run make generate and read the diff")
    return 1 if behind else 0


if __name__ == "__main__":
    sys.exit(main())
