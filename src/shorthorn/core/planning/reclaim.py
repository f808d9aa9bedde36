"""Tombstones whose folders are gone for sure leave the record, and their space is free again (L6)."""

from shorthorn.core.lifecycle.events import ReplicaGone
from shorthorn.core.model.volume import Tombstone, Volume
from shorthorn.core.model.world import World
from shorthorn.core.planning.looking import wait
from shorthorn.core.planning.plan import Intent, Plan, Release


def plan_reclaim(world: World, volume: Volume) -> Plan:
    """Intents: ReplicaGone with the release of its space. Waits: the node of a tombstone is not heard."""
    plan = Plan()
    for stone in volume.tombstones:
        disk = world.disk_seen(stone.node, stone.disk)
        if disk is None:
            reason = f"the folder of replica {stone.replica} is to go, but {stone.node} is not heard"
            plan += Plan(waits=(wait(volume, reason, f"{stone.node} comes back", stone.node),))
        elif stone.replica in disk.gone:
            plan += Plan(intents=(_forget(volume, stone),))
    return plan


def _forget(volume: Volume, stone: Tombstone) -> Intent:
    return Intent(
        volume=volume.uid,
        name=volume.name,
        event=ReplicaGone(replica=stone.replica),
        cause=f"{stone.node} was told to delete it and does not hold it",
        space=Release(node=stone.node, disk=stone.disk, replica=stone.replica),
    )
