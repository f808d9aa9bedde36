"""Which faults happen, and when: chosen by a seed alone, so that a run repeats as far as real processes do. Pure."""

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


class Kind(StrEnum):
    """How."""

    KILL = "kill -9"
    STOP = "stop"
    RESTART = "restart"


ROLES = {Role.REPLICA: 9, Role.ENGINE: 4, Role.AGENT: 4, Role.SERVER: 2, Role.NODE: 2}
KINDS = {Kind.KILL: 4, Kind.STOP: 4, Kind.RESTART: 2}
STOP_S = (0.1, 20.0)
"""A stop is between these, short ones as likely as long ones by order of magnitude."""

GAP_S = 2.0
REST_S = (0.3, 4.0)
HEAL_EVERY = 4


class Fault(NamedTuple):
    """One fault. `where` is a node, or for an engine its volume. `after_s`: since the one before. `for_s`: of a stop."""

    kind: Kind
    role: Role
    where: str
    after_s: float = 0.0
    for_s: float = 0.0

    def __str__(self) -> str:
        duration = f" for {self.for_s:.1f} s" if self.for_s else ""
        return f"{self.kind} {self.role} {self.where}{duration}".rstrip()


class Episode(NamedTuple):
    """Some faults, of which the later ones may overlap the earlier. `heal`: wait until all is healthy again after it."""

    faults: tuple[Fault, ...]
    rest_s: float
    heal: bool


def episodes(seed: int, nodes: Sequence[str], volumes: Sequence[str]) -> Iterator[Episode]:
    """For ever."""
    rng = random.Random(seed)
    number = 0
    while True:
        number += 1
        count = rng.choices((1, 2, 3), (6, 2, 1))[0]
        faults = tuple(_fault(rng, nodes, volumes, first=i == 0) for i in range(count))
        yield Episode(faults, rng.uniform(*REST_S), heal=number % HEAL_EVERY == 0)


def _fault(rng: random.Random, nodes: Sequence[str], volumes: Sequence[str], *, first: bool) -> Fault:
    role = rng.choices(tuple(ROLES), tuple(ROLES.values()))[0]
    kind = rng.choices(tuple(KINDS), tuple(KINDS.values()))[0]
    where = rng.choice({Role.ENGINE: volumes, Role.SERVER: ("",)}.get(role, nodes))
    least, most = STOP_S
    for_s = least * (most / least) ** rng.random()
    after_s = 0.0 if first else rng.uniform(0, GAP_S)
    return Fault(kind, role, where, after_s, for_s if kind is Kind.STOP else 0.0)
