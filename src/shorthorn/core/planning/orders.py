"""What each node must run or do now: computed from the records and the addresses seen, never stored.

Level, not edge: an order stands as long as the record wants it, and an agent that has done it already does nothing.
"""

from collections.abc import Iterable, Iterator

from shorthorn.core.model.ids import DiskUid, NodeName
from shorthorn.core.model.order import (
    CloseEngine,
    CreateReplica,
    DeleteReplica,
    FenceReplica,
    NodeOrders,
    Order,
    Peer,
    ProbeReplica,
    RunEngine,
    RunTask,
)
from shorthorn.core.model.sighting import EngineState
from shorthorn.core.model.volume import Replica, ReplicaPhase, SessionPhase, Task, Tombstone, Volume
from shorthorn.core.model.world import World
from shorthorn.core.planning.looking import drop_id, next_to_drop, why_must_go


def orders(world: World, node: NodeName) -> NodeOrders:
    """All orders of one node, by volume uid; at the end those about engines of sessions that are over."""
    of_volumes = (order for v in world.volumes.values() for order in _of_volume(world, v, node))
    return NodeOrders(
        cluster=world.settings.cluster,
        node=node,
        settings=world.settings,
        orders=(*of_volumes, *_old_engines(world, node)),
    )


def _of_volume(world: World, volume: Volume, node: NodeName) -> Iterator[Order]:
    yield from _folders(world, volume, node)
    yield from _probes(world, volume, node)
    yield from _fences(volume, node)
    yield from _engine(world, volume, node)
    for task in volume.tasks:
        if task.place == node:
            yield from _task(world, volume, task)


def _folders(world: World, volume: Volume, node: NodeName) -> Iterator[Order]:
    """A folder is made for a replica that never was in-sync and is not seen; a missing one of another is a loss."""
    for replica in volume.syncing:
        never_synced = replica.node == node and replica.synced_through is None
        if never_synced and world.replica_seen(node, replica.disk, replica.id) is None:
            yield CreateReplica(disk=replica.disk, replica=replica.id, volume=volume)
    for stone in volume.tombstones:
        if stone.node == node:
            yield DeleteReplica(
                disk=stone.disk,
                replica=stone.replica,
                volume=volume.uid,
                era=volume.era,
                version=_deleted_at(world, volume, stone),
            )


def _deleted_at(world: World, volume: Volume, stone: Tombstone) -> int:
    """The version of a document that holds the tombstone: the first one, or, if an engine had the folder store a newer one
    before it heard of that, this one.
    """
    seen = world.replica_seen(stone.node, stone.disk, stone.replica)
    newer = seen is not None and seen.document_version > stone.version
    return volume.version if newer else stone.version


def _probes(world: World, volume: Volume, node: NodeName) -> Iterator[Order]:
    leaving = next_to_drop(world, volume)
    if leaving is None:
        return
    for replica in volume.in_sync:
        if replica.id != leaving.id and replica.node == node:
            yield ProbeReplica(disk=replica.disk, replica=replica.id, drop=drop_id(volume, leaving))


def _fences(volume: Volume, node: NodeName) -> Iterator[Order]:
    if volume.session is None or volume.session.phase is not SessionPhase.FENCING:
        return
    for replica in volume.in_sync:
        if replica.node == node:
            yield FenceReplica(disk=replica.disk, replica=replica.id, volume=volume)


def _engine(world: World, volume: Volume, node: NodeName) -> Iterator[Order]:
    session = volume.session
    if session is None or session.node != node:
        return
    if session.phase in (SessionPhase.OPENING, SessionPhase.OPEN):
        leave = tuple(r.id for r in volume.in_sync if r.leaving)
        yield RunEngine(volume=volume, peers=_peers(world, _of_session(world, volume)), leave=leave)
    else:
        yield CloseEngine(volume=volume.uid, epoch=session.epoch)


def _of_session(world: World, volume: Volume) -> list[Replica]:
    """All in-sync replicas, and those that the engine is to resync: not what is to leave anyway."""
    return [
        r
        for r in volume.replicas
        if r.phase is ReplicaPhase.IN_SYNC or not (r.leaving or why_must_go(world, r))
    ]


def _old_engines(world: World, node: NodeName) -> Iterator[CloseEngine]:
    """Engines seen here that aren't of the volume's present session: fenced, or of a volume that is gone.

    Not one of an epoch that this view of the records doesn't know yet.
    """
    sighting = world.heard(node)
    for engine in sighting.engines if sighting else ():
        volume = world.volumes.get(engine.volume)
        session = volume.session if volume else None
        present = session is not None and (session.node, session.epoch) == (node, engine.epoch)
        newer = volume is not None and engine.epoch > volume.epoch
        if engine.state is not EngineState.ENDED and not present and not newer:
            yield CloseEngine(volume=engine.volume, epoch=engine.epoch)


def _task(world: World, volume: Volume, task: Task) -> Iterator[Order]:
    """In the program of the target's disk; for settling, of the in-sync replica at the place."""
    at_place = [r for r in volume.replicas if r.node == task.place]
    if task.target is not None:
        taking_part = [r for r in at_place if r.id == task.target] or [
            r for r in at_place if r.id == task.source
        ]
    else:
        taking_part = [r for r in at_place if r in volume.in_sync]
    peers = _peers(world, [r for r in volume.replicas if r.id not in task.without])
    for replica in taking_part[:1]:
        yield RunTask(disk=replica.disk, task=task, volume=volume, peers=peers, without=task.without)


def _peers(world: World, replicas: Iterable[Replica]) -> tuple[Peer, ...]:
    return tuple(Peer(replica=r.id, node=r.node, address=_address(world, r)) for r in replicas)


def _address(world: World, replica: Replica) -> str:
    """As last seen, also of a node that this server does not hear now: the engine may reach it."""
    seen = world.seen.get(replica.node)
    disks = seen.sighting.disks if seen and seen.sighting else ()
    return _of_disk({d.uid: d.address for d in disks}, replica.disk)


def _of_disk(addresses: dict[DiskUid, str], disk: DiskUid) -> str:
    return addresses.get(disk, "")
