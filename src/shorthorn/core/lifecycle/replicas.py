"""Replicas come, become in-sync, are lost and go. The in-sync set changes here and in `sessions`, nowhere else.

Events that change it: Formed, ReplicaLost, ReplicaSynced, ReplicaDropped here; SessionOpened there.
"""

import msgspec

from shorthorn.core.lifecycle import guards
from shorthorn.core.lifecycle.events import (
    Base,
    Formed,
    ReplicaAbandoned,
    ReplicaDropped,
    ReplicaGone,
    ReplicaLeaving,
    ReplicaLost,
    ReplicaPlaced,
    ReplicaSynced,
)
from shorthorn.core.lifecycle.guards import spoken
from shorthorn.core.lifecycle.limits import TEXT_MAX, check_text, invalid
from shorthorn.core.lifecycle.outcome import Refused
from shorthorn.core.lifecycle.sessions import lose
from shorthorn.core.lifecycle.transition import Change, Transition, exists, not_now, stale
from shorthorn.core.lifecycle.volumes import bury
from shorthorn.core.model.ids import Attempt, Membership, ReplicaId
from shorthorn.core.model.volume import (
    Replica,
    ReplicaPhase,
    SessionPhase,
    Task,
    TaskKind,
    Volume,
)

replace = msgspec.structs.replace


def known(volume: Volume, replica_id: ReplicaId) -> Replica:
    """The replica of this id, which a guard has looked for."""
    replica = volume.replica(replica_id)
    if replica is None:
        raise AssertionError(f"guarded by replica_known: {replica_id}")
    return replica


def _swap(volume: Volume, after: Replica) -> tuple[Replica, ...]:
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


def _ids(replicas: tuple[Replica, ...]) -> tuple[ReplicaId, ...]:
    return tuple(r.id for r in replicas)


def _formed_so(volume: Volume, event: Formed) -> bool:
    return volume.m == 1 and _ids(volume.in_sync) == tuple(sorted(event.members))


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
    return Change(after, (f"formed of {', '.join(_ids(after.in_sync))}, all empty",))


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
    return Change(replace(volume, replicas=_swap(volume, replace(replica, leaving=event.why))), (line,))


def _is_syncing(volume: Volume, event: ReplicaAbandoned) -> Refused | None:
    if known(volume, event.replica).phase is ReplicaPhase.SYNCING:
        return None
    return stale(f"replica {event.replica} of {volume.name} is in-sync: it may only be dropped")


def _no_task_on(volume: Volume, event: ReplicaAbandoned | ReplicaDropped) -> Refused | None:
    task = _task_on(volume, event.replica)
    return not_now(f"{task.kind} {task.id} is working on replica {event.replica}") if task else None


def _abandon(volume: Volume, event: ReplicaAbandoned) -> Change:
    return _remove(volume, event.replica, f"given up: {event.why}")


def _remove(volume: Volume, replica_id: ReplicaId, line: str) -> Change:
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


# Leaving and joining the in-sync set


def _lost_before(volume: Volume, event: ReplicaLost) -> bool:
    replica, session = volume.replica(event.replica), volume.session
    if replica is None or session is None or session.epoch != event.epoch:
        return False
    return replica.phase is ReplicaPhase.SYNCING and replica.attempt == event.attempt + 1


def _not_fencing(volume: Volume, _event: ReplicaLost) -> Refused | None:
    """An engine must not chase the fence from replica to replica (B12)."""
    session = volume.session
    fencing = session is not None and session.phase is SessionPhase.FENCING
    return not_now(f"{volume.name} is being fenced") if fencing else None


def with_witness(volume: Volume, event: ReplicaLost) -> Refused | None:
    """An isolated engine removes nobody: another in-sync replica must have answered after the failure (B6)."""
    if known(volume, event.replica).phase is ReplicaPhase.SYNCING:
        return None
    witness = volume.replica(event.witness)
    if witness and witness.id != event.replica and witness.phase is ReplicaPhase.IN_SYNC:
        return None
    return not_now(f"{event.witness or 'nobody'} is no witness for the loss of replica {event.replica}")


def not_the_last(volume: Volume, event: ReplicaLost | ReplicaDropped) -> Refused | None:
    """The last in-sync replica is never taken out of the set (S5)."""
    if _ids(volume.in_sync) == (event.replica,):
        return not_now(f"replica {event.replica} is the last in-sync one of {volume.name}")
    return None


def _lose(volume: Volume, event: ReplicaLost) -> Change:
    replica = known(volume, event.replica)
    why = f": {event.why[:TEXT_MAX]}" if event.why else ""
    if replica.phase is ReplicaPhase.SYNCING:
        broke = replace(replica, attempt=Attempt(replica.attempt + 1))
        line = f"attempt {replica.attempt} of replica {replica.id} on {replica.node} broke{why}"
        return Change(replace(volume, replicas=_swap(volume, broke)), (line,))
    after = replace(volume, replicas=_swap(volume, lose(replica, volume.m)), m=Membership(volume.m + 1))
    return Change(after, (f"replica {replica.id} on {replica.node} lost{why}; {event.witness} answered",))


