"""What happened, told for people: one line each, with the time. All of it, or only the end of it."""

from collections import deque
from collections.abc import Callable
from typing import Final

KEPT: Final = 400
"""So many of the last lines are kept for a failure."""


class Story:
    """`tell` gets each line at once, when somebody reads along."""

    def __init__(self, tell: Callable[[str], None] | None = None) -> None:
        self._tell = tell
        self._lines: deque[str] = deque(maxlen=KEPT)

    def note(self, at_s: float, who: str, what: str) -> str:
        """One line; returns it."""
        hours, rest = divmod(at_s, 3600)
        minutes, seconds = divmod(rest, 60)
        line = f"{hours:02.0f}:{minutes:02.0f}:{seconds:06.3f}  {who:<9} {what}"
        self._lines.append(line)
        if self._tell is not None:
            self._tell(line)
        return line

    def last(self, count: int) -> list[str]:
        """The end of it."""
        return list(self._lines)[-count:]
