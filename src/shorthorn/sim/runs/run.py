"""One run: a schedule carried out on a new cluster, hour by hour: trouble, then calm in which all must come right.

In the calm the liveness rules hold within their bounds while consumers go on; then these let go, everything comes to rest,
the journal stops growing, what is recorded is what runs, and every copy of every volume holds what a read may show.
"""

import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from shorthorn.core.invariants.audit import compare
from shorthorn.core.model.volume import Volume
from shorthorn.sim.cluster.cluster import Cluster
from shorthorn.sim.faults.act import FAULTS, Actor, Watcher
from shorthorn.sim.faults.schedule import Schedule
from shorthorn.sim.judges import liveness
from shorthorn.sim.judges.copies import judge_copies
from shorthorn.sim.judges.registers import Violation
from shorthorn.sim.machine.kernel import Crashed, NotReached
from shorthorn.sim.runs.counts import Counts
from shorthorn.sim.runs.story import Story

LOOK_S: Final = 1.0
"""Between two looks at what is undone."""

UNANSWERED_S: Final = 20.0
"""A request of a client that has no end for so long is something undone."""

STILL_S: Final = 70.0
"""At the end of an hour nothing may be journaled for so long: more than the loop's slow pass (L8)."""


@dataclass(frozen=True)
class Failure:
    """What went wrong. `rule`: the kind of failure, by which a shrunk run is compared."""

    rule: str
    what: str
    at_s: float
    story: tuple[str, ...]
    waits: tuple[str, ...] = ()


@dataclass
class Outcome:
    """How a run went."""

    schedule: Schedule
    counts: Counts
    digest: str
    virtual_s: float
    cpu_s: float
    failure: Failure | None = None


@dataclass
class Run:
    """`tell`: gets every line of the story. `programs_tell`: every line of the programs' logs."""

    schedule: Schedule
    tell: Callable[[str], None] | None = None
    programs_tell: Callable[[str], None] | None = None
    counts: Counts = field(default_factory=Counts)

    def execute(self) -> Outcome:
        """Carry it out; never raises what a run can find."""
        began = time.process_time()
        story = Story(self.tell)
        failure, digest, now_s = None, "", 0.0
        with _quiet(), _folder(self.schedule.shape.store) as folder:
            made: list[Cluster] = []
            try:
                cluster = self._cluster(made, story, folder)
                _Hours(self, cluster, story).play()
            except (Violation, NotReached, Crashed, AssertionError) as error:
                failure = _failure(error, made[0] if made else None, story)
            if made:
                digest, now_s = made[0].kernel.digest, made[0].kernel.now_s
                made[0].close()
        return Outcome(self.schedule, self.counts, digest, now_s, time.process_time() - began, failure)

    def _cluster(self, made: list[Cluster], story: Story, folder: Path | None) -> Cluster:
        shape, counts = self.schedule.shape, self.counts

        def counted(what: str, kind: str) -> None:
            if not made:
                return
            hour = counts.at(made[0].kernel.now_s)
            if what == "io":
                hour.ios[kind] += 1
            elif what == "session":
                hour.sessions[kind] += 1
            else:
                hour.journal += 1

        def tell(who: str, what: str) -> None:
            story.note(made[0].kernel.now_s if made else 0.0, who, what)

        return Cluster(
            shape.seed,
            nodes=shape.nodes,
            disk_bytes=shape.disk_bytes,
            controls=shape.controls,
            store=folder,
            settings=shape.settings,
            tell=tell,
            counted=counted,
            programs_tell=self.programs_tell,
            made=made.append,
        )


