"""What one change of a volume document may do, whatever event caused it. Knows the two documents only."""

from collections.abc import Iterator

from shorthorn.core.invariants.finding import Finding, broken
from shorthorn.core.invariants.volume import check_volume
from shorthorn.core.model.volume import ReplicaPhase, SessionPhase, Task, TaskKind, Volume

_ORDER = list(SessionPhase)


def check_step(before: Volume, after: Volume) -> list[Finding]:
    """The document after, and S5, S7, S8, S10 of the step from one to the other."""
    found = [*_same_volume(before, after), *_grows(before, after), *_replicas(before, after)]
    found += [*_set_changes(before, after), *_session(before, after), *_settled(before, after)]
    return check_volume(after) + [broken(rule, after.name, what) for rule, what in found]


def _same_volume(before: Volume, after: Volume) -> Iterator[tuple[str, str]]:
    if (before.uid, before.name) != (after.uid, after.name):
        yield "S8", "became another volume"
    if after.size < before.size:
        yield "S8", "shrank"
    if before.deleting and not after.deleting:
        yield "L6", "came back from deletion"


def _grows(before: Volume, after: Volume) -> Iterator[tuple[str, str]]:
    if after.version != before.version + 1:
        yield "S8", f"version {before.version} was followed by {after.version}"
    for name in ("era", "epoch", "m", "opened_epoch"):
        if getattr(after, name) < getattr(before, name):
            yield "S8", f"{name} went back from {getattr(before, name)} to {getattr(after, name)}"


def _replicas(before: Volume, after: Volume) -> Iterator[tuple[str, str]]:
    stones = {t.replica for t in after.tombstones}
    for old in before.replicas:
        new = after.replica(old.id)
        if new is None:
            if old.id not in stones:
                yield "S8", f"replica {old.id} vanished without a tombstone"
            continue
        if (new.node, new.disk) != (old.node, old.disk):
            yield "S8", f"replica {old.id} changed its place"
        left = old.phase is ReplicaPhase.IN_SYNC and new.phase is ReplicaPhase.SYNCING
        if new.attempt < old.attempt or (left and new.attempt == old.attempt):
            yield "S8", f"replica {old.id} left the set without a new attempt"
        if left and new.synced_through != before.m:
            yield "A6", f"replica {old.id} left in {before.m} but says {new.synced_through}"


def _set_changes(before: Volume, after: Volume) -> Iterator[tuple[str, str]]:
    old, new = _members(before), _members(after)
    if old == new or after.deleting:
        return
    if after.m == before.m:
        yield "S8", "the in-sync set changed without a new membership number"
    if old and not new:
        yield "S5", "the last in-sync replica was taken away"
    if before.m == 0:
        return
    if before.session is None:
        if not before.settled and not _settles_without(before, after):
            yield "A10", "the in-sync set of an unsettled detached volume changed"
        if after.epoch != before.epoch:
            yield "S2", "the in-sync set and the epoch of a detached volume changed together"
    if before.session and before.session.phase is SessionPhase.FENCING:
        yield "B12", "the in-sync set changed in a session that is being fenced"
    joined = new - old
    if joined and before.session is None and not any(_filled(t, joined, before) for t in before.tasks):
        yield "S6", f"replica {min(joined)} became in-sync without a copy at this epoch"
    if joined and before.session and before.session.phase is not SessionPhase.OPEN:
        yield "S6", f"replica {min(joined)} became in-sync in a session that was {before.session.phase}"


def _members(volume: Volume) -> frozenset[str]:
    return frozenset(r.id for r in volume.in_sync)


def _settles_without(before: Volume, after: Volume) -> bool:
    """Settling takes out what is not equal, and brings nothing in."""
    done = any(t.kind is TaskKind.SETTLE and t.committed for t in after.tasks)
    return after.settled and done and _members(after) < _members(before)


def _filled(task: Task, joined: frozenset[str], volume: Volume) -> bool:
    return task.kind is TaskKind.COPY and {task.target} == joined and task.epoch == volume.epoch


def _session(before: Volume, after: Volume) -> Iterator[tuple[str, str]]:
    old, new = before.session, after.session
    if new and (old is None or old.epoch != new.epoch):
        if old:
            yield "S7", "a session began before the one before had ended"
        if not before.attachments or any(a.node != new.node for a in before.attachments):
            yield "S10", "a session began although nobody held the volume there"
        if new.epoch <= before.epoch:
            yield "S8", "a session began with an old epoch"
    if old and new and old.epoch == new.epoch and _ORDER.index(new.phase) < _ORDER.index(old.phase):
        yield "S8", f"the session went back from {old.phase} to {new.phase}"
    yield from _fence(before, after)
    if old and new is None and _beside_session(before) != _beside_session(after):
        yield "S7", "a session ended together with something else"
    added = {a.holder for a in after.attachments} - {a.holder for a in before.attachments}
    if added and (new != old or after.epoch != before.epoch):
        yield "S1", "an attachment was added together with something else"


def _fence(before: Volume, after: Volume) -> Iterator[tuple[str, str]]:
    """The epoch moves on under a session by its fence only, which changes nothing else."""
    old, new = before.session, after.session
    if old is None or new is None or old.epoch != new.epoch:
        return
    begins = old.phase is not SessionPhase.FENCING and new.phase is SessionPhase.FENCING
    if after.epoch != before.epoch + begins:
        yield "S8", f"epoch {before.epoch} was followed by {after.epoch} in session {old.epoch}"
    if begins and (after.m, after.replicas, after.attachments) != (
        before.m,
        before.replicas,
        before.attachments,
    ):
        yield "S7", "a fence began together with something else"


def _beside_session(volume: Volume) -> tuple[object, ...]:
    """What the end of a session leaves as it is."""
    members = tuple((r.id, r.phase, r.attempt) for r in volume.replicas)
    return volume.epoch, volume.m, members, volume.attachments, volume.tombstones, volume.opened_epoch


def _settled(before: Volume, after: Volume) -> Iterator[tuple[str, str]]:
    if before.settled or not after.settled:
        return
    formed = before.m == 0
    closed = (
        before.session is not None and before.opened_epoch == before.session.epoch and after.session is None
    )
    equal = any(t.kind is TaskKind.SETTLE and t.committed for t in after.tasks)
    if not (formed or closed or equal):
        yield "A10", "became settled by nothing"
