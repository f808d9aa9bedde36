"""The named worlds: what is there at first, and how often each thing may happen.

A budget bounds what the surroundings do; what the system does by itself is unbounded. A world is searched until nothing
new is found; one that is `deep` may stop at a limit.
"""

from typing import Final, NamedTuple

BUDGETS: Final = (
    "attaches", "writes", "flushes", "crashes", "powers", "kills", "cuts", "lost", "nospace", "evicts", "cancels",
    "deaths", "deletes", "slow", "late", "repeats", "restarts", "careless",
)  # fmt: skip
"""Attachments asked for; writes and flushes of clients; engines that die; losses of power; replica programs that die; nodes
cut off from the servers; replicas that are too slow for an engine; refusals for space; evictions begun and cancelled; nodes
declared dead; deletions; plans carried out later, intent by intent; sightings or orders held back; messages that come twice;
servers that die; careless decisions of a server."""


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


_FIRST: Final = (0,)

_N2R2: Final = (
    World("n2r2-three", "three sessions under one hold, two writes", 2, 2, {"attaches": 1, "writes": 2, "flushes": 1, "crashes": 2}),
    World("n2r2-power", "power loss and death of engines", 2, 2, {"attaches": 1, "writes": 1, "flushes": 1, "powers": 1, "crashes": 1}),
    World("n2r2-settle", "attach twice, power loss, settle", 2, 2, {"attaches": 2, "writes": 1, "powers": 1}, victims=_FIRST),
    World("n2r2-dark", "both nodes lose power", 2, 2, {"attaches": 1, "writes": 1, "powers": 2}),
    World("n2r2-kill", "replica programs and engines die", 2, 2, {"attaches": 1, "writes": 1, "kills": 1, "crashes": 1}),
    World("n2r2-lost", "removal and return, two writes", 2, 2, {"attaches": 1, "writes": 2, "lost": 1, "crashes": 1}),
    World("n2r2-space", "no space", 2, 2, {"attaches": 1, "writes": 2, "nospace": 1, "crashes": 1}),
    World("n2r2-late", "late orders and sightings", 2, 2, {"attaches": 1, "writes": 1, "late": 1, "crashes": 1}, victims=_FIRST),
    World(
        "n2r2-repeat", "asks come twice, and after their session", 2, 2,
        {"attaches": 1, "writes": 1, "lost": 1, "repeats": 1}, stale_asks=True,
    ),
    World(
        "n2r2-careless", "a server decides anything the law lets pass", 2, 2,
        {"attaches": 1, "writes": 1, "crashes": 1, "careless": 1}, victims=_FIRST,
    ),
)  # fmt: skip
"""Two nodes: what engines and replicas do, with three sessions and more."""

_N3R2: Final = (
    World("n3r2-cycle", "attach, write, flush, detach, again", 3, 2, {"attaches": 2, "writes": 1, "flushes": 1}),
    World("n3r2-form", "from nothing", 3, 2, {"slow": 2}, formed=False),
    World("n3r2-cut", "the session's node is cut off: fence", 3, 2, {"attaches": 1, "writes": 1, "cuts": 1}),
    World(
        "n3r2-fence", "the same, and a replica is removed", 3, 2,
        {"attaches": 1, "writes": 1, "cuts": 1, "lost": 1}, victims=_FIRST,
    ),
    World("n3r2-crash", "attach twice, engines die: equalise, settle", 3, 2, {"attaches": 2, "writes": 1, "crashes": 1}),
    World(
        "n3r2-evict", "an eviction, begun and cancelled", 3, 2,
        {"attaches": 1, "writes": 1, "evicts": 1, "cancels": 1}, victims=_FIRST,
    ),
    World("n3r2-slow", "an eviction; two servers, one with an old plan", 3, 2, {"attaches": 1, "evicts": 1, "slow": 1}, victims=_FIRST),
    World(
        "n3r2-offline", "copies without a session, old plans, late sightings, power", 3, 2,
        {"evicts": 1, "cancels": 1, "powers": 1, "slow": 1, "late": 1}, victims=_FIRST,
    ),
    World("n3r2-dead", "declared dead", 3, 2, {"attaches": 1, "writes": 1, "deaths": 1}, victims=_FIRST),
    World("n3r2-deadcut", "cut off, and declared dead", 3, 2, {"attaches": 1, "cuts": 1, "deaths": 1}, victims=_FIRST),
    World("n3r2-restart", "the server starts anew", 3, 2, {"attaches": 1, "cuts": 1, "restarts": 1}, victims=_FIRST),
    World("n3r2-delete", "deleted, with a node away", 3, 2, {"deletes": 1, "powers": 1, "evicts": 1, "slow": 1}, victims=_FIRST),
)  # fmt: skip
"""Three nodes, two replicas: fences, evictions, what servers do."""

_N4R3: Final = (
    World("n4r3-cycle", "attach, write, detach, again", 4, 3, {"attaches": 2, "writes": 1}),
    World("n4r3-evict", "an eviction in use", 4, 3, {"attaches": 1, "evicts": 1}, victims=_FIRST),
    World("n4r3-lost", "a removal with a witness", 4, 3, {"attaches": 1, "writes": 1, "lost": 1}),
    World("n4r3-cut", "fence with three replicas", 4, 3, {"attaches": 1, "writes": 1, "cuts": 1}, victims=_FIRST),
    World("n4r3-away", "a node is away for long", 4, 3, {"attaches": 1, "powers": 1}, victims=(1,), patience=True),
    World("n4r3-dead", "declared dead", 4, 3, {"attaches": 1, "deaths": 1}, victims=_FIRST),
    World(
        "n4r3-offline", "an eviction without a session, power, death, old plans", 4, 3,
        {"evicts": 1, "cancels": 1, "powers": 1, "deaths": 1, "slow": 1}, victims=_FIRST,
    ),
)  # fmt: skip
"""Four nodes, three replicas."""

_DEEP: Final = (
    World(
        "deep-join", "resync, power and death, three sessions", 2, 2,
        {"attaches": 1, "writes": 2, "flushes": 1, "lost": 2, "powers": 1, "crashes": 1}, deep=True,
    ),
    World("deep-evict", "attach twice, an eviction, an engine dies", 3, 2, {"attaches": 2, "writes": 1, "evicts": 1, "crashes": 1}, victims=_FIRST, deep=True),
    World("deep-servers", "two evictions, two servers with old plans", 4, 3, {"evicts": 2, "cancels": 1, "slow": 2}, victims=(0, 1), deep=True),
    World("deep-careless", "careless decisions in use", 3, 2, {"attaches": 1, "writes": 1, "evicts": 1, "cuts": 1, "careless": 2}, victims=_FIRST, deep=True),
)  # fmt: skip
"""Worlds that may stop at a limit."""

WORLDS: Final = (*_N3R2, *_N4R3, *_N2R2, *_DEEP)
"""Every world by its name."""

QUICK: Final = ("n3r2-cycle", "n3r2-cut")
"""For `make test`: seconds."""
