"""Work without a session: settling and copying (docs/protocol.md, Settle, Move without attach). One at a time."""

import msgspec

from shorthorn.core.lifecycle import guards
from shorthorn.core.lifecycle.events import CopyStarted, Settled, SettleStarted, TaskEnded
from shorthorn.core.lifecycle.grounds import Grounds
from shorthorn.core.lifecycle.outcome import Refused
from shorthorn.core.lifecycle.sessions import lose
from shorthorn.core.lifecycle.transition import Change, Transition, not_now, stale
from shorthorn.core.model.ids import Membership, NodeName, ReplicaId, TaskId
from shorthorn.core.model.volume import Replica, ReplicaPhase, Task, TaskKind, Volume

replace = msgspec.structs.replace


def _task(volume: Volume, task_id: TaskId) -> Task | None:
    return next((t for t in volume.tasks if t.id == task_id), None)


def _started_so(volume: Volume, event: SettleStarted | CopyStarted) -> bool:
    task = _task(volume, event.task)
    return task is not None and task.epoch == event.epoch


def _id_is_new(volume: Volume, event: SettleStarted | CopyStarted) -> Refused | None:
    return stale(f"task id {event.task} was used before") if _task(volume, event.task) else None


def _replace_task(volume: Volume, task: Task, line: str) -> Change:
    """The epoch moves on, which makes void whatever an older task still does; `tries` counts starts without success."""
    before = next((t for t in volume.tasks if t.kind is task.kind), None)
    tries = before.tries + 1 if before and not before.committed else 1
    over = tuple(f"{t.kind} {t.id} is void: another task starts" for t in volume.tasks if not t.committed)
    after = replace(volume, epoch=task.epoch, tasks=(replace(task, tries=tries),))
    return Change(after, (*over, line))


def _unsettled(volume: Volume, _event: SettleStarted) -> Refused | None:
    return stale(f"{volume.name} is settled already") if volume.settled else None


def _holds_in_sync(volume: Volume, event: SettleStarted) -> Refused | None:
    if any(r.node == event.place for r in volume.in_sync):
        return None
    return not_now(f"{event.place} holds no in-sync replica of {volume.name}")


def without_some(volume: Volume, event: SettleStarted) -> Refused | None:
    """What it goes without is in the set, and does not hold the place."""
    left_out = [r for r in volume.in_sync if r.id in event.without]
    if len(left_out) == len(event.without) and all(r.node != event.place for r in left_out):
        return None
    return stale(f"{volume.name} can't be settled at {event.place} without {', '.join(event.without)}")


def _start_settle(volume: Volume, event: SettleStarted) -> Change:
    task = Task(
        id=event.task, kind=TaskKind.SETTLE, epoch=event.epoch, place=event.place, without=event.without
    )
    return _replace_task(volume, task, f"settling at {event.place}, epoch {guards.spoken(event.epoch)}")


def _settled_before(volume: Volume, event: Settled) -> bool:
    done = any(t.kind is TaskKind.SETTLE and t.committed and t.epoch == event.epoch for t in volume.tasks)
    return volume.settled and done


def _settle_under_way(volume: Volume, event: Settled) -> Refused | None:
    if any(t.kind is TaskKind.SETTLE and t.epoch == event.epoch for t in volume.tasks):
        return None
    return stale(f"no settling of {volume.name} at epoch {guards.spoken(event.epoch)} is under way")


def all_sealed(volume: Volume, event: Settled) -> Refused | None:
    """A replica that was not there may differ, so it leaves the set or the settling is none."""
    there = (*event.sealed, *event.removed)
    missing = next((r.id for r in volume.in_sync if r.id not in there), None)
    return (
        not_now(f"replica {missing} of {volume.name} took no part in settling")
        if missing is not None
        else None
    )


def removed_in_sync(volume: Volume, event: Settled) -> Refused | None:
    """Only what is in the set leaves it."""
    in_sync = [r.id for r in volume.in_sync]
    strange = next((r for r in event.removed if r not in in_sync), None)
    return stale(f"replica {strange} of {volume.name} is not in-sync") if strange is not None else None


def some_stay(volume: Volume, event: Settled) -> Refused | None:
    """What is left is sealed and not empty (S5)."""
    if any(r.id in event.sealed and r.id not in event.removed for r in volume.in_sync):
        return None
    return not_now(
        f"no in-sync replica of {volume.name} would be left; its nodes are dead, one has to return"
    )


