"""Questions that several planners ask of the world."""

from collections.abc import Callable

from shorthorn.core.lifecycle.guards import spoken
from shorthorn.core.lifecycle.state import why_absent
from shorthorn.core.model.ids import NodeName
from shorthorn.core.model.sighting import Reach, ReplicaSighting
from shorthorn.core.model.volume import Replica, Task, Volume
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
    had_data = replica.synced_through is not None
    if had_data and disk and disk.complete and seen is None:
        return f"its folder on {replica.node} is missing"
    return ""


def why_must_go(world: World, replica: Replica) -> str:
    """Why this replica is to be elsewhere; empty when it may stay."""
    lost = why_lost(world, replica)
    if lost:
        return lost
    node = world.nodes.get(replica.node)
    return f"{replica.node} is being evicted" if node and node.evicting else ""


def why_behind(volume: Volume, replica: Replica, seen: ReplicaSighting) -> str:
    """Why an in-sync replica's own past is less than the record requires (docs/protocol.md, A17); empty while it is enough.

    What is seen may be older than the record, so this is reason to wait for a newer word, never to give anything up.
    """
    epoch, attempt = seen.sealed
    if epoch < volume.opened_epoch:
        return f"it was last sealed before epoch {spoken(volume.opened_epoch)}: its disk went back in time"
    if epoch and attempt != replica.attempt:
        return f"its attempt is {attempt}, in-sync is {replica.attempt}"
    if seen.m < replica.stored_m:
        return f"its membership number {seen.m} is older than {replica.stored_m}, which it had stored"
    return ""


def away_s(world: World, replica: Replica) -> float | None:
    """How long its disk's program has not been heard, in seconds; None while it is heard, or not known to be away."""
    return world.away_s.get((replica.node, replica.disk))


def overdue(world: World, replica: Replica) -> bool:
    """Away for so long that another one is placed. It may still come back: nothing of it is given up for that alone."""
    away = away_s(world, replica)
    return away is not None and away >= world.settings.replace_after_s


def why_replaced(world: World, replica: Replica) -> str:
    """Why another replica is wanted for this one; empty when it counts."""
    if why := why_must_go(world, replica):
        return why
    if overdue(world, replica):
        return f"{replica.node} has been away for more than {world.settings.replace_after_s:.0f} s"
    return ""


def keepers(world: World, volume: Volume) -> list[Replica]:
    """The in-sync replicas that count and may stay where they are.

    In a session the engine vouches for them: it needs an answer of each within every T, whoever else hears them.
    """
    vouched = volume.session is not None
    return [r for r in volume.in_sync if not (why_must_go if vouched else why_replaced)(world, r)]


def coming(world: World, volume: Volume) -> list[Replica]:
    """The syncing replicas that are to become in-sync: present, on their way, or away for a short time."""
    return [r for r in volume.syncing if not why_replaced(world, r)]


def gone_for_good(world: World, replica: Replica) -> bool:
    """Its node was declared dead: nothing waits for it (L7)."""
    node = world.nodes.get(replica.node)
    return node is not None and node.dead is not None


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


def next_to_drop(world: World, volume: Volume) -> Replica | None:
    """The marked replica that is dropped next, one at a time, of a detached and settled volume.

    Those that can't be asked first: the others must answer a probe for each removal.
    """
    if volume.session or not volume.settled or task_under_way(volume) or len(volume.in_sync) < 2:
        return None
    leaving = [r for r in volume.in_sync if r.leaving]
    return min(leaving, key=lambda r: (present(world, r), r.id), default=None)


def wait(volume: Volume, reason: str, frees: str = "", node: NodeName | None = None) -> Wait:
    """A wait about a volume, perhaps because of a node."""
    return Wait(reason=reason, frees=frees, volume=volume.uid, name=volume.name, node=node)
