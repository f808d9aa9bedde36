"""What the agent tells the server: everything that it has seen, from what runs and what is ordered. Pure."""

from shorthorn.agent.reconcile import engine_of
from shorthorn.agent.running import LIST, DiskRuns, EngineRuns, Running, TaskRuns
from shorthorn.core.model.ids import Attempt, Epoch, Membership, ReplicaId, VolumeUid
from shorthorn.core.model.order import CloseEngine, DeleteReplica, NodeOrders, RunEngine, RunTask
from shorthorn.core.model.sighting import (
    DiskSighting,
    EngineSighting,
    EngineState,
    NodeSighting,
    ReplicaRole,
    ReplicaSighting,
    ResyncSighting,
    TaskSighting,
    TaskState,
)
from shorthorn.links.program_lines import Held, Status, TaskFailed, TaskFinished, TaskReady


def sighting_of(orders: NodeOrders | None, running: Running) -> NodeSighting:
    """The whole sighting; its sequence is given when it is sent."""
    return NodeSighting(
        node=running.node,
        machine_id=running.machine_id,
        boot_id=running.boot_id,
        disks=tuple(_disk(orders, disk) for disk in running.disks),
        engines=_engines(orders, running),
        tasks=_tasks(orders, running),
    )


def _disk(orders: NodeOrders | None, disk: DiskRuns) -> DiskSighting:
    return DiskSighting(
        uid=disk.uid,
        size=disk.size,
        free=disk.free,
        address=disk.address,
        complete=disk.held is not None,
        replicas=tuple(_replica(held, disk) for held in disk.held or ()),
        gone=_gone(orders, disk),
        trouble=disk.trouble,
    )


def _gone(orders: NodeOrders | None, disk: DiskRuns) -> tuple[ReplicaId, ...]:
    """Replicas of the delete orders that are not there and can't come any more.

    The list is newer than every answer, and no order to make or delete one is unanswered: a program lets go of a
    replica before its folder is deleted.
    """
    if orders is None or disk.held is None or LIST in disk.awaited:
        return ()
    there = {held.replica for held in disk.held}
    there |= {told[1] for told in disk.awaited if told[0] in {"create", "delete"}}
    return tuple(
        sorted(
            order.replica
            for order in orders.orders
            if isinstance(order, DeleteReplica) and order.disk == disk.uid and order.replica not in there
        )
    )


def _replica(held: Held, disk: DiskRuns) -> ReplicaSighting:
    standing = held.standing
    epoch, attempt = standing.sealed if standing else (0, 0)
    return ReplicaSighting(
        replica=ReplicaId(held.replica),
        volume=VolumeUid(held.volume),
        attempt=Attempt(attempt),
        empty=held.empty and standing is not None,
        open=held.open,
        sealed=(Epoch(epoch), Attempt(attempt)),
        m=Membership(standing.m if standing else 0),
        torn=bool(standing and standing.torn),
        failed=(standing.failed or "") if standing else "",
        damaged=held.damaged or "",
        document_version=held.document_version,
        used=held.used,
        probe=disk.probes.get(held.replica, ""),
        fenced=Epoch(disk.fences.get(held.replica, 0)),
        role=ReplicaRole(standing.role.value) if standing and standing.role else ReplicaRole.UNKNOWN,
    )


def _engines(orders: NodeOrders | None, running: Running) -> tuple[EngineSighting, ...]:
    seen = {(engine.volume, engine.epoch): _engine(engine) for engine in running.engines}
    for order in orders.orders if orders else ():
        key = engine_of(order)
        if key is not None and key not in seen and isinstance(order, RunEngine | CloseEngine):
            unstarted = _not_there(order, key, running)
            if unstarted is not None:
                seen[key] = unstarted
    return tuple(seen[key] for key in sorted(seen))


def _engine(engine: EngineRuns) -> EngineSighting:
    state, waits_for, clients = EngineState.STARTING, "", 0
    if engine.evidence:
        state = EngineState.ENDED
    elif engine.status is not None:
        state = EngineState(engine.status.phase.value)
        waits_for, clients = engine.status.waits_for or "", engine.status.clients
    return EngineSighting(
        volume=engine.volume,
        epoch=engine.epoch,
        state=state,
        waits_for="" if engine.evidence else engine.trouble or waits_for,
        evidence=engine.evidence,
        clients=0 if engine.evidence else clients,
        resyncs=() if engine.evidence or engine.status is None else _resyncs(engine.status),
    )


def _resyncs(status: Status) -> tuple[ResyncSighting, ...]:
    return tuple(
        ResyncSighting(
            replica=ReplicaId(resync.replica),
            attempt=Attempt(resync.attempt),
            done=resync.done,
            total=resync.total,
            waits_for=resync.waits_for or "",
        )
        for resync in sorted(status.resyncs, key=lambda resync: resync.replica)
    )


def _not_there(
    order: RunEngine | CloseEngine, key: tuple[VolumeUid, Epoch], running: Running
) -> EngineSighting | None:
    """An ordered engine of which nothing is left here, or that has not been started.

    Up to the greatest epoch started or refused here nothing of it runs and nothing ever will: that is an end.
    """
    volume, epoch = key
    last = running.last.get(volume, Epoch(0))
    if epoch <= last:
        evidence = f"no engine of it runs here; epochs up to {last} are never started"
        return EngineSighting(volume=volume, epoch=epoch, state=EngineState.ENDED, evidence=evidence)
    if isinstance(order, CloseEngine):
        return None
    older = [str(e.epoch) for e in running.engines if e.volume == volume and not e.evidence]
    waits_for = running.held_back.get(key, "")
    if older:
        waits_for = f"the end of the engine of epoch {', '.join(older)}"
    return EngineSighting(volume=volume, epoch=epoch, state=EngineState.STARTING, waits_for=waits_for)


def _tasks(orders: NodeOrders | None, running: Running) -> tuple[TaskSighting, ...]:
    disks = {disk.uid: disk for disk in running.disks}
    seen = []
    for order in orders.orders if orders else ():
        if isinstance(order, RunTask) and order.disk in disks:
            runs = next((t for t in disks[order.disk].tasks if t.task == order.task.id), None)
            seen.append(_task(order, runs))
    return tuple(sorted(seen, key=lambda task: task.task))


def _task(order: RunTask, runs: TaskRuns | None) -> TaskSighting:
    task, volume = order.task, order.volume.uid
    if runs is None:
        return TaskSighting(task=task.id, volume=volume, epoch=task.epoch, state=TaskState.RUNNING)
    state, why = TaskState.RUNNING, ""
    sealed: tuple[ReplicaId, ...] = ()
    if isinstance(runs.report.state, TaskReady):
        state, sealed = TaskState.READY, tuple(ReplicaId(r) for r in runs.report.state.sealed)
    elif isinstance(runs.report.state, TaskFinished):
        state = TaskState.FINISHED
    elif isinstance(runs.report.state, TaskFailed):
        state, why = TaskState.FAILED, runs.report.state.why
    return TaskSighting(
        task=task.id,
        volume=volume,
        epoch=task.epoch,
        state=state,
        done=runs.report.done,
        total=runs.report.total,
        sealed=sealed,
        why=why,
        for_s=runs.for_s,
    )
