"""`shorthorn check`: each way in which what runs may differ from what is recorded is told, and nothing else is."""

from collections.abc import Callable

import msgspec
import pytest

from shorthorn.core.invariants.audit import compare
from shorthorn.core.model.ids import (
    Attempt,
    DiskUid,
    Epoch,
    Membership,
    NodeName,
    ReplicaId,
    TaskId,
    VolumeUid,
)
from shorthorn.core.model.sighting import (
    EngineSighting,
    EngineState,
    Reach,
    ReplicaRole,
    ReplicaSighting,
    TaskSighting,
    TaskState,
)
from shorthorn.core.model.volume import Replica, Volume
from shorthorn.core.model.world import World
from tests.core.cluster import Cluster

replace = msgspec.structs.replace


class Case:
    """A cluster at rest with an attached volume `a` at n1 and a detached, settled one `d`, whose folders say what is so."""

    def __init__(self) -> None:
        self.cluster = Cluster(3)
        for name in ("a", "d"):
            self.cluster.create(name)
        self.cluster.rest()
        for name in ("a", "d"):
            self.cluster.attach(name, "n1")
            self.cluster.rest()
        self.cluster.detach("d")
        self.cluster.rest()
        for name in ("a", "d"):
            volume = self.cluster.volume(name)
            for replica in volume.replicas:
                self.folder(
                    replica,
                    open=name == "a",
                    role=ReplicaRole.MEMBER,
                    m=volume.m,
                    document_version=volume.version,
                )

    @property
    def a(self) -> Volume:
        return self.cluster.volume("a")

    @property
    def d(self) -> Volume:
        return self.cluster.volume("d")

    def folder(self, replica: Replica, **fields: object) -> None:
        folders = self.cluster.machines[replica.node].folders
        folders[replica.id] = replace(folders[replica.id], **fields)

    def engine(self, **fields: object) -> None:
        engines = self.cluster.machines[NodeName("n1")].engines
        key = (self.a.uid, self.a.epoch)
        engines[key] = replace(engines[key], **fields)

    def record(self, volume: Volume, **fields: object) -> None:
        self.cluster.volumes[volume.uid] = replace(volume, **fields)

    def replica(self, volume: Volume, index: int = 0, **fields: object) -> None:
        changed = replace(volume.replicas[index], **fields)
        others = [r for r in volume.replicas if r.id != changed.id]
        self.record(volume, replicas=tuple(sorted([changed, *others], key=lambda r: r.id)))

    def seen(self) -> World:
        self.cluster.report_all()
        return self.cluster.world()

    def differences(self) -> list[str]:
        return list(compare(self.seen()).differences)


def test_at_rest_nothing_differs_and_nothing_is_unknown() -> None:
    audit = compare(Case().seen())
    assert (audit.differences, audit.unknown) == ((), ())


def _syncing(case: Case, role: ReplicaRole) -> None:
    """A replica of `d` that the record calls syncing, in its second attempt."""
    case.folder(case.d.replicas[0], role=role, sealed=(case.d.epoch, Attempt(2)))
    old = case.d.replicas[0]
    case.replica(case.d, phase="syncing", attempt=Attempt(2), synced_through=Membership(0))
    assert case.d.replicas[0].id == old.id


def _stray_engine(case: Case, volume: str, node: str, epoch: int) -> None:
    engine = EngineSighting(volume=VolumeUid(volume), epoch=Epoch(epoch), state=EngineState.SERVING)
    case.cluster.machines[NodeName(node)].engines[engine.volume, engine.epoch] = engine


def _stray_folder(case: Case, replica: str, volume: str) -> None:
    folder = ReplicaSighting(
        replica=ReplicaId(replica), volume=VolumeUid(volume), attempt=Attempt(1), empty=True
    )
    case.cluster.machines[NodeName("n2")].folders[folder.replica] = folder


def _stray_task(case: Case) -> None:
    task = TaskSighting(task=TaskId("t9"), volume=case.d.uid, epoch=Epoch(1), state=TaskState.RUNNING)
    case.cluster.machines[NodeName("n3")].tasks[task.task] = task


def _promise(case: Case, size: int) -> None:
    node = case.cluster.nodes[NodeName("n1")]
    promises = tuple(replace(c, size=size) for c in node.disks[0].commitments)
    case.cluster.nodes[node.name] = replace(node, disks=(replace(node.disks[0], commitments=promises),))


def _moved(case: Case) -> None:
    """A folder of `d` lies on n2 under the id of the one on n1."""
    one = next(r for r in case.d.replicas if r.node == "n1")
    case.cluster.machines[NodeName("n2")].folders[one.id] = case.cluster.machines[one.node].folders[one.id]


