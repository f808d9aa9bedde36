"""What each node must run or do now: computed from the records and the addresses seen, never stored.

Level, not edge: an order stands as long as the record wants it, and an agent that has done it already does nothing.
"""

from collections.abc import Iterator

from shorthorn.core.model.ids import DiskUid, NodeName
from shorthorn.core.model.order import (
    CloseEngine,
    CreateReplica,
    DeleteReplica,
    NodeOrders,
    Order,
    Peer,
    ProbeReplica,
    RunEngine,
    RunTask,
)
from shorthorn.core.model.volume import Replica, SessionPhase, Task, Volume
from shorthorn.core.model.world import World
from shorthorn.core.planning.looking import drop_id, next_to_drop


def orders(world: World, node: NodeName) -> NodeOrders:
    """All orders of one node, by volume uid."""
    return NodeOrders(
        cluster=world.settings.cluster,
        node=node,
        settings=world.settings,
        orders=tuple(order for v in world.volumes.values() for order in _of_volume(world, v, node)),
    )


def _of_volume(world: World, volume: Volume, node: NodeName) -> Iterator[Order]:
    yield from _folders(world, volume, node)
    yield from _probes(volume, node)
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
                version=stone.version,
            )


def _probes(volume: Volume, node: NodeName) -> Iterator[Order]:
    leaving = next_to_drop(volume)
    if leaving is None:
        return
    for replica in volume.in_sync:
        if replica.id != leaving.id and replica.node == node:
            yield ProbeReplica(disk=replica.disk, replica=replica.id, drop=drop_id(volume, leaving))


def _engine(world: World, volume: Volume, node: NodeName) -> Iterator[Order]:
    session = volume.session
    if session is None or session.node != node:
        return
    if session.phase in (SessionPhase.OPENING, SessionPhase.OPEN):
        leave = tuple(r.id for r in volume.in_sync if r.leaving)
        yield RunEngine(volume=volume, peers=_peers(world, volume), leave=leave)
    else:
        yield CloseEngine(volume=volume.uid, epoch=session.epoch)


def _task(world: World, volume: Volume, task: Task) -> Iterator[Order]:
    """In the program of the target's disk; for settling, of the in-sync replica at the place."""
    at_place = [r for r in volume.replicas if r.node == task.place]
    if task.target is not None:
        taking_part = [r for r in at_place if r.id == task.target] or [
            r for r in at_place if r.id == task.source
        ]
    else:
        taking_part = [r for r in at_place if r in volume.in_sync]
    for replica in taking_part[:1]:
        yield RunTask(disk=replica.disk, task=task, volume=volume, peers=_peers(world, volume))


def _peers(world: World, volume: Volume) -> tuple[Peer, ...]:
    return tuple(Peer(replica=r.id, node=r.node, address=_address(world, r)) for r in volume.replicas)


def _address(world: World, replica: Replica) -> str:
    """As last seen, also of a node that this server does not hear now: the engine may reach it."""
    seen = world.seen.get(replica.node)
    disks = seen.sighting.disks if seen and seen.sighting else ()
    return _of_disk({d.uid: d.address for d in disks}, replica.disk)


def _of_disk(addresses: dict[DiskUid, str], disk: DiskUid) -> str:
    return addresses.get(disk, "")
