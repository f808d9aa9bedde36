"""Facts that stand in two places and must agree: versions, dependencies, references to documents."""

import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

from tools.tidy.finding import Finding

_DOCUMENT = re.compile(r"\bdocs/[\w/.-]+\.md\b")
_REQUIREMENT = re.compile(r"^([A-Za-z0-9_.-]+.*?)\s*(?:#.*)?$")
_CITING = {".py", ".rs", ".md", ".toml", ".pyi"}
_INVENTED = ("tests", "tools")  # tests of this check cite what is not there


def check(root: Path, tracked: Sequence[Path]) -> Iterator[Finding]:
    """Findings about the repository as a whole. `tracked`: its files, relative to `root`."""
    yield from _version(root)
    yield from _dependencies(root)
    yield from _pinned(root)
    for path in tracked:
        if path.suffix in _CITING and path.parts[:2] != _INVENTED:
            yield from _documents(root, path)


def _version(root: Path) -> Iterator[Finding]:
    cargo = tomllib.loads((root / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    module = Path("src/shorthorn/version.py")
    stated = re.search(r'^VERSION = "(.+)"$', (root / module).read_text(), re.MULTILINE)
    if stated is None or stated.group(1) != cargo:
        yield Finding(module, 0, f'VERSION = "{cargo}" is what Cargo.toml says')


def _dependencies(root: Path) -> Iterator[Finding]:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]["dependencies"]
    runtime = Path("requirements/runtime.in")
    lines = (root / runtime).read_text().splitlines()
    named = {found.group(1) for line in lines if (found := _REQUIREMENT.match(line))}
    for requirement in sorted(named ^ set(project)):
        yield Finding(runtime, 0, f"{requirement}: stands only here or only in pyproject.toml")


def _pinned(root: Path) -> Iterator[Finding]:
    for path in sorted((root / "requirements").glob("*.txt")):
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines, start=1):
            relative = path.relative_to(root)
            if "://" in line:
                yield Finding(relative, number, "an address: use make lock, which writes none")
            if "==" in line and "--hash" not in "".join(lines[number : number + 1]):
                yield Finding(relative, number, "no hash: use make lock")


def _documents(root: Path, path: Path) -> Iterator[Finding]:
    for number, line in enumerate((root / path).read_text().splitlines(), start=1):
        for name in _DOCUMENT.findall(line):
            if not (root / name).is_file():
                yield Finding(path, number, f"{name}: no such document")
