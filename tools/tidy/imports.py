"""Modules of the package that nothing imports: dead, or forgotten to be wired up.

Only imports inside the package count: a module that only its own test knows is dead too.
"""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

from tools.tidy.finding import Finding

_PACKAGE = Path("src")
# Started by name: `python -m shorthorn`, and what `[project.scripts]` names.
_STARTED = {"shorthorn", "shorthorn.__main__", "shorthorn.faces.cli"}


def check(sources: Mapping[Path, str]) -> Iterator[Finding]:
    """Findings over all modules of the package; `sources`: their texts by path relative to the repository."""
    modules = {_dotted(path): path for path in sources if path.is_relative_to(_PACKAGE)}
    reached = set(_STARTED)
    for name, path in modules.items():
        for imported in _imported(ast.parse(sources[path])):
            # `from a.b import c`: both `a.b` and, if it is a module, `a.b.c`; importing runs every parent.
            if imported != name:
                parts = imported.split(".")
                reached.update(".".join(parts[:count]) for count in range(1, len(parts) + 1))
    for name, path in sorted(modules.items()):
        if name not in reached:
            yield Finding(path, 0, "nothing in the package imports it: use it or remove it")


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _dotted(path: Path) -> str:
    parts = path.relative_to(_PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
