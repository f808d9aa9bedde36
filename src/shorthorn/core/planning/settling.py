"""A detached, unsettled volume is made equal first; nothing else happens to it (docs/protocol.md, Settle)."""

from shorthorn.core.lifecycle.events import SettleStarted
from shorthorn.core.lifecycle.state import why_absent
from shorthorn.core.model.ids import Epoch, TaskId
from shorthorn.core.model.volume import Replica, TaskKind, Volume
from shorthorn.core.model.world import World
from shorthorn.core.planning import tasks
from shorthorn.core.planning.looking import NewId, task_under_way, wait, why_must_go
from shorthorn.core.planning.plan import Intent, Plan


def plan_settling(world: World, volume: Volume, new_id: NewId) -> Plan:
    """Have one replica program make all in-sync replicas equal.

    Intents: SettleStarted, Settled, TaskEnded. Waits: in-sync replicas that cannot be reached.
    """
    task = task_under_way(volume)
    if task is None:
        return _start(world, volume, new_id)
    void = "" if task.kind is TaskKind.SETTLE else "a session wrote since"
    return tasks.follow(world, volume, task, void, lambda: _start(world, volume, new_id))


def _start(world: World, volume: Volume, new_id: NewId) -> Plan:
    absent = [f"replica {r.id}: {why}" for r in volume.in_sync if (why := why_absent(world, r))]
    if absent:
        reason = f"its last session ended unclean and not every copy can be asked: {'; '.join(absent)}"
        return Plan(
            waits=(
                wait(volume, reason, "they return, or attach and detach it: opening goes on without them"),
            )
        )
    place = min(volume.in_sync, key=lambda r: _rank(world, r))
    event = SettleStarted(epoch=Epoch(volume.epoch + 1), task=TaskId(new_id("t")), place=place.node)
    cause = "its last session ended unclean"
    return Plan(intents=(Intent(volume=volume.uid, name=volume.name, event=event, cause=cause),))


def _rank(world: World, replica: Replica) -> tuple[bool, bool, str]:
    """Near the likely source (one that isn't torn), away from nodes that are to be emptied."""
    seen = world.replica_seen(replica.node, replica.disk, replica.id)
    return seen is None or seen.torn, bool(why_must_go(world, replica)), replica.id
