"""Where a new replica may go (S9), and, if nowhere, why not: node by node, in plain words.

Deterministic: the most room first, then the fewest replicas, then by name.
"""

from collections.abc import Sequence

from shorthorn.core.lifecycle.events import ReplicaPlaced
from shorthorn.core.lifecycle.fitness import why_no_place, why_no_room
from shorthorn.core.model.ids import DiskUid, NodeName, ReplicaId
from shorthorn.core.model.node import Disk, Node
from shorthorn.core.model.record import Record
from shorthorn.core.model.sighting import Reach
from shorthorn.core.model.volume import Replica, Volume
from shorthorn.core.model.world import World
from shorthorn.core.planning.looking import NewId, wait, why_replaced
from shorthorn.core.planning.plan import Claim, Intent, Plan

FULL_BELOW = 64 * 1024**2
"""A file system with less left than this is full: the table of a replica alone may need as much."""


class Place(Record):
    """A disk that can take a replica."""

    node: NodeName
    disk: DiskUid


class NoPlace(Record):
    """No node can: `holding` those that hold a replica of the volume already, `others` the rest with the reason."""

    holding: tuple[NodeName, ...]
    others: tuple[str, ...]

    @property
    def reason(self) -> str:
        """One line that names every node."""
        one = len(self.holding) == 1
        if not self.others:
            who = f" ({', '.join(self.holding)} {'does' if one else 'do'})" if self.holding else ""
            return f"no node left that holds no replica of it{who}"
        held = (
            [f"{', '.join(self.holding)} {'holds' if one else 'hold'} a replica of it"]
            if self.holding
            else []
        )
        return f"no node can take another replica: {'; '.join([*held, *self.others])}"


def find_place(world: World, volume: Volume, placed: Sequence[Replica]) -> Place | NoPlace:
    """The best disk for one more replica beside `placed`."""
    best: tuple[int, int, NodeName, DiskUid] | None = None
    holding: list[NodeName] = []
    others: list[str] = []
    for node in world.nodes.values():
        if any(r.node == node.name for r in placed):
            if not any(why_replaced(world, r) for r in placed if r.node == node.name):
                holding.append(node.name)
            continue
        if why := _why_not(world, volume, placed, node):
            others.append(why)
            continue
        disks, whys = _disks(world, node, volume.size)
        others += whys if not disks else []
        for disk in disks:
            rank = (-disk.free, sum(len(d.commitments) for d in node.disks), node.name, disk.uid)
            best = rank if best is None else min(best, rank)
    if best is None:
        return NoPlace(holding=tuple(holding), others=tuple(others))
    return Place(node=best[2], disk=best[3])


def plan_places(
    world: World, volume: Volume, placed: Sequence[Replica], count: int, cause: str, new_id: NewId
) -> Plan:
    """Up to `count` new replicas, each on a node of its own.

    Intents: ReplicaPlaced, with the disk's space in the same commit; the nodes of the failure domains unchanged.
    Waits: no node can take one, with every node's reason.
    """
    taken = list(placed)
    intents: list[Intent] = []
    for _ in range(count):
        place = find_place(world, volume, taken)
        if isinstance(place, NoPlace):
            frees = "add a node, free space, or end a cordon or an eviction"
            return Plan(intents=tuple(intents), waits=(wait(volume, place.reason, frees),))
        replica = ReplicaId(new_id("r"))
        intents.append(
            Intent(
                volume=volume.uid,
                name=volume.name,
                event=ReplicaPlaced(replica=replica, node=place.node, disk=place.disk),
                cause=cause,
                space=Claim(node=place.node, disk=place.disk, replica=replica, size=volume.size),
                unchanged=_rests_on(world, volume, taken, place.node),
            )
        )
        taken.append(Replica(id=replica, node=place.node, disk=place.disk))
    return Plan(intents=tuple(intents))


def _rests_on(
    world: World, volume: Volume, placed: Sequence[Replica], place: NodeName
) -> tuple[NodeName, ...]:
    """Failure domains are labels of nodes: another replica's node with other labels would void the choice."""
    others = {r.node for r in placed if r.node in world.nodes} if volume.spec.domain_keys else set()
    return tuple(sorted(others - {place}))


def _why_not(world: World, volume: Volume, placed: Sequence[Replica], node: Node) -> str:
    if why := why_no_place(node):
        return why
    reach = world.reach(node.name)
    if reach is Reach.UNREACHABLE:
        return f"{node.name} is unreachable"
    if world.heard(node.name) is None:
        return f"{node.name} was not heard yet"
    for key, value in volume.spec.node_selector:
        if node.label(key) != value:
            return f"{node.name} is not {key}={value}"
    return _domain_taken(world, volume, placed, node)


def _domain_taken(world: World, volume: Volume, placed: Sequence[Replica], node: Node) -> str:
    """A replica that must go anyway takes no domain."""
    for key in volume.spec.domain_keys:
        mine = node.label(key)
        if mine is None:
            return f"{node.name} has no label {key}"
        for replica in placed:
            other = world.nodes.get(replica.node)
            if other and other.label(key) == mine and not why_replaced(world, replica):
                return f"{node.name} is in {key} {mine}, as {other.name} is"
    return ""


def _disks(world: World, node: Node, size: int) -> tuple[list[Disk], list[str]]:
    fit: list[Disk] = []
    whys: list[str] = []
    for disk in node.disks:
        seen = world.disk_seen(node.name, disk.uid)
        if why := why_no_room(node, disk.uid, size):
            whys.append(why)
        elif seen is None or not seen.address or not seen.complete:
            whys.append(f"the replica program of disk {disk.uid} on {node.name} does not run")
        elif seen.free < FULL_BELOW:
            whys.append(f"disk {disk.uid} of {node.name} is full")
        else:
            fit.append(disk)
    return fit, whys or ([] if node.disks else [f"{node.name} has no disk"])
