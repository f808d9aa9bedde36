"""Draws a schedule from a seed: an hour is forty minutes of trouble, then calm in which all has to come right.

Chance decides what happens to whom, when and for how long, within what a cluster must survive. Nothing here looks at a
cluster: what a step finds when its time comes is another matter.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from random import Random
from types import MappingProxyType
from typing import Final

from shorthorn.sim.faults.schedule import Schedule, Shape, Step
from shorthorn.sim.faults.sieges import late, returning, siege

SETTLE_S: Final = 40.0
"""The first seconds of a period: nodes join and volumes are made, without faults."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A period in seconds: trouble until `calm_s`, consumers until `work_end_s`, then rest."""

    period_s: float
    calm_s: float
    work_end_s: float


NOTHING: Final[Mapping[str, object]] = MappingProxyType({})

HOUR: Final = Plan(3600.0, 2500.0, 3290.0)
SHORT: Final = Plan(1200.0, 420.0, 700.0)
"""For tests: enough of everything, and the same time to come right."""

CALM: Final = ("io", "release", "attach", "detach")
"""Steps that belong to a fault and are none."""

VOLUMES_MAX: Final = 4
HOT_EVERY: Final = 3
"""In every third seed most faults are sieges: some rules are missed only where several things fall together."""

IO_S: Final = (20.0, 60.0)
"""One stretch of a client's work."""


