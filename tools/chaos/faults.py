"""Which faults and requests happen, and when: chosen by a seed alone, so that a run repeats as far as real processes do. Pure.

Episodes are dealt from a deck that is shuffled anew each time it is used up: so every kind comes within a bound, in an
order that nobody chose.
"""

import random
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple


class Role(StrEnum):
    """What can be hit: everything but clients."""

    REPLICA = "replica program"
    ENGINE = "engine"
    AGENT = "agent"
    SERVER = "server"
    NODE = "node"
    LINK = "link"
    DISK = "disk"
    VOLUME = "volume"


class Kind(StrEnum):
    """How."""

    KILL = "kill -9"
    STOP = "stop"
    RESTART = "restart"
    POWER = "power loss"
    CUT = "cut"
    ONE_WAY = "one-way cut"
    LOSSY = "lossy"
    SLOW = "slow"
    FULL = "full"
    EVICT = "evict"
    EVICT_CANCELLED = "evict and cancel"
    MOVE = "move"
    FENCE = "cut off and move"


REQUESTS = frozenset({Kind.EVICT, Kind.EVICT_CANCELLED, Kind.MOVE})
"""What people and consumers ask; told apart from faults."""

NEEDS_CUTS = frozenset({Kind.CUT, Kind.ONE_WAY, Kind.LOSSY, Kind.SLOW, Kind.FENCE})
NEEDS_SMALL_DISKS = frozenset({Kind.FULL})

PROGRAMS = {Role.REPLICA: 9, Role.ENGINE: 4, Role.AGENT: 4, Role.SERVER: 2, Role.NODE: 2}
SIGNALS = {Kind.KILL: 4, Kind.STOP: 4, Kind.RESTART: 2}
STOP_S = (0.1, 12.0)
"""What lasts does so between these, short as likely as long by order of magnitude."""

LATE_S = (4.0, 7.0)
"""How long a node is cut off before its volume is moved: an engine has given up waiting by then, if it ever does."""

EARLY_S = (0.2, 2.0)

HALF_WAY_S = (0.05, 0.8)
"""An eviction of volumes this small is over in about a second."""

DECK = (
    *[None] * 8,
    *[Kind.CUT] * 2, Kind.ONE_WAY, Kind.LOSSY, Kind.SLOW, Kind.FULL,
    Kind.POWER, Kind.EVICT, Kind.EVICT_CANCELLED, Kind.MOVE, Kind.MOVE, Kind.FENCE, Kind.FENCE,
)  # fmt: skip
"""What an episode begins with; None: a program is hit."""

FOLLOW = (None, None, None, Kind.CUT, Kind.ONE_WAY, Kind.LOSSY)
"""What may follow while it lasts."""

ALONE = frozenset({Kind.FENCE, Kind.POWER})
"""A power loss beside others could tear every copy: that is for the simulator, whose disks lose what was not synced."""

LATE, FROM_ALL = 0.7, 0.3
"""How often a move is late, and a cut is from everybody."""

SERVER, ALL = "server", "all"
MOMENTS = frozenset({Kind.RESTART, Kind.EVICT, Kind.MOVE})
STARTED_AGAIN = frozenset({Role.REPLICA, Role.ENGINE})
"""By their agent, at once."""

GAP_S = 2.0
REST_S = (0.2, 2.0)
HEAL_EVERY = 4


class Fault(NamedTuple):
    """One fault or request. `where` is a node, for an engine and a move its volume; `other` the second place.

    `after_s`: since the one before. `for_s`: how long it lasts.
    """

    kind: Kind
    role: Role
    where: str
    other: str = ""
    after_s: float = 0.0
    for_s: float = 0.0

    @property
    def name(self) -> str:
        """What is counted."""
        return f"{self.kind} {self.role}"

    def __str__(self) -> str:
        places = f"{self.where} {self.other}".strip()
        duration = f" for {self.for_s:.1f} s" if self.for_s else ""
        return f"{self.name} {places}".rstrip() + duration


