"""The engines and tasks that run against the sessions and tasks that are recorded."""

from collections.abc import Collection, Iterator

from shorthorn.core.model.ids import NodeName, VolumeUid
from shorthorn.core.model.sighting import EngineSighting, EngineState, NodeSighting, Reach, TaskSighting
from shorthorn.core.model.volume import Session, SessionPhase, Volume
from shorthorn.core.model.world import World


def sessions(world: World, volume: Volume, waiting: Collection[VolumeUid]) -> Iterator[str]:
    """A volume's session, and whether what is held is served. `waiting`: volumes of which planning says what they wait for."""
    session = volume.session
    if session is None:
        node = volume.held_at
        if node and volume.uid not in waiting and _has_source(world, volume, node):
            yield f"it is held at {node} and could be served, but no session is recorded and nothing waits (L2)"
    elif session.phase is SessionPhase.OPEN:
        if not session.endpoint:
            yield f"session {session.epoch} is open without an endpoint"
        if world.heard(session.node) is not None:
            yield from _engine(world, volume, session)


def strays(world: World, sighting: NodeSighting) -> Iterator[str]:
    """What runs on a node without a record that wants it."""
    for engine in sighting.engines:
        if engine.state is not EngineState.ENDED and (why := _why_stray(world, sighting.node, engine)):
            yield f"engine of {_name(world, engine.volume)} in epoch {engine.epoch} runs, but {why}"
    for task in sighting.tasks:
        if not _is_recorded(world, task):
            yield f"task {task.task} of {_name(world, task.volume)} in epoch {task.epoch} runs, but is not recorded"


def _has_source(world: World, volume: Volume, node: NodeName) -> bool:
    seen = (world.replica_seen(r.node, r.disk, r.id) for r in volume.in_sync)
    usable = any(s is not None and not s.failed and not s.damaged for s in seen)
    return usable and world.reach(node) is Reach.REACHABLE


def _engine(world: World, volume: Volume, session: Session) -> Iterator[str]:
    engine = world.engine_seen(session.node, volume.uid, session.epoch)
    wanted = EngineState.BROKEN if session.broken else EngineState.SERVING
    label = f"session {session.epoch} is open on {session.node} by the record"
    if engine is None:
        yield f"{label}; seen: no engine"
    elif engine.state is not wanted:
        yield f"{label}, its engine should be {wanted.value}; seen: {engine.state.value}"
    elif session.broken and engine.clients:
        yield f"{label}, broken and for nobody; seen: {engine.clients} clients (A2)"


def _why_stray(world: World, node: NodeName, engine: EngineSighting) -> str:
    """Why no record wants this engine; empty when one does."""
    volume = world.volumes.get(engine.volume)
    if volume is None:
        return "no such volume is recorded"
    session = volume.session
    if session is None:
        return "no session is recorded (S7)"
    if (session.node, session.epoch) != (node, engine.epoch):
        return f"session {session.epoch} at {session.node} is recorded (S2)"
    return ""


def _is_recorded(world: World, task: TaskSighting) -> bool:
    volume = world.volumes.get(task.volume)
    return volume is not None and any((t.id, t.epoch) == (task.task, task.epoch) for t in volume.tasks)


def _name(world: World, uid: VolumeUid) -> str:
    volume = world.volumes.get(uid)
    return volume.name if volume else uid