class Draw:
    """One drawing. Each concern has a stream of chance of its own, so that they don't disturb each other."""

    def __init__(self, shape: Shape, periods: int, plan: Plan) -> None:
        self.shape = shape
        self.periods = periods
        self.plan = plan
        self.nodes = [f"n{i}" for i in range(1, shape.nodes + 1)]
        self.controls = [f"c{i}" for i in range(1, shape.controls + 1)]
        self.hot = shape.seed % HOT_EVERY == 0
        count = min(VOLUMES_MAX, 2 + self.chance("volumes").randrange(3))
        self.volumes = [f"v{i}" for i in range(1, count + 1)]

    def chance(self, name: str) -> Random:
        """The stream of this name."""
        return Random(f"{self.shape.seed}/schedule/{name}")

    def schedule(self) -> Schedule:
        """The whole of it."""
        steps = [*self._volumes()]
        plan = self.plan
        for hour in range(self.periods):
            begin = hour * plan.period_s
            first, calm, last = begin + SETTLE_S, begin + plan.calm_s, begin + plan.work_end_s
            steps += self._faults(hour, first, calm)
            steps += self._people(hour, first, calm)
            for volume in self.volumes:
                steps += self._consumer(volume, hour, begin + 15.0, last)
                steps += self._work(volume, hour, begin + 15.0, last)
        steps.sort(key=lambda step: step.at_s)
        return Schedule(
            shape=self.shape,
            steps=tuple(steps),
            calm_s=tuple(hour * plan.period_s + plan.calm_s for hour in range(self.periods)),
            period_s=plan.period_s,
            work_s=plan.work_end_s + 10.0 - plan.calm_s,
        )

    def _volumes(self) -> Iterator[Step]:
        chance = self.chance("volumes made")
        for volume in self.volumes:
            replicas = str(chance.choice((2, 2, 3, 3, min(3, self.shape.nodes))))
            reads = "strict" if chance.random() < 0.2 else "granted"
            yield Step(at_s=5.0 + chance.random(), do="create", of=(volume, replicas, reads))

    def _faults(self, hour: int, begin: float, end: float) -> Iterator[Step]:
        chance = self.chance(f"faults {hour}")
        mean_s, weights = chance.choice((25.0, 45.0, 90.0)), _WEIGHTS
        if self.hot:
            mean_s, weights = 85.0, _HOT_WEIGHTS
        at = begin
        while (at := at + chance.expovariate(1 / mean_s) + 5.0) < end - 10.0:
            kind = chance.choices(_KINDS, weights)[0]
            for step in kind(self, chance, round(at, 3)):
                yield from self._struck(chance, step, end - 5.0)

    def _struck(self, chance: Random, step: Step, end: float) -> Iterator[Step]:
        """A fault in the middle of a rush of requests, and now and then another one while it lasts."""
        if step.at_s > end and step.do not in CALM:
            return  # a siege that goes on when all is to come right
        yield Step(at_s=step.at_s, do=step.do, of=step.of, for_s=min(step.for_s, max(end - step.at_s, 0.5)))
        if step.do not in (*CALM, "isolate-engine"):  # whose readers a write without an answer would hold up
            yield from self._rush(chance, step.at_s, step.of)
        if step.do not in CALM and step.for_s > 1.0 and chance.random() < 0.4:
            then = round(step.at_s + chance.uniform(0.0, min(step.for_s, 12.0)), 3)
            second = chance.choice((_kill, _kill, _power, _pause, _reset))
            for more in second(self, chance, then):
                yield from self._rush(chance, more.at_s, more.of)
                yield Step(
                    at_s=more.at_s, do=more.do, of=more.of, for_s=min(more.for_s, max(end - then, 0.5))
                )

    def _rush(self, chance: Random, at: float, struck: tuple[str, ...]) -> Iterator[Step]:
        """Requests on two volumes, or on the one that is struck."""
        for volume in [v for v in struck if v in self.volumes] or chance.sample(self.volumes, 2):
            when = max(0.0, at - chance.uniform(0.001, 0.015))
            yield Step(at_s=round(when, 4), do="io", of=(volume, "rush"), for_s=0.5)

    def _people(self, hour: int, begin: float, end: float) -> Iterator[Step]:
        """Maintenance, and volumes that come and go."""
        chance = self.chance(f"people {hour}")
        at = begin
        extra = 0
        while (at := at + chance.expovariate(1 / 240.0) + 20.0) < end - 60.0:
            node = chance.choice(self.nodes)
            when = round(at, 3)
            match chance.randrange(6):
                case 0 | 1:
                    yield Step(at_s=when, do="evict", of=(node,), for_s=round(chance.uniform(20, 400), 1))
                case 2:
                    yield Step(at_s=when, do="cordon", of=(node,), for_s=round(chance.uniform(20, 300), 1))
                case 3:
                    volume = chance.choice(self.volumes)
                    yield Step(at_s=when, do="scale", of=(volume, str(chance.choice((1, 2, 3)))))
                case 4:
                    extra += 1
                    name = f"x{hour}-{extra}"
                    yield Step(at_s=when, do="create", of=(name, str(chance.choice((1, 2, 3))), "granted"))
                    yield Step(at_s=round(at + chance.uniform(5, 200), 3), do="delete", of=(name,))
                case _:
                    name = chance.choice(("replace_after_s", "silence_s", "close_s"))
                    value = {"replace_after_s": (20, 60, 300), "silence_s": (4, 8), "close_s": (5, 30)}[name]
                    yield Step(at_s=when, do="setting", of=(name, str(chance.choice(value))))

    def _consumer(self, volume: str, hour: int, begin: float, end: float) -> Iterator[Step]:
        """Attach, use, let go; now and again elsewhere, twice, too early, or for a moment only."""
        chance = self.chance(f"consumer {volume} {hour}")
        at, number = begin + chance.uniform(0, 20), 0
        while at < end - 30.0:
            number += 1
            node, holder = chance.choice(self.nodes), f"h{hour}-{number}"
            mode = "ro" if chance.random() < 0.08 else "rw"
            hold_s = 3.0 if chance.random() < 0.1 else chance.uniform(30, 200)
            stop = min(at + hold_s, end)
            yield Step(at_s=round(at, 3), do="attach", of=(volume, node, holder, mode))
            for _ in range(chance.choice((0, 0, 1, 2))):
                again = chance.uniform(at, stop)
                elsewhere = chance.choice(self.nodes) if chance.random() < 0.3 else node
                yield Step(at_s=round(again, 3), do="attach", of=(volume, elsewhere, holder, mode))
            if chance.random() < 0.15:
                second = f"{holder}b"
                yield Step(
                    at_s=round(chance.uniform(at, stop), 3), do="attach", of=(volume, node, second, "rw")
                )
                yield Step(at_s=round(stop + chance.uniform(-5, 5), 3), do="detach", of=(volume, second))
            yield Step(at_s=round(stop, 3), do="detach", of=(volume, holder))
            if chance.random() < 0.2:
                yield Step(at_s=round(stop + chance.uniform(0, 10), 3), do="detach", of=(volume, holder))
            at = stop + (chance.uniform(0.05, 2) if chance.random() < 0.6 else chance.uniform(5, 60))

    def _work(self, volume: str, hour: int, begin: float, end: float) -> Iterator[Step]:
        """Block I/O: stretches of different kinds."""
        chance = self.chance(f"work {volume} {hour}")
        idle = 14 if self.hot else 4
        at = begin
        while at < end:
            stretch = chance.uniform(*IO_S)
            kind = chance.choices(("mixed", "writes", "reads", "burst", "idle"), (5, 2, 2, 2, idle))[0]
            if kind != "idle":
                yield Step(at_s=round(at, 3), do="io", of=(volume, kind), for_s=round(stretch, 1))
            at += stretch