class Episode(NamedTuple):
    """Some faults, of which the later ones may overlap the earlier. `heal`: wait until all is healthy again after it."""

    faults: tuple[Fault, ...]
    rest_s: float
    heal: bool


class Cast(NamedTuple):
    """Who can be hit: `movable` are the volumes whose clients follow them. `without`: kinds that can't be had here."""

    nodes: Sequence[str]
    volumes: Sequence[str]
    movable: Sequence[str]
    without: frozenset[Kind] = frozenset()


def episodes(seed: int, cast: Cast) -> Iterator[Episode]:
    """For ever."""
    dealer = _Dealer(random.Random(seed), cast)
    number = 0
    while True:
        for kind in dealer.deck():
            number += 1
            yield dealer.episode(kind, number)


class _Dealer:
    def __init__(self, rng: random.Random, cast: Cast) -> None:
        self._rng, self._cast = rng, cast

    def deck(self) -> list[Kind | None]:
        deck = [kind for kind in DECK if kind not in self._cast.without]
        self._rng.shuffle(deck)
        return deck

    def episode(self, kind: Kind | None, number: int) -> Episode:
        rng = self._rng
        faults = [self._fault(kind, first=True)]
        if kind not in ALONE:
            follow = [k for k in FOLLOW if k not in self._cast.without]
            faults += [
                self._fault(rng.choice(follow), first=False)
                for _ in range(rng.choices((0, 1, 2), (5, 3, 1))[0])
            ]
        heal = number % HEAL_EVERY == 0 or kind in ALONE
        return Episode(tuple(faults), rng.uniform(*REST_S), heal=heal)

    def _fault(self, kind: Kind | None, *, first: bool) -> Fault:
        rng = self._rng
        after_s = 0.0 if first else rng.uniform(0, GAP_S)
        fault = self._program() if kind is None else self._other(kind)
        lasts = fault.kind not in MOMENTS and not (fault.kind is Kind.KILL and fault.role in STARTED_AGAIN)
        for_s = fault.for_s or (self._lasting() if lasts else 0.0)
        return fault._replace(after_s=after_s, for_s=for_s)

    def _lasting(self) -> float:
        least, most = STOP_S
        return float(least * (most / least) ** self._rng.random())

    def _program(self) -> Fault:
        rng, cast = self._rng, self._cast
        role = rng.choices(tuple(PROGRAMS), tuple(PROGRAMS.values()))[0]
        kind = rng.choices(tuple(SIGNALS), tuple(SIGNALS.values()))[0]
        where = rng.choice({Role.ENGINE: cast.volumes, Role.SERVER: ("",)}.get(role, cast.nodes))
        return Fault(kind, role, where)

    def _other(self, kind: Kind) -> Fault:
        rng, cast = self._rng, self._cast
        node = rng.choice(cast.nodes)
        match kind:
            case Kind.ONE_WAY:
                source, target = rng.sample((*cast.nodes, SERVER), 2)
                return Fault(kind, Role.LINK, source, target)
            case Kind.CUT | Kind.LOSSY:
                others = [n for n in (*cast.nodes, SERVER) if n != node]
                return Fault(kind, Role.LINK, node, ALL if rng.random() < FROM_ALL else rng.choice(others))
            case Kind.SLOW:
                return Fault(kind, Role.LINK, node)
            case Kind.FULL:
                return Fault(kind, Role.DISK, node)
            case Kind.MOVE:
                return Fault(kind, Role.VOLUME, rng.choice(cast.movable), node)
            case Kind.FENCE:
                for_s = rng.uniform(*(LATE_S if rng.random() < LATE else EARLY_S))
                return Fault(kind, Role.VOLUME, rng.choice(cast.movable), node, for_s=for_s)
            case Kind.EVICT_CANCELLED:
                return Fault(kind, Role.NODE, node, for_s=rng.uniform(*HALF_WAY_S))
            case _:
                return Fault(kind, Role.NODE, node)
