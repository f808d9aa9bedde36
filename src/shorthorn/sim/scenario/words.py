"""The words of commands: durations, blocks, sizes. Raises ValueError with one clear line."""

import re

from shorthorn.core.model.units import parse_size

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"([+-]?\d+(?:\.\d+)?)(ms|s|m|h)")


def duration(word: str) -> float:
    """Seconds of `500ms`, `3s`, `10m`, `2h`."""
    found = _DURATION.fullmatch(word)
    if found is None:
        raise ValueError(f"{word} is no duration; write 500ms, 3s, 10m or 2h")
    return float(found[1]) * _UNITS[found[2]]


def block(word: str) -> int:
    """The number of a 4 KiB block written as `b7`."""
    if not re.fullmatch(r"b\d{1,9}", word):
        raise ValueError(f"{word} is no block; write b0, b7 …")
    return int(word[1:])


def number(word: str) -> int:
    """A whole number."""
    if not re.fullmatch(r"[+-]?\d{1,18}", word):
        raise ValueError(f"{word} is no whole number")
    return int(word)


def figure(word: str) -> float:
    """A number."""
    if not re.fullmatch(r"[+-]?\d{1,15}(\.\d{1,9})?", word):
        raise ValueError(f"{word} is no number")
    return float(word)


def count(word: str) -> int | None:
    """A number, or None for `auto`."""
    return None if word == "auto" else number(word)


def size(word: str) -> int:
    """Bytes of `10GiB`."""
    return parse_size(word)
