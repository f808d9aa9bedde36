"""What to do, from orders and what runs: no agent, no files, no processes."""

import msgspec
import pytest

from shorthorn.agent.lines import document_of
from shorthorn.agent.reconcile import (
    Action,
    BoundClose,
    EndEngine,
    ForgetEngine,
    RefuseEpoch,
    StartEngine,
    TakeBack,
    TellDisk,
    TellEngine,
    reconcile,
)
from shorthorn.agent.running import DiskRuns, EngineRuns, Running, TaskRuns
from shorthorn.agent.sighting import sighting_of
from shorthorn.core.model.ids import ClusterUid, DiskUid, Epoch, NodeName, TaskId
from shorthorn.core.model.order import CloseEngine, DeleteReplica, NodeOrders, Order, ProbeReplica, RunEngine
from shorthorn.core.model.sighting import EngineState, NodeSighting, TaskState
from shorthorn.core.model.world import Settings
from shorthorn.links import program_lines as wire
from tests.agent import records

CLUSTER = ClusterUid("c-1")
DISK = DiskUid("d-1")
CLOSE_3 = CloseEngine(volume=records.VOLUME, epoch=Epoch(3))
TARGETS = (
    wire.Target(
        replica="r-1", node="n1", address="127.0.0.1:9", attempt=1, in_sync=True, stored_m=0, local=True
    ),
    wire.Target(
        replica="r-2", node="n2", address="127.0.0.1:10", attempt=1, in_sync=True, stored_m=0, local=False
    ),
)


def orders(*given: Order) -> NodeOrders:
    return NodeOrders(cluster=CLUSTER, node=records.NODE, settings=Settings(cluster=CLUSTER), orders=given)


def engine(epoch: int, **changes: object) -> EngineRuns:
    runs = EngineRuns(volume=records.VOLUME, epoch=Epoch(epoch), linked=True, targets=TARGETS)
    return msgspec.structs.replace(runs, **changes)


def disk(**changes: object) -> DiskRuns:
    return msgspec.structs.replace(DiskRuns(uid=DISK, size=1, linked=True, held=()), **changes)


def running(*engines: EngineRuns, disks: tuple[DiskRuns, ...] = (), last: int = 0) -> Running:
    top = max([last, *(e.epoch for e in engines)])
    return Running(
        node=NodeName("n1"),
        machine_id="m",
        boot_id="b",
        disks=disks,
        engines=engines,
        last={records.VOLUME: Epoch(top)} if top else {},
    )


def held(replica: str = "r-1") -> wire.Held:
    standing = wire.Standing(sealed=(0, 1), m=0, torn=False)
    return wire.Held(
        replica=replica,
        volume="v-1",
        empty=True,
        document_version=7,
        used=0,
        open=False,
        standing=standing,
    )


def kinds(actions: list[Action]) -> list[type[Action]]:
    return [type(action) for action in actions]


# Engines.


def test_a_new_epoch_is_started() -> None:
    (start,) = reconcile(orders(records.run_engine(3)), running(last=2))
    assert isinstance(start, StartEngine)


@pytest.mark.parametrize("last", [3, 4])
def test_an_epoch_that_was_started_or_refused_is_not(last: int) -> None:
    assert reconcile(orders(records.run_engine(3)), running(last=last)) == []
    (seen,) = sighting_of(orders(records.run_engine(3)), running(last=last)).engines
    assert seen.state is EngineState.ENDED
    assert seen.evidence


def test_a_running_engine_is_not_started_again() -> None:
    assert reconcile(orders(records.run_engine(3)), running(engine(3))) == []
    assert reconcile(orders(records.run_engine(3)), running(engine(3, linked=False))) == []


def test_an_ended_engine_is_not_started_again_and_stays_reported() -> None:
    ended = running(engine(3, evidence="gone"))
    assert reconcile(orders(records.run_engine(3)), ended) == []
    (seen,) = sighting_of(orders(records.run_engine(3)), ended).engines
    assert (seen.state, seen.evidence) == (EngineState.ENDED, "gone")


def test_older_engines_of_the_volume_are_ended_first() -> None:
    old = running(engine(2))
    (end,) = reconcile(orders(records.run_engine(3)), old)
    assert end == EndEngine(volume=records.VOLUME, epoch=Epoch(2))
    ending = running(engine(2, ending=True))
    assert reconcile(orders(records.run_engine(3)), ending) == []
    seen = {e.epoch: e for e in sighting_of(orders(records.run_engine(3)), ending).engines}
    assert seen[Epoch(3)].state is EngineState.STARTING
    assert "epoch 2" in seen[Epoch(3)].waits_for
    dead = running(engine(2, evidence="gone"))
    assert kinds(reconcile(orders(records.run_engine(3)), dead)) == [StartEngine, ForgetEngine]


