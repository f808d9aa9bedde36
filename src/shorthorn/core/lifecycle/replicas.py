"""Replicas are placed, formed, marked, given up and buried. Who is in-sync later on is `membership`'s to say."""

import msgspec

from shorthorn.core.lifecycle import guards
from shorthorn.core.lifecycle.events import (
    Formed,
    ReplicaAbandoned,
    ReplicaDropped,
    ReplicaGone,
    ReplicaLeaving,
    ReplicaPlaced,
)
from shorthorn.core.lifecycle.limits import TEXT_MAX, check_text, invalid
from shorthorn.core.lifecycle.outcome import Refused
from shorthorn.core.lifecycle.transition import Change, Transition, exists, not_now, stale
from shorthorn.core.lifecycle.volumes import bury
from shorthorn.core.model.ids import Membership, ReplicaId
from shorthorn.core.model.volume import (
    Replica,
    ReplicaPhase,
    Task,
    Volume,
)

replace = msgspec.structs.replace


def known(volume: Volume, replica_id: ReplicaId) -> Replica:
    """The replica of this id, which a guard has looked for."""
    replica = volume.replica(replica_id)
    if replica is None:
        raise AssertionError(f"guarded by replica_known: {replica_id}")
    return replica


def swap(volume: Volume, after: Replica) -> tuple[Replica, ...]:
    """The replicas with one of them as it is after."""
    return tuple(after if r.id == after.id else r for r in volume.replicas)


def _task_on(volume: Volume, replica_id: ReplicaId) -> Task | None:
    """Work under way that reads or fills this replica."""
    under_way = (t for t in volume.tasks if not t.committed)
    return next((t for t in under_way if replica_id in (t.source, t.target)), None)


# Placing and forming


def _placed_so(volume: Volume, event: ReplicaPlaced) -> bool:
    r = volume.replica(event.replica)
    return r is not None and (r.node, r.disk) == (event.node, event.disk)


def _id_is_new(volume: Volume, event: ReplicaPlaced) -> Refused | None:
    """Identities are never reused (S8)."""
    used = [*(r.id for r in volume.replicas), *(t.replica for t in volume.tombstones)]
    return exists(f"replica id {event.replica} was used before") if event.replica in used else None


def node_is_free(volume: Volume, event: ReplicaPlaced) -> Refused | None:
    """No two replicas of a volume on one node (S9); wider failure domains are in the commit's named nodes."""
    there = next((r for r in volume.replicas if r.node == event.node), None)
    return exists(f"{event.node} holds replica {there.id} of {volume.name} already") if there else None


def _place(volume: Volume, event: ReplicaPlaced) -> Change:
    new = Replica(id=event.replica, node=event.node, disk=event.disk)
    replicas = tuple(sorted((*volume.replicas, new), key=lambda r: r.id))
    return Change(replace(volume, replicas=replicas), (f"replica {new.id} placed on {new.node}",))


def ids_of(replicas: tuple[Replica, ...]) -> tuple[ReplicaId, ...]:
    """Their ids, in order."""
    return tuple(r.id for r in replicas)


def _formed_so(volume: Volume, event: Formed) -> bool:
    return volume.m == 1 and ids_of(volume.in_sync) == tuple(sorted(event.members))


def formed_once(volume: Volume, _event: Formed) -> Refused | None:
    """Empty replicas are equal only before the first write: once in a volume's life."""
    return stale(f"{volume.name} was formed before") if volume.m > 0 else None


def _fresh_members(volume: Volume, event: Formed) -> Refused | None:
    if not event.members:
        return invalid(f"{volume.name} cannot be formed of no replica")
    fresh = [r.id for r in volume.syncing if r.attempt == 1 and not r.leaving]
    strange = next((m for m in event.members if m not in fresh), None)
    return stale(f"replica {strange} is not a fresh one of {volume.name}") if strange is not None else None


