"""What the proofs said, kept in docs/proofs.json between runs, so that one of them can be run again alone.

A result is what a step returned: `ok`, `seconds`, `command` as a person would type it, and `figures`, of which each step has
its own. Findings are kept by people, in docs/findings.toml.
"""

import json
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs" / "proofs.json"
FINDINGS = ROOT / "docs" / "findings.toml"
PAGE = ROOT / "docs" / "proofs.md"


class Result(NamedTuple):
    """Of one step. `figures` is JSON."""

    ok: bool
    seconds: float
    command: str
    figures: dict[str, Any]


class Found(NamedTuple):
    """Something that a proof found. `repaired`: how, or `open`. `kept`: the test, seed or scenario that shows it."""

    number: int
    what: str
    found_by: str
    where: str
    repaired: str
    kept: str


def load(path: Path = RESULTS) -> dict[str, Result]:
    """By step; those that never ran are missing."""
    if not path.exists():
        return {}
    return {name: Result(**fields) for name, fields in json.loads(path.read_text()).items()}


def save(results: dict[str, Result], path: Path = RESULTS) -> None:
    """The whole."""
    kept = {name: results[name]._asdict() for name in sorted(results)}
    path.write_text(json.dumps(kept, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def findings(path: Path = FINDINGS) -> tuple[Found, ...]:
    """In order. Raises `ValueError` when numbers are used twice or are not in order."""
    listed = tuple(Found(**fields) for fields in tomllib.loads(path.read_text()).get("finding", []))
    numbers = [found.number for found in listed]
    if numbers != sorted(set(numbers)):
        raise ValueError(f"{path.name}: numbers are used twice or out of order: {numbers}")
    return listed
