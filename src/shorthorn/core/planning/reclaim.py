"""Tombstones whose folders are gone for sure leave the record, and their space is free again (L6)."""

from shorthorn.core.lifecycle.events import ReplicaGone
from shorthorn.core.model.volume import Tombstone, Volume
from shorthorn.core.model.world import World
from shorthorn.core.planning.looking import wait
from shorthorn.core.planning.plan import Intent, Plan, Release


def plan_reclaim(world: World, volume: Volume) -> Plan:
    """Intents: ReplicaGone with the release of its space. Waits: its node is not heard, or nobody knows what its folder is."""
    plan = Plan()
    for stone in volume.tombstones:
        disk = world.disk_seen(stone.node, stone.disk)
        if disk is None:
            plan += _unheard(world, volume, stone)
        elif stone.replica in disk.gone:
            plan += Plan(intents=(_forget(volume, stone),))
        elif why := left_alone(world, stone):
            plan += Plan(
                waits=(
                    wait(
                        volume,
                        why,
                        f"somebody looks at it on {stone.node}, removes it and restarts its replica program",
                        stone.node,
                    ),
                )
            )
    return plan


def left_alone(world: World, stone: Tombstone) -> str:
    """Why the folder stays although it has a tombstone; empty if it goes.

    Whether it has stored something newer than the tombstone (docs/protocol.md, Deletion orders) can't be told of one that can't
    be read, so its program deletes it for nobody.
    """
    seen = world.replica_seen(stone.node, stone.disk, stone.replica)
    if seen is None or not seen.damaged:
        return ""
    return f"the folder of replica {stone.replica} on {stone.node} is left alone, as it can't be read: {seen.damaged}"


def _unheard(world: World, volume: Volume, stone: Tombstone) -> Plan:
    """A node declared dead holds up nothing but the record of the folder (L7), so only a deletion says it."""
    node = world.nodes.get(stone.node)
    if node is None or node.dead is None:
        reason = f"the folder of replica {stone.replica} is to go, but {stone.node} is not heard"
        return Plan(waits=(wait(volume, reason, f"{stone.node} comes back", stone.node),))
    if not volume.deleting:
        return Plan()
    reason = (
        f"the folder of replica {stone.replica} is on {stone.node}, which was declared dead; its name is free"
    )
    return Plan(waits=(wait(volume, reason, f"{stone.node} returns or is removed", stone.node),))


def _forget(volume: Volume, stone: Tombstone) -> Intent:
    return Intent(
        volume=volume.uid,
        name=volume.name,
        event=ReplicaGone(replica=stone.replica),
        cause=f"{stone.node} was told to delete it and does not hold it",
        space=Release(node=stone.node, disk=stone.disk, replica=stone.replica),
    )
