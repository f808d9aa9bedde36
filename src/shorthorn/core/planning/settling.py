"""A detached, unsettled volume is made equal first; nothing else happens to it (docs/protocol.md, Settle)."""

from shorthorn.core.lifecycle.events import SettleStarted
from shorthorn.core.lifecycle.state import why_absent
from shorthorn.core.model.ids import Epoch, TaskId
from shorthorn.core.model.sighting import TaskState
from shorthorn.core.model.volume import Replica, Task, TaskKind, Volume
from shorthorn.core.model.world import World
from shorthorn.core.planning import tasks
from shorthorn.core.planning.looking import NewId, gone_for_good, task_under_way, wait, why_must_go
from shorthorn.core.planning.plan import Intent, Plan


def plan_settling(world: World, volume: Volume, new_id: NewId) -> Plan:
    """Have one replica program make all in-sync replicas equal.

    Intents: SettleStarted, Settled, TaskEnded. Waits: in-sync replicas that cannot be reached, but for those on nodes
    declared dead: those are removed with Settled, if a replica that is left isn't torn.
    """
    task = task_under_way(volume)
    if task is None:
        return _start(world, volume, new_id)
    void = _why_void(world, volume, task) if task.kind is TaskKind.SETTLE else "a session wrote since"
    return tasks.follow(world, volume, task, void, lambda: _start(world, volume, new_id))


def _why_void(world: World, volume: Volume, task: Task) -> str:
    """It goes without a replica whose node is no longer declared dead, or waits for one whose node is."""
    left_out = [r for r in volume.in_sync if r.id in task.without]
    back = next((r for r in left_out if not gone_for_good(world, r)), None)
    if back:
        return f"replica {back.id} on {back.node} took no part"
    seen = world.task_seen(volume.uid, task)
    if seen is not None and seen.state is TaskState.READY:
        return _why_lossy(world, volume)
    awaited = [r for r in volume.in_sync if r not in left_out]
    dead = next((r for r in awaited if gone_for_good(world, r)), None)
    return f"replica {dead.id} is not waited for: {dead.node} was declared dead" if dead else ""


def _start(world: World, volume: Volume, new_id: NewId) -> Plan:
    staying = [r for r in volume.in_sync if not gone_for_good(world, r)]
    dead = sorted({r.node for r in volume.in_sync if r not in staying})
    if not staying:
        reason = f"its last session ended unclean and every in-sync replica is on a node declared dead: {', '.join(dead)}"
        return Plan(waits=(wait(volume, reason, "one of them returns"),))
    absent = [f"replica {r.id}: {why}" for r in staying if (why := why_absent(world, r))]
    if absent:
        reason = (
            f"its last session ended unclean and not every in-sync replica can be asked: {'; '.join(absent)}"
        )
        return Plan(
            waits=(
                wait(volume, reason, "they return, or attach and detach it: opening goes on without them"),
            )
        )
    if why := _why_lossy(world, volume):
        return Plan(waits=(wait(volume, why, "attach and detach it: opening says that it is broken"),))
    place = min(staying, key=lambda r: _rank(world, r))
    without = tuple(r.id for r in volume.in_sync if r not in staying)
    event = SettleStarted(
        epoch=Epoch(volume.epoch + 1), task=TaskId(new_id("t")), place=place.node, without=without
    )
    cause = "its last session ended unclean" + (f"; without {', '.join(dead)}, declared dead" if dead else "")
    return Plan(
        intents=(
            Intent(volume=volume.uid, name=volume.name, event=event, cause=cause, unchanged=tuple(dead)),
        )
    )


def _why_lossy(world: World, volume: Volume) -> str:
    """Going on would lose what nobody is told of: everybody lost power while open, but for the dead, or for whom a hold from
    before goes on (its node was declared dead, which may be taken back; A2).
    """
    staying = [r for r in volume.in_sync if not gone_for_good(world, r)]
    if volume.held_since and staying and all(_torn(world, r) for r in staying):
        holder = volume.attachments[0].holder
        return (
            f"every in-sync replica lost power while open, and {holder} still holds it from before: detach it"
        )
    if len(staying) == len(volume.in_sync) or not all(_torn(world, r) for r in staying):
        return ""
    return "every in-sync replica on a node that is not declared dead lost power while open, so unflushed writes may be gone"


def _torn(world: World, replica: Replica) -> bool:
    seen = world.replica_seen(replica.node, replica.disk, replica.id)
    return seen is not None and seen.torn


def _rank(world: World, replica: Replica) -> tuple[bool, bool, str]:
    """Near the likely source (one that isn't torn), away from nodes that are to be emptied."""
    unseen = world.replica_seen(replica.node, replica.disk, replica.id) is None
    return unseen or _torn(world, replica), bool(why_must_go(world, replica)), replica.id
