"""Recorded against seen: what `shorthorn check` reports.

A difference is told only where something was positively seen; what an unreachable node hides is unknown, not wrong.
Transitions under way (an engine that starts, a folder that is being made) look like differences for a moment: what stays
when one looks again is one.
"""

from collections.abc import Collection, Iterator

from shorthorn.core.invariants import folders, places, running
from shorthorn.core.model.ids import VolumeUid
from shorthorn.core.model.record import Record
from shorthorn.core.model.volume import Replica, ReplicaPhase, Volume
from shorthorn.core.model.world import World


class Audit(Record):
    """`differences` between the record and what runs; `unknown`: what could not be compared, and why."""

    differences: tuple[str, ...]
    unknown: tuple[str, ...]


def compare(world: World, waiting: Collection[VolumeUid] = ()) -> Audit:
    """Every volume and node of the world. `waiting`: volumes of which planning says what they wait for."""
    differences: list[str] = []
    unknown: list[str] = []
    for volume in world.volumes.values():
        differences += [f"{volume.name}: {what}" for what in _volume(world, volume, waiting)]
        unknown += [
            f"{volume.name}: replica {replica.id} on {replica.node}, which is not reachable"
            for replica in volume.replicas
            if world.heard(replica.node) is None
        ]
    for name, node in world.nodes.items():
        sighting = world.heard(name)
        if sighting is None:
            unknown.append(f"node {name} is not reachable")
        else:
            found = (*running.strays(world, sighting), *places.nodes(world, node, sighting))
            differences += [f"node {name}: {what}" for what in found]
    differences += places.addresses(world)
    return Audit(differences=tuple(differences), unknown=tuple(unknown))


def _volume(world: World, volume: Volume, waiting: Collection[VolumeUid]) -> Iterator[str]:
    yield from running.sessions(world, volume, waiting)
    yield from places.space(world, volume)
    for replica in volume.replicas:
        label = f"replica {replica.id} on {replica.node}"
        yield from (f"{label}: {what}" for what in _replica(world, volume, replica))


def _replica(world: World, volume: Volume, replica: Replica) -> Iterator[str]:
    if world.heard(replica.node) is None:
        return
    disk = world.disk_seen(replica.node, replica.disk)
    if disk is None:
        yield f"its disk {replica.disk} is not seen"
        return
    if not disk.complete:
        yield f"its replica program does not answer ({disk.trouble or 'no reason known'})"
        return
    found = world.replica_seen(replica.node, replica.disk, replica.id)
    if found is not None:
        yield from folders.differences(volume, replica, found)
    elif replica.phase is ReplicaPhase.IN_SYNC or replica.synced_through is not None:
        yield f"no such folder on disk {replica.disk}, and it had data (S5)"
    else:
        yield f"no folder on disk {replica.disk} yet"
