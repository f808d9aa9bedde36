"""A world that judges the law by what was written, not by the law's own words.

Each replica has a ghost of its content: the number of the last write that it holds, and the epoch that it was sealed at.
Each engine that was started runs on until its own end, whatever the record says, with its own set of replicas and what they
granted it. Events go through the law; messages (a copy's end, a rejoin's end, a removal, a fence's end) may come late,
twice or never. Violations: an in-sync replica that lacks an acknowledged write (S3, S6); unequal ones of a settled volume
(S4); no in-sync replica left (S5); an engine that acknowledges or reads after the record has ended its session (S2, S7); a
session that nobody asked for (S10); attachments on two nodes (S1); a step that `core.invariants` forbids; a change by a
message that is certainly false (`falsehoods`); a law that stumbles. Walks are random by seed and repeat exactly.
"""

import random
from collections.abc import Callable, Iterable

import msgspec

from shorthorn.core.invariants.step import check_step
from shorthorn.core.lifecycle import law, nodes
from shorthorn.core.lifecycle.events import (
    DeclaredDead,
    DeleteRequested,
    FenceHeld,
    FenceStarted,
    Formed,
    ReplicaAbandoned,
    ReplicaDropped,
    ReplicaGone,
    ReplicaLeaving,
    ReplicaLost,
    ReplicaPlaced,
    ReplicaSynced,
    SessionClosed,
    SessionOpened,
    SessionStarted,
    Settled,
    SettleStarted,
    SpecChanged,
    TaskEnded,
)
from shorthorn.core.lifecycle.grounds import NO_GROUNDS, Grounds
from shorthorn.core.lifecycle.outcome import Accepted, Refused
from shorthorn.core.lifecycle.requests import AttachRequested, UseConfirmed, UseStarted
from shorthorn.core.model.ids import DiskUid, Epoch, Holder, NodeName, ReplicaId, TaskId
from shorthorn.core.model.record import Record
from shorthorn.core.model.volume import Mode, Replica, SessionPhase, Spec, TaskKind, Volume
from tests.core import examples as ex
from tests.mutants.engine import Engine
from tests.mutants.falsehoods import answers, falsehoods

HOLDERS = (ex.POD, Holder("other"))
NODES = tuple(NodeName(f"n{i}") for i in range(1, 6))
T_S = 2.0
ALIVE = {name: ex.node(name) for name in NODES}
DEAD = {
    name: ex.accepted(nodes.apply_node(node, DeclaredDead(who="ann", why="burnt")))
    for name, node in ALIVE.items()
}


class Violation(AssertionError):
    """What a client or an operator would suffer."""


