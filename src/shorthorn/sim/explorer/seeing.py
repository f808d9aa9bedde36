"""What agents would report of the parts, as sightings of the real kind, and what planning sees of all nodes."""

from typing import NamedTuple

from shorthorn.core.model.ids import (
    Attempt,
    DiskUid,
    Epoch,
    Membership,
    NodeName,
    ReplicaId,
    TaskId,
    VolumeUid,
)
from shorthorn.core.model.sighting import (
    DiskSighting,
    EngineSighting,
    EngineState,
    NodeSighting,
    Reach,
    ReplicaSighting,
    TaskSighting,
    TaskState,
)
from shorthorn.core.model.world import Seen
from shorthorn.sim.explorer.intern import Names
from shorthorn.sim.explorer.parts import SEALING, SERVING, Engine, Machine, Rep, Run

UID = VolumeUid("v1-uid")
ROOM = 100 * 1024**3

_RUNS = (
    TaskState.RUNNING,
    TaskState.RUNNING,
    TaskState.RUNNING,
    TaskState.READY,
    TaskState.FINISHED,
    TaskState.FAILED,
)


class Told(NamedTuple):
    """What an agent's orders say about what it has to report: an engine's epoch, folders to delete, tasks.

    `hasty`: it says that a fence has waited as soon as it has sealed, which is wrong.
    """

    epoch: int
    deleted: tuple[int, ...]
    tasks: tuple[tuple[str, int], ...]
    hasty: bool = False


def name(node: int) -> NodeName:
    """Nodes are called n1, n2 …"""
    return NodeName(f"n{node + 1}")


def disk(node: int) -> DiskUid:
    """Each node has one disk."""
    return DiskUid(f"n{node + 1}-d1")


def machine_id(node: int) -> str:
    """Never changes."""
    return f"m{node + 1}"


def boot_id(machine: Machine) -> str:
    """Another one after each loss of power."""
    return f"b{machine.boot}"


def seen_node(
    names: Names, node: int, machine: Machine, engines: tuple[Engine, ...], runs: tuple[Run, ...], told: Told
) -> Seen:
    """The sighting of a node that is heard."""
    there = {rep.bit for rep in machine.folders}
    shown = DiskSighting(
        uid=disk(node),
        size=ROOM,
        free=ROOM,
        address=f"{name(node)}:1",
        complete=True,
        replicas=tuple(
            sorted(
                (_folder(names, rep, hasty=told.hasty) for rep in machine.folders), key=lambda r: r.replica
            )
        ),
        gone=tuple(sorted(ReplicaId(names.ids[b]) for b in told.deleted if b not in there)),
    )
    sighting = NodeSighting(
        node=name(node),
        machine_id=machine_id(node),
        boot_id=boot_id(machine),
        disks=(shown,),
        engines=_engines(machine, engines, told),
        tasks=tuple(_task(task, epoch, runs, names) for task, epoch in told.tasks),
    )
    return Seen(reach=Reach.REACHABLE, sighting=sighting)


def seen_away(node: int) -> Seen:
    """A node that is not heard; where its program listens is known from before."""
    shown = DiskSighting(uid=disk(node), size=ROOM, free=ROOM, address=f"{name(node)}:1", complete=True)
    sighting = NodeSighting(node=name(node), machine_id=machine_id(node), boot_id="b0", disks=(shown,))
    return Seen(reach=Reach.UNREACHABLE, sighting=sighting)


def _folder(names: Names, rep: Rep, *, hasty: bool) -> ReplicaSighting:
    return ReplicaSighting(
        replica=ReplicaId(names.ids[rep.bit]),
        volume=UID,
        attempt=Attempt(rep.attempt),
        empty=rep.epoch == 0,
        open=rep.conn > 0,
        sealed=(Epoch(rep.epoch), Attempt(rep.attempt if rep.epoch else 0)),
        m=Membership(rep.m),
        torn=rep.torn,
        probe=rep.probe,
        fenced=Epoch(rep.epoch if hasty else rep.over),
    )


def _engines(machine: Machine, engines: tuple[Engine, ...], told: Told) -> tuple[EngineSighting, ...]:
    found = [EngineSighting(volume=UID, epoch=Epoch(e.epoch), state=_state(e)) for e in engines]
    alive = any(e.epoch == told.epoch for e in engines)
    if told.epoch and not alive and told.epoch <= machine.last:
        found.append(
            EngineSighting(
                volume=UID, epoch=Epoch(told.epoch), state=EngineState.ENDED, evidence="its lock was taken"
            )
        )
    return tuple(sorted(found, key=lambda e: e.epoch))


def _state(engine: Engine) -> EngineState:
    if engine.closing:
        return EngineState.CLOSING
    if engine.phase == SERVING:
        return EngineState.BROKEN if engine.quiet else EngineState.SERVING
    return EngineState.SEALING if engine.phase == SEALING else EngineState.OPENING


def _task(task: str, epoch: int, runs: tuple[Run, ...], names: Names) -> TaskSighting:
    run = next((r for r in runs if r.task == task), None)
    sealed = tuple(ReplicaId(n) for b, n in enumerate(names.ids) if run and run.sealed >> b & 1)
    state = TaskState.RUNNING if run is None else _RUNS[run.stage]
    return TaskSighting(
        task=TaskId(task),
        volume=UID,
        epoch=Epoch(epoch),
        state=state,
        sealed=tuple(sorted(sealed)) if state is TaskState.READY else (),
        for_s=1e6 if state is TaskState.FAILED else 0.0,
    )
