"""A machine's clocks: a monotonic one with a rate, and wall time that people may set. Knows when a moment comes."""

from typing import Final

from shorthorn.sim.machine.kernel import NS, Kernel

MILLION: Final = 1_000_000

EPOCH_S: Final = 1_767_225_600
"""When virtual time begins, for people: 2026-01-01."""

RATE_PPM_MAX: Final = 500_000
"""A clock of half or of one and a half times the true speed is as wrong as any."""


class MachineClock:
    """Port `Clock`: monotonic from boot at the machine's rate; wall time with jumps that monotonic does not see."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._ppm = 0
        self._base_ns = 0  # what it showed …
        self._since_ns = kernel.now_ns  # … at this moment of true time
        self._wall_offset_ns = EPOCH_S * NS

    def monotonic_ns(self) -> int:
        """Nanoseconds since this boot, as this machine counts them."""
        passed_ns = self._kernel.now_ns - self._since_ns
        if self._ppm:
            passed_ns += passed_ns * self._ppm // MILLION
        return self._base_ns + passed_ns

    def monotonic_s(self) -> float:
        """Seconds since this boot, as this machine counts them."""
        return self.monotonic_ns() / NS

    def wall_s(self) -> float:
        """Seconds since 1970, as this machine believes: true time but for the jumps."""
        return (self._kernel.now_ns + self._wall_offset_ns) / NS

    def true_ns(self, monotonic_ns: int) -> int:
        """The first moment of true time at which the monotonic clock shows this or more, at the present rate."""
        ahead_ns = monotonic_ns - self._base_ns
        if self._ppm:
            ahead_ns = -(-ahead_ns * MILLION // (MILLION + self._ppm))
        return self._since_ns + ahead_ns

    @property
    def rate_ppm(self) -> int:
        """How much faster than true time it runs."""
        return self._ppm

    def set_rate(self, ppm: int) -> None:
        """Run at another rate from now on. For `Machine.set_clock_rate`, which tells the processes."""
        if abs(ppm) > RATE_PPM_MAX:
            raise ValueError(f"a clock rate of {ppm} ppm: at most {RATE_PPM_MAX} either way")
        self._base_ns, self._since_ns = self.monotonic_ns(), self._kernel.now_ns
        self._ppm = ppm

    def restart(self) -> None:
        """A boot: the monotonic clock begins anew."""
        self._base_ns, self._since_ns = 0, self._kernel.now_ns

    def jump_wall(self, seconds: float) -> None:
        """Somebody sets the clock."""
        self._wall_offset_ns += round(seconds * NS)