class Ghost:
    """One volume, three replicas at first, and everything that can come late."""

    def __init__(self, seed: int, *, harm_only: bool = False) -> None:
        self.harm_only = harm_only
        self.rng = random.Random(seed)
        self.volume = ex.formed(3) if seed % 8 else ex.created(3)
        self.content: dict[ReplicaId, int] = dict.fromkeys((ex.R1, ex.R2, ex.R3), 0)
        self.written = 0
        self.acknowledged = 0
        self.engines: list[Engine] = []
        self.sealed: dict[ReplicaId, Epoch] = {}
        self.fenced: dict[ReplicaId, tuple[Epoch, float]] = {}
        self.dead: set[NodeName] = set()
        self.now_s = 0.0
        self.late: list[Record] = []
        self.asked = False
        self.gone = False
        self._next = 3

    def walk(self, steps: int) -> None:
        """Until the volume is gone. Raises `Violation`."""
        for _ in range(steps):
            step = self.rng.choice(STEPS) if self.rng.random() >= RARE else self.rng.choice(SELDOM)
            step(self)
            if self.gone:
                return
            self.judge()
            if self.rng.random() < LIES and not self.harm_only:
                self.lie()

    def apply(self, event: Record) -> bool:
        """Whether it was accepted, now or before."""
        known = {name: DEAD[name] if name in self.dead else ALIVE[name] for name in NODES}
        grounds = Grounds(nodes=known, grant_s=T_S)
        outcome = self.ask_the_law(self.volume, event, grounds)
        if not isinstance(outcome, Accepted):
            return False
        if outcome.value is None:
            self.gone = True
            return True
        if outcome.changed:
            self.judge_step(self.volume, outcome.value)
        self.volume = outcome.value
        return True

    def ask_the_law(self, volume: Volume, event: Record, grounds: Grounds) -> Accepted[Volume] | Refused:
        try:
            return law.apply(volume, event, grounds)  # type: ignore[arg-type]  # any event; the table knows
        except Exception as error:
            raise Violation(f"the law stumbles over {event}: {error!r}") from error

    def judge_step(self, before: Volume, after: Volume) -> None:
        if self.harm_only:
            return
        found = check_step(before, after)
        if found:
            raise Violation(f"step: {found[0]}")
        if (
            before.deleting
            and msgspec.structs.replace(after, version=before.version, tombstones=before.tombstones) != before
        ):
            raise Violation("L6: something else happens to a volume that is being deleted")

    def lie(self) -> None:
        """Nothing that is certainly false changes the record."""
        grounds = Grounds(nodes=ALIVE, grant_s=T_S)
        for volume, event in falsehoods(self.volume):
            outcome = self.ask_the_law(volume, event, grounds)
            if isinstance(outcome, Accepted) and outcome.changed:
                raise Violation(f"a lie: {type(event).__name__} changes the record: {event}")
        for event, words in answers(self.volume):
            outcome = self.ask_the_law(self.volume, event, grounds)
            if not isinstance(outcome, Refused) or words not in outcome.why:
                raise Violation(f"an answer: {event} is not told {words!r} but {outcome}")
        self.lie_without_grounds()

    def lie_without_grounds(self) -> None:
        """Who knows no node's record takes nothing for granted."""
        node = self.volume.held_at or ex.N1
        start = SessionStarted(epoch=Epoch(self.volume.epoch + 1), node=node, machine_id="", boot_id="b")
        outcome = self.ask_the_law(self.volume, start, NO_GROUNDS)
        if isinstance(outcome, Accepted) and outcome.changed:
            raise Violation(f"a lie: a session on a machine without a name: {start}")

    def judge(self) -> None:
        volume = self.volume
        if volume.deleting:
            return
        if not volume.in_sync and volume.m > 0:
            raise Violation("S5: no in-sync replica is left")
        if len({a.node for a in volume.attachments}) > 1:
            raise Violation("S1: attached on two nodes")
        if volume.session is not None and not self.asked:
            raise Violation("S10: a session that nobody asked for")
        for replica in volume.in_sync:
            held = self.content[replica.id]
            if held < self.acknowledged:
                raise Violation(f"S3: in-sync {replica.id} holds {held} of {self.acknowledged} writes")
        if volume.settled and len({self.content[r.id] for r in volume.in_sync}) > 1:
            raise Violation("S4: in-sync replicas of a settled volume differ")

    def some(self, replicas: tuple[Replica, ...]) -> Replica | None:
        return self.rng.choice(replicas) if replicas else None

    # Consumers

    def attach(self) -> None:
        self.asked = True
        if not self.apply(ex.attach(self.rng.choice((ex.N1, ex.N2)), self.rng.choice(HOLDERS))):
            self.asked = bool(self.volume.attachments or self.volume.session)

    def detach(self) -> None:
        self.apply(ex.detach(self.rng.choice(HOLDERS)))

    def read_only(self) -> None:
        self.asked = True
        holder, node = self.rng.choice(HOLDERS), self.rng.choice((ex.N1, ex.N2))
        if not self.apply(AttachRequested(holder=holder, node=node, mode=Mode.READ_ONLY)):
            self.asked = bool(self.volume.attachments or self.volume.session)

    def use(self) -> None:
        event = UseStarted if self.rng.random() < 0.5 else UseConfirmed
        self.apply(event(holder=self.rng.choice(HOLDERS), fs="ext4"))

    def change_spec(self) -> None:
        self.apply(SpecChanged(spec=Spec(replicas=self.rng.choice((1, 2, 3)))))

    def delete(self) -> None:
        self.apply(DeleteRequested())

    def end_task(self) -> None:
        task = next(iter(self.volume.tasks), None)
        if task is not None:
            self.apply(TaskEnded(task=task.id, epoch=task.epoch, why="no longer wanted"))

    # The engine

    def start(self) -> None:
        if self.volume.session is None:
            self.asked = bool(self.volume.attachments)
        at = self.volume.held_at or ex.N1
        epoch = Epoch(self.volume.epoch + 1)
        before = self.volume.session
        event = SessionStarted(epoch=epoch, node=at, machine_id=f"m-{at}", boot_id=f"b-{at}")
        if self.apply(event) and self.volume.session != before:
            self.engines = [*self.engines[-2:], Engine(epoch)]

    def engine(self) -> Engine | None:
        """That of the recorded session, if it still runs."""
        session = self.volume.session
        return next((e for e in self.engines if session and e.epoch == session.epoch), None)

    def open(self) -> None:
        session, engine = self.volume.session, self.engine()
        if session is None or engine is None or session.phase is not SessionPhase.OPENING:
            return
        # An engine that asks for what the record does not say: the law must not rely on it.
        asked = self.volume.in_sync if self.rng.random() < 0.8 else self.volume.replicas
        answered = tuple(r.id for r in asked if self.rng.random() < 0.7)
        self.seal(answered, session.epoch)
        if self.apply(
            SessionOpened(epoch=session.epoch, members=answered, broken=False, endpoint="nbd+unix:///v1")
        ):
            engine.needs = {r.id for r in self.volume.in_sync}
            engine.sent_s = dict.fromkeys(answered, self.now_s)
            engine.serving = True
            self.equalise(r.id for r in self.volume.in_sync)

    def seal(self, replicas: Iterable[ReplicaId], epoch: Epoch) -> None:
        for replica in replicas:
            self.sealed[replica] = max(epoch, self.sealed.get(replica, epoch))

    def equalise(self, replicas: Iterable[ReplicaId]) -> None:
        """From any of them: what was not acknowledged may be kept or not."""
        equal = sorted(replicas)
        if equal:
            self.content.update(dict.fromkeys(equal, self.content[self.rng.choice(equal)]))

    def obeys(self, replica: ReplicaId, engine: Engine) -> bool:
        """Whether the replica takes requests of this engine."""
        return self.sealed.get(replica, Epoch(0)) <= engine.epoch

    def is_over(self, engine: Engine) -> bool:
        """Whether the record says so."""
        return self.volume.session is None or self.volume.session.epoch != engine.epoch

    def some_engine(self) -> Engine | None:
        serving = [e for e in self.engines if e.serving]
        return self.rng.choice(serving) if serving else None

    def write(self) -> None:
        """To every replica that the engine needs; acknowledged when all took it."""
        engine = self.some_engine()
        if engine is None:
            return
        self.written += 1
        for replica_id in sorted(engine.needs):
            if self.obeys(replica_id, engine):
                self.content[replica_id] = self.written
                engine.sent_s[replica_id] = self.now_s
        if not all(self.obeys(r, engine) for r in engine.needs):
            engine.undecided = True
            return
        self.acknowledged = self.written
        if self.is_over(engine):
            raise Violation("S7: the engine of an ended session acknowledged a write")

    def read(self) -> None:
        """From one that answers, if every needed one answered something sent less than T ago."""
        engine = self.some_engine()
        if engine is None or not any(self.obeys(r, engine) for r in engine.needs):
            return
        for replica_id in sorted(engine.needs):
            if self.obeys(replica_id, engine) and self.rng.random() < 0.7:
                engine.sent_s[replica_id] = self.now_s
        granted = all(self.now_s - engine.sent_s.get(r, -T_S) < T_S for r in engine.needs)
        if granted and self.is_over(engine):
            raise Violation("S2: the engine of an ended session completed a read")

    def wait(self) -> None:
        self.now_s += self.rng.choice((0.5, 1.0, 2.5, 5.0))

    def lose(self) -> None:
        """Also when the ask is answered, the engine may not hear it: then it needs the replica still."""
        replica, engine = self.some(self.volume.replicas), self.engine()
        session, witness = self.volume.session, self.some(self.volume.in_sync)
        if replica is None or session is None or engine is None or witness is None:
            return
        event = ReplicaLost(
            epoch=session.epoch, replica=replica.id, attempt=replica.attempt, witness=witness.id
        )
        if self.apply(event):
            engine.needs.discard(replica.id)
        self.remember(event)

    def rejoin(self) -> None:
        """Copied, needed from now on, then asked; the ask may be late."""
        replica, engine = self.some(self.volume.syncing), self.engine()
        source = self.some(self.volume.in_sync)
        if replica is None or source is None or engine is None or not engine.serving:
            return
        if not self.obeys(source.id, engine) or not self.obeys(replica.id, engine):
            return
        self.seal([replica.id], engine.epoch)
        self.content[replica.id] = self.content[source.id]
        engine.needs.add(replica.id)
        self.ask(ex.synced(self.volume, replica.id, epoch=engine.epoch))

    def close(self) -> None:
        """By its own word or its death; from a node that can't be asked that seldom comes through."""
        session = self.volume.session
        if session is None or (session.phase is SessionPhase.FENCING and self.rng.random() < 0.8):
            return
        engine = self.engine()
        clean = (
            session.phase in (SessionPhase.CLOSING, SessionPhase.FENCING)
            and engine is not None
            and not engine.undecided
            and all(self.obeys(r, engine) for r in engine.needs)
            and self.rng.random() < 0.7
        )
        self.engines = [e for e in self.engines if e is not engine]
        event = SessionClosed(epoch=session.epoch, clean=clean, evidence="own exit")
        self.apply(event)
        self.remember(event)

    # The fence

    def declare(self) -> None:
        node = self.rng.choice(NODES)
        if node in self.dead or len(self.dead) > 1:
            self.dead.discard(node)
        else:
            self.dead.add(node)

    def fence(self) -> None:
        if self.volume.session is not None:
            event = FenceStarted(epoch=self.volume.session.epoch, why="unreachable")
            self.apply(event)
            self.remember(event)

    def seal_for_fence(self) -> None:
        """By a view that may be old: of a replica that has left the set since."""
        old_view = self.volume.replicas if self.rng.random() < 0.5 else self.volume.in_sync
        replica, session = self.some(old_view), self.volume.session
        if replica is None or session is None or session.phase is not SessionPhase.FENCING:
            return
        if self.fenced.get(replica.id, (0, 0))[0] != self.volume.epoch:
            self.seal([replica.id], self.volume.epoch)
            self.fenced[replica.id] = (self.volume.epoch, self.now_s)

    def hold(self) -> None:
        """At once, however short the wait was: the law is to judge it."""
        if not self.fenced:
            return
        replica = self.rng.choice(sorted(self.fenced))
        epoch, since_s = self.fenced[replica]
        if epoch != self.volume.epoch:
            del self.fenced[replica]
            return
        self.ask(FenceHeld(epoch=epoch, replica=replica, waited_s=self.now_s - since_s))

    # Maintenance

    def settle(self) -> None:
        source = self.some(self.volume.in_sync)
        if source is None:
            return
        event = SettleStarted(epoch=Epoch(self.volume.epoch + 1), task=self.task(), place=source.node)
        if not self.apply(event):
            return
        absent = {r.id for r in self.volume.in_sync if r.node in self.dead or self.rng.random() < 0.1}
        sealed = tuple(r.id for r in self.volume.in_sync if r.id not in absent)
        removed = tuple(r.id for r in self.volume.in_sync if r.id in absent and r.node in self.dead)
        self.seal(sealed, event.epoch)
        self.equalise(sealed)
        self.ask(Settled(epoch=event.epoch, sealed=sealed, removed=removed))

    def place(self) -> None:
        free = [n for n in NODES if all(r.node != n for r in self.volume.replicas)]
        if not free:
            return
        self._next += 1
        replica = ReplicaId(f"r{self._next}")
        if self.apply(ReplicaPlaced(replica=replica, node=free[0], disk=DiskUid(f"{free[0]}-d1"))):
            self.content[replica] = -1

    def form(self) -> None:
        """Of empty ones: what a client may read of them is nothing."""
        fresh = tuple(r.id for r in self.volume.syncing if self.rng.random() < 0.8)
        if self.volume.m == 0 and self.apply(Formed(members=fresh)):
            self.content.update(dict.fromkeys(fresh, 0))

    def start_copy(self) -> None:
        source, target = self.some(self.volume.replicas), self.some(self.volume.syncing)
        if source and target:
            event = ex.copy_started(self.volume, source.id, target.id, self.task())
            if self.apply(event):
                self.seal([source.id, target.id], event.epoch)

    def finish_copy(self) -> None:
        """The copier's work, and its message; it may come late."""
        task = next((t for t in self.volume.tasks if t.kind is TaskKind.COPY and not t.committed), None)
        target = self.volume.replica(task.target) if task and task.target else None
        if task is None or target is None or task.source is None:
            return
        self.content[target.id] = self.content[task.source]
        self.ask(self.synced(target))

    def mark(self) -> None:
        replica = self.some(self.volume.replicas)
        if replica is not None:
            self.apply(ReplicaLeaving(replica=replica.id, why="evicted"))

    def drop(self) -> None:
        leaving = self.some(tuple(r for r in self.volume.in_sync if r.leaving))
        if leaving is None:
            return
        probes = tuple(r.id for r in self.volume.in_sync if r.id != leaving.id)
        self.ask(ReplicaDropped(epoch=self.volume.epoch, replica=leaving.id, probes=probes))

    def abandon(self) -> None:
        replica = self.some(self.volume.syncing)
        if replica is not None and len(self.volume.replicas) > 2:
            self.apply(ReplicaAbandoned(replica=replica.id, attempt=replica.attempt, why="too many"))

    def reclaim(self) -> None:
        for stone in self.volume.tombstones:
            self.apply(ReplicaGone(replica=stone.replica))

    # Messages

    def synced(self, replica: Replica) -> ReplicaSynced:
        return ex.synced(self.volume, replica.id)

    def ask(self, event: Record) -> None:
        """Now, or only later."""
        if self.rng.random() < 0.6:
            self.apply(event)
        self.remember(event)

    def remember(self, event: Record) -> None:
        self.late = [*self.late[-5:], event]

    def something_late(self) -> None:
        if self.late:
            self.apply(self.rng.choice(self.late))

    def task(self) -> TaskId:
        self._next += 1
        return TaskId(f"t{self._next}")


