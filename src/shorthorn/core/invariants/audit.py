"""Recorded against seen: what `shorthorn check` reports.

A difference is told only where something was positively seen; what an unreachable node hides is unknown, not wrong.
Transitions under way (an engine that starts, a folder that is being made) are no differences: ask again at rest.
"""

from collections.abc import Iterator

from shorthorn.core.model.ids import NodeName
from shorthorn.core.model.record import Record
from shorthorn.core.model.sighting import EngineSighting, EngineState, NodeSighting, Reach, ReplicaSighting
from shorthorn.core.model.volume import Replica, SessionPhase, Volume
from shorthorn.core.model.world import World

_SERVING = (EngineState.SERVING, EngineState.BROKEN)


class Audit(Record):
    """`differences` between the record and what runs; `unknown`: what could not be compared, and why."""

    differences: tuple[str, ...]
    unknown: tuple[str, ...]


def compare(world: World) -> Audit:
    """Every volume and node of the world."""
    differences: list[str] = []
    unknown: list[str] = []
    for volume in world.volumes.values():
        differences += _session(world, volume)
        for replica in volume.replicas:
            if _heard(world, replica.node) is None:
                unknown.append(
                    f"{volume.name}: replica {replica.id} on {replica.node}, which is not reachable"
                )
            else:
                differences += _replica(world, volume, replica)
    for name in world.nodes:
        sighting = _heard(world, name)
        if sighting is None:
            unknown.append(f"node {name} is not reachable")
        else:
            differences += _strays(world, sighting)
    return Audit(differences=tuple(differences), unknown=tuple(unknown))


def _heard(world: World, name: NodeName) -> NodeSighting | None:
    seen = world.seen.get(name)
    return seen.sighting if seen is not None and seen.reach is Reach.REACHABLE else None


def _session(world: World, volume: Volume) -> Iterator[str]:
    session = volume.session
    if session is None or session.phase is not SessionPhase.OPEN:
        return
    sighting = _heard(world, session.node)
    if sighting is None:
        return
    states = [e.state for e in sighting.engines if e.volume == volume.uid and e.epoch == session.epoch]
    if not any(state in _SERVING for state in states):
        seen = states[0].value if states else "no engine"
        yield f"{volume.name}: session {session.epoch} is open on {session.node} by the record; seen: {seen}"


def _replica(world: World, volume: Volume, replica: Replica) -> Iterator[str]:
    sighting = _heard(world, replica.node)
    disk = None if sighting is None else next((d for d in sighting.disks if d.uid == replica.disk), None)
    label = f"{volume.name}: replica {replica.id} on {replica.node}"
    if disk is None:
        yield f"{label}: its disk {replica.disk} is not seen"
        return
    if not disk.complete:
        yield f"{label}: its replica program does not answer ({disk.trouble or 'no reason known'})"
        return
    found = next((r for r in disk.replicas if r.replica == replica.id), None)
    if found is None:
        yield f"{label}: no such folder on disk {replica.disk}"
    elif found.damaged or found.failed:
        yield f"{label}: {found.damaged or found.failed}"
    elif found.volume != volume.uid:
        yield f"{label}: its folder belongs to volume {found.volume}"


def _strays(world: World, sighting: NodeSighting) -> Iterator[str]:
    for engine in sighting.engines:
        if engine.state is not EngineState.ENDED and not _has_session(world, sighting.node, engine):
            yield f"node {sighting.node}: engine of {engine.volume} in epoch {engine.epoch} runs, but no session is recorded"
    for disk in sighting.disks:
        for replica in disk.replicas:
            if not _is_recorded(world, replica):
                yield f"node {sighting.node}: folder of replica {replica.replica} is in no record and has no tombstone"


def _has_session(world: World, node: NodeName, engine: EngineSighting) -> bool:
    volume = world.volumes.get(engine.volume)
    session = None if volume is None else volume.session
    return session is not None and session.node == node and session.epoch == engine.epoch


def _is_recorded(world: World, replica: ReplicaSighting) -> bool:
    volume = world.volumes.get(replica.volume)
    if volume is None:
        return False
    return volume.replica(replica.replica) is not None or any(
        t.replica == replica.replica for t in volume.tombstones
    )
