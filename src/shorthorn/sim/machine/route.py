"""From one machine to another: how long messages take, whether anything passes, and what is on its way."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from shorthorn.sim.machine.connection import Way
    from shorthorn.sim.machine.kernel import Kernel

LOCAL_NS: Final = (8_000, 20_000)
"""Delay and jitter on one machine."""

REMOTE_NS: Final = (120_000, 250_000)
"""Delay and jitter between machines, unless `Network.set_link` says otherwise."""

NS_PER_BYTE: Final = 0.8
"""10 Gbit/s."""


class Route:
    """One direction between two machines (or within one). A message takes delay + [0, jitter) + its bytes."""

    __slots__ = ("chance", "cut_ns", "cuts", "delay_ns", "jitter_ns", "local", "ns_per_byte", "ways")

    def __init__(self, *, local: bool, chance: Callable[[], float]) -> None:
        self.local = local
        self.chance = chance
        self.delay_ns, self.jitter_ns = LOCAL_NS if local else REMOTE_NS
        self.ns_per_byte = NS_PER_BYTE
        self.cut_ns: int | None = None
        """Since when nothing passes; None: it does."""
        self.cuts = 0
        """How often it was cut."""
        self.ways: dict[Way, None] = {}
        """Of the connections that are, in the order of their making."""

    def one_delay_ns(self) -> int:
        """How long something small takes."""
        return self.delay_ns + int(self.chance() * self.jitter_ns)

    def cut(self, kernel: "Kernel") -> None:
        """Nothing passes from now on."""
        if self.cut_ns is None:
            self.cut_ns = kernel.now_ns
            self.cuts += 1
            for way in self.ways:
                way.hold()

    def join(self, kernel: "Kernel") -> None:
        """It passes again; what stood still has to find its way."""
        if self.cut_ns is not None:
            cut_ns, self.cut_ns = self.cut_ns, None
            for way in list(self.ways):
                way.release(kernel.now_ns - cut_ns)
