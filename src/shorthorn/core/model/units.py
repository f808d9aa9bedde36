"""Sizes as people write them. Everything inside counts bytes."""

import re

_UNITS = {"B": 0, "KiB": 1, "MiB": 2, "GiB": 3, "TiB": 4, "PiB": 5}
_BY_LOWER: dict[str, int] = {name.lower(): 1024**power for name, power in _UNITS.items()}
_WRITTEN = re.compile(r"([0-9]{1,20})(?:\.([0-9]{1,6}))?\s?([A-Za-z]*)", re.ASCII)


def parse_size(text: str) -> int:
    """The bytes of `10GiB`, `1.5 TiB` or `4096`. Negative numbers and decimal units are not understood.

    Raises: ValueError with one line for the user.
    """
    match = _WRITTEN.fullmatch(text.strip())
    unit = _BY_LOWER.get((match[3] or "B").lower()) if match else None
    if match is None or unit is None:
        raise ValueError(
            f"{text.strip()[:40]!r} is not a size; write a number with B, KiB, MiB, GiB, TiB or PiB"
        )
    fraction = match[2] or ""
    scaled: int = int(match[1] + fraction) * unit
    parts: int = 10 ** len(fraction)
    size, rest = divmod(scaled, parts)
    if rest:
        raise ValueError(f"{text.strip()} is not a whole number of bytes")
    return size


def format_size(size: int) -> str:
    """In the greatest unit that fits, with one decimal unless it is whole: `10 GiB`, `1.5 TiB`, `4097 B`."""
    sign, size = ("-", -size) if size < 0 else ("", size)
    name, power = next((n, p) for n, p in reversed(_UNITS.items()) if size >= 1024**p or p == 0)
    whole, rest = divmod(size, 1024**power)
    if rest == 0:
        return f"{sign}{whole} {name}"
    if size % 1024 and size < 1024**2:
        return f"{sign}{size} B"
    return f"{sign}{size / 1024**power:.1f} {name}"