def _gone(case: Case) -> None:
    del case.cluster.machines[case.d.replicas[0].node].folders[case.d.replicas[0].id]


def _session(case: Case, **fields: object) -> None:
    assert case.a.session is not None
    case.record(case.a, session=replace(case.a.session, **fields))


def _broken_with_clients(case: Case) -> None:
    _session(case, broken=True)
    case.engine(state=EngineState.BROKEN, clients=1)


def _forgot(case: Case) -> None:
    case.replica(case.d, stored_m=Membership(1))
    case.folder(case.d.replicas[0], m=Membership(0))


DIFFERENCES: dict[str, tuple[Callable[[Case], object], str]] = {
    "an open session without its engine": (
        lambda c: c.cluster.machines[NodeName("n1")].engines.clear(),
        "a: session 1 is open on n1 by the record; seen: no engine",
    ),
    "an open session whose engine ended": (
        lambda c: c.engine(state=EngineState.ENDED),
        "seen: ended",
    ),
    "an engine that serves where the record says broken": (
        lambda c: _session(c, broken=True),
        "its engine should be broken; seen: serving",
    ),
    "clients of a broken session": (
        _broken_with_clients,
        "seen: 1 clients (A2)",
    ),
    "an open session without an endpoint": (lambda c: _session(c, endpoint=""), "open without an endpoint"),
    "held, but no session": (
        lambda c: c.record(c.a, session=None),
        "a: it is held at n1 and could be served, but no session is recorded",
    ),
    "an engine of an old epoch": (
        lambda c: _stray_engine(c, "a-uid", "n2", 0),
        "node n2: engine of a in epoch 0 runs, but session 1 at n1 is recorded (S2)",
    ),
    "an engine without a session": (
        lambda c: _stray_engine(c, "d-uid", "n1", 1),
        "node n1: engine of d in epoch 1 runs, but no session is recorded (S7)",
    ),
    "an engine of no volume": (
        lambda c: _stray_engine(c, "x-uid", "n1", 1),
        "engine of x-uid in epoch 1 runs, but no such volume is recorded",
    ),
    "a task that is not recorded": (
        _stray_task,
        "node n3: task t9 of d in epoch 1 runs, but is not recorded",
    ),
    "sealed in an epoch of the future": (
        lambda c: c.folder(c.d.replicas[0], sealed=(Epoch(9), Attempt(1))),
        "was sealed in epoch 9, the record is at 1 (A15)",
    ),
    "sealed in an attempt of the future": (
        lambda c: c.folder(c.d.replicas[0], sealed=(c.d.epoch, Attempt(7))),
        "was sealed in attempt 7, the record is at 1 (A15)",
    ),
    "told a membership of the future": (
        lambda c: c.folder(c.d.replicas[0], m=Membership(9)),
        "was told membership number 9, the record is at 2 (A15)",
    ),
    "stores a document of the future": (
        lambda c: c.folder(c.d.replicas[0], document_version=99),
        "stores document 99, the record is at",
    ),
    "in-sync, last sealed too long ago": (
        lambda c: c.folder(c.d.replicas[0], sealed=(Epoch(0), Attempt(1))),
        "it was last sealed in epoch 0, in-sync means 1: its disk went back in time (A17)",
    ),
    "in-sync under another attempt": (
        lambda c: c.replica(c.d, attempt=Attempt(2)),
        "its attempt is 1, in-sync by the record is 2 (A17)",
    ),
    "in-sync, but it forgot its membership": (
        _forgot,
        "its membership number is 0, it had stored 1 (A17)",
    ),
    "in-sync, but it says that it is syncing": (
        lambda c: c.folder(c.d.replicas[0], role=ReplicaRole.SYNCING),
        "it says that it is syncing, it had stored to be in-sync in 2 (A17)",
    ),
    "torn although settled": (
        lambda c: c.folder(c.d.replicas[0], torn=True),
        "it lost power while open, and still says so after it was made equal (A1)",
    ),
    "torn in an open session": (
        lambda c: c.folder(c.a.replicas[0], torn=True),
        "on n1: it lost power while open, and still says so after it was made equal (A1)",
    ),
    "in-sync in a session, and no engine has it open": (
        lambda c: c.folder(c.a.replicas[0], open=False),
        "it is in-sync in session 1, but no engine has it open",
    ),
    "open without a session": (
        lambda c: c.folder(c.d.replicas[0], open=True),
        "an engine or copier of epoch 1 has it open, no session or task is recorded (S7)",
    ),
    "failed": (lambda c: c.folder(c.d.replicas[0], failed="a sync failed"), "a sync failed"),
    "damaged": (lambda c: c.folder(c.d.replicas[0], damaged="no header"), "no header"),
    "told to be in-sync where the record says syncing": (
        lambda c: _syncing(c, ReplicaRole.MEMBER),
        "it was told to be in-sync in attempt 2, by the record it is syncing (S6)",
    ),
    "of another volume": (
        lambda c: c.folder(c.d.replicas[0], volume=c.a.uid),
        "its folder belongs to volume a-uid (S8)",
    ),
    "a folder that is gone": (_gone, "no such folder on disk n1-d1, and it had data (S5)"),
    "a folder in no record": (
        lambda c: _stray_folder(c, "r99", "d-uid"),
        "node n2: folder of replica r99 on disk n2-d1 is in no record and has no tombstone (L6)",
    ),
    "a folder of no volume": (
        lambda c: _stray_folder(c, "r99", "x-uid"),
        "folder of replica r99 on disk n2-d1 is of volume x-uid, which is not recorded (L6)",
    ),
    "a folder in another place": (_moved, "is recorded on n1, disk n1-d1 (S8)"),
    "a disk in no record": (
        lambda c: setattr(c.cluster.machines[NodeName("n3")], "disk", DiskUid("other")),
        "node n3: disk other is in no record",
    ),
    "a disk that its agent lacks": (
        lambda c: setattr(c.cluster.machines[NodeName("n3")], "disk", DiskUid("other")),
        "node n3: disk n3-d1 is recorded, but its agent has none",
    ),
    "a disk of another size": (
        lambda c: setattr(c.cluster.machines[NodeName("n3")], "size", 5),
        "node n3: disk n3-d1 has 5 bytes, by the record",
    ),
    "another machine's word": (
        lambda c: setattr(c.cluster.machines[NodeName("n3")], "boot", 7),
        "node n3: machine m-n3, boot b7-n3 speaks for it; recorded are m-n3, b1-n3 (S8)",
    ),
    "less space promised than needed": (lambda c: _promise(c, 4096), "on n1 is promised 4096 bytes of"),
}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_each_difference_is_told_in_one_line(name: str) -> None:
    change, line = DIFFERENCES[name]
    case = Case()
    change(case)
    told = case.differences()
    assert any(line in one for one in told), told
    assert all("\n" not in one for one in told)


