"""Wakes whoever waits for something to change, recorded or seen. Holds no facts."""

import asyncio
from collections.abc import Callable


class Changes:
    """A counter of changes that tasks can wait on. Costs nothing while nothing changes."""

    def __init__(self) -> None:
        self._count = 0
        self._waiting: dict[asyncio.Future[None], None] = {}  # a dict keeps its order

    @property
    def count(self) -> int:
        """How many changes there were; pass it to `after` so that none is missed in between."""
        return self._count

    def note(self) -> None:
        """Something changed."""
        self._count += 1
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
        self._waiting.clear()

    async def after(self, count: int, timeout_s: float | None = None) -> bool:
        """Wait until there were more than `count` changes; False when the time is over first."""
        if self._count > count:
            return True
        future = asyncio.get_running_loop().create_future()
        self._waiting[future] = None
        try:
            async with asyncio.timeout(timeout_s):
                await future
        except TimeoutError:
            return False
        finally:
            self._waiting.pop(future, None)
        return True

    async def until(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until `condition` holds, looking after each change; False when the time is over first."""
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    count = self._count
                    if condition():
                        return True
                    await self.after(count)
        except TimeoutError:
            return False