def _form(volume: Volume, event: Formed) -> Change:
    m = Membership(1)
    replicas = tuple(
        replace(r, phase=ReplicaPhase.IN_SYNC, synced_through=m) if r.id in event.members else r
        for r in volume.replicas
    )
    after = replace(volume, replicas=replicas, m=m, settled=True)
    return Change(after, (f"formed of {', '.join(ids_of(after.in_sync))}, all empty",))


# Marks and giving up


def _marked_so(volume: Volume, event: ReplicaLeaving) -> bool:
    replica = volume.replica(event.replica)
    return replica is not None and replica.leaving == event.why


def _reason_valid(_volume: Volume, event: ReplicaLeaving) -> Refused | None:
    return check_text("reason", event.why, TEXT_MAX) if event.why else None


def _mark(volume: Volume, event: ReplicaLeaving) -> Change:
    replica = known(volume, event.replica)
    line = f"replica {replica.id} on {replica.node} is to leave: {event.why}"
    if not event.why:
        line = f"replica {replica.id} on {replica.node} stays"
    return Change(replace(volume, replicas=swap(volume, replace(replica, leaving=event.why))), (line,))


def _is_syncing(volume: Volume, event: ReplicaAbandoned) -> Refused | None:
    if known(volume, event.replica).phase is ReplicaPhase.SYNCING:
        return None
    return stale(f"replica {event.replica} of {volume.name} is in-sync: it may only be dropped")


def no_task_on(volume: Volume, event: ReplicaAbandoned | ReplicaDropped) -> Refused | None:
    """A copy's source and target stay until it has ended."""
    task = _task_on(volume, event.replica)
    return not_now(f"{task.kind} {task.id} is working on replica {event.replica}") if task else None


def _abandon(volume: Volume, event: ReplicaAbandoned) -> Change:
    """In a session, too: of this and ReplicaSynced of the same attempt, the first to commit makes the other void."""
    return remove(volume, event.replica, f"given up: {event.why}")


def remove(volume: Volume, replica_id: ReplicaId, line: str) -> Change:
    """A tombstone takes the replica's place; only then may its folder be deleted."""
    gone = known(volume, replica_id)
    stones = (*volume.tombstones, bury(gone, volume.version + 1))
    after = replace(
        volume,
        replicas=tuple(r for r in volume.replicas if r.id != replica_id),
        tombstones=tuple(sorted(stones, key=lambda t: t.replica)),
    )
    return Change(after, (f"replica {replica_id} on {gone.node} {line}",))


def _gone_before(volume: Volume, event: ReplicaGone) -> bool:
    named = [*(t.replica for t in volume.tombstones), *(r.id for r in volume.replicas)]
    return event.replica not in named


def has_tombstone(volume: Volume, event: ReplicaGone) -> Refused | None:
    """A folder is gone by order only; a replica whose folder is missing is a lost one, not a gone one."""
    if any(t.replica == event.replica for t in volume.tombstones):
        return None
    return stale(f"replica {event.replica} of {volume.name} has no tombstone")


def _go(volume: Volume, event: ReplicaGone) -> Change:
    stones = tuple(t for t in volume.tombstones if t.replica != event.replica)
    line = f"folder of replica {event.replica} is gone"
    if volume.deleting and not stones:
        return Change(None, (line, "deleted: nothing is left of it"))
    return Change(replace(volume, tombstones=stones), (line,))


ROWS: dict[type, Transition] = {
    ReplicaPlaced: Transition(
        repeated=_placed_so,
        guards=(guards.not_deleting, _id_is_new, node_is_free),
        change=_place,
    ),
    Formed: Transition(
        repeated=_formed_so,
        guards=(guards.not_deleting, formed_once, _fresh_members),
        change=_form,
    ),
    ReplicaLeaving: Transition(
        repeated=_marked_so,
        guards=(guards.replica_known, _reason_valid),
        change=_mark,
    ),
    ReplicaAbandoned: Transition(
        guards=(guards.replica_known, _is_syncing, guards.attempt_is, no_task_on),
        change=_abandon,
    ),
    ReplicaGone: Transition(repeated=_gone_before, guards=(has_tombstone,), change=_go),
}
