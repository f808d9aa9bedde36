"""A server that decides carelessly: another version, a bug, a view of long ago. What the law lets pass must do no harm.

It may decide anything at any time, from the budget `careless`; what it states as a fact is true (who is sealed, how long one
has waited, what a task made equal). So a guard of the law is seen to be needed also where today's planning never tries it.
"""

from collections.abc import Iterator

from shorthorn.core.lifecycle.events import (
    CopyStarted,
    FenceHeld,
    FenceStarted,
    Formed,
    ReplicaAbandoned,
    ReplicaDropped,
    ReplicaGone,
    SessionStarted,
    Settled,
    SettleStarted,
    TaskEnded,
)
from shorthorn.core.model.ids import Epoch, ReplicaId, TaskId
from shorthorn.core.model.volume import Volume
from shorthorn.core.planning.looking import drop_id
from shorthorn.core.planning.plan import Intent, PlannedEvent
from shorthorn.sim.explorer.moves.tasks import READY
from shorthorn.sim.explorer.parts import bits
from shorthorn.sim.explorer.seeing import boot_id, machine_id, name
from shorthorn.sim.explorer.space import CHANCE, Frame

WAITED_S = 2.2
"""1.1 T, with T as it is by default."""


def decide(f: Frame) -> None:
    """Every event that the law accepts and that changes something."""
    left = f.spend("careless")
    if left < 0 or f.volume is None:
        return
    for event in _events(f, f.volume):
        intent = Intent(volume=f.volume.uid, name=f.volume.name, event=event, cause="carelessly")
        answer = f.model.record.commit(f.v, f.nd, event, intent)
        if isinstance(answer, tuple) and answer != (f.v, f.nd):
            f.go(CHANCE, ("a careless server: {}", intent), v=answer[0], nd=answer[1], bd=left)


def _events(f: Frame, volume: Volume) -> Iterator[PlannedEvent]:
    after = Epoch(volume.epoch + 1)
    if volume.session is None:
        for node, machine in enumerate(f.machines):
            yield SessionStarted(
                epoch=after, node=name(node), machine_id=machine_id(node), boot_id=boot_id(machine)
            )
            yield SettleStarted(epoch=after, task=TaskId(f"c{after}"), place=name(node))
        for one in volume.in_sync:
            place = next((r.node for r in volume.in_sync if r.id != one.id), one.node)
            yield SettleStarted(epoch=after, task=TaskId(f"c{after}"), place=place, without=(one.id,))
        for source in volume.replicas:
            for target in volume.replicas:
                yield CopyStarted(
                    epoch=after,
                    task=TaskId(f"c{after}"),
                    source=source.id,
                    target=target.id,
                    place=target.node,
                )
    else:
        yield FenceStarted(epoch=volume.session.epoch, why="carelessly")
        yield from _holds(f, volume)
    for run in f.runs:
        if run.stage == READY and run.settle:
            yield Settled(epoch=Epoch(run.epoch), sealed=_ids(f, run.sealed))
    for replica in volume.replicas:
        yield ReplicaAbandoned(replica=replica.id, attempt=replica.attempt, why="carelessly")
        yield ReplicaGone(replica=replica.id)
        asked = sum(1 << rep.bit for _, rep in f.reps.values() if rep.probe == drop_id(volume, replica))
        yield ReplicaDropped(epoch=volume.epoch, replica=replica.id, probes=_ids(f, asked))
    for task in volume.tasks:
        yield TaskEnded(task=task.id, epoch=task.epoch, why="carelessly")
    yield Formed(members=tuple(r.id for r in volume.syncing))


def _holds(f: Frame, volume: Volume) -> Iterator[FenceHeld]:
    """By any replica that is sealed, in-sync or not, with the time that it has really waited."""
    for _, rep in f.reps.values():
        if rep.epoch >= volume.epoch:
            waited = WAITED_S if rep.over >= volume.epoch else 0.0
            yield FenceHeld(
                epoch=volume.epoch, replica=ReplicaId(f.model.names.ids[rep.bit]), waited_s=waited
            )


def _ids(f: Frame, mask: int) -> tuple[ReplicaId, ...]:
    return tuple(sorted(ReplicaId(f.model.names.ids[b]) for b in bits(mask)))
