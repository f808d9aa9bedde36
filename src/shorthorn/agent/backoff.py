"""Growing pauses between tries of the same thing."""

import asyncio


class Backoff:
    """Pauses that double from the first to the greatest, in seconds; they start again after a success."""

    def __init__(self, first_s: float = 0.1, max_s: float = 2.0) -> None:
        self._first_s = first_s
        self._max_s = max_s
        self._next_s = first_s

    @property
    def failing(self) -> bool:
        """Whether the last try failed."""
        return self._next_s > self._first_s

    def succeeded(self) -> None:
        """The next pause is the first again."""
        self._next_s = self._first_s

    async def pause(self) -> None:
        """Wait after a failure."""
        pause_s, self._next_s = self._next_s, min(2 * self._next_s, self._max_s)
        await asyncio.sleep(pause_s)
