"""A world that judges the law by what was written, not by the law's own words.

Each replica has a ghost of its content: the number of the last write that it holds. Events go through the law; messages
(a copy's end, a rejoin's end, a removal) may come late, twice or never. Violations: an in-sync replica of a settled,
detached volume or of a session's start that lacks an acknowledged write (S3, S6); no in-sync replica left (S5); a session
that nobody asked for (S10); attachments on two nodes (S1). Walks are random by seed and repeat exactly.
"""

import random
from collections.abc import Callable

from shorthorn.core.lifecycle import law
from shorthorn.core.lifecycle.events import (
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
)
from shorthorn.core.lifecycle.outcome import Accepted
from shorthorn.core.model.ids import DiskUid, Epoch, Holder, NodeName, ReplicaId, TaskId
from shorthorn.core.model.record import Record
from shorthorn.core.model.volume import Replica, SessionPhase, TaskKind
from tests.core import examples as ex

HOLDERS = (ex.POD, Holder("other"))


class Violation(AssertionError):
    """What a client or an operator would suffer."""


class Ghost:
    """One volume, three replicas at first, and everything that can come late."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.volume = ex.formed(3)
        self.content: dict[ReplicaId, int] = dict.fromkeys((ex.R1, ex.R2, ex.R3), 0)
        self.written = 0
        self.needed: set[ReplicaId] = set()
        self.late: list[Record] = []
        self.asked = False
        self._next = 3

    def walk(self, steps: int) -> None:
        """Raises `Violation`."""
        for _ in range(steps):
            step = self.rng.choice(STEPS)
            step(self)
            self.judge()

    def apply(self, event: Record) -> bool:
        """Whether it was accepted, now or before."""
        outcome = law.apply(self.volume, event)  # type: ignore[arg-type]  # any event; the table knows
        if not isinstance(outcome, Accepted):
            return False
        assert outcome.value is not None
        self.volume = outcome.value
        return True

    def judge(self) -> None:
        volume = self.volume
        if not volume.in_sync:
            raise Violation("S5: no in-sync replica is left")
        if len({a.node for a in volume.attachments}) > 1:
            raise Violation("S1: attached on two nodes")
        if volume.session is not None and not self.asked:
            raise Violation("S10: a session that nobody asked for")
        starting = volume.session is not None and volume.session.phase is SessionPhase.OPENING
        if volume.settled or starting:
            for replica in volume.in_sync:
                if self.content[replica.id] != self.written:
                    raise Violation(
                        f"S3: in-sync {replica.id} holds {self.content[replica.id]} of {self.written} writes"
                    )

    def some(self, replicas: tuple[Replica, ...]) -> Replica | None:
        return self.rng.choice(replicas) if replicas else None

    # Consumers

    def attach(self) -> None:
        self.asked = True
        if not self.apply(ex.attach(self.rng.choice((ex.N1, ex.N2)), self.rng.choice(HOLDERS))):
            self.asked = bool(self.volume.attachments or self.volume.session)

    def detach(self) -> None:
        self.apply(ex.detach(self.rng.choice(HOLDERS)))

    # The engine

    def start(self) -> None:
        if self.volume.session is None:
            self.asked = bool(self.volume.attachments)
        at = self.volume.held_at or ex.N1
        epoch = Epoch(self.volume.epoch + 1)
        if self.apply(SessionStarted(epoch=epoch, node=at, machine_id="m", boot_id="b")):
            self.needed = set()

    def open(self) -> None:
        session = self.volume.session
        if session is None or session.phase is not SessionPhase.OPENING:
            return
        # An engine that asks for what the record does not say: the law must not rely on it.
        asked = self.volume.in_sync if self.rng.random() < 0.8 else self.volume.replicas
        answered = tuple(r.id for r in asked if self.rng.random() < 0.7)
        self.apply(
            SessionOpened(epoch=session.epoch, members=answered, broken=False, endpoint="nbd+unix:///v1")
        )

    def write(self) -> None:
        """Acknowledged by every needed replica: those in-sync, and those whose joining was asked."""
        session = self.volume.session
        if session is None or session.phase is not SessionPhase.OPEN:
            return
        self.written += 1
        for replica_id in {r.id for r in self.volume.in_sync} | self.needed:
            self.content[replica_id] = self.written

    def lose(self) -> None:
        replica = self.some(self.volume.replicas)
        session, witness = self.volume.session, self.some(self.volume.in_sync)
        if replica is None or session is None or witness is None:
            return
        event = ReplicaLost(
            epoch=session.epoch, replica=replica.id, attempt=replica.attempt, witness=witness.id
        )
        if self.apply(event):
            self.needed.discard(replica.id)
        self.remember(event)

    def rejoin(self) -> None:
        """Copied, needed from now on, then asked; the ask may be late."""
        replica, session = self.some(self.volume.syncing), self.volume.session
        if replica is None or session is None or session.phase is not SessionPhase.OPEN:
            return
        self.content[replica.id] = self.written
        self.needed.add(replica.id)
        self.ask(self.synced(replica))

    def close(self) -> None:
        session = self.volume.session
        if session is None:
            return
        clean = session.phase is SessionPhase.CLOSING and self.rng.random() < 0.7
        event = SessionClosed(epoch=session.epoch, clean=clean, evidence="own exit")
        self.apply(event)
        self.remember(event)

    # Maintenance

    def settle(self) -> None:
        source = self.some(self.volume.in_sync)
        if source is None:
            return
        event = SettleStarted(epoch=Epoch(self.volume.epoch + 1), task=self.task(), place=source.node)
        if self.apply(event):
            self.ask(Settled(epoch=event.epoch, sealed=tuple(r.id for r in self.volume.in_sync)))

    def place(self) -> None:
        free = [
            n
            for n in (NodeName(f"n{i}") for i in range(1, 6))
            if all(r.node != n for r in self.volume.replicas)
        ]
        if not free:
            return
        self._next += 1
        replica = ReplicaId(f"r{self._next}")
        if self.apply(ReplicaPlaced(replica=replica, node=free[0], disk=DiskUid(f"{free[0]}-d1"))):
            self.content[replica] = -1

    def start_copy(self) -> None:
        source, target = self.some(self.volume.replicas), self.some(self.volume.syncing)
        if source and target:
            self.apply(ex.copy_started(self.volume, source.id, target.id, self.task()))

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
    *[Ghost.mark, Ghost.drop, Ghost.drop, Ghost.abandon, Ghost.reclaim],
    *[Ghost.something_late] * 4,
]


def hunt(seeds: int, steps: int = 120) -> tuple[int, str] | None:
    """The first seed that shows a violation, and which."""
    for seed in range(seeds):
        try:
            Ghost(seed).walk(steps)
        except Violation as violation:
            return seed, str(violation)
    return None
