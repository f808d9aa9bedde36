"""Bring a detached, settled volume to its wanted number of replicas that may stay: place, then copy, no session.

Eviction needs no more than this: a replica on an evicting node does not count as one that stays.
"""

from collections.abc import Sequence

from shorthorn.core.lifecycle.events import CopyStarted
from shorthorn.core.lifecycle.state import wanted, why_absent
from shorthorn.core.model.ids import Epoch, TaskId
from shorthorn.core.model.sighting import Reach
from shorthorn.core.model.volume import Replica, ReplicaPhase, Task, Volume
from shorthorn.core.model.world import World
from shorthorn.core.planning import tasks
from shorthorn.core.planning.looking import (
    NewId,
    away_s,
    coming,
    keepers,
    present,
    wait,
    why_lost,
    why_must_go,
    why_replaced,
)
from shorthorn.core.planning.placement import plan_places
from shorthorn.core.planning.plan import Intent, Plan


def plan_repair(world: World, volume: Volume, want: int, new_id: NewId) -> Plan:
    """Fewer replicas stay than are wanted: fill a syncing one that is there, else place new ones.

    One copy at a time for each volume; the cluster's budgets come later, in `admission`.
    Intents: ReplicaPlaced, CopyStarted. Waits: no place; no reachable source; a folder that is not made yet.
    """
    on_the_way = coming(world, volume)
    missing = want - len(keepers(world, volume)) - len(on_the_way)
    plan = Plan()
    if missing > 0:
        plan = plan_places(world, volume, volume.replicas, missing, why_repair(world, volume, want), new_id)
    ready = [r for r in volume.syncing if not why_must_go(world, r) and present(world, r)]
    if ready:
        return plan + start_copy(world, volume, ready, None, new_id)
    awaited = tuple(
        wait(volume, f"replica {r.id} is not ready: {why_absent(world, r)}")
        for r in on_the_way
        if away_s(world, r) is None
    )
    return plan + Plan(waits=awaited)


def plan_copying(world: World, volume: Volume, task: Task, want: int, new_id: NewId) -> Plan:
    """Follow a copy under way; after a failure the next ready replica has its turn, from the next source."""
    target = volume.replica(task.target) if task.target else None
    source = volume.replica(task.source) if task.source else None
    void = ""
    if source is None or source.phase is not ReplicaPhase.IN_SYNC:
        void = "its source is gone"
    elif why := why_lost(world, source):
        void = why
    elif target is None or target.phase is not ReplicaPhase.SYNCING:
        void = "its target is gone"
    elif why := why_must_go(world, target):
        void = why
    elif world.reach(target.node) is Reach.UNREACHABLE:
        void = f"{target.node} is unreachable"
    elif len(keepers(world, volume)) >= want:
        void = "it is no longer needed"

    def again() -> Plan:
        ready = [r for r in volume.syncing if not why_must_go(world, r) and present(world, r)]
        if not ready:
            return Plan(waits=(wait(volume, "no syncing replica can be reached"),))
        return start_copy(world, volume, ready, task, new_id)

    return tasks.follow(world, volume, task, void, again)


def start_copy(
    world: World, volume: Volume, ready: Sequence[Replica], failed: Task | None, new_id: NewId
) -> Plan:
    """Copy to one of `ready`: those that were in-sync before first, for they lack least; in turn after failures."""
    sources = [r for r in volume.in_sync if present(world, r)]
    if not sources:
        whys = "; ".join(f"{r.id}: {why_absent(world, r)}" for r in volume.in_sync)
        return Plan(waits=(wait(volume, f"no in-sync replica can be copied from: {whys}", "one returns"),))
    turn = failed.tries if failed else 0
    targets = sorted(ready, key=lambda r: (r.synced_through is None, r.id))
    sources.sort(key=lambda r: (bool(why_must_go(world, r)), r.id))
    target, source = targets[turn % len(targets)], sources[turn % len(sources)]
    event = CopyStarted(
        epoch=Epoch(volume.epoch + 1),
        task=TaskId(new_id("t")),
        source=source.id,
        target=target.id,
        place=target.node,
    )
    cause = why_repair(world, volume, wanted(world, volume))
    return Plan(intents=(Intent(volume=volume.uid, name=volume.name, event=event, cause=cause),))


def why_repair(world: World, volume: Volume, want: int) -> str:
    """Why one more in-sync replica is wanted, for the journal."""
    going = [why for r in volume.replicas if (why := why_replaced(world, r))]
    return going[0] if going else f"{want} replicas are wanted, {len(volume.in_sync)} are in-sync"
