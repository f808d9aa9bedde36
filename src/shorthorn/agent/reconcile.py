"""What to do so that reality matches the orders. Pure: orders and what runs in, actions out.

Level, not edge: computed anew at each change, from what is true now; what was told on a link is part of that. Nothing
is ended or deleted because an order is absent. The rules of engines (docs/protocol.md, B2, B15, A16): once per epoch;
never an epoch up to one that was started or refused here; only after every older engine of the volume has ended; only
in the boot for which its session was recorded.
"""

from collections.abc import Iterator
from typing import dataclass_transform

import msgspec

from shorthorn.agent.lines import (
    copy_order,
    create_of,
    delete_of,
    document_of,
    fence_of,
    probe_of,
    targets_of,
)
from shorthorn.agent.running import DiskRuns, EngineRuns, Running, Told
from shorthorn.core.model.ids import ClusterUid, DiskUid, Epoch, NodeName, ReplicaId, TaskId, VolumeUid
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
from shorthorn.links import program_lines as wire

Folder = CreateReplica | DeleteReplica | ProbeReplica | FenceReplica
"""Orders about one replica's folder."""


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Action(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to do now."""


class StartEngine(Action):
    """Start the engine of this order: its epoch is new here and no older engine of its volume lives."""

    order: RunEngine


class EndEngine(Action):
    """End an engine by signals: a newer epoch of its volume waits for its end."""

    volume: VolumeUid
    epoch: Epoch


class BoundClose(Action):
    """End an engine by signals if its close takes too long (B13)."""

    volume: VolumeUid
    epoch: Epoch


class RefuseEpoch(Action):
    """Never start an engine of this epoch: it is closed before it came to run."""

    volume: VolumeUid
    epoch: Epoch


class ForgetEngine(Action):
    """Remove the folder of an engine that has ended and that no order is about any more."""

    volume: VolumeUid
    epoch: Epoch


class TellEngine(Action):
    """Send a line to a linked engine."""

    volume: VolumeUid
    epoch: Epoch
    told: Told
    message: wire.Close | wire.Leave | wire.Targets


class TakeBack(Action):
    """An order to an engine stands no more; should it come again, it is told again."""

    volume: VolumeUid
    epoch: Epoch
    told: Told


class TellDisk(Action):
    """Send a line to the linked replica program of a disk; one that has an id is given a fresh one."""

    disk: DiskUid
    told: Told
    message: (
        wire.Create | wire.Delete | wire.Probe | wire.Fence | wire.Copy | wire.CancelTask | wire.TaskCommitted
    )


def reconcile(orders: NodeOrders, running: Running) -> list[Action]:
    """Everything to do now, in order. Nothing when reality matches already or answers are awaited."""
    actions: list[Action] = []
    for order in orders.orders:
        if isinstance(order, RunEngine):
            actions += _run_engine(order, running)
        elif isinstance(order, CloseEngine):
            actions += _close_engine(order, running)
    mentioned = {key for order in orders.orders if (key := engine_of(order)) is not None}
    actions += [
        ForgetEngine(volume=engine.volume, epoch=engine.epoch)
        for engine in running.engines
        if engine.evidence and (engine.volume, engine.epoch) not in mentioned
    ]
    for disk in running.disks:
        if disk.linked:
            actions += _disk(orders, disk)
    return actions


def engine_of(order: msgspec.Struct) -> tuple[VolumeUid, Epoch] | None:
    """The engine that an order is about."""
    if isinstance(order, CloseEngine):
        return order.volume, order.epoch
    if isinstance(order, RunEngine) and order.volume.session is not None:
        return order.volume.uid, order.volume.session.epoch
    return None


def create_told(replica: ReplicaId) -> Told:
    """Names the order to make a replica's folder."""
    return ("create", replica)


def _run_engine(order: RunEngine, running: Running) -> Iterator[Action]:
    key = engine_of(order)
    if key is None:
        return
    volume, epoch = key
    engine = next((e for e in running.engines if (e.volume, e.epoch) == key), None)
    if engine is not None:
        if engine.linked and not engine.evidence:
            yield from _tell_engine(order, engine, running.node)
        return
    if epoch <= running.last.get(volume, Epoch(0)):
        return
    older = [e for e in running.engines if e.volume == volume and not e.evidence]
    yield from (EndEngine(volume=volume, epoch=e.epoch) for e in older if not e.ending)
    if not older and key not in running.held_back and _of_this_boot(order, running):
        yield StartEngine(order=order)


def _of_this_boot(order: RunEngine, running: Running) -> bool:
    """A session of another boot is over: the record ends it on that ground, and nothing of it may live then (S7)."""
    session = order.volume.session
    return session is not None and (session.machine_id, session.boot_id) == (
        running.machine_id,
        running.boot_id,
    )


def _tell_engine(order: RunEngine, engine: EngineRuns, node: NodeName) -> Iterator[Action]:
    targets = targets_of(node, order.volume, order.peers)
    if targets != engine.targets:
        message = wire.Targets(targets=targets, document=document_of(order.volume))
        yield TellEngine(volume=engine.volume, epoch=engine.epoch, told=("targets",), message=message)
    for told in sorted(told for told in engine.told if told[0] == "leave" and told[1] not in order.leave):
        yield TakeBack(volume=engine.volume, epoch=engine.epoch, told=told)
    for replica in order.leave:
        told = ("leave", replica)
        if told not in engine.told:
            leave = wire.Leave(replica=replica)
            yield TellEngine(volume=engine.volume, epoch=engine.epoch, told=told, message=leave)


def _close_engine(order: CloseEngine, running: Running) -> Iterator[Action]:
    volume, epoch = order.volume, order.epoch
    engine = next((e for e in running.engines if (e.volume, e.epoch) == (volume, epoch)), None)
    if engine is None:
        if epoch > running.last.get(volume, Epoch(0)):
            yield RefuseEpoch(volume=volume, epoch=epoch)
        return
    if engine.evidence:
        return
    if not engine.closing:
        yield BoundClose(volume=volume, epoch=epoch)
    if engine.linked and ("close",) not in engine.told:
        yield TellEngine(volume=volume, epoch=epoch, told=("close",), message=wire.Close())


def _disk(orders: NodeOrders, disk: DiskRuns) -> Iterator[Action]:
    tasks: set[TaskId] = set()
    for order in orders.orders:
        if isinstance(order, RunTask) and order.disk == disk.uid:
            tasks.add(order.task.id)
            yield from _task(orders, disk, order)
        elif isinstance(order, Folder) and order.disk == disk.uid:
            yield from _folder(orders, disk, order)
    for told in sorted(told for told in disk.told if told[0] == "task"):
        if TaskId(told[1]) not in tasks:
            yield TellDisk(disk=disk.uid, told=("cancel", told[1]), message=wire.CancelTask(task=told[1]))


def _folder(orders: NodeOrders, disk: DiskRuns, order: Folder) -> Iterator[Action]:
    """Only once the program has listed its folders: what is there needs no making, what is not no deleting."""
    if disk.held is None:
        return
    there = any(held.replica == order.replica for held in disk.held)
    if isinstance(order, CreateReplica):
        yield from _create(orders.cluster, disk, order, there=there)
    elif isinstance(order, DeleteReplica):
        told: Told = ("delete", order.replica, str(order.era), str(order.version))
        if there and told not in disk.told:
            yield TellDisk(disk=disk.uid, told=told, message=delete_of(order))
    elif isinstance(order, FenceReplica):
        replica = order.volume.replica(order.replica)
        told = ("fence", order.replica, str(order.volume.epoch))
        if there and replica is not None and told not in disk.told:
            fence = fence_of(order, replica, orders.settings.grant_s)
            yield TellDisk(disk=disk.uid, told=told, message=fence)
    else:
        told = ("probe", order.replica, order.drop)
        if there and told not in disk.told:
            yield TellDisk(disk=disk.uid, told=told, message=probe_of(order))


def _create(cluster: ClusterUid, disk: DiskRuns, order: CreateReplica, *, there: bool) -> Iterator[Action]:
    replica = order.volume.replica(ReplicaId(order.replica))
    told = create_told(order.replica)
    if replica is not None and not there and told not in disk.told:
        yield TellDisk(disk=disk.uid, told=told, message=create_of(cluster, order, replica))


def _task(orders: NodeOrders, disk: DiskRuns, order: RunTask) -> Iterator[Action]:
    task = order.task.id
    if not order.task.committed or ("task", task) not in disk.told:
        copy = copy_order(orders.cluster, orders.node, order)
        if copy.targets != disk.targets.get(task):
            yield TellDisk(disk=disk.uid, told=("task", task), message=wire.Copy(order=copy))
        return
    runs = next((t for t in disk.tasks if t.task == task), None)
    ready = runs is not None and isinstance(runs.report.state, wire.TaskReady)
    if ready and ("committed", task) not in disk.told:
        committed = wire.TaskCommitted(task=task, document=document_of(order.volume))
        yield TellDisk(disk=disk.uid, told=("committed", task), message=committed)
