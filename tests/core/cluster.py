"""A naive cluster for tests: records changed by the law, agents that do their orders at once, sightings on demand.

Every step is a call, so that a test may leave one out, do it late, or cut a plan. It knows nothing of the data path:
an engine opens on what it can reach, removes what it can't, resyncs at once; a copier copies. It is not a simulator; it
is what planning can be tried on. Time passes only when a test says so.
"""

from collections.abc import Callable, Iterable

import msgspec

from shorthorn.core.invariants.step import check_step
from shorthorn.core.invariants.world import check_world
from shorthorn.core.lifecycle import law, nodes
from shorthorn.core.lifecycle.events import (
    Base,
    Created,
    NodeEvent,
    NodeRegistered,
    ReplicaLost,
    ReplicaSynced,
    SessionClosed,
    SessionOpened,
    VolumeEvent,
)
from shorthorn.core.lifecycle.grounds import Grounds
from shorthorn.core.lifecycle.law import AnyEvent
from shorthorn.core.lifecycle.outcome import Accepted, Refused
from shorthorn.core.lifecycle.requests import AttachRequested, DetachRequested
from shorthorn.core.lifecycle.state import Explanation, explain
from shorthorn.core.model.ids import (
    Attempt,
    ClusterUid,
    DiskUid,
    Epoch,
    Holder,
    LayerId,
    NodeName,
    ReplicaId,
    TaskId,
    VolumeName,
    VolumeUid,
)
from shorthorn.core.model.node import Disk, Node
from shorthorn.core.model.order import (
    CloseEngine,
    CreateReplica,
    DeleteReplica,
    FenceReplica,
    NodeOrders,
    ProbeReplica,
    RunEngine,
    RunTask,
)
from shorthorn.core.model.sighting import (
    DiskSighting,
    EngineSighting,
    EngineState,
    NodeSighting,
    Reach,
    ReplicaSighting,
    ResyncSighting,
    TaskSighting,
    TaskState,
)
from shorthorn.core.model.volume import Mode, SessionPhase, Spec, TaskKind, Volume
from shorthorn.core.model.world import Seen, Settings, World
from shorthorn.core.planning.orders import orders
from shorthorn.core.planning.plan import Claim, Intent, Plan, Release
from shorthorn.core.planning.planner import plan

GIB = 1024**3


class Machine:
    """The truth of one node."""

    def __init__(self, name: str, disk_bytes: int) -> None:
        self.name = NodeName(name)
        self.disk = DiskUid(f"{name}-d1")
        self.size = disk_bytes
        self.boot = 1
        self.up = True
        self.cut = False
        self.folders: dict[ReplicaId, ReplicaSighting] = {}
        self.engines: dict[tuple[VolumeUid, Epoch], EngineSighting] = {}
        self.tasks: dict[TaskId, TaskSighting] = {}
        self.gone: tuple[ReplicaId, ...] = ()
        self.sequence = 0

    @property
    def there(self) -> bool:
        return self.up and not self.cut

    def sighting(self) -> NodeSighting:
        self.sequence += 1
        disk = DiskSighting(
            uid=self.disk,
            size=self.size,
            free=self.size,
            address=f"{self.name}:9",
            complete=True,
            replicas=tuple(self.folders[r] for r in sorted(self.folders)),
            gone=self.gone,
        )
        return NodeSighting(
            node=self.name,
            machine_id=f"m-{self.name}",
            boot_id=f"b{self.boot}-{self.name}",
            sequence=self.sequence,
            disks=(disk,),
            engines=tuple(self.engines[k] for k in sorted(self.engines)),
            tasks=tuple(self.tasks[k] for k in sorted(self.tasks)),
        )


