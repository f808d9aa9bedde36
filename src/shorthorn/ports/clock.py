"""Time: one clock for waiting, one for people."""

import time
from typing import Protocol


class Clock(Protocol):
    """`monotonic_s` runs on through suspend and is for waits and ages; `wall_s` is for people only."""

    def monotonic_s(self) -> float:
        """Seconds since some fixed moment; never goes back."""
        ...

    def wall_s(self) -> float:
        """Seconds since 1970, as the machine believes."""
        ...


class SystemClock:
    """The machine's clocks."""

    def monotonic_s(self) -> float:
        """CLOCK_BOOTTIME: goes on while the machine is suspended."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall_s(self) -> float:
        """CLOCK_REALTIME."""
        return time.time()
