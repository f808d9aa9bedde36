"""Replicas that are too many or in the wrong place leave: mark, then probe and drop when detached and settled (S5).

A replica is marked only when it may go at once: the wanted number stays without it. A mark whose reason is gone is
taken away, so a cancelled eviction leaves nothing behind (L5).
"""

from collections.abc import Iterator

from shorthorn.core.lifecycle.events import ReplicaAbandoned, ReplicaDropped, ReplicaLeaving
from shorthorn.core.model.ids import ReplicaId
from shorthorn.core.model.volume import Replica, Volume
from shorthorn.core.model.world import World
from shorthorn.core.planning.looking import (
    drop_id,
    keepers,
    next_to_drop,
    overdue,
    present,
    wait,
    why_behind,
    why_lost,
    why_must_go,
    why_replaced,
)
from shorthorn.core.planning.plan import Intent, Plan, PlannedEvent


def plan_leaving(world: World, volume: Volume, want: int) -> Plan:
    """Intents: ReplicaLeaving, ReplicaDropped. Waits: a remaining replica that did not answer its probe, or is too old."""
    marks = plan_marks(world, volume, want)
    if marks.intents:
        return marks
    leaving = next_to_drop(world, volume)
    if leaving is None:
        return Plan()
    others = [r for r in volume.in_sync if r.id != leaving.id]
    silent = [r for r in others if not _answered(world, r, drop_id(volume, leaving))]
    if silent:
        names = ", ".join(f"{r.id} on {r.node}" for r in silent)
        reason = f"replica {leaving.id} on {leaving.node} is to go ({leaving.leaving})"
        return Plan(
            waits=(wait(volume, f"{reason}; replica {names} is asked first", "they answer", leaving.node),)
        )
    behind = [f"{r.id} on {r.node}: {why}" for r in others if (why := _behind(world, volume, r))]
    if behind:
        reason = f"replica {leaving.id} on {leaving.node} stays, though it is to go ({leaving.leaving})"
        frees = "attach and detach it: opening goes on without what is too old"
        return Plan(waits=(wait(volume, f"{reason}: {'; '.join(behind)}", frees, leaving.node),))
    event = ReplicaDropped(epoch=volume.epoch, replica=leaving.id, probes=tuple(r.id for r in others))
    return Plan(intents=(_intend(volume, event, leaving.leaving),))


def plan_marks(world: World, volume: Volume, want: int) -> Plan:
    """Mark those that may go now, and take marks away whose reason is gone. In a session marks are orders to the engine.

    Intents: ReplicaLeaving.
    """
    return Plan(intents=tuple(_marks(volume, _may_go(world, volume, want))))


def plan_giving_up(world: World, volume: Volume, want: int) -> Plan:
    """Syncing replicas that nothing needs: in the wrong place, or beside enough in-sync ones.

    One that is merely away may come back, so it goes only when it isn't needed any more.
    Intents: ReplicaAbandoned. Never while a copy fills one; that ends first.
    """
    enough = len(keepers(world, volume)) >= want
    unneeded = [
        (r, why_must_go(world, r) or r.leaving or "enough replicas are in-sync")
        for r in volume.syncing
        if enough or why_must_go(world, r)
    ]
    return Plan(
        intents=tuple(
            _intend(volume, ReplicaAbandoned(replica=r.id, attempt=r.attempt, why=why), why)
            for r, why in unneeded
        )
    )


def _may_go(world: World, volume: Volume, want: int) -> dict[ReplicaId, str]:
    """Replica id to reason: those that may leave now. What is lost goes when enough are whole, the rest one for one."""
    whole = [r for r in volume.in_sync if not why_lost(world, r)]
    spare = len(whole) - want
    if spare < 0:
        return {}
    going = {r.id: why for r in volume.in_sync if (why := why_lost(world, r))}
    ranked = sorted(whole, key=lambda r: _last_kept(world, r)) if spare else []
    return going | {r.id: why_replaced(world, r) or "more replicas than wanted" for r in ranked[:spare]}


def _last_kept(world: World, replica: Replica) -> tuple[bool, bool, bool, bool, bool, int, str]:
    """Who goes first: the long away, since the others' removal waits for their answer; then from evicting nodes, the
    marked, the unreachable, the cordoned, the one with least room.
    """
    node = world.nodes.get(replica.node)
    disk = node.disk(replica.disk) if node else None
    return (
        not overdue(world, replica),
        not why_must_go(world, replica),
        not replica.leaving,
        present(world, replica),
        not (node and node.cordoned),
        disk.free if disk else 0,
        replica.id,
    )


def _marks(volume: Volume, going: dict[ReplicaId, str]) -> Iterator[Intent]:
    for replica in volume.replicas:
        why = going.get(replica.id, "")
        if bool(why) != bool(replica.leaving):
            event = ReplicaLeaving(replica=replica.id, why=why)
            yield _intend(volume, event, why or "it is needed where it is")


def _behind(world: World, volume: Volume, replica: Replica) -> str:
    """It would be kept, by its answer to the probe, and is no source: nothing may go for its sake (A17)."""
    seen = world.replica_seen(replica.node, replica.disk, replica.id)
    return why_behind(volume, replica, seen) if seen else ""


def _answered(world: World, replica: Replica, drop: str) -> bool:
    """Asked for this very removal, and whole."""
    seen = world.replica_seen(replica.node, replica.disk, replica.id)
    return seen is not None and seen.probe == drop and not seen.damaged and not seen.failed


def _intend(volume: Volume, event: PlannedEvent, cause: str) -> Intent:
    return Intent(volume=volume.uid, name=volume.name, event=event, cause=cause)