def _nodes_of_removed(volume: Volume, event: Settled) -> tuple[NodeName, ...]:
    return tuple(r.node for r in volume.replicas if r.id in event.removed)


def removed_are_dead(volume: Volume, event: Settled, grounds: Grounds) -> Refused | None:
    """Only a person may say that a member will not come back; what is merely away is waited for."""
    alive = next((n for n in _nodes_of_removed(volume, event) if not grounds.is_dead(n)), None)
    return not_now(f"{alive} was not declared dead, so its replica is waited for") if alive else None


def _settle(volume: Volume, event: Settled) -> Change:
    """Every replica that stays was sealed at this epoch: one sealed before it only has gone back in time (A17)."""
    gone = [r for r in volume.in_sync if r.id in event.removed]
    if gone:
        left = tuple(lose(r, volume.m) if r in gone else r for r in volume.replicas)
        volume = replace(volume, replicas=left, m=Membership(volume.m + 1))
    tasks = tuple(replace(t, committed=True) if t.epoch == event.epoch else t for t in volume.tasks)
    after = replace(volume, settled=True, opened_epoch=event.epoch, tasks=tasks)
    lines = tuple(f"replica {r.id} lost: {r.node} was declared dead" for r in gone)
    return Change(after, (*lines, "settled: all in-sync replicas are equal"))


def _replica_in(volume: Volume, replica_id: ReplicaId, phase: ReplicaPhase) -> Replica | None:
    replica = volume.replica(replica_id)
    return replica if replica and replica.phase is phase else None


def source_in_sync(volume: Volume, event: CopyStarted) -> Refused | None:
    """Only proven sources (S6)."""
    if _replica_in(volume, event.source, ReplicaPhase.IN_SYNC):
        return None
    return stale(f"replica {event.source} of {volume.name} is not in-sync")


def _target_syncing(volume: Volume, event: CopyStarted) -> Refused | None:
    if _replica_in(volume, event.target, ReplicaPhase.SYNCING):
        return None
    return stale(f"replica {event.target} of {volume.name} is not syncing")


def _place_takes_part(volume: Volume, event: CopyStarted) -> Refused | None:
    nodes = [r.node for r in volume.replicas if r.id in (event.source, event.target)]
    return None if event.place in nodes else not_now(f"{event.place} holds neither source nor target")


def _start_copy(volume: Volume, event: CopyStarted) -> Change:
    task = Task(
        id=event.task,
        kind=TaskKind.COPY,
        epoch=event.epoch,
        place=event.place,
        source=event.source,
        target=event.target,
    )
    line = (
        f"copying from {event.source} to {event.target} at {event.place}, epoch {guards.spoken(event.epoch)}"
    )
    return _replace_task(volume, task, line)


def _ended_before(volume: Volume, event: TaskEnded) -> bool:
    task = _task(volume, event.task)
    return task is None or task.epoch != event.epoch


def _end(volume: Volume, event: TaskEnded) -> Change:
    tasks = tuple(t for t in volume.tasks if t.id != event.task)
    return Change(replace(volume, tasks=tasks), (f"task {event.task} ended: {event.why}",))


ROWS: dict[type, Transition] = {
    SettleStarted: Transition(
        repeated=_started_so,
        guards=(
            guards.not_deleting,
            guards.no_session,
            guards.epoch_is_next,
            _unsettled,
            _holds_in_sync,
            without_some,
            _id_is_new,
        ),
        change=_start_settle,
    ),
    Settled: Transition(
        repeated=_settled_before,
        guards=(
            guards.no_session,
            guards.epoch_is_records,
            _unsettled,
            _settle_under_way,
            all_sealed,
            removed_in_sync,
            some_stay,
        ),
        rests_on=_nodes_of_removed,
        grounded=(removed_are_dead,),
        change=_settle,
    ),
    CopyStarted: Transition(
        repeated=_started_so,
        guards=(
            guards.not_deleting,
            guards.no_session,
            guards.epoch_is_next,
            guards.is_settled,
            source_in_sync,
            _target_syncing,
            _place_takes_part,
            _id_is_new,
        ),
        change=_start_copy,
    ),
    TaskEnded: Transition(repeated=_ended_before, change=_end),
}