class _Hours:
    """The hours of one run."""

    def __init__(self, run: Run, cluster: Cluster, story: Story) -> None:
        self._run = run
        self._cluster = cluster
        self._kernel = cluster.kernel
        self._story = story
        self._actor = Actor(cluster, Watcher(story=self._note, fault=self._fault, request=self._answered))

    def play(self) -> None:
        """All of them."""
        schedule = self._run.schedule
        steps = iter([*schedule.steps])
        waiting = next(steps, None)
        for hour, calm_s in enumerate(schedule.calm_s):
            end_s = (hour + 1) * schedule.period_s
            while waiting is not None and waiting.at_s < end_s:
                self._actor.post(waiting)
                waiting = next(steps, None)
            self._until(calm_s)
            self._note("calm", "every fault is over")
            self._actor.heal()
            self._calm(calm_s + schedule.work_s)
            self._rest(end_s)
            self._until(end_s)
            self._cluster.truth.steady = False

    def _calm(self, end_s: float) -> None:
        """Consumers go on; everything has to come right meanwhile (L1-L6)."""
        settings = self._cluster.truth.records.settings
        assert settings is not None
        bounds = liveness.bounds(settings)
        watch = liveness.Watch(bounds, self._explain)
        steady_s = self._kernel.now_s + bounds[liveness.Rule.ATTACHED]
        while self._kernel.now_s < end_s:
            self._kernel.run_for(LOOK_S)
            watch.look(self._kernel.now_s, self._undone())
            self._cluster.truth.steady = self._kernel.now_s >= steady_s

    def _rest(self, end_s: float) -> None:
        """Nobody holds anything any more; then nothing happens, and all copies are right (L8, S3)."""
        records, office = self._cluster.truth.records, self._cluster.office
        for volume in list(records.volumes.values()):
            for attachment in volume.attachments:
                self._actor.request("detach", volume.name, attachment.holder)
        settings = records.settings
        assert settings is not None
        bounds = liveness.bounds(settings)
        watch = liveness.Watch(bounds, self._explain)
        quiet_since, entries = self._kernel.now_s, records.entries
        while True:
            self._kernel.run_for(LOOK_S)
            now_s = self._kernel.now_s
            left = self._undone()
            watch.look(now_s, left)
            if left or office.under_way or records.entries != entries:
                quiet_since, entries = now_s, records.entries
            if now_s - quiet_since >= STILL_S:
                break
            if now_s > end_s:
                raise Violation(
                    f"L8: no rest: the journal grew {now_s - quiet_since:.0f} s ago; {self._waits()}"
                )
        self._note("calm", "at rest")
        differences = compare(self._cluster.world()).differences
        if differences:
            raise Violation("recorded and running differ at rest: " + "; ".join(differences))
        truth = self._cluster.truth
        judge_copies(records.volumes.values(), truth.histories, self._cluster.content, truth.rotten)

    def _undone(self) -> list[liveness.Undone]:
        """By the record, and by what clients wait for: attached is who is answered."""
        records = self._cluster.truth.records
        left = list(liveness.undone(records.world(), self._served))
        for uid, what in self._cluster.clients.waiting(UNANSWERED_S).items():
            name = next((v.name for v in records.volumes.values() if v.uid == uid), uid)
            left.append(liveness.Undone(liveness.Rule.ATTACHED, name, f"a client waits for {what}"))
        return left

    def _until(self, at_s: float) -> None:
        left = at_s - self._kernel.now_s
        if left > 0:
            self._kernel.run_for(left)

    def _served(self, volume: Volume) -> bool:
        session = volume.session
        if session is None:
            return False
        engines = self._cluster.truth.engines(volume.uid, session.epoch)
        return any(node == session.node and not paused for node, _, paused in engines)

    def _explain(self, item: liveness.Undone) -> str:
        volume = self._cluster.volume(item.subject)
        return self._cluster.explain(volume) if volume is not None else self._waits()

    def _waits(self) -> str:
        return "; ".join(self._cluster.waits())

    def _note(self, who: str, what: str) -> None:
        self._kernel.note(f"{who} {what}")
        self._story.note(self._kernel.now_s, who, what)

    def _fault(self, kind: str) -> None:
        self._run.counts.at(self._kernel.now_s).faults[kind] += 1

    def _answered(self, kind: str, words: str) -> None:
        hour = self._run.counts.at(self._kernel.now_s)
        outcome = "" if not words else " refused"
        if kind in ("attach", "detach"):
            hour.requests[kind] += 1
            hour.requests[f"{kind}{outcome}"] += 1 if outcome else 0
        else:
            hour.people[f"{kind}{outcome}"] += 1


def _failure(error: Exception, cluster: Cluster | None, story: Story) -> Failure:
    now_s = cluster.kernel.now_s if cluster else 0.0
    cause: BaseException = error
    while isinstance(cause, Crashed) and cause.__cause__ is not None:
        cause = cause.__cause__
    what = str(cause) if isinstance(cause, Violation) else f"{type(cause).__name__}: {error}"
    rule = what.split(":", 1)[0] if isinstance(cause, Violation) else type(cause).__name__
    waits: tuple[str, ...] = ()
    if isinstance(cause, NotReached) and cluster is not None:
        waits = tuple(cluster.waits())
    return Failure(rule, what, now_s, tuple(story.last(60)), waits)


@contextmanager
def _quiet() -> Iterator[None]:
    """Nobody reads the log of a simulated agent; formatting it would cost more than the rest."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


@contextmanager
def _folder(store: str) -> Iterator[Path | None]:
    if store == "memory":
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="shorthorn-sim-") as folder:
        yield Path(folder)


__all__ = ["FAULTS", "Failure", "Outcome", "Run"]