def test_an_engine_without_an_order_is_left_alone() -> None:
    assert reconcile(orders(), running(engine(3))) == []
    (seen,) = sighting_of(orders(), running(engine(3))).engines
    assert seen.state is EngineState.STARTING


def test_addresses_and_leaves_are_told_when_they_change() -> None:
    order = records.run_engine(3, peers=records.peers(other=""), leave=(records.R2,))
    targets, leave = reconcile(orders(order), running(engine(3)))
    assert isinstance(targets, TellEngine)
    assert isinstance(targets.message, wire.Targets)
    assert [t.address for t in targets.message.targets] == ["127.0.0.1:9", None]
    assert targets.message.document == document_of(order.volume)
    assert isinstance(leave, TellEngine)
    assert leave.message == wire.Leave(replica="r-2")
    told = engine(3, targets=targets.message.targets, told=frozenset({leave.told}))
    assert reconcile(orders(order), running(told)) == []


def test_a_leave_that_was_taken_back_is_told_again_when_it_comes_again() -> None:
    """An eviction is cancelled when the replica has left already, and comes back; then it is evicted again."""
    leave = ("leave", records.R2)
    told = running(engine(3, told=frozenset({leave})))
    stays = reconcile(orders(records.run_engine(3)), told)
    assert TakeBack(volume=records.VOLUME, epoch=Epoch(3), told=leave) in stays
    goes = reconcile(orders(records.run_engine(3, leave=(records.R2,))), told)
    assert TakeBack not in kinds(goes)


def test_a_close_is_bounded_once_and_told_on_each_link() -> None:
    assert kinds(reconcile(orders(CLOSE_3), running(engine(3)))) == [BoundClose, TellEngine]
    assert kinds(reconcile(orders(CLOSE_3), running(engine(3, closing=True)))) == [TellEngine]
    told = engine(3, closing=True, told=frozenset({("close",)}))
    assert reconcile(orders(CLOSE_3), running(told)) == []
    assert kinds(reconcile(orders(CLOSE_3), running(engine(3, linked=False)))) == [BoundClose]


def test_a_close_of_what_never_ran_refuses_its_epoch() -> None:
    (refuse,) = reconcile(orders(CLOSE_3), running(last=2))
    assert refuse == RefuseEpoch(volume=records.VOLUME, epoch=Epoch(3))
    assert sighting_of(orders(CLOSE_3), running(last=2)).engines == ()  # not ended before that is durable
    assert reconcile(orders(CLOSE_3), running(last=3)) == []
    (seen,) = sighting_of(orders(CLOSE_3), running(last=3)).engines
    assert seen.state is EngineState.ENDED


def test_an_ended_engine_is_forgotten_when_no_order_is_about_it() -> None:
    ended = running(engine(3, evidence="gone"))
    assert kinds(reconcile(orders(), ended)) == [ForgetEngine]
    assert reconcile(orders(CLOSE_3), ended) == []


def test_an_order_without_a_session_starts_nothing() -> None:
    order = RunEngine(volume=records.volume(), peers=records.peers())
    assert reconcile(orders(order), running()) == []
    assert sighting_of(orders(order), running()).engines == ()


# Replicas.


def test_a_replica_is_made_only_once_the_disk_is_known() -> None:
    order = orders(records.create())
    assert reconcile(order, running(disks=(disk(held=None),))) == []
    assert reconcile(order, running(disks=(disk(linked=False),))) == []
    (create,) = reconcile(order, running(disks=(disk(),)))
    assert isinstance(create, TellDisk)
    assert isinstance(create.message, wire.Create)
    assert (create.message.attempt, create.message.document.version) == (1, 7)
    assert reconcile(order, running(disks=(disk(told=frozenset({create.told})),))) == []
    assert reconcile(order, running(disks=(disk(held=(held(),)),))) == []


def test_an_order_for_another_disk_is_not_carried_out() -> None:
    assert reconcile(orders(records.create("d-9")), running(disks=(disk(),))) == []


def test_a_folder_is_deleted_only_on_order_and_only_if_it_is_there() -> None:
    gone = DeleteReplica(disk=DISK, replica=records.R1, volume=records.VOLUME, era=0, version=9)
    assert reconcile(orders(gone), running(disks=(disk(),))) == []
    (delete,) = reconcile(orders(gone), running(disks=(disk(held=(held(),)),)))
    assert isinstance(delete, TellDisk)
    assert delete.message == wire.Delete(id=0, replica="r-1", era=0, version=9)
    assert reconcile(orders(), running(disks=(disk(held=(held(),)),))) == []


def test_each_removal_is_probed_for_once_a_link() -> None:
    def probe(drop: str) -> ProbeReplica:
        return ProbeReplica(disk=DISK, replica=records.R1, drop=drop)

    there = disk(held=(held(),))
    (first,) = reconcile(orders(probe("a")), running(disks=(there,)))
    assert isinstance(first, TellDisk)
    told = msgspec.structs.replace(there, told=frozenset({first.told}))
    assert reconcile(orders(probe("a")), running(disks=(told,))) == []
    assert kinds(reconcile(orders(probe("b")), running(disks=(told,)))) == [TellDisk]


