"""The in-sync set after it was formed: replicas are lost, join and are dropped, never the last one (S5).

The set changes by Formed (`replicas`), SessionOpened (`sessions`) and the three events here, by nothing else.
"""

import msgspec

from shorthorn.core.lifecycle import guards
from shorthorn.core.lifecycle.events import Base, ReplicaDropped, ReplicaLost, ReplicaSynced
from shorthorn.core.lifecycle.guards import spoken
from shorthorn.core.lifecycle.limits import TEXT_MAX
from shorthorn.core.lifecycle.outcome import Refused
from shorthorn.core.lifecycle.replicas import ids_of, known, no_task_on, remove, swap
from shorthorn.core.lifecycle.sessions import lose
from shorthorn.core.lifecycle.transition import Change, Transition, not_now, stale
from shorthorn.core.model.ids import Attempt, Membership, ReplicaId
from shorthorn.core.model.volume import ReplicaPhase, SessionPhase, Task, TaskKind, Volume

replace = msgspec.structs.replace


def _lost_before(volume: Volume, event: ReplicaLost) -> bool:
    """Also one that was given up meanwhile: nobody counts on it any more."""
    replica, session = volume.replica(event.replica), volume.session
    if session is None or session.epoch != event.epoch:
        return False
    if replica is None:
        return any(t.replica == event.replica for t in volume.tombstones)
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
    if ids_of(volume.in_sync) == (event.replica,):
        return not_now(f"replica {event.replica} is the last in-sync one of {volume.name}")
    return None


def _lose(volume: Volume, event: ReplicaLost) -> Change:
    replica = known(volume, event.replica)
    why = f": {event.why[:TEXT_MAX]}" if event.why else ""
    if replica.phase is ReplicaPhase.SYNCING:
        broke = replace(replica, attempt=Attempt(replica.attempt + 1))
        line = f"attempt {replica.attempt} of replica {replica.id} on {replica.node} broke{why}"
        return Change(replace(volume, replicas=swap(volume, broke)), (line,))
    after = replace(volume, replicas=swap(volume, lose(replica, volume.m)), m=Membership(volume.m + 1))
    how = f"left, as it was to ({replica.leaving})" if replica.leaving else "lost"
    return Change(after, (f"replica {replica.id} on {replica.node} {how}{why}; {event.witness} answered",))


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
    after = replace(volume, replicas=swap(volume, joined), m=m, tasks=tasks)
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
    after, lines = remove(volume, event.replica, f"dropped: {why}; kept and asked: {', '.join(event.probes)}")
    if after is None:
        raise AssertionError("a drop never removes the document")
    return Change(replace(after, m=Membership(volume.m + 1)), lines)


ROWS: dict[type, Transition] = {
    ReplicaLost: Transition(
        repeated=_lost_before,
        guards=(
            guards.session_is,
            _not_fencing,
            guards.replica_known,
            guards.attempt_is,
            not_the_last,
            with_witness,
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
            no_task_on,
        ),
        change=_drop,
    ),
}