class Cluster:
    """Records, machines and what was seen of them. Each change of a record is checked against the invariants."""

    def __init__(self, count: int = 0, disk_bytes: int = 100 * GIB, **settings: int) -> None:
        self.settings = Settings(cluster=ClusterUid("c1"), **settings)
        self.volumes: dict[VolumeUid, Volume] = {}
        self.nodes: dict[NodeName, Node] = {}
        self.machines: dict[NodeName, Machine] = {}
        self.seen: dict[NodeName, Seen] = {}
        self.journal: list[str] = []
        self.copies_fail = False
        self.resyncs_take = False
        self.now_s = 0.0
        self.failed_at: dict[TaskId, float] = {}
        self.away_since: dict[NodeName, float] = {}
        self._next = 0
        for i in range(1, count + 1):
            self.add_node(f"n{i}", disk_bytes)

    # What people do

    def add_node(self, name: str, disk_bytes: int = 100 * GIB, **labels: str) -> None:
        machine = Machine(name, disk_bytes)
        self.machines[machine.name] = machine
        self._register(machine, tuple(sorted(labels.items())))
        self.report(name)

    def create(
        self, name: str, replicas: int | None = 3, size: int = 10 * GIB, spec: Spec | None = None
    ) -> Volume:
        event = Created(
            name=VolumeName(name),
            uid=VolumeUid(f"{name}-uid"),
            size=size,
            spec=spec or Spec(replicas=replicas),
            head=LayerId(f"{name}-l1"),
        )
        outcome = law.create(event)
        assert isinstance(outcome, Accepted), outcome
        assert outcome.value is not None
        self.volumes[event.uid] = outcome.value
        self.journal += [f"{name}: {line}" for line in outcome.lines]
        return outcome.value

    def attach(self, name: str, node: str, holder: str = "pod") -> str:
        """Empty, or the refusal."""
        event = AttachRequested(holder=Holder(holder), node=NodeName(node), mode=Mode.READ_WRITE)
        volume = self.volume(name)
        return self._take(volume, law.attach(volume, self.nodes.get(NodeName(node)), event))

    def detach(self, name: str, holder: str = "pod") -> str:
        return self.apply(name, DetachRequested(holder=Holder(holder)))

    def apply(self, name: str, event: VolumeEvent | DetachRequested) -> str:
        """Empty, or the refusal."""
        volume = self.volume(name)
        return self._take(volume, self._judge(volume, event))

    def node_event(self, name: str, event: NodeEvent) -> str:
        """Empty, or the refusal."""
        outcome = nodes.apply_node(self.nodes[NodeName(name)], event)
        if isinstance(outcome, Refused):
            return outcome.why
        assert outcome.value is not None
        self.nodes[NodeName(name)] = outcome.value
        self.journal += [f"{name}: {line}" for line in outcome.lines]
        return ""

    # What happens to machines

    def down(self, name: str) -> None:
        """Power off: engines and tasks are gone, folders stay."""
        machine = self.machines[NodeName(name)]
        machine.up = False
        machine.engines, machine.tasks = {}, {}
        self._unheard(machine.name)

    def cut(self, name: str) -> None:
        """Its programs run on, but nobody hears them and they hear nobody."""
        self.machines[NodeName(name)].cut = True
        self._unheard(NodeName(name))

    def join(self, name: str) -> None:
        """The end of a cut: the same boot, the same engines."""
        self.machines[NodeName(name)].cut = False
        self.report(name)

    def _unheard(self, name: NodeName) -> None:
        self.seen[name] = msgspec.structs.replace(self.seen[name], reach=Reach.UNREACHABLE)
        self.away_since.setdefault(name, self.now_s)

    def passes(self, seconds: float) -> None:
        self.now_s += seconds

    def up(self, name: str) -> None:
        machine = self.machines[NodeName(name)]
        machine.up, machine.cut = True, False
        machine.boot += 1
        self._register(machine)
        self.report(name)

    def kill_engines(self, name: str) -> None:
        machine = self.machines[NodeName(name)]
        for key, engine in machine.engines.items():
            machine.engines[key] = msgspec.structs.replace(
                engine, state=EngineState.ENDED, evidence="lock taken"
            )

    def forget_seen(self) -> None:
        """The server starts again: nothing was heard yet."""
        self.seen = {name: Seen(reach=Reach.UNKNOWN) for name in self.nodes}
        self.away_since = {}

    # What programs do

    def report(self, name: str) -> None:
        machine = self.machines[NodeName(name)]
        if machine.there:
            self.seen[machine.name] = Seen(reach=Reach.REACHABLE, sighting=machine.sighting())
            self.away_since.pop(machine.name, None)

    def report_all(self) -> None:
        for name in sorted(self.machines):
            self.report(name)

    def world(self) -> World:
        return World(
            settings=self.settings,
            volumes={k: self.volumes[k] for k in sorted(self.volumes)},
            nodes={k: self.nodes[k] for k in sorted(self.nodes)},
            seen={k: self.seen[k] for k in sorted(self.seen)},
            away_s={
                (k, self.machines[k].disk): self.now_s - self.away_since[k] for k in sorted(self.away_since)
            },
        )

    def new_id(self, kind: str) -> str:
        self._next += 1
        return f"{kind}{self._next}"

    def plan(self) -> Plan:
        return plan(self.world(), self.new_id)

    def carry_out(self, proposed: Plan, limit: int | None = None, world: World | None = None) -> list[str]:
        """Commit intents in order; the refusals. `world`: what the plan was made of, if older."""
        based_on = (world or self.world()).nodes
        outcomes = [self.commit(intent, based_on) for intent in proposed.intents[:limit]]
        return [why for why in outcomes if why]

    def commit(self, intent: Intent, based_on: object) -> str:
        volume = self.volumes.get(intent.volume)
        if volume is None:
            return "gone"
        if any(self.nodes[n] != based_on[n] for n in intent.unchanged):  # type: ignore[index]
            return "a node changed"
        outcome = self._judge(volume, intent.event)
        if isinstance(outcome, Refused) or not outcome.changed:
            return outcome.why if isinstance(outcome, Refused) else ""
        if intent.space is not None:
            space = self._space(intent.space)
            if isinstance(space, Refused):
                return space.why
            assert space.value is not None
            self.nodes[intent.space.node] = space.value
        return self._take(volume, outcome)

    def orders(self, name: str) -> NodeOrders:
        return orders(self.world(), NodeName(name))

    def act(self, name: str, given: NodeOrders | None = None) -> None:
        """The agent does its orders, which may be old."""
        machine = self.machines[NodeName(name)]
        if not machine.there:
            return
        given = given or self.orders(name)
        for order in given.orders:
            _DO[type(order)](self, machine, order)
        stones = {o.replica for o in given.orders if isinstance(o, DeleteReplica)}
        machine.gone = tuple(sorted(stones - set(machine.folders)))
        ordered = {o.task.id for o in given.orders if isinstance(o, RunTask)}
        machine.tasks = {k: v for k, v in machine.tasks.items() if k in ordered}

    def rest(self, rounds: int = 60) -> int:
        """Until nothing changes; the number of rounds. Fails when there is no end: flapping (L8)."""
        for done in range(rounds):
            before = (dict(self.volumes), dict(self.nodes), len(self.journal), self._truth())
            for name in sorted(self.machines):
                self.act(name)
            self.report_all()
            self.carry_out(self.plan())
            if before == (self.volumes, self.nodes, len(self.journal), self._truth()):
                return done
        raise AssertionError("no fixed point:\n" + "\n".join(self.journal[-12:]))

    # What tests ask

    def volume(self, name: str) -> Volume:
        return self.volumes[VolumeUid(f"{name}-uid")]

    def explain(self, name: str) -> Explanation:
        return explain(self.world(), self.volume(name))

    def line(self, name: str) -> str:
        """`v1: detached healthy; replicas n1 n2 n3`."""
        volume, why = self.volume(name), self.explain(name)
        health = f" {why.health}" if why.health else ""
        return f"{name}: {why.state}{health}; replicas {' '.join(sorted(r.node for r in volume.in_sync)) or 'none'}"

    def waits(self) -> list[str]:
        return [w.describe() for w in self.plan().waits]

    def sessions_started(self) -> int:
        return sum(" starts at " in line for line in self.journal)

    # How

    def _register(self, machine: Machine, labels: tuple[tuple[str, str], ...] | None = None) -> None:
        known = self.nodes.get(machine.name)
        event = NodeRegistered(
            name=machine.name,
            machine_id=f"m-{machine.name}",
            boot_id=f"b{machine.boot}-{machine.name}",
            disks=(Disk(uid=machine.disk, size=machine.size),),
            labels=labels if labels is not None else known.labels if known else (),
        )
        outcome = nodes.apply_node(known, event) if known else nodes.register(event)
        assert isinstance(outcome, Accepted), outcome
        assert outcome.value is not None
        self.nodes[machine.name] = outcome.value

    def _space(self, space: Claim | Release) -> Accepted[Node] | Refused:
        node = self.nodes[space.node]
        if isinstance(space, Claim):
            return nodes.commit_space(node, space.disk, space.replica, space.size)
        return nodes.release_space(node, space.disk, space.replica)

    def _take(self, before: Volume, outcome: Accepted[Volume] | Refused) -> str:
        if isinstance(outcome, Refused):
            return outcome.why
        if not outcome.changed:
            return ""
        self.journal += [f"{before.name}: {line}" for line in outcome.lines]
        found = [] if outcome.value is None else check_step(before, outcome.value)
        if outcome.value is None:
            del self.volumes[before.uid]
        else:
            self.volumes[before.uid] = outcome.value
        found = [*found, *check_world(self.world())]
        assert not found, found
        return ""

    def _truth(self) -> list[object]:
        return [
            (m.there, m.boot, dict(m.folders), dict(m.engines), dict(m.tasks), m.gone)
            for m in self.machines.values()
        ]

    def _judge(self, volume: Volume, event: AnyEvent) -> Accepted[Volume] | Refused:
        found = {name: self.nodes.get(name) for name in law.rests_on(volume, event)}
        return law.apply(volume, event, Grounds(nodes=found, grant_s=self.settings.grant_s))

    def ask(self, uid: VolumeUid, event: SessionOpened | SessionClosed | ReplicaLost | ReplicaSynced) -> bool:
        """An engine's ask; whether it was committed, now or before."""
        volume = self.volumes.get(uid)
        if volume is None:
            return False
        committed = not self._take(volume, self._judge(volume, event))
        if committed and not isinstance(event, SessionClosed):
            self._tell_members(self.volumes[uid])
        return committed

    def _tell_members(self, volume: Volume) -> None:
        """Each stores the membership number that the session's engine tells it."""
        for replica in volume.in_sync:
            machine = self.machines[replica.node]
            if machine.there and replica.id in machine.folders:
                folder = machine.folders[replica.id]
                machine.folders[replica.id] = msgspec.structs.replace(folder, m=volume.m)

    def folder(self, replica: ReplicaId, node: NodeName) -> ReplicaSighting | None:
        machine = self.machines.get(node)
        return machine.folders.get(replica) if machine and machine.there else None

    def seal(self, volume: Volume, epoch: Epoch, replicas: Iterable[ReplicaId]) -> None:
        for replica_id in replicas:
            replica = volume.replica(replica_id)
            assert replica is not None
            folders = self.machines[replica.node].folders
            folders[replica_id] = msgspec.structs.replace(
                folders[replica_id], empty=False, sealed=(epoch, replica.attempt), attempt=replica.attempt
            )


