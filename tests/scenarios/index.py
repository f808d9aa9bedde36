"""Reads `INDEX.md`: the fate of each known bug."""

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

PATH = Path(__file__).parent / "INDEX.md"
_ROW = re.compile(r"\| ([A-Z0-9]+-\d+) \| (\S+) \| (.+) \|")
_FILE = re.compile(r"\[([\w-]+\.txt)\]\(\1\)")


class Fate(StrEnum):
    """What becomes of a bug here."""

    RUNS = "runs"
    WAITS = "waits"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Entry:
    """One row. `what`: the file's name, the feature, or the reason."""

    id: str
    fate: Fate
    what: str


def entries() -> list[Entry]:
    """The bugs and hazards, in their order. Raises ValueError for a row that is none."""
    return [_entry(line) for section in _sections()[:2] for line in section if _is_row(line)]


def pairs() -> list[tuple[str, str]]:
    """Which two the same code must pass."""
    rows = [line.split("|") for line in _sections()[2] if _is_row(line)]
    return [(row[1].strip(), row[2].strip()) for row in rows]


def _sections() -> list[list[str]]:
    return [part.splitlines() for part in PATH.read_text().split("\n## ")]


def _is_row(line: str) -> bool:
    return re.match(r"\| [A-Z0-9]+-\d", line) is not None


def _entry(line: str) -> Entry:
    row = _ROW.fullmatch(line)
    if row is None:
        raise ValueError(f"no row of the index: {line}")
    fate, what = Fate(row[2]), row[3]
    if fate is Fate.RUNS:
        file = _FILE.fullmatch(what)
        if file is None:
            raise ValueError(f"{row[1]} runs, but names no file: {what}")
        what = file[1]
    return Entry(row[1], fate, what)
