"""Whatever events come, in whatever order, however stale: the invariants hold, and repeats change nothing.

The events are drawn near the truth (the record's epoch, attempts, ids) and beside it, so that both accepted and
refused ones are common; `test_every_event_is_accepted_sometimes` keeps the drawing honest.
"""

import math
from collections import Counter
from collections.abc import Callable

import msgspec
from hypothesis import event as note
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shorthorn.core.invariants.step import check_step
from shorthorn.core.invariants.volume import check_volume
from shorthorn.core.lifecycle import law
from shorthorn.core.lifecycle import nodes as node_law
from shorthorn.core.lifecycle.events import (
    Base,
    CopyStarted,
    DeathWithdrawn,
    DeclaredDead,
    DeleteRequested,
    Expanded,
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
from shorthorn.core.lifecycle.fencing import fence_wait_s
from shorthorn.core.lifecycle.grounds import NO_GROUNDS, Grounds
from shorthorn.core.lifecycle.outcome import Accepted, Refused
from shorthorn.core.lifecycle.requests import AttachRequested, DetachRequested, UseConfirmed, UseStarted
from shorthorn.core.lifecycle.state import State, state_of
from shorthorn.core.model.ids import Attempt, DiskUid, Epoch, Holder, LayerId, NodeName, ReplicaId, TaskId
from shorthorn.core.model.record import Record
from shorthorn.core.model.volume import Mode, SessionPhase, Spec, Volume
from tests.core import examples as ex

EXAMPLES = max(150, settings().max_examples)
"""More in the profile `long`."""

NODES = [NodeName(f"n{i}") for i in range(1, 6)]
REPLICAS = [ReplicaId(f"r{i}") for i in range(1, 9)]
TASKS = [TaskId(f"t{i}") for i in range(1, 6)]
HOLDERS = [Holder("a"), Holder("b")]
GRANT_S = 2.0
WAITED_S = fence_wait_s(GRANT_S)
ALIVE = Grounds(nodes={n: ex.node(n) for n in NODES}, grant_s=GRANT_S)

nodes = st.sampled_from(NODES)
replicas = st.sampled_from(REPLICAS)
holders = st.sampled_from(HOLDERS)
some_replicas = st.lists(replicas, max_size=5, unique=True).map(tuple)


def near(value: int) -> st.SearchStrategy[int]:
    """Mostly right, sometimes one off or long ago."""
    return st.sampled_from(
        [value, value, value, value + 1, value + 1, value - 1, max(0, value - 3), value + 2]
    )


def members(volume: Volume) -> st.SearchStrategy[tuple[ReplicaId, ...]]:
    """Often the in-sync set or part of it, sometimes anything."""
    real = tuple(r.id for r in volume.in_sync)
    parts = st.lists(st.sampled_from(real), unique=True).map(tuple) if real else st.just(())
    return st.one_of(st.just(real), parts, some_replicas)


def known(volume: Volume) -> st.SearchStrategy[ReplicaId]:
    real = [r.id for r in volume.replicas] + [t.replica for t in volume.tombstones]
    return st.one_of(st.sampled_from(real), st.sampled_from(real), replicas) if real else replicas


def attempt_of(volume: Volume, replica: ReplicaId) -> st.SearchStrategy[Attempt]:
    record = volume.replica(replica)
    return near(record.attempt if record else 1).map(Attempt)


def epochs(volume: Volume) -> st.SearchStrategy[Epoch]:
    return near(volume.epoch).map(Epoch)


def session_epochs(volume: Volume) -> st.SearchStrategy[Epoch]:
    return near(volume.session.epoch if volume.session else volume.epoch).map(Epoch)


def with_node(grounds: Grounds, name: NodeName, event: DeclaredDead | DeathWithdrawn) -> Grounds:
    node = grounds.nodes[name]
    assert node is not None
    return grounds._replace(nodes={**grounds.nodes, name: ex.accepted(node_law.apply_node(node, event))})


class Draw:
    """Draws one event about a volume."""

    def __init__(self, volume: Volume, draw: Callable[..., object]) -> None:
        self.volume = volume
        self._draw = draw

    def __call__(self, strategy: st.SearchStrategy[ex.T]) -> ex.T:
        return self._draw(strategy)  # type: ignore[return-value]  # hypothesis' data.draw

    def base(self) -> Base:
        right = Base(chain=self.volume.chain, size=self.volume.size)
        wrong = Base(chain=(LayerId("other"),), size=self.volume.size)
        return self(st.sampled_from([right, right, right, wrong]))

    def of_replica(self) -> tuple[ReplicaId, Attempt]:
        replica = self(known(self.volume))
        return replica, self(attempt_of(self.volume, replica))


def _synced(d: Draw) -> Record:
    replica, attempt = d.of_replica()
    return ReplicaSynced(epoch=d(epochs(d.volume)), replica=replica, attempt=attempt, base=d.base())


def _lost(d: Draw) -> Record:
    replica, attempt = d.of_replica()
    return ReplicaLost(
        epoch=d(epochs(d.volume)), replica=replica, attempt=attempt, witness=d(known(d.volume))
    )


def _abandoned(d: Draw) -> Record:
    replica, attempt = d.of_replica()
    return ReplicaAbandoned(replica=replica, attempt=attempt, why="too many")


def _dropped(d: Draw) -> Record:
    return ReplicaDropped(epoch=d(epochs(d.volume)), replica=d(known(d.volume)), probes=d(members(d.volume)))


def _copy(d: Draw) -> Record:
    target = d(known(d.volume))
    at = d.volume.replica(target)
    return CopyStarted(
        epoch=d(epochs(d.volume)),
        task=d(st.sampled_from(TASKS)),
        source=d(known(d.volume)),
        target=target,
        place=d(st.one_of(st.just(at.node), nodes)) if at else d(nodes),
    )


def _ended(d: Draw) -> Record:
    real = [t.id for t in d.volume.tasks] or TASKS
    return TaskEnded(task=d(st.sampled_from(real)), epoch=d(epochs(d.volume)), why="done")


def _placed(d: Draw) -> Record:
    node = d(nodes)
    return ReplicaPlaced(replica=d(replicas), node=node, disk=DiskUid(f"{node}-d1"))


def _formed(d: Draw) -> Record:
    placed = tuple(r.id for r in d.volume.syncing)
    return Formed(members=d(st.one_of(st.just(placed), st.just(placed), some_replicas)))


def _started(d: Draw) -> Record:
    at = d.volume.held_at
    node = d(st.one_of(st.just(at), nodes)) if at else d(nodes)
    boot = d(st.sampled_from([f"b-{node}", f"b-{node}", "b-older"]))
    return SessionStarted(epoch=d(epochs(d.volume)), node=node, machine_id=f"m-{node}", boot_id=boot)


def _held(d: Draw) -> Record:
    waited_s = d(st.sampled_from([WAITED_S, WAITED_S, 60.0, 0.0, -1.0, math.nan, math.inf]))
    return FenceHeld(epoch=d(epochs(d.volume)), replica=d(known(d.volume)), waited_s=waited_s)


def _settled(d: Draw) -> Record:
    removed = d(st.one_of(st.just(()), members(d.volume)))
    return Settled(epoch=d(epochs(d.volume)), sealed=d(members(d.volume)), removed=removed)


EVENTS: dict[type, Callable[[Draw], Record]] = {
    AttachRequested: lambda d: AttachRequested(
        holder=d(holders),
        node=d(st.one_of(st.just(NODES[0]), nodes)),
        mode=d(st.sampled_from([Mode.READ_WRITE, Mode.READ_WRITE, Mode.READ_ONLY])),
    ),
    DetachRequested: lambda d: DetachRequested(holder=d(holders)),
    UseStarted: lambda d: UseStarted(holder=d(holders), fs="ext4"),
    UseConfirmed: lambda d: UseConfirmed(holder=d(holders), fs="ext4"),
    SpecChanged: lambda d: SpecChanged(spec=Spec(replicas=d(st.integers(0, 4)))),
    Expanded: lambda d: Expanded(size=d.volume.size + d(st.sampled_from([-4096, 0, 4096]))),
    DeleteRequested: lambda d: DeleteRequested(),
    ReplicaPlaced: _placed,
    Formed: _formed,
    ReplicaLeaving: lambda d: ReplicaLeaving(
        replica=d(known(d.volume)), why=d(st.sampled_from(["evicted", ""]))
    ),
    ReplicaAbandoned: _abandoned,
    ReplicaGone: lambda d: ReplicaGone(replica=d(known(d.volume))),
    SessionStarted: _started,
    SessionOpened: lambda d: SessionOpened(
        epoch=d(epochs(d.volume)),
        members=d(members(d.volume)),
        broken=d(st.booleans()),
        endpoint="nbd+unix:///v1",
    ),
    ReplicaLost: _lost,
    SessionClosed: lambda d: SessionClosed(
        epoch=d(epochs(d.volume)),
        clean=d(st.booleans()),
        evidence=d(st.sampled_from(["own exit", "lock", ""])),
    ),
    SettleStarted: lambda d: SettleStarted(
        epoch=d(epochs(d.volume)), task=d(st.sampled_from(TASKS)), place=d(nodes)
    ),
    FenceStarted: lambda d: FenceStarted(
        epoch=d(session_epochs(d.volume)), why=d(st.sampled_from(["unreachable", "unreachable", ""]))
    ),
    FenceHeld: _held,
    Settled: _settled,
    CopyStarted: _copy,
    TaskEnded: _ended,
    ReplicaSynced: _synced,
    ReplicaDropped: _dropped,
}

# What moves a volume on is drawn more often than what ends it.
WEIGHTED = [
    kind for kind in EVENTS for _ in range(1 if kind in (DeleteRequested, SpecChanged, Expanded) else 4)
]
kinds = st.sampled_from(WEIGHTED)


def drawn(volume: Volume, kind: type, draw: Callable[..., object]) -> Record:
    return EVENTS[kind](Draw(volume, draw))


def likely(v: Volume) -> list[Record]:
    """Events that a well-behaved world would send now: they carry a volume deep into its life."""
    right = Base(chain=v.chain, size=v.size)
    next_epoch, task = Epoch(v.epoch + 1), TaskId(f"t{v.epoch % 4 + 1}")
    in_sync = tuple(r.id for r in v.in_sync)
    events: list[Record] = [ReplicaGone(replica=t.replica) for t in v.tombstones]
    free = [n for n in NODES if all(r.node != n for r in v.replicas)]
    events += [
        ReplicaPlaced(replica=r, node=n, disk=DiskUid(f"{n}-d1")) for r in REPLICAS[:2] for n in free[:1]
    ]
    events += [ReplicaAbandoned(replica=r.id, attempt=r.attempt, why="too many") for r in v.syncing[1:]]
    if v.m == 0:
        return [*events, Formed(members=tuple(r.id for r in v.syncing))]
    events += [
        ReplicaSynced(epoch=v.epoch, replica=r.id, attempt=r.attempt, base=right)
        for r in v.syncing
        if v.session or any(t.target == r.id for t in v.tasks)
    ]
    if v.session:
        e = v.session.epoch
        events += [
            FenceStarted(epoch=e, why="unreachable"),
            *(FenceHeld(epoch=v.epoch, replica=r, waited_s=WAITED_S) for r in in_sync[:1]),
            SessionOpened(epoch=e, members=in_sync, broken=False, endpoint="nbd+unix:///v1"),
            SessionOpened(epoch=e, members=in_sync[:1], broken=True, endpoint="nbd+unix:///v1"),
            SessionClosed(epoch=e, clean=True, evidence="own exit"),
            SessionClosed(epoch=e, clean=False, evidence="lock"),
        ]
        events += [
            use(holder=a.holder, fs="ext4") for a in v.attachments for use in (UseStarted, UseConfirmed)
        ]
        events += [
            ReplicaLost(epoch=e, replica=r.id, attempt=r.attempt, witness=in_sync[0]) for r in v.replicas
        ]
    elif v.attachments:
        at = v.attachments[0]
        events += [
            SessionStarted(epoch=next_epoch, node=at.node, machine_id=f"m-{at.node}", boot_id=f"b-{at.node}")
        ]
        events += [DetachRequested(holder=at.holder)]
    elif not v.settled:
        events += [SettleStarted(epoch=next_epoch, task=task, place=r.node) for r in v.in_sync[:1]]
        events += [Settled(epoch=v.epoch, sealed=in_sync)]
        events += [Settled(epoch=v.epoch, sealed=in_sync[1:], removed=in_sync[:1])]
    else:
        events += [
            CopyStarted(epoch=next_epoch, task=task, source=in_sync[0], target=r.id, place=r.node)
            for r in v.syncing
            if in_sync
        ]
        events += [
            ReplicaDropped(epoch=v.epoch, replica=r.id, probes=in_sync) for r in v.in_sync if r.leaving
        ]
        events += [ReplicaLeaving(replica=r.id, why="evicted") for r in v.in_sync if not r.leaving]
    events += [TaskEnded(task=t.id, epoch=t.epoch, why="done") for t in v.tasks]
    return [*events, AttachRequested(holder=HOLDERS[0], node=NODES[0]), DetachRequested(holder=HOLDERS[0])]


def test_the_law_knows_exactly_these_events() -> None:
    assert set(EVENTS) == set(law.TABLE)


class LawMachine(RuleBasedStateMachine):
    """Any events to one volume; old ones come back."""

    def __init__(self) -> None:
        super().__init__()
        self.volume = ex.formed(3)
        self.past: list[Record] = []
        self.grounds = ALIVE

    @rule(data=st.data(), kind=kinds)
    def something_happens(self, data: st.DataObject, kind: type) -> None:
        event = drawn(self.volume, kind, data.draw)
        self.past.append(event)
        self.take(event)

    @rule(data=st.data())
    def something_likely_happens(self, data: st.DataObject) -> None:
        event = data.draw(st.sampled_from(likely(self.volume)))
        self.past.append(event)
        self.take(event)

    @rule(data=st.data())
    @precondition(lambda self: self.past)
    def something_old_happens_again(self, data: st.DataObject) -> None:
        self.take(data.draw(st.sampled_from(self.past)))

    @rule(node=nodes, dead=st.booleans())
    def someone_says_whether_a_node_is_dead(self, node: NodeName, dead: bool) -> None:
        event = DeclaredDead(who="ann", why="burnt") if dead else DeathWithdrawn(who="ann")
        self.grounds = with_node(self.grounds, node, event)

    def take(self, event: Record) -> None:
        before = self.volume
        outcome = law.apply(before, event, self.grounds)  # type: ignore[arg-type]
        assert outcome == law.apply(before, event, self.grounds), "apply is a function"  # type: ignore[arg-type]
        self.grounds_are_needed(before, event, outcome)
        if isinstance(outcome, Refused):
            assert outcome.why
            assert "\n" not in outcome.why
            return
        if not outcome.changed:
            assert outcome.value == before
            return
        note(type(event).__name__)
        assert outcome.lines
        if outcome.value is None:
            assert before.deleting or not before.replicas
            self.volume = ex.formed(3)  # another one; the old events still come
            return
        self.volume = outcome.value
        assert check_step(before, outcome.value) == []
        self.ends_are_proven(before, event, outcome.value)
        if not isinstance(event, AttachRequested | DetachRequested):
            old = [(a.holder, a.node, a.mode) for a in before.attachments]
            assert [(a.holder, a.node, a.mode) for a in outcome.value.attachments] == old

    def grounds_are_needed(self, before: Volume, event: Record, outcome: Accepted[Volume] | Refused) -> None:
        """The answer rests on the nodes that `rests_on` names, and on no other; without any it is never bolder."""
        named = law.rests_on(before, event)  # type: ignore[arg-type]
        few = self.grounds._replace(nodes={n: self.grounds.nodes.get(n) for n in named})
        assert law.apply(before, event, few) == outcome  # type: ignore[arg-type]
        if isinstance(event, FenceStarted | FenceHeld | Settled) and isinstance(outcome, Refused):
            assert isinstance(law.apply(before, event, NO_GROUNDS), Refused)

    def ends_are_proven(self, before: Volume, event: Record, after: Volume) -> None:
        """S7: a session ends by a word of evidence, or by a fence that began, was sealed and waited."""
        if before.session is None or after.session is not None:
            return
        if isinstance(event, SessionClosed):
            assert event.evidence
            return
        assert isinstance(event, FenceHeld)
        assert before.session.phase is SessionPhase.FENCING
        assert event.replica in [r.id for r in before.in_sync]
        assert event.waited_s >= 1.1 * GRANT_S
        assert not after.held_since, "A16: what follows is another hold"

    @invariant()
    def the_document_is_sound(self) -> None:
        assert check_volume(self.volume) == []
        hash(self.volume)
        encoded = msgspec.json.encode(self.volume)
        assert msgspec.json.decode(encoded, type=Volume) == self.volume
        if state_of(self.volume) is State.DETACHED:
            assert self.volume.session is None
            assert self.volume.attachments == ()


LawMachine.TestCase.settings = settings(max_examples=EXAMPLES, stateful_step_count=60)
TestLaw = LawMachine.TestCase


@settings(max_examples=EXAMPLES)
@given(st.data())
def test_no_maintenance_gives_a_detached_volume_a_session(data: st.DataObject) -> None:
    """S10: without a consumer's request there is none, whatever else comes."""
    volume: Volume | None = ex.formed(3)
    quiet = [k for k in WEIGHTED if k is not AttachRequested]
    for _ in range(40):
        assert volume is not None
        event = drawn(volume, data.draw(st.sampled_from(quiet)), data.draw)
        if data.draw(st.booleans()):
            event = data.draw(
                st.sampled_from([e for e in likely(volume) if not isinstance(e, AttachRequested)])
            )
        outcome = law.apply(volume, event, ALIVE)  # type: ignore[arg-type]
        if isinstance(outcome, Accepted):
            volume = outcome.value
        if volume is None:
            return
        assert volume.session is None


def test_every_event_is_accepted_sometimes() -> None:
    """A property over events that are always refused would say nothing."""
    accepted: Counter[str] = Counter()

    @settings(max_examples=160, deadline=None, derandomize=True, database=None)
    @given(st.data())
    def run(data: st.DataObject) -> None:
        held = ex.serving(ex.formed(3))
        closing = ex.after(held, ex.detach())
        fenced = ex.after(closing, FenceStarted(epoch=closing.epoch, why="unreachable"))
        starts = [ex.created(3), ex.formed(3), held, held, ex.after(ex.died(held), ex.detach()), fenced]
        mourning = with_node(ALIVE, NODES[0], DeclaredDead(who="ann", why="burnt"))
        volume: Volume | None = data.draw(st.sampled_from(starts))
        for _ in range(40):
            if volume is None:
                return
            event = drawn(volume, data.draw(kinds), data.draw)
            if data.draw(st.integers(0, 2)):
                event = data.draw(st.sampled_from([*likely(volume), event]))
            grounds = data.draw(st.sampled_from([ALIVE, mourning]))
            outcome = law.apply(volume, event, grounds)  # type: ignore[arg-type]
            if isinstance(outcome, Accepted) and outcome.changed:
                accepted[type(event).__name__] += 1
                volume = outcome.value

    run()
    never = sorted(k.__name__ for k in EVENTS if not accepted[k.__name__] and k is not Expanded)
    assert never == []
