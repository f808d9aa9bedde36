"""Work without a session once it was started: record its effect, try again with patience, end it."""

from collections.abc import Callable

from shorthorn.core.lifecycle.events import Base, ReplicaSynced, Settled, TaskEnded
from shorthorn.core.model.ids import NodeName
from shorthorn.core.model.sighting import Reach, TaskSighting, TaskState
from shorthorn.core.model.volume import Task, TaskKind, Volume
from shorthorn.core.model.world import World
from shorthorn.core.planning.looking import gone_for_good, wait
from shorthorn.core.planning.plan import Intent, Plan, PlannedEvent

RETRY_MAX_S = 60.0
"""Longest pause between two tries. A try costs a commit and a seal; a lasting fault is seen within a minute of its end."""


def retry_after_s(tries: int) -> float:
    """1, 2, 4 … 60 s: the pause after the given number of tries."""
    return min(RETRY_MAX_S, 2.0 ** min(tries - 1, 10))


def follow(world: World, volume: Volume, task: Task, why_void: str, again: Callable[[], Plan]) -> Plan:
    """What becomes of a task that the record has.

    `why_void`: why it is no longer wanted, empty while it is. `again`: starts the same work anew after a failure.
    Intents: Settled, ReplicaSynced, TaskEnded, or those of `again`. Waits: its progress, its failure.
    """
    seen = world.task_seen(volume.uid, task)
    if task.committed:
        over = seen is not None and seen.state in (TaskState.FINISHED, TaskState.FAILED)
        lost = world.reach(task.place) is Reach.UNREACHABLE
        return _end(volume, task, "done") if over or lost else Plan()
    if why_void:
        return _end(volume, task, why_void)
    if world.reach(task.place) is Reach.UNREACHABLE:
        return _end(volume, task, f"{task.place} is unreachable")
    if seen is None:
        return Plan(waits=(wait(volume, f"{_name(task)} is to begin at {task.place}"),))
    match seen.state:
        case TaskState.RUNNING:
            return Plan(waits=(wait(volume, f"{_name(task)} at {task.place}: {_progress(seen)}"),))
        case TaskState.READY:
            cause = f"{_name(task)} at {task.place} is ready"
            event = _effect(world, volume, task, seen)
            return _intend(volume, event, cause, _removed_at(volume, event))
        case TaskState.FAILED | TaskState.FINISHED:
            return _try_again(volume, task, seen, again)


def _try_again(volume: Volume, task: Task, seen: TaskSighting, again: Callable[[], Plan]) -> Plan:
    left = retry_after_s(task.tries) - seen.for_s
    if left <= 0:
        return again()
    reason = f"{_name(task)} at {task.place} failed: {seen.why or 'ended without a result'}"
    pause = f"try {task.tries + 1} follows within {retry_after_s(task.tries):.0f} s"
    return Plan(waits=(wait(volume, reason, pause),), look_again_s=left)


def _effect(world: World, volume: Volume, task: Task, seen: TaskSighting) -> PlannedEvent:
    if task.kind is TaskKind.SETTLE:
        removed = tuple(r.id for r in volume.in_sync if r.id not in seen.sealed and gone_for_good(world, r))
        return Settled(epoch=task.epoch, sealed=seen.sealed, removed=removed)
    target = volume.replica(task.target) if task.target else None
    if target is None:
        return TaskEnded(task=task.id, epoch=task.epoch, why="its target is gone")
    base = Base(chain=volume.chain, size=volume.size)
    return ReplicaSynced(epoch=task.epoch, replica=target.id, attempt=target.attempt, base=base)


def _end(volume: Volume, task: Task, why: str) -> Plan:
    return _intend(volume, TaskEnded(task=task.id, epoch=task.epoch, why=why), why)


def _removed_at(volume: Volume, event: PlannedEvent) -> tuple[NodeName, ...]:
    """The nodes whose being declared dead a settle without them rests on."""
    removed = event.removed if isinstance(event, Settled) else ()
    return tuple(r.node for r in volume.in_sync if r.id in removed)


def _intend(volume: Volume, event: PlannedEvent, cause: str, rests_on: tuple[NodeName, ...] = ()) -> Plan:
    intent = Intent(volume=volume.uid, name=volume.name, event=event, cause=cause, unchanged=rests_on)
    return Plan(intents=(intent,))


def _name(task: Task) -> str:
    return f"copying to replica {task.target}" if task.kind is TaskKind.COPY else "making its replicas equal"


def _progress(seen: TaskSighting) -> str:
    return f"{100 * seen.done // seen.total} %" if seen.total else "under way"
