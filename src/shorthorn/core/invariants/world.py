"""What must hold between documents: names, places and promised space. Uses records only, no sightings."""

from collections import Counter
from collections.abc import Iterator

from shorthorn.core.invariants.finding import Finding, broken, odd
from shorthorn.core.invariants.volume import check_volume
from shorthorn.core.model.node import Node
from shorthorn.core.model.volume import Volume
from shorthorn.core.model.world import World


def check_world(world: World) -> list[Finding]:
    """Every document by itself, and what they say of each other. Documents of one revision: older ones may disagree."""
    found = [finding for volume in world.volumes.values() for finding in check_volume(volume)]
    found += _names(world)
    for volume in world.volumes.values():
        found += [*_places(world, volume), *_domains(world, volume)]
    promised = {p for v in world.volumes.values() for p in _needs(v)}
    for node in world.nodes.values():
        found += _space(node, promised)
    return found


def _names(world: World) -> Iterator[Finding]:
    counts = Counter(v.name for v in world.volumes.values() if not v.deleting)
    for name, count in sorted(counts.items()):
        if count > 1:
            yield broken("S8", name, f"{count} volumes have this name")


def _needs(volume: Volume) -> Iterator[tuple[str, str, str]]:
    """Node, disk and replica of everything that takes space: tombstones too, until their folders are gone."""
    yield from ((r.node, r.disk, r.id) for r in volume.replicas)
    yield from ((t.node, t.disk, t.replica) for t in volume.tombstones)


def _places(world: World, volume: Volume) -> Iterator[Finding]:
    for node_name, disk_uid, replica in _needs(volume):
        node = next((n for n in world.nodes.values() if n.name == node_name), None)
        disk = next((d for d in node.disks if d.uid == disk_uid), None) if node else None
        if disk is None:
            yield broken(
                "S9", volume.name, f"replica {replica} is on {node_name}, disk {disk_uid}: not known"
            )
        elif all(c.replica != replica for c in disk.commitments):
            yield broken("S9", volume.name, f"no space is committed to replica {replica} on {node_name}")


def _domains(world: World, volume: Volume) -> Iterator[Finding]:
    """Labels change after a placement, so this is no proof of a bug."""
    for key in volume.spec.domain_keys:
        nodes = [world.nodes[r.node] for r in volume.in_sync if r.node in world.nodes and not r.leaving]
        staying = [n for n in nodes if not n.evicting and not n.dead]
        values = Counter(value for n in staying if (value := n.label(key)) is not None)
        for value, count in sorted(values.items()):
            if count > 1:
                yield odd("S9", volume.name, f"{count} replicas in {key} {value}")


def _space(node: Node, promised: set[tuple[str, str, str]]) -> Iterator[Finding]:
    for disk in node.disks:
        if disk.free < 0:
            yield odd("S9", node.name, f"disk {disk.uid} is committed beyond its size by {-disk.free} bytes")
        for commitment in disk.commitments:
            if (node.name, disk.uid, commitment.replica) not in promised:
                yield odd(
                    "L5", node.name, f"space on disk {disk.uid} is committed to {commitment.replica}, unknown"
                )
