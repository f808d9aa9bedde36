"""What every volume document must be at any moment, by itself. Knows neither the law's table nor planning."""

from collections.abc import Iterator

from shorthorn.core.invariants.finding import Finding, broken
from shorthorn.core.model.volume import Session, SessionPhase, Volume

_ERA_BITS = 32
_LIVE = (SessionPhase.OPENING, SessionPhase.OPEN)


def check_volume(volume: Volume) -> list[Finding]:
    """S1, S5, S6, S8, S9 and S10 of one document."""
    found = [*_held(volume), *_in_sync(volume), *_numbers(volume), *_identities(volume), *_tasks(volume)]
    if volume.session:
        found += _session(volume, volume.session)
    if volume.deleting:
        found += _deleting(volume)
    return [broken(rule, volume.name, what) for rule, what in found]


def _held(volume: Volume) -> Iterator[tuple[str, str]]:
    if len({a.node for a in volume.attachments}) > 1:
        yield "S1", "attachments on several nodes"
    if len({a.holder for a in volume.attachments}) < len(volume.attachments):
        yield "S1", "one holder is attached twice"
    session = volume.session
    if session and session.phase in _LIVE and all(a.node != session.node for a in volume.attachments):
        yield (
            "S1",
            f"session {session.epoch} is {session.phase} at {session.node}, where nobody holds the volume",
        )
    if volume.held_since and not volume.attachments:
        yield "A16", "a hold goes on although nobody holds the volume"


def _in_sync(volume: Volume) -> Iterator[tuple[str, str]]:
    if volume.m > 0 and not volume.deleting and not volume.in_sync:
        yield "S5", "no in-sync replica is left"
    if volume.m == 0 and (volume.in_sync or volume.opened_epoch):
        yield "S6", "in-sync without ever having been formed"
    for replica in volume.in_sync:
        if replica.synced_through is None or replica.synced_through > volume.m:
            yield "S6", f"replica {replica.id} is in-sync without proof"
    for replica in volume.syncing:
        if replica.synced_through is not None and replica.synced_through >= volume.m:
            yield "A6", f"syncing replica {replica.id} would be complete up to {replica.synced_through}"


def _numbers(volume: Volume) -> Iterator[tuple[str, str]]:
    if volume.version < 1 or volume.m < 0 or any(r.attempt < 1 for r in volume.replicas):
        yield "S8", "a number below its first"
    if volume.epoch >> _ERA_BITS != volume.era:
        yield "S8", f"epoch {volume.epoch} is not of era {volume.era}"
    if max(volume.opened_epoch, volume.held_since) > volume.epoch:
        yield "S8", "an epoch of the future"


def _identities(volume: Volume) -> Iterator[tuple[str, str]]:
    ids = [r.id for r in volume.replicas]
    stones = [t.replica for t in volume.tombstones]
    if len({*ids, *stones}) < len(ids) + len(stones):
        yield "S8", "a replica id is used twice"
    if ids != sorted(ids) or stones != sorted(stones):
        yield "S8", "replicas or tombstones are not in order"
    nodes = [r.node for r in volume.replicas]
    if len(set(nodes)) < len(nodes):
        yield "S9", "two replicas on one node"
    if any(t.version > volume.version for t in volume.tombstones):
        yield "S8", "a tombstone of a later document"


def _tasks(volume: Volume) -> Iterator[tuple[str, str]]:
    if len(volume.tasks) > 1:
        yield "L5", "more than one task"
    if volume.tasks and volume.session:
        yield "A8", "a task without a session beside a session"
    for task in volume.tasks:
        if task.epoch != volume.epoch:
            yield "A8", f"task {task.id} of epoch {task.epoch} at epoch {volume.epoch}"
        if not task.committed and task.target and volume.replica(task.target) is None:
            yield "L5", f"task {task.id} fills a replica that is not there"


def _session(volume: Volume, session: Session) -> Iterator[tuple[str, str]]:
    fencing = session.phase is SessionPhase.FENCING
    if volume.epoch != session.epoch + fencing:
        yield "S8", f"session {session.epoch}, {session.phase}, at epoch {volume.epoch}"
    if fencing and volume.held_since:
        yield "A16", "a hold goes on although its session is being fenced"
    was_open = volume.opened_epoch == session.epoch
    if session.phase is SessionPhase.OPEN and not was_open:
        yield "S8", "open without having opened"
    if session.phase is SessionPhase.OPENING and (was_open or session.endpoint):
        yield "S8", "opening with an endpoint or a second time"
    if was_open and volume.settled:
        yield "A10", "settled while a session may write"
    stale = any(a.stale for a in volume.attachments)
    if session.phase is SessionPhase.OPEN and session.broken != stale:
        yield "A2", "broken and the clients from before do not agree"


def _deleting(volume: Volume) -> Iterator[tuple[str, str]]:
    if volume.attachments or volume.session:
        yield "S1", "deleted while held"
    if volume.replicas or volume.tasks:
        yield "L6", "deleted with replicas or tasks left"
    if not volume.tombstones:
        yield "L6", "deleted with nothing left, but still there"
