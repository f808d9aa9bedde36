"""A machine's disk for replicas: the native simulated disk, how long it takes, and what a cut in the middle of work leaves.

Outlives programs and power. Whoever opens it (`open_for`) is a new process: what the one before had under way then
happened in part, or not; under another boot id the power was gone, too, and what was not synced may be lost. So nobody
has to tell a drive that a process died or a machine went off: while no program runs, nobody looks.
"""

from collections.abc import Callable
from random import Random
from typing import Final

from shorthorn.native._native import SimDisk
from shorthorn.sim.machine.kernel import NS, Kernel

FOLDER: Final = "/replicas"
"""Where a disk's replica folders lie, as the replica program makes it."""

CUT_STEPS_MAX: Final = 12
"""Work that is cut off gets as far as one of so many steps of the disk: more than a write with its mark has."""

NEVER: Final = 1 << 62
"""More writes and syncs than any run has."""


class Times:
    """How long a disk takes, seconds: of a modest SSD. Each time is between half and twice as long, sometimes far longer."""

    def __init__(self) -> None:
        self.touch_s = 0.000_1
        """Anything."""
        self.sync_s = 0.001
        """What one sync adds."""
        self.scan_s = 0.002
        """Reading and hashing a megabyte."""
        self.hitch = 0.002
        """How often (a share) something takes `hitch_s` instead."""
        self.hitch_s = 0.05


class Drive:
    """One disk."""

    def __init__(self, kernel: Kernel, chance: Random, *, capacity_bytes: int | None = None) -> None:
        self.sim = SimDisk()
        self.times = Times()
        self.capacity_bytes = capacity_bytes
        self.sim.set_capacity(capacity_bytes)
        self._kernel = kernel
        self._chance = chance
        self._boot = ""
        self._stalled_until_ns = 0
        self._under_way: dict[object, Callable[[], object]] = {}

    def open_for(self, boot: str) -> SimDisk:
        """For a new process under this boot id."""
        self._cut()
        if self._boot in ("", boot):
            self.sim.crash_process()
        else:
            self.sim.power_loss(self._chance.getrandbits(64))
        self._boot = boot
        return self.sim

    def under_way(self, who: object, work: Callable[[], object]) -> None:
        """This work of `who` has begun; it is done by calling it, and counts as begun until `done`."""
        self._under_way[who] = work

    def done(self, who: object) -> None:
        """Nothing of `who` is under way."""
        self._under_way.pop(who, None)

    def wait_s(self, base_s: float) -> float:
        """How long something takes now that takes `base_s` on average."""
        chance = self._chance
        wait_s = base_s * (0.5 + 1.5 * chance.random())
        if chance.random() < self.times.hitch:
            wait_s += self.times.hitch_s
        if self._stalled_until_ns > self._kernel.now_ns:
            wait_s += (self._stalled_until_ns - self._kernel.now_ns) / NS
        return wait_s

    def coin(self) -> bool:
        """Chance."""
        return self._chance.random() < 0.5

    # Faults

    def stall(self, seconds: float) -> None:
        """Nothing is done for so long; what is asked meanwhile is done late."""
        self._stalled_until_ns = self._kernel.now_ns + int(seconds * NS)

    def set_capacity(self, capacity_bytes: int | None) -> None:
        """From now on so many bytes fit: below what is used it is full."""
        self.capacity_bytes = capacity_bytes
        self.sim.set_capacity(capacity_bytes)

    def fail_write(self) -> None:
        """The next write fails."""
        self.sim.fail_write(0)

    def fail_sync(self) -> None:
        """The next sync fails, and what it was to make durable never will be."""
        self.sim.fail_sync(0)

    def fail_no_more(self) -> None:
        """What was to fail next, and has not yet, won't."""
        self.sim.fail_write(NEVER)
        self.sim.fail_sync(NEVER)

    def rot(self, replica: str) -> str:
        """A bit of the content of a replica flips, somewhere. Where; empty when it has no content."""
        folder = f"{FOLDER}/{replica}/layers"
        try:
            files = [name for name in self.sim.names(folder) if name.endswith(".data")]
        except OSError:
            return ""
        file = f"{folder}/{files[self._chance.randrange(len(files))]}"
        offset = self.sim.rot_somewhere(file, self._chance.getrandbits(64))
        return "" if offset is None else f"{file} at {offset}"

    @property
    def used(self) -> int:
        """Bytes that are taken."""
        return self.sim.used

    def _cut(self) -> None:
        """What was under way when its process was killed got to some point of it."""
        under_way = list(self._under_way.values())
        self._under_way.clear()
        for work in under_way:
            if not self.sim.is_down and self.coin():
                self.sim.crash_at(self.sim.steps + self._chance.randrange(CUT_STEPS_MAX))
                work()
