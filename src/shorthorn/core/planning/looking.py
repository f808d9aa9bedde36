"""Questions that several planners ask of the world."""

from collections.abc import Callable

from shorthorn.core.lifecycle.state import why_absent
from shorthorn.core.model.ids import NodeName
from shorthorn.core.model.sighting import Reach
from shorthorn.core.model.volume import Replica, ReplicaPhase, Task, Volume
from shorthorn.core.model.world import World
from shorthorn.core.planning.plan import Wait

NewId = Callable[[str], str]
"""Makes an id never used before; its argument is a short word for the kind. An argument of planning, not a chance in it."""


def why_lost(world: World, replica: Replica) -> str:
    """Why this copy counts for nothing any more; empty while it may. Rests on positive evidence only."""
    node = world.nodes.get(replica.node)
    if node is None:
        return f"{replica.node} is not part of the cluster"
    if node.dead:
        return f"{replica.node} was declared dead"
    seen = world.replica_seen(replica.node, replica.disk, replica.id)
    if seen and (seen.damaged or seen.failed):
        return f"its folder on {replica.node} is damaged: {seen.damaged or seen.failed}"
    disk = world.disk_seen(replica.node, replica.disk)
    if replica.phase is ReplicaPhase.IN_SYNC and disk and disk.complete and seen is None:
        return f"its folder on {replica.node} is missing"
    return ""


def why_must_go(world: World, replica: Replica) -> str:
    """Why this replica is to be elsewhere; empty when it may stay."""
    lost = why_lost(world, replica)
    if lost:
        return lost
    node = world.nodes.get(replica.node)
    return f"{replica.node} is being evicted" if node and node.evicting else ""


def keepers(world: World, volume: Volume) -> list[Replica]:
    """The in-sync replicas that may stay where they are."""
    return [r for r in volume.in_sync if not why_must_go(world, r)]


def reachable(world: World, node: NodeName) -> bool:
    """Heard now."""
    return world.reach(node) is Reach.REACHABLE


def present(world: World, replica: Replica) -> bool:
    """Its folder is seen, whole, on a reachable node whose replica program runs."""
    return why_absent(world, replica) is None


def task_under_way(volume: Volume) -> Task | None:
    """The task whose effect is not recorded yet."""
    return next((t for t in volume.tasks if not t.committed), None)


def drop_id(volume: Volume, replica: Replica) -> str:
    """Names one removal: an answer to a probe for another one is no answer for this one."""
    return f"{replica.id}@{volume.epoch}.{volume.m}"


def next_to_drop(volume: Volume) -> Replica | None:
    """The marked replica that is dropped next, one at a time, of a detached and settled volume."""
    if volume.session or not volume.settled or task_under_way(volume) or len(volume.in_sync) < 2:
        return None
    return next((r for r in volume.in_sync if r.leaving), None)


def wait(volume: Volume, reason: str, frees: str = "", node: NodeName | None = None) -> Wait:
    """A wait about a volume, perhaps because of a node."""
    return Wait(reason=reason, frees=frees, volume=volume.uid, name=volume.name, node=node)
