"""Several things that fall together on one volume: what rules are missed by that one fault at a time hardly ever shows.

Each draws its steps by chance from a stream that it is given. Nothing here looks at a cluster.
"""

from collections.abc import Iterator
from random import Random
from typing import Final, Protocol

from shorthorn.sim.faults.schedule import Step

MARKS_IDLE_S: Final = 5.0
"""So long after its last write an engine clears marks (crates/shorthorn-core, engine/marks)."""


class Field(Protocol):
    """Where it happens."""

    nodes: list[str]
    volumes: list[str]


def siege(field: Field, chance: Random, at: float) -> Iterator[Step]:
    """A volume is struck several times within seconds, each time between requests of many writers; now and then when it is
    about to clear its marks, or has (A5), or when a copy is just coming back (A7, A9), which a slow disk makes last.
    """
    volume = chance.choice(field.volumes)
    node, other = chance.sample(field.nodes, 2)
    now = at
    what = chance.choice(("", "", "slow-disk", "slow-link", "lose-commits"))
    if what:
        of = {"slow-disk": (node,), "slow-link": (node, other), "lose-commits": ("store",)}[what]
        yield Step(at_s=round(at, 4), do=what, of=of, for_s=round(chance.uniform(8.0, 30.0), 1))
    for _ in range(chance.randrange(3, 7)):
        if chance.random() < 0.75:
            yield Step(at_s=round(now, 4), do="io", of=(volume, "rush"), for_s=0.5)
        still = chance.random() < 0.3
        if still:
            now += MARKS_IDLE_S + chance.uniform(0.0, 0.04)
            if chance.random() < 0.5:
                yield Step(at_s=round(now, 4), do="io", of=(volume, "rush"), for_s=0.5)
        when = round(now + chance.choice((0.004, 0.02, 0.3, 1.5)) * chance.random(), 4)
        for do, of, for_s in _strike(field, chance, (volume, node, other), still=still):
            yield Step(at_s=when, do=do, of=of, for_s=for_s)
        now = when + chance.choice((0.05, 0.6, 2.0, 6.0)) * chance.uniform(0.2, 1.0)


def _strike(
    field: Field, chance: Random, on: tuple[str, str, str], *, still: bool
) -> Iterator[tuple[str, tuple[str, ...], float]]:
    """What falls together; `still`: nothing was written for a while, so what is marked counts."""
    volume, node, other = on
    for_s = round(chance.choice((0.0, 1.0, 4.0)) * chance.random() + 2.0, 2)
    what = chance.choices(
        ("engine", "replica", "programs", "reset", "full", "disk", "power", "both", "all"),
        (1, 1, 1, 0, 0, 0, 1, 4, 3) if still else (4, 3, 2, 1, 1, 1, 1, 3, 1),
    )[0]
    if what in ("engine", "both", "programs"):
        yield "kill-engine", (volume,), 0.0
    if what in ("power", "both"):
        yield "power", (node,), for_s
    match what:
        case "replica":
            yield "kill-replica", (node,), 0.0
        case "reset":
            yield "reset", (node, other), 0.0
        case "full":
            yield "fill", (node,), for_s
        case "disk":
            yield chance.choice(("fail-sync", "pause-replica")), (node,), for_s
        case "programs":
            for each in field.nodes:
                yield "kill-replica", (each,), 0.0
        case "all":
            for each in field.nodes:
                yield "power", (each,), for_s
        case _:
            pass


def returning(field: Field, chance: Random, at: float) -> Iterator[Step]:
    """A copy was away for so long that the others have cleared their marks, and is struck, or written to, as it comes back."""
    volume, node = chance.choice(field.volumes), chance.choice(field.nodes)
    away = round(MARKS_IDLE_S + chance.uniform(2.0, 5.0), 2)
    yield Step(at_s=round(at, 4), do="io", of=(volume, "rush"), for_s=0.5)
    yield Step(at_s=at, do=chance.choice(("power", "power", "isolate")), of=(node,), for_s=away)
    yield Step(at_s=round(at + chance.uniform(0.3, 1.5), 3), do="io", of=(volume, "rush"), for_s=0.5)
    back = at + away
    if chance.random() < 0.6:
        yield Step(at_s=round(back - 0.1, 3), do="slow-disk", of=(node,), for_s=10.0)
    for _ in range(chance.choice((0, 0, 4, 8))):
        yield Step(at_s=round(back + chance.uniform(0.1, 4.0), 4), do="io", of=(volume, "rush"), for_s=0.3)
    then = round(back + chance.choice((1.0, 3.0, 6.0)) * chance.uniform(0.2, 1.0), 3)
    for do, of, for_s in _strike(field, chance, (volume, node, chance.choice(field.nodes)), still=True):
        yield Step(at_s=then, do=do, of=of, for_s=for_s)


def late(field: Field, chance: Random, at: float) -> Iterator[Step]:
    """What was under way when a link was cut arrives when others have gone on without it (A7, A8; "a connection is a membership")."""
    volume = chance.choice(field.volumes)
    now = at + 4.0
    for number in range(chance.randrange(1, 4)):
        node = chance.choice(field.nodes)
        yield Step(at_s=round(now, 4), do="io", of=(volume, "rush"), for_s=0.5)
        when, away = round(now + 0.012 * chance.random(), 4), round(chance.uniform(6.5, 12.0), 2)
        if chance.random() < 0.3:  # its copies are made without a session, when somebody takes it
            slow = round(away + 5.0, 1)
            yield Step(at_s=round(now - 4.0, 3), do="slow-disk", of=(node,), for_s=slow)
            yield Step(at_s=round(now - 3.0, 3), do="kill-replica", of=(node,))
            yield Step(at_s=round(now - 2.9, 3), do="io", of=(volume, "rush"), for_s=0.5)
            yield Step(at_s=round(now - 2.5, 3), do="release", of=(volume,))
        match chance.randrange(4):
            case 0 | 1:
                what = chance.choice(("isolate-engine", "pause-engine"))
                yield Step(at_s=when, do=what, of=(volume,), for_s=away)
                yield Step(at_s=round(now + 0.3, 3), do="release", of=(volume,))
                yield Step(
                    at_s=round(now + 0.5, 3), do="attach", of=(volume, node, f"l{int(at)}-{number}", "rw")
                )
            case 2:
                yield Step(at_s=when, do="isolate", of=(node,), for_s=away)
            case _:
                yield Step(at_s=when, do="pause-replica", of=(node,), for_s=away)
        for more in (6.2, away - 0.5, away + 0.1, away + 0.5 + chance.random(), away + 3.0):
            yield Step(at_s=round(now + more, 3), do="io", of=(volume, "rush"), for_s=0.5)
        now += away + chance.uniform(4.0, 8.0)
    yield Step(at_s=round(now, 3), do="release", of=(volume,))
