"""Plays episodes against a cluster and checks after each that I/O goes on."""

import contextlib
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence

from tests.support.cluster import Cluster
from tools.chaos.faults import Episode, Fault, Kind, Role
from tools.chaos.loads import Load, Progress

GOES_ON_S = 30.0
"""Bound on the pause of I/O while one program is away that isn't the volume's engine: four times `silence_s`, slack."""

COMES_BACK_S = 120.0
"""Bound on the first progress after the last fault of an episode: sessions that end in a row follow each other after up to
60 s (L8), starts are backed off, opens have a grace time."""

HEALS_S = 180.0
PROGRESS = 20
"""So many requests are progress."""

SENSITIVE = "fio"
"""The volume whose engine is never asked to end, but killed: one that is asked closes its session in order and tells its
clients so (NBD's ESHUTDOWN), which fio takes for a failed disk. The other volume's clients are asked to bear it."""

SIGNALS = {Kind.KILL: signal.SIGKILL, Kind.RESTART: signal.SIGTERM}


class Player:
    """Knows the volumes, their loads and where their engines run."""

    def __init__(
        self, cluster: Cluster, loads: dict[str, Load], engines: dict[str, str], say: Callable[[str], None]
    ) -> None:
        """`loads` by volume; `engines`: the node of each volume's engine."""
        self.counts: Counter[str] = Counter()
        self.longest_s = 0.0
        self._cluster, self._loads, self._engines, self._say = cluster, loads, engines, say
        self._uids = {name: str(cluster.volume(name)["uid"]) for name in loads}
        self._healthy = True

    def play(self, episode: Episode) -> None:
        """Raises `AssertionError` when a client saw what it may not see, or nothing goes on."""
        began = time.monotonic()
        alone = len(episode.faults) == 1 and self._healthy
        self._healthy = False
        during = self._inject(episode.faults, alone=alone)
        took = Progress(tuple(self._loads.values()), PROGRESS).wait(COMES_BACK_S)
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
        """Wait until every volume is attached and healthy."""
        try:
            took = self._cluster.wait(
                lambda: all(self._state(name) == "attached healthy" for name in self._loads),
                "all volumes are attached and healthy",
                HEALS_S,
            )
        except AssertionError as error:
            raise AssertionError(f"{self._explained()}: {error}") from error
        self._healthy = True
        self._say(f"healthy after {took:.1f} s")

    def _inject(self, faults: Sequence[Fault], *, alone: bool) -> float | None:
        """Have the faults happen and end. One `alone` may stop only the volumes whose engine it hits: how long others paused."""
        during: Progress | None = None
        with contextlib.ExitStack() as every:
            stops: list[tuple[float, contextlib.ExitStack]] = []
            for fault in faults:
                _pass(time.monotonic() + fault.after_s, stops)
                stop = every.enter_context(contextlib.ExitStack())
                hit = self._hit(fault, stop)
                self.counts[f"{fault.kind} {fault.role}" if hit else "nobody there"] += 1
                stops.append((time.monotonic() + fault.for_s, stop))
            if alone:
                others = [load for name, load in self._loads.items() if not self._stalls(faults[0], name)]
                during = Progress(others, PROGRESS)
            took = _pass(max(end for end, _ in stops), stops, during)
        return took if took is not None or during is None else during.wait(GOES_ON_S)

    def _hit(self, fault: Fault, stop: contextlib.ExitStack) -> bool:
        """Whether there was anybody to hit: a program may just be starting again. Closing `stop` ends a stop."""
        if fault.kind is Kind.STOP:
            return bool(stop.enter_context(self._cluster.stopped(lambda: self._victims(fault))))
        victims = self._victims(fault)
        engines = self._engines_of(SENSITIVE)
        for pid in victims:
            number = signal.SIGKILL if pid in engines else SIGNALS[fault.kind]
            with contextlib.suppress(ProcessLookupError):  # it ended by itself, just now
                os.kill(pid, number)
        return bool(victims)

    def _engines_of(self, volume: str) -> list[int]:
        return self._cluster.pids(rf"shorthorn-engine .*{self._uids[volume]}\.")

    def _victims(self, fault: Fault) -> list[int]:
        match fault.role:
            case Role.REPLICA:
                return self._cluster.pids(rf"shorthorn-replica .*nodes/{fault.where}/")
            case Role.ENGINE:
                return self._engines_of(fault.where)
            case Role.AGENT:
                return self._cluster.pids(rf"shorthorn node .*--name {fault.where} ")
            case Role.SERVER:
                return self._cluster.pids("shorthorn server ")
            case Role.NODE:
                return self._cluster.of_node(fault.where)

    def _stalls(self, fault: Fault, volume: str) -> bool:
        """Whether the fault hits the volume's own engine, without which nothing can go on."""
        return (fault.role is Role.ENGINE and fault.where == volume) or (
            fault.role is Role.NODE and fault.where == self._engines[volume]
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
