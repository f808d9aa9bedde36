"""Calls that let two runs differ: they belong in `ports`, where a simulation replaces them.

import-linter keeps modules out of `core`; this check sees what needs no import (builtins, the order of a
set) and what the other layers may import but not call.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

from tools.tidy.finding import Finding

_CLOCK = "take a Clock of shorthorn.ports as an argument"
_CHANCE = "take ids and chance from shorthorn.ports as an argument"
_OUTSIDE = "the core does no I/O; return a value and let the caller do it"
_FILES = "take Files of shorthorn.ports as an argument; PurePath is for names"
_HASH = "differs from run to run; compare or sort by a field of the record"

# Everywhere in the package but in ports.
_BANNED = {
    "time.time": _CLOCK,
    "time.time_ns": _CLOCK,
    "time.monotonic": _CLOCK,
    "time.monotonic_ns": _CLOCK,
    "time.perf_counter": _CLOCK,
    "time.sleep": _CLOCK,
    "datetime.now": _CLOCK,
    "datetime.utcnow": _CLOCK,
    "datetime.today": _CLOCK,
    "date.today": _CLOCK,
    "uuid.uuid1": _CHANCE,
    "uuid.uuid4": _CHANCE,
    "uuid4": _CHANCE,
    "os.urandom": _CHANCE,
}
_BANNED_MODULES = {"random": _CHANCE, "secrets": _CHANCE}
# In the agent, on top of these: what its import of `pathlib` and `asyncio` would let through.
_BANNED_IN_AGENT = {"Path": _FILES, "asyncio.to_thread": _FILES, "open": _FILES}
# In core, on top of the first.
_BANNED_BUILTINS = {
    "open": _OUTSIDE,
    "print": _OUTSIDE,
    "input": _OUTSIDE,
    "id": _HASH,
    "hash": _HASH,
}


def check(path: Path, source: str) -> Iterator[Finding]:
    """Findings in one module of the package; `path` is relative to the repository."""
    parts = path.parts
    if parts[:2] != ("src", "shorthorn") or parts[2] == "ports":
        return
    pure = parts[2] == "core"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = _dotted(node.func)
            if reason := _reason(name, parts[2]):
                yield Finding(path, node.lineno, f"{name}(): {reason}")
        elif pure and isinstance(node, ast.For | ast.comprehension) and _is_set(node.iter):
            message = "iterates a set: its order differs from run to run; sort it or use a tuple"
            yield Finding(path, node.iter.lineno, message)


def _reason(name: str, layer: str) -> str | None:
    if layer == "core" and name in _BANNED_BUILTINS:
        return _BANNED_BUILTINS[name]
    if layer == "agent" and name in _BANNED_IN_AGENT:
        return _BANNED_IN_AGENT[name]
    tail = ".".join(name.split(".")[-2:])  # datetime.datetime.now and datetime.now alike
    return _BANNED.get(tail) or _BANNED_MODULES.get(name.partition(".")[0] if "." in name else "")


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return ""


def _is_set(node: ast.expr) -> bool:
    """Only what can be seen on the spot; records hold tuples, so little else is left."""
    if isinstance(node, ast.Set | ast.SetComp):
        return True
    return isinstance(node, ast.Call) and _dotted(node.func) in {"set", "frozenset"}