# Tasks.


def report(state: wire.TaskRunning | wire.TaskReady | wire.TaskFailed) -> TaskRuns:
    line = wire.TaskReport(task="t-1", done=1, total=2, state=state)
    return TaskRuns(task=TaskId("t-1"), report=line, for_s=3.0)


def test_a_task_is_begun_and_told_new_addresses() -> None:
    (copy,) = reconcile(orders(records.settle()), running(disks=(disk(),)))
    assert isinstance(copy, TellDisk)
    assert isinstance(copy.message, wire.Copy)
    assert copy.message.order.targets == TARGETS
    told = disk(told=frozenset({copy.told}), targets={"t-1": TARGETS})
    assert reconcile(orders(records.settle()), running(disks=(told,))) == []
    moved = msgspec.structs.replace(records.settle(), peers=records.peers("127.0.0.1:11"))
    assert kinds(reconcile(orders(moved), running(disks=(told,)))) == [TellDisk]


def test_a_commit_is_told_to_a_task_that_is_ready() -> None:
    begun = disk(told=frozenset({("task", "t-1")}), targets={"t-1": TARGETS})
    committed = orders(records.settle(committed=True))
    busy = msgspec.structs.replace(begun, tasks=(report(wire.TaskRunning()),))
    assert reconcile(committed, running(disks=(busy,))) == []
    ready = msgspec.structs.replace(begun, tasks=(report(wire.TaskReady(sealed=("r-1",))),))
    (tell,) = reconcile(committed, running(disks=(ready,)))
    assert isinstance(tell, TellDisk)
    assert isinstance(tell.message, wire.TaskCommitted)
    assert kinds(reconcile(committed, running(disks=(disk(),)))) == [TellDisk]  # a new program: begun again


def test_a_task_that_is_no_longer_wanted_is_cancelled() -> None:
    begun = disk(told=frozenset({("task", "t-1")}), targets={"t-1": TARGETS})
    (cancel,) = reconcile(orders(), running(disks=(begun,)))
    assert isinstance(cancel, TellDisk)
    assert cancel.message == wire.CancelTask(task="t-1")


def test_a_failed_task_is_reported_with_its_age() -> None:
    failed = disk(tasks=(report(wire.TaskFailed(why="no")),))
    (seen,) = sighting_of(orders(records.settle()), running(disks=(failed,))).tasks
    assert (seen.state, seen.why, seen.for_s, seen.epoch) == (TaskState.FAILED, "no", 3.0, 4)
    assert sighting_of(orders(), running(disks=(failed,))).tasks == ()


# Sightings.


def test_a_disk_that_was_not_listed_is_not_complete() -> None:
    def seen(runs: DiskRuns) -> NodeSighting:
        return sighting_of(None, running(disks=(runs,)))

    assert not seen(disk(held=None)).disks[0].complete
    assert seen(disk(held=())).disks[0].complete


def test_a_folder_is_gone_only_by_a_list_newer_than_every_answer() -> None:
    gone = DeleteReplica(disk=DISK, replica=records.R1, volume=records.VOLUME, era=0, version=9)

    def seen(order: Order | None, **changes: object) -> tuple[str, ...]:
        given = orders(order) if order else None
        return sighting_of(given, running(disks=(disk(**changes),))).disks[0].gone

    assert seen(gone) == ("r-1",)
    assert seen(None) == ()
    assert seen(records.create()) == ()
    assert seen(gone, held=None) == ()
    assert seen(gone, held=(held(),)) == ()
    assert seen(gone, awaited=frozenset({("list",)})) == ()
    assert seen(gone, awaited=frozenset({("create", "r-1")})) == ()
    assert seen(gone, awaited=frozenset({("create", "r-2")})) == ("r-1",)
    # Its program has let go of it and tells so, but has not deleted it yet: a loss of power now brings it back.
    assert seen(gone, awaited=frozenset({("delete", "r-1", "0", "9")})) == ()
    assert seen(gone, awaited=frozenset({("delete", "r-2", "0", "9")})) == ("r-1",)


def test_only_damage_that_was_reported_is_damage() -> None:
    broken = wire.Held(
        replica="r-1", volume="", empty=False, document_version=0, used=0, open=False, damaged="bad header"
    )
    mute = msgspec.structs.replace(broken, damaged=None, empty=True)
    damaged, unknown = (
        sighting_of(None, running(disks=(disk(held=(folder,)),))).disks[0].replicas[0]
        for folder in (broken, mute)
    )
    assert damaged.damaged == "bad header"
    assert unknown.damaged == ""
    assert not unknown.empty  # an empty folder says its attempt
