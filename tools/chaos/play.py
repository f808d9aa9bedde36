"""Plays episodes against a cluster and checks after each that I/O goes on."""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Sequence

from tests.support.spaced import SpacedCluster
from tools.chaos.consumer import Consumer
from tools.chaos.faults import REQUESTS, Episode, Fault, Kind, Role
from tools.chaos.inject import Injector
from tools.chaos.loads import Load, Progress

GOES_ON_S = 30.0
"""Bound on the pause of I/O while one program is away that isn't the volume's engine: four times `silence_s`, slack."""

COMES_BACK_S = 120.0
"""Bound on the first progress after the last fault of an episode: sessions that end in a row follow each other after up to
60 s (L8), starts are backed off, opens have a grace time."""

HEALS_S = 180.0
CHECK_S = 20
"""So long something that is under way may look like a difference."""

PROGRESS = 20
"""So many requests are progress."""

HARMLESS = frozenset({Kind.KILL, Kind.STOP, Kind.RESTART})
"""Faults of programs: one of another volume's programs alone must not stop I/O for long, even while it lasts."""


class Player:
    """Knows the volumes, their loads and where their engines run."""

    def __init__(
        self,
        cluster: SpacedCluster,
        injector: Injector,
        consumer: Consumer,
        loads: dict[str, Load],
        say: Callable[[str], None],
    ) -> None:
        """`loads` by volume."""
        self.faults: Counter[str] = Counter()
        self.requests: Counter[str] = Counter()
        self.missed = 0
        self.heals = 0
        self.longest_s = 0.0
        self._cluster, self._injector, self._consumer = cluster, injector, consumer
        self._loads, self._say = loads, say
        self._healthy = True

    def play(self, episode: Episode) -> None:
        """Raises `AssertionError` when a client saw what it may not see, or nothing goes on."""
        began = time.monotonic()
        alone = len(episode.faults) == 1 and self._healthy and episode.faults[0].kind in HARMLESS
        self._healthy = False
        during = self._inject(episode.faults, alone=alone)
        self._injector.requests_done()
        took = self._progress(COMES_BACK_S)
        self.longest_s = max(self.longest_s, took, during or 0.0)
        what = " + ".join(map(str, episode.faults))
        self._say(
            f"{what}: {time.monotonic() - began:.1f} s"
            + (f", went on after {during:.1f} s" if during is not None else "")
            + f", progress within {took:.1f} s"
        )
        time.sleep(episode.rest_s)
        if episode.heal:
            self.heal()

    def heal(self) -> None:
        """Wait until every volume is attached and healthy, I/O goes on, and what runs is what is recorded."""
        try:
            took = self._cluster.wait(
                lambda: all(self._state(name) == "attached healthy" for name in self._loads),
                "all volumes are attached and healthy",
                HEALS_S,
            )
            self._progress(COMES_BACK_S)
            findings = self._cluster.get(f"/v1/check?wait_s={CHECK_S}")["findings"]
            assert not findings, f"what runs is not what is recorded: {findings}"
        except AssertionError as error:
            raise type(error)(f"{error}\n{self._explained()}") from error
        self._healthy = True
        self.heals += 1
        self._say(f"healthy after {took:.1f} s")

    def _progress(self, bound_s: float) -> float:
        progress = Progress(tuple(self._loads.values()), PROGRESS)
        took = progress.wait(bound_s, meanwhile=self._let_go)
        self.longest_s = max(self.longest_s, took)
        return took

    def _let_go(self) -> None:
        with contextlib.suppress(AssertionError):  # no answer just now: it is asked again
            self._consumer.let_go_of_broken()

    def _inject(self, faults: Sequence[Fault], *, alone: bool) -> float | None:
        """Have the faults happen and end. One `alone` may stop only the volumes whose engine it hits: how long others paused."""
        during: Progress | None = None
        with contextlib.ExitStack() as every:
            stops: list[tuple[float, contextlib.ExitStack]] = []
            for fault in faults:
                _pass(time.monotonic() + fault.after_s, stops)
                stop = every.enter_context(contextlib.ExitStack())
                hit = self._injector.hit(fault, stop)
                self._count(fault, hit=hit)
                stops.append((time.monotonic() + fault.for_s, stop))
            if alone:
                others = [load for name, load in self._loads.items() if not self._stalls(faults[0], name)]
                during = Progress(others, PROGRESS)
            took = _pass(max(end for end, _ in stops), stops, during)
        return took if took is not None or during is None else during.wait(GOES_ON_S)

    def _count(self, fault: Fault, *, hit: bool) -> None:
        if not hit:
            self.missed += 1
        elif fault.kind in REQUESTS:
            self.requests[fault.name] += 1
        else:
            self.faults[fault.name] += 1

    def _stalls(self, fault: Fault, volume: str) -> bool:
        """Whether the fault hits the volume's own engine, without which nothing can go on."""
        return (fault.role is Role.ENGINE and fault.where == volume) or (
            fault.role is Role.NODE and fault.where == self._consumer.where[volume]
        )

    def _state(self, name: str) -> str:
        volume = self._cluster.volume(name)
        return f"{volume['state']} {volume['health']}"

    def _explained(self) -> str:
        """What is said of each volume now, for a failure's message."""
        with contextlib.suppress(AssertionError, FileNotFoundError):
            return "; ".join(str(self._cluster.get(f"/v1/volumes/{name}/explain")) for name in self._loads)
        return "the server does not answer"


def _pass(
    until: float, stops: Sequence[tuple[float, contextlib.ExitStack]], during: Progress | None = None
) -> float | None:
    """Let time pass; each stop ends when it is due. When there was progress, the seconds that it took.

    Raises `AssertionError` when there is none for too long.
    """
    took = None
    began = now = time.monotonic()
    while now < until:
        if took is None and during is not None and during.made():
            took = now - began
        assert took is not None or during is None or now - began < GOES_ON_S, (
            "no progress beside what is stopped"
        )
        time.sleep(min(0.05, until - now))
        now = time.monotonic()
        for end, stop in stops:
            if end <= now:
                stop.close()
    return took