def test_two_programs_at_one_address() -> None:
    world = Case().seen()
    sightings = [
        replace(s.sighting, disks=(replace(s.sighting.disks[0], address="10.0.0.1:1"),))
        for s in world.seen.values()
        if s.sighting
    ]
    same = {s.node: replace(world.seen[s.node], sighting=s) for s in sightings}
    assert compare(replace(world, seen=same)).differences == (
        "3 replica programs say that they listen at 10.0.0.1:1",
    )


def test_a_program_that_runs_without_an_address() -> None:
    world = Case().seen()
    one = world.seen[NodeName("n1")].sighting
    assert one is not None
    silent = replace(one, disks=(replace(one.disks[0], address=""),))
    seen = {**world.seen, one.node: replace(world.seen[one.node], sighting=silent)}
    assert compare(replace(world, seen=seen)).differences == (
        "node n1: the replica program of disk n1-d1 runs, but says no address",
    )


def test_a_syncing_replica_may_say_so_and_lag() -> None:
    case = Case()
    _syncing(case, ReplicaRole.SYNCING)
    assert case.differences() == []


def test_an_unsettled_volume_may_be_torn() -> None:
    case = Case()
    case.record(case.d, settled=False)
    case.folder(case.d.replicas[0], torn=True)
    assert case.differences() == []


def test_what_planning_waits_for_is_no_difference() -> None:
    case = Case()
    case.cluster.machines[NodeName("n1")].engines.clear()
    for replica in case.a.replicas:
        case.folder(replica, open=False)
    case.record(case.a, session=None)
    assert compare(case.seen(), waiting=(case.a.uid,)).differences == ()


def test_a_node_that_is_not_heard_hides_everything() -> None:
    case = Case()
    case.folder(next(r for r in case.d.replicas if r.node == "n2"), damaged="no header")
    case.seen()
    case.cluster.cut("n2")
    world = case.cluster.world()
    assert world.reach(NodeName("n2")) is Reach.UNREACHABLE
    audit = compare(world)
    assert audit.differences == ()
    assert [line for line in audit.unknown if line.startswith("node")] == ["node n2 is not reachable"]
    assert sum("on n2, which is not reachable" in line for line in audit.unknown) == 2


def test_a_damaged_folder_does_not_say_whose_it_is() -> None:
    """It is told once, as the damage that it is; not as of another volume, nor as a stray."""
    case = Case()
    replica = case.d.replicas[0]
    case.folder(replica, damaged="no header", volume=VolumeUid(""))
    differences = compare(case.seen()).differences
    assert differences == (f"d: replica {replica.id} on {replica.node}: no header",)
