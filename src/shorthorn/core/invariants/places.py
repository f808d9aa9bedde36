"""Nodes, disks and folders as agents see them against what is recorded: identities, addresses, promised space."""

from collections import Counter
from collections.abc import Iterator

from shorthorn.core.model.ids import DiskUid, NodeName
from shorthorn.core.model.node import Disk, Node
from shorthorn.core.model.sighting import DiskSighting, NodeSighting, ReplicaSighting
from shorthorn.core.model.volume import Volume
from shorthorn.core.model.world import World


def nodes(world: World, node: Node, sighting: NodeSighting) -> Iterator[str]:
    """A node that is heard: who it is, and each of its disks."""
    if (sighting.machine_id, sighting.boot_id) != (node.machine_id, node.boot_id):
        yield (
            f"machine {sighting.machine_id}, boot {sighting.boot_id} speaks for it; "
            f"recorded are {node.machine_id}, {node.boot_id} (S8)"
        )
    recorded = {d.uid: d for d in node.disks}
    seen = {d.uid: d for d in sighting.disks}
    yield from (f"disk {uid} is recorded, but its agent has none" for uid in recorded if uid not in seen)
    for disk in sighting.disks:
        if disk.uid in recorded:
            yield from _disk(recorded[disk.uid], disk)
        else:
            yield f"disk {disk.uid} is in no record"
        for folder in disk.replicas:
            if why := _why_stray(world, sighting.node, disk, folder):
                yield f"folder of replica {folder.replica} on disk {disk.uid} {why}"


def addresses(world: World) -> Iterator[str]:
    """Engines find a replica by its program's address: one that two programs have leads to the wrong disk."""
    heard = [s for name in world.nodes if (s := world.heard(name)) is not None]
    counts = Counter(disk.address for sighting in heard for disk in sighting.disks if disk.address)
    for address, count in sorted(counts.items()):
        if count > 1:
            yield f"{count} replica programs say that they listen at {address}"


def space(world: World, volume: Volume) -> Iterator[str]:
    """What is promised to each replica is what the volume may need."""
    for replica in volume.replicas:
        node = world.nodes.get(replica.node)
        disk = node.disk(replica.disk) if node else None
        promised = next((c.size for c in disk.commitments if c.replica == replica.id), None) if disk else None
        if promised is not None and promised < volume.size:
            yield f"replica {replica.id} on {replica.node} is promised {promised} bytes of {volume.size} (S9)"


def _disk(recorded: Disk, seen: DiskSighting) -> Iterator[str]:
    if seen.complete and not seen.address:
        yield f"the replica program of disk {seen.uid} runs, but says no address"
    if seen.size != recorded.size:
        yield f"disk {seen.uid} has {seen.size} bytes, by the record {recorded.size} (S9)"


def _why_stray(world: World, node: NodeName, disk: DiskSighting, folder: ReplicaSighting) -> str:
    """Why no record wants this folder; empty when one does."""
    volume = world.volumes.get(folder.volume)
    if volume is None and not folder.damaged:
        return f"is of volume {folder.volume}, which is not recorded (L6)"
    # A damaged folder does not say whose it is.
    volumes = world.volumes.values() if volume is None else (volume,)
    places = [(r.node, r.disk) for v in volumes for r in v.replicas if r.id == folder.replica]
    places += [(t.node, t.disk) for v in volumes for t in v.tombstones if t.replica == folder.replica]
    if not places:
        return "is in no record and has no tombstone (L6)"
    return "" if (node, disk.uid) in places else _elsewhere(*places[0])


def _elsewhere(node: NodeName, disk: DiskUid) -> str:
    return f"is recorded on {node}, disk {disk} (S8)"
