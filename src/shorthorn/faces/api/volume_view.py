"""A volume with its derived states and what is seen of it, as the API shows it."""

from collections.abc import Callable
from urllib.parse import quote

from shorthorn.core.lifecycle.resyncs import resync_seen
from shorthorn.core.lifecycle.state import explain, wanted, why_absent
from shorthorn.core.model.ids import NodeName, VolumeUid
from shorthorn.core.model.sighting import (
    NodeSighting,
    Reach,
    ReplicaSighting,
    ResyncSighting,
    TaskSighting,
)
from shorthorn.core.model.volume import Replica, Task, Volume
from shorthorn.core.model.world import World
from shorthorn.faces.api.views import AttachmentView, ReplicaView, ResyncView, TaskView, VolumeView

LeftS = Callable[[NodeName, VolumeUid, ResyncSighting], float | None]
"""How many seconds a resync will still take; None while nobody can tell."""


def volume_view(world: World, volume: Volume, left_s: LeftS) -> VolumeView:
    """The view of one volume."""
    session = volume.session
    why = explain(world, volume)
    return VolumeView(
        name=volume.name,
        uid=volume.uid,
        size=volume.size,
        state=why.state.value,
        health=None if why.health is None else why.health.value,
        reasons=why.reasons,
        replicas_wanted=wanted(world, volume),
        replicas=tuple(_replica(world, replica) for replica in volume.replicas),
        attachments=tuple(
            AttachmentView(holder=a.holder, node=a.node, mode=a.mode.value) for a in volume.attachments
        ),
        node=session.node if session else volume.held_at,
        endpoint=_nbd_uri(volume, session.endpoint) if session and session.endpoint else None,
        epoch=volume.epoch,
        m=volume.m,
        settled=volume.settled,
        broken=session.broken if session else False,
        reads=volume.spec.reads.value,
        resyncs=_resyncs(world, volume, left_s),
        tasks=tuple(_task(world, task) for task in volume.tasks),
        version=volume.version,
    )


def _nbd_uri(volume: Volume, socket: str) -> str:
    """As libnbd, QEMU and fio take it.

    Source: https://github.com/NetworkBlockDevice/nbd/blob/master/doc/uri.md
    """
    return f"nbd+unix:///{volume.name}?socket={quote(socket)}"


def _replica(world: World, replica: Replica) -> ReplicaView:
    seen = world.seen.get(replica.node)
    found = None if seen is None or seen.sighting is None else _find(seen.sighting, replica)
    return ReplicaView(
        id=replica.id,
        node=replica.node,
        disk=replica.disk,
        phase=replica.phase.value,
        attempt=replica.attempt,
        leaving=replica.leaving,
        seen=_seen(Reach.UNKNOWN if seen is None else seen.reach, found),
        used=0 if found is None else found.used,
    )


def _resyncs(world: World, volume: Volume, left_s: LeftS) -> tuple[ResyncView, ...]:
    """One for each syncing replica of a volume with a session; only its engine knows how far it is."""
    session = volume.session
    if session is None:
        return ()
    views = []
    for replica in volume.syncing:
        seen = resync_seen(world, volume, replica)
        left = None if seen is None else left_s(session.node, volume.uid, seen)
        why = why_absent(world, replica) or "its engine to begin"
        views.append(
            ResyncView(
                replica=replica.id,
                node=replica.node,
                attempt=replica.attempt,
                done=0 if seen is None else seen.done,
                total=0 if seen is None else seen.total,
                left_s=None if left is None else round(left, 1),
                waits_for=why if seen is None else seen.waits_for,
            )
        )
    return tuple(views)


def _find(sighting: NodeSighting, replica: Replica) -> ReplicaSighting | None:
    disks = (disk for disk in sighting.disks if disk.uid == replica.disk)
    return next((r for disk in disks for r in disk.replicas if r.replica == replica.id), None)


def _seen(reach: Reach, found: ReplicaSighting | None) -> str:
    if reach is not Reach.REACHABLE:
        return reach.value
    if found is None:
        return "not seen"
    if found.damaged:
        return f"damaged: {found.damaged}"
    if found.failed:
        return f"failed: {found.failed}"
    return "torn" if found.torn else "open" if found.open else "ok"


def _task(world: World, task: Task) -> TaskView:
    seen = world.seen.get(task.place)
    sightings: tuple[TaskSighting, ...] = () if seen is None or seen.sighting is None else seen.sighting.tasks
    found = next((t for t in sightings if t.task == task.id), None)
    return TaskView(
        id=task.id,
        kind=task.kind.value,
        place=task.place,
        state="ordered" if found is None else found.state.value,
        done=0 if found is None else found.done,
        total=0 if found is None else found.total,
    )