def _node(draw: Draw, chance: Random) -> str:
    return chance.choice(draw.nodes)


def _time(chance: Random, *, short: float = 0.2, long: float = 120.0) -> float:
    """Mostly around the time-outs of the protocol, now and then long."""
    middle = chance.choice((1.0, 3.0, 6.0, 10.0, 25.0, 60.0, long))
    return round(max(short, chance.uniform(0.5, 1.5) * middle), 2)


def _kill(draw: Draw, chance: Random, at: float) -> Iterator[Step]:
    what = chance.choice(("kill-engine", "kill-engine", "kill-replica", "kill-replica", "kill-agent"))
    target = chance.choice(draw.volumes) if what == "kill-engine" else _node(draw, chance)
    again = chance.choice((1, 1, 1, 3))
    for i in range(again):
        yield Step(at_s=round(at + 2.0 * i, 3), do=what, of=(target,), for_s=_time(chance, long=30.0))


def _pause(draw: Draw, chance: Random, at: float) -> Iterator[Step]:
    what = chance.choice(("pause-engine", "pause-engine", "pause-replica", "pause-replica", "pause-agent"))
    target = chance.choice(draw.volumes) if what == "pause-engine" else _node(draw, chance)
    yield Step(at_s=at, do=what, of=(target,), for_s=_time(chance, long=60.0))


def _control(draw: Draw, chance: Random, at: float) -> Iterator[Step]:
    what = chance.choice(("kill-control", "pause-control", "lead"))
    yield Step(at_s=at, do=what, of=(chance.choice(draw.controls),), for_s=_time(chance, long=45.0))


def _power(draw: Draw, chance: Random, at: float) -> Iterator[Step]:
    yield Step(at_s=at, do="power", of=(_node(draw, chance),), for_s=_time(chance, short=2.0, long=240.0))


def _outage(draw: Draw, chance: Random, at: float) -> Iterator[Step]:
    """Several at once, or one after the other."""
    count = chance.randrange(2, len(draw.nodes) + 1)
    apart = chance.choice((0.0, 0.0, 0.5, 5.0))
    for i, node in enumerate(chance.sample(draw.nodes, count)):
        when = round(at + i * apart, 3)
        yield Step(at_s=when, do="power", of=(node,), for_s=_time(chance, short=2.0, long=90.0))


def _cut(draw: Draw, chance: Random, at: float) -> Iterator[Step]:
    what = chance.choice(("cut", "cut", "cut-one-way"))
    a, b = chance.sample([*draw.nodes, *draw.controls], 2)
    yield Step(at_s=at, do=what, of=(a, b), for_s=_time(chance))


def _isolate(draw: Draw, chance: Random, at: float) -> Iterator[Step]:
    yield Step(at_s=at, do="isolate", of=(_node(draw, chance),), for_s=_time(chance))


def _reset(draw: Draw, chance: Random, at: float) -> Iterator[Step]:
    a, b = chance.sample([*draw.nodes, *draw.controls], 2)
    yield Step(at_s=at, do="reset", of=(a, b))


def _slow_link(draw: Draw, chance: Random, at: float) -> Iterator[Step]:
    a, b = chance.sample([*draw.nodes, *draw.controls], 2)
    yield Step(at_s=at, do="slow-link", of=(a, b), for_s=_time(chance))