STEPS: list[Callable[[Ghost], None]] = [
    *[Ghost.attach, Ghost.start, Ghost.open, Ghost.write, Ghost.detach, Ghost.close] * 2,
    *[Ghost.lose, Ghost.rejoin, Ghost.settle, Ghost.place, Ghost.start_copy, Ghost.finish_copy] * 2,
    *[
        Ghost.write,
        Ghost.read,
        Ghost.wait,
        Ghost.fence,
        Ghost.fence,
        Ghost.seal_for_fence,
        Ghost.hold,
        Ghost.hold,
    ],
    *[Ghost.form, Ghost.mark, Ghost.drop, Ghost.drop, Ghost.abandon, Ghost.reclaim],
    *[Ghost.something_late] * 4,
]
"""What happens often more than once."""
SELDOM: list[Callable[[Ghost], None]] = [
    *[Ghost.declare] * 3,
    *[Ghost.read_only, Ghost.use, Ghost.use, Ghost.change_spec, Ghost.end_task],
    Ghost.delete,
]
"""Once in a while only. A node is declared dead, or the word taken back."""
RARE = 0.04
LIES = 0.03


def hunt(seeds: int, steps: int = 200, *, harm_only: bool = False) -> tuple[int, str] | None:
    """The first seed that shows a violation, and which. `harm_only`: judged by what was written, not by steps and lies."""
    for seed in range(seeds):
        try:
            Ghost(seed, harm_only=harm_only).walk(steps)
        except Violation as violation:
            return seed, str(violation)
    return None
