"""The named worlds: what is there at first, and how often each thing may happen.

A budget bounds what the surroundings do; what the system does by itself is unbounded. A world is searched until nothing
new is found; one that is `deep` may stop at a limit.
"""

from typing import Final, NamedTuple

BUDGETS: Final = (
    "attaches", "writes", "flushes", "crashes", "powers", "kills", "cuts", "lost", "nospace", "evicts", "cancels",
    "deaths", "slow", "late", "repeats", "restarts",
)  # fmt: skip
"""Attachments asked for; writes and flushes of clients; engines that die; losses of power; replica programs that die; nodes
cut off from the servers; replicas that are too slow for an engine; refusals for space; evictions begun and cancelled; nodes
declared dead; plans carried out later, intent by intent; sightings or orders held back; messages that come twice;
servers that die."""


class World(NamedTuple):
    """`sites`: nodes where consumers attach. `patience`: whether who is away long enough is replaced. `formed`: else creating.

    `victims`: the nodes that are evicted, cut off, declared dead or lose power; all when empty. `stale_asks`: what engines
    ask of the record may come after their session is over, too.
    """

    name: str
    about: str
    nodes: int
    replicas: int
    budgets: dict[str, int]
    sites: tuple[int, ...] = (0,)
    holders: tuple[str, ...] = ("pod",)
    patience: bool = False
    formed: bool = True
    victims: tuple[int, ...] = ()
    stale_asks: bool = False
    deep: bool = False

    def budget(self) -> tuple[int, ...]:
        """By the order of `BUDGETS`."""
        assert all(name in BUDGETS for name in self.budgets), self.budgets
        return tuple(self.budgets.get(name, 0) for name in BUDGETS)


WORLDS: Final = (
    World(
        "n3r2-cycle", "attach, write, flush, detach, again", 3, 2, {"attaches": 2, "writes": 1, "flushes": 1}
    ),
    World("n3r2-cut", "the session's node is cut off: fence", 3, 2, {"attaches": 1, "writes": 1, "cuts": 1}),
    World("n3r2-crash", "engines die: equalise, settle", 3, 2, {"attaches": 2, "writes": 1, "crashes": 1}),
    World("n3r2-evict", "an eviction begun and cancelled", 3, 2, {"attaches": 1, "evicts": 1, "cancels": 1}),
)
"""Every world, the quick ones first."""

QUICK: Final = ("n3r2-cycle", "n3r2-cut")