def copy_of(volume: Volume, replica_id: ReplicaId, *, committed: bool) -> Task | None:
    """The copy to this replica at the record's epoch."""
    return next(
        (
            t
            for t in volume.tasks
            if (t.kind, t.target, t.epoch, t.committed)
            == (TaskKind.COPY, replica_id, volume.epoch, committed)
        ),
        None,
    )


def _synced_before(volume: Volume, event: ReplicaSynced) -> bool:
    replica = volume.replica(event.replica)
    if replica is None or replica.phase is not ReplicaPhase.IN_SYNC or replica.attempt != event.attempt:
        return False
    in_session = volume.session is not None and volume.session.epoch == event.epoch
    copied = volume.epoch == event.epoch and copy_of(volume, event.replica, committed=True) is not None
    return in_session or copied


def synced_at_epoch(volume: Volume, event: ReplicaSynced) -> Refused | None:
    """A copy made before a session wrote is not a copy of what it wrote (docs/protocol.md, Move without attach)."""
    if volume.session:
        return guards.session_is(volume, event)
    return guards.epoch_is_records(volume, event)


def synced_by_whom(volume: Volume, event: ReplicaSynced) -> Refused | None:
    """In a session by its open engine; without one by the copy that the record has, of a settled volume."""
    session = volume.session
    if session:
        is_open = session.phase is SessionPhase.OPEN
        return None if is_open else not_now(f"session {spoken(session.epoch)} is {session.phase}")
    if copy_of(volume, event.replica, committed=False) is None:
        return stale(f"no copy to replica {event.replica} of {volume.name} is under way")
    return guards.is_settled(volume, event)


def _base_is(volume: Volume, event: ReplicaSynced) -> Refused | None:
    if event.base == Base(chain=volume.chain, size=volume.size):
        return None
    return stale(f"replica {event.replica} was made of another chain or size than {volume.name} has now")


def _not_in_sync(volume: Volume, event: ReplicaSynced) -> Refused | None:
    in_sync = known(volume, event.replica).phase is ReplicaPhase.IN_SYNC
    return stale(f"replica {event.replica} of {volume.name} is in-sync already") if in_sync else None


def _join(volume: Volume, event: ReplicaSynced) -> Change:
    m = Membership(volume.m + 1)
    joined = replace(known(volume, event.replica), phase=ReplicaPhase.IN_SYNC, synced_through=m)
    tasks = tuple(replace(t, committed=True) if t.target == joined.id else t for t in volume.tasks)
    after = replace(volume, replicas=_swap(volume, joined), m=m, tasks=tasks)
    return Change(after, (f"replica {joined.id} on {joined.node} in-sync",))


def is_leaving(volume: Volume, event: ReplicaDropped) -> Refused | None:
    """Only a marked, in-sync replica is dropped; a syncing one is given up instead."""
    replica = known(volume, event.replica)
    if replica.phase is ReplicaPhase.IN_SYNC and replica.leaving:
        return None
    return stale(f"replica {event.replica} of {volume.name} is not an in-sync one that is to leave")


def others_probed(volume: Volume, event: ReplicaDropped) -> Refused | None:
    """What is kept has just answered, so nothing rests on a silently dead copy (B5)."""
    silent = [r.id for r in volume.in_sync if r.id != event.replica and r.id not in event.probes]
    return not_now(f"replica {silent[0]} did not answer a probe for this removal") if silent else None


def _drop(volume: Volume, event: ReplicaDropped) -> Change:
    why = known(volume, event.replica).leaving
    after, lines = _remove(
        volume, event.replica, f"dropped: {why}; kept and asked: {', '.join(event.probes)}"
    )
    if after is None:
        raise AssertionError("a drop never removes the document")
    return Change(replace(after, m=Membership(volume.m + 1)), lines)


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
        guards=(guards.replica_known, _is_syncing, guards.attempt_is, guards.no_session, _no_task_on),
        change=_abandon,
    ),
    ReplicaGone: Transition(repeated=_gone_before, guards=(has_tombstone,), change=_go),
    ReplicaLost: Transition(
        repeated=_lost_before,
        guards=(
            guards.session_is,
            _not_fencing,
            guards.replica_known,
            guards.attempt_is,
            with_witness,
            not_the_last,
        ),
        change=_lose,
    ),
    ReplicaSynced: Transition(
        repeated=_synced_before,
        guards=(
            guards.not_deleting,
            synced_at_epoch,
            guards.replica_known,
            guards.attempt_is,
            _not_in_sync,
            synced_by_whom,
            _base_is,
        ),
        change=_join,
    ),
    ReplicaDropped: Transition(
        guards=(
            guards.no_session,
            guards.epoch_is_records,
            guards.is_settled,
            guards.replica_known,
            is_leaving,
            others_probed,
            not_the_last,
            _no_task_on,
        ),
        change=_drop,
    ),
}