def _create(_cluster: Cluster, machine: Machine, order: CreateReplica) -> None:
    new = ReplicaSighting(replica=order.replica, volume=order.volume.uid, attempt=Attempt(0), empty=True)
    machine.folders.setdefault(order.replica, new)


def _delete(_cluster: Cluster, machine: Machine, order: DeleteReplica) -> None:
    folder = machine.folders.get(order.replica)
    if folder is not None and not folder.damaged:  # nobody knows what a damaged one is
        del machine.folders[order.replica]


def _probe(_cluster: Cluster, machine: Machine, order: ProbeReplica) -> None:
    if order.replica in machine.folders:
        folder = machine.folders[order.replica]
        machine.folders[order.replica] = msgspec.structs.replace(folder, probe=order.drop)


def _run_engine(cluster: Cluster, machine: Machine, order: RunEngine) -> None:
    session = order.volume.session
    assert session is not None
    key = (order.volume.uid, session.epoch)
    last = max((e for v, e in machine.engines if v == order.volume.uid), default=Epoch(0))
    if key in machine.engines:
        _keep_up(cluster, machine, order)
        return
    if session.epoch <= last:
        return
    members = tuple(r.id for r in order.volume.in_sync if cluster.folder(r.id, r.node))
    if not members:
        return
    cluster.seal(order.volume, session.epoch, members)
    opened = SessionOpened(
        epoch=session.epoch, members=members, broken=False, endpoint=f"nbd+unix:///{order.volume.name}"
    )
    ok = cluster.ask(order.volume.uid, opened)
    state = EngineState.SERVING if ok else EngineState.ENDED
    machine.engines[key] = EngineSighting(
        volume=order.volume.uid, epoch=session.epoch, state=state, evidence="" if ok else "own word"
    )