def _disk(draw: Draw, chance: Random, at: float) -> Iterator[Step]:
    what = chance.choice(("fill", "fill", "slow-disk", "stall-disk", "fail-sync", "fail-write", "writeback"))
    yield Step(at_s=at, do=what, of=(_node(draw, chance),), for_s=_time(chance, long=60.0))


def _rot(draw: Draw, chance: Random, at: float) -> Iterator[Step]:
    yield Step(at_s=at, do="rot", of=(chance.choice(draw.volumes), _node(draw, chance)))


def _clock(draw: Draw, chance: Random, at: float) -> Iterator[Step]:
    node = _node(draw, chance)
    if chance.random() < 0.5:
        yield Step(
            at_s=at, do="clock-rate", of=(node, str(chance.choice((-9000, -2000, 500, 9000)))), for_s=600.0
        )
    else:
        yield Step(at_s=at, do="clock-jump", of=(node, str(chance.choice((-86400, -30, 30, 86400)))))


def _death(draw: Draw, chance: Random, at: float) -> Iterator[Step]:
    """A node is off or cut off, a person says so, and is wrong in the end."""
    node = _node(draw, chance)
    away = _time(chance, short=30.0, long=300.0)
    yield Step(at_s=at, do=chance.choice(("power", "isolate")), of=(node,), for_s=away)
    sure = chance.uniform(6.5, 20.0)
    yield Step(
        at_s=round(at + sure, 3),
        do="declare-dead",
        of=(node,),
        for_s=round(away * chance.uniform(0.3, 1.3), 1),
    )


def _stolen(draw: Draw, chance: Random, at: float) -> Iterator[Step]:
    """An engine is cut off with its clients, who go on, while the volume is taken elsewhere (B10, B11)."""
    volume = chance.choice(draw.volumes)
    yield Step(at_s=round(at - 0.5, 3), do="io", of=(volume, "watch"), for_s=14.0)
    yield Step(at_s=at, do="isolate-engine", of=(volume,), for_s=round(chance.uniform(7.0, 20.0), 1))
    yield Step(at_s=round(at + chance.uniform(0.0, 2.0), 3), do="release", of=(volume,))
    holder = f"s{int(at)}"
    yield Step(at_s=round(at + 2.5, 3), do="attach", of=(volume, _node(draw, chance), holder, "rw"))
    yield Step(at_s=round(at + chance.uniform(15.0, 40.0), 3), do="detach", of=(volume, holder))


def _store(_draw: Draw, chance: Random, at: float) -> Iterator[Step]:
    yield Step(at_s=at, do="lose-commits", of=("store",), for_s=_time(chance, long=30.0))


_Kind = Callable[[Draw, Random, float], Iterator[Step]]
_TABLE: tuple[tuple[_Kind, int], ...] = (
    (_kill, 6), (_pause, 5), (_control, 4), (_power, 4), (_outage, 2), (_cut, 6), (_isolate, 3), (_reset, 2),
    (_slow_link, 2), (_disk, 5), (_rot, 2), (_clock, 2), (_death, 2), (_store, 1), (_stolen, 3),
    (siege, 1), (late, 1), (returning, 1),
)  # fmt: skip
_KINDS = [kind for kind, _ in _TABLE]
_WEIGHTS = [weight for _, weight in _TABLE]
_HOT: dict[_Kind, int] = {siege: 50, late: 30, returning: 50}
_HOT_WEIGHTS = [_HOT.get(kind, weight) for kind, weight in _TABLE]


def draw(seed: int, hours: int, shape: Mapping[str, object] = NOTHING, plan: Plan = HOUR) -> Schedule:
    """The schedule of a seed, of so many periods. What `shape` does not say about the cluster, chance does."""
    chance = Random(f"{seed}/shape")
    drawn: dict[str, object] = {
        "nodes": chance.choice((3, 4, 4, 5)),
        "controls": chance.choice((1, 2, 3)),
        "settings": {"replace_after_s": float(chance.choice((30, 120, 600)))},
    }
    drawn.update({name: value for name, value in shape.items() if value is not None})
    return Draw(Shape(seed=seed, **drawn), hours, plan).schedule()  # type: ignore[arg-type]