def _keep_up(cluster: Cluster, machine: Machine, order: RunEngine) -> None:
    """What an engine does while it serves: lose what does not answer, remove what is to leave, resync the rest.

    Of the record it knows what its order told it, which may be old; the law judges that.
    """
    session, told = order.volume.session, order.volume
    assert session is not None
    key = (told.uid, session.epoch)
    now = cluster.volumes.get(told.uid)
    if machine.engines[key].state is not EngineState.SERVING or now is None or now.session is None:
        return
    if now.session.epoch != session.epoch or now.session.phase is SessionPhase.FENCING:
        return
    there = [r for r in told.in_sync if cluster.folder(r.id, r.node)]
    if not there:
        machine.engines[key] = msgspec.structs.replace(
            machine.engines[key], state=EngineState.ENDED, evidence="own word"
        )
        cluster.ask(told.uid, SessionClosed(epoch=session.epoch, clean=False, evidence="own exit"))
        return
    going = [r for r in told.in_sync if r not in there or r.id in order.leave]
    for replica in going:
        witness = next((r.id for r in there if r.id != replica.id and r not in going), ReplicaId(""))
        cluster.ask(
            told.uid,
            ReplicaLost(epoch=session.epoch, replica=replica.id, attempt=replica.attempt, witness=witness),
        )
    resyncs = []
    for replica in told.syncing:
        given = any(p.replica == replica.id for p in order.peers)
        if not given or not cluster.folder(replica.id, replica.node):
            continue
        if cluster.resyncs_take:
            half = ResyncSighting(
                replica=replica.id, attempt=replica.attempt, done=told.size // 2, total=told.size
            )
            resyncs.append(half)
            continue
        cluster.seal(told, session.epoch, [replica.id])
        base = Base(chain=told.chain, size=told.size)
        cluster.ask(
            told.uid,
            ReplicaSynced(epoch=session.epoch, replica=replica.id, attempt=replica.attempt, base=base),
        )
    machine.engines[key] = msgspec.structs.replace(machine.engines[key], resyncs=tuple(resyncs))


def _fence(_cluster: Cluster, machine: Machine, order: FenceReplica) -> None:
    """Sealed on the first order, waited by the second."""
    folder = machine.folders.get(order.replica)
    replica = order.volume.replica(order.replica)
    if folder is None or replica is None or folder.sealed[0] > order.volume.epoch:
        return
    sealed = (order.volume.epoch, replica.attempt)
    waited = order.volume.epoch if folder.sealed == sealed else folder.fenced
    machine.folders[order.replica] = msgspec.structs.replace(
        folder, empty=False, sealed=sealed, fenced=waited
    )


def _close_engine(cluster: Cluster, machine: Machine, order: CloseEngine) -> None:
    key = (order.volume, order.epoch)
    engine = machine.engines.get(key)
    clean = engine is not None and engine.state is not EngineState.ENDED
    cluster.ask(order.volume, SessionClosed(epoch=order.epoch, clean=clean, evidence="own exit"))
    machine.engines[key] = EngineSighting(
        volume=order.volume, epoch=order.epoch, state=EngineState.ENDED, evidence="own exit"
    )


def _run_task(cluster: Cluster, machine: Machine, order: RunTask) -> None:
    task, volume = order.task, order.volume
    now = cluster.volumes.get(volume.uid)
    overtaken = now is None or now.epoch != task.epoch
    needed = (
        [task.source, task.target]
        if task.kind is TaskKind.COPY
        else [r.id for r in volume.in_sync if r.id not in order.without]
    )
    taking_part = [r for r in volume.replicas if r.id in needed]
    whole = all(cluster.folder(r.id, r.node) for r in taking_part)
    state = TaskState.READY
    if overtaken or not whole or cluster.copies_fail:
        state = TaskState.FAILED
    elif task.committed:
        state = TaskState.FINISHED
    else:
        cluster.seal(volume, task.epoch, [r.id for r in taking_part])
    if state is TaskState.FAILED:
        since = cluster.failed_at.setdefault(task.id, cluster.now_s)
    else:
        since = cluster.now_s
        cluster.failed_at.pop(task.id, None)
    machine.tasks[task.id] = TaskSighting(
        task=task.id,
        volume=volume.uid,
        epoch=task.epoch,
        state=state,
        sealed=tuple(r.id for r in taking_part),
        why="" if state is not TaskState.FAILED else "a replica does not answer",
        for_s=cluster.now_s - since,
    )


_DO: dict[type, Callable[..., None]] = {
    CreateReplica: _create,
    DeleteReplica: _delete,
    ProbeReplica: _probe,
    FenceReplica: _fence,
    RunEngine: _run_engine,
    CloseEngine: _close_engine,
    RunTask: _run_task,
}
