"""The only way to change a node document: registration, marks, and the space promised to replicas."""

import msgspec

from shorthorn.core.lifecycle.events import (
    Cordoned,
    DeathWithdrawn,
    DeclaredDead,
    EvictCancelled,
    EvictRequested,
    NodeEvent,
    NodeRegistered,
    Uncordoned,
)
from shorthorn.core.lifecycle.fitness import why_no_place, why_no_room
from shorthorn.core.lifecycle.limits import (
    DISKS_MAX,
    LABELS_MAX,
    check_labels,
    check_name,
    check_text,
    invalid,
)
from shorthorn.core.lifecycle.outcome import Accepted, RefusalKind, Refused
from shorthorn.core.lifecycle.transition import exists, not_now, stale
from shorthorn.core.model.ids import DiskUid, ReplicaId
from shorthorn.core.model.node import Commitment, Dead, Disk, Node

replace = msgspec.structs.replace


def register(event: NodeRegistered) -> Accepted[Node] | Refused:
    """The first document of a node. Cordoned, evicting and dead are people's to say."""
    if refused := _check_registration(event):
        return refused
    node = Node(
        name=event.name,
        machine_id=event.machine_id,
        boot_id=event.boot_id,
        labels=tuple(sorted(event.labels)),
        disks=tuple(sorted((_bare(d) for d in event.disks), key=lambda d: d.uid)),
    )
    return Accepted(value=node, lines=(f"joined with {_disks(len(node.disks))}",))


def apply_node(node: Node, event: NodeEvent) -> Accepted[Node] | Refused:
    """What becomes of `node` by `event`; unchanged when it was so before."""
    match event:
        case NodeRegistered():
            return _register_again(node, event)
        case Cordoned():
            return _now(
                node, replace(node, cordoned=True), "cordoned: takes no new replica and no new attachment"
            )
        case Uncordoned():
            return _now(node, replace(node, cordoned=False), "uncordoned")
        case EvictRequested():
            return _now(node, replace(node, evicting=True), "eviction asked for: all replicas are to leave")
        case EvictCancelled():
            return _now(node, replace(node, evicting=False), "eviction cancelled")
        case DeclaredDead():
            return _declare_dead(node, event)
        case DeathWithdrawn():
            return _withdraw_death(node, event)


def commit_space(node: Node, disk: DiskUid, replica: ReplicaId, size: int) -> Accepted[Node] | Refused:
    """Promise `size` bytes of a disk to a replica; goes into the commit that places it (S9). Idempotent."""
    held = next((c for d in node.disks for c in d.commitments if c.replica == replica), None)
    if held is not None:
        there = node.disk(disk)
        if there is not None and Commitment(replica=replica, size=size) in there.commitments:
            return Accepted(value=node, lines=(), changed=False)
        return exists(f"{node.name} has promised space to replica {replica} already")
    if why := why_no_place(node):
        return not_now(f"no replica is placed on {node.name}: {why}")
    if why := why_no_room(node, disk, size):
        return Refused(kind=RefusalKind.NO_CAPACITY, why=why)
    disks = tuple(_promise(d, replica, size) if d.uid == disk else d for d in node.disks)
    return Accepted(value=replace(node, disks=disks), lines=())


def release_space(node: Node, disk: DiskUid, replica: ReplicaId) -> Accepted[Node] | Refused:
    """End the promise made to a replica; goes into the commit that records it as gone. Idempotent."""
    disks = tuple(_release(d, replica) if d.uid == disk else d for d in node.disks)
    return Accepted(value=replace(node, disks=disks), lines=(), changed=disks != node.disks)


def _promise(disk: Disk, replica: ReplicaId, size: int) -> Disk:
    commitments = (*disk.commitments, Commitment(replica=replica, size=size))
    return replace(disk, commitments=tuple(sorted(commitments, key=lambda c: c.replica)))


def _release(disk: Disk, replica: ReplicaId) -> Disk:
    return replace(disk, commitments=tuple(c for c in disk.commitments if c.replica != replica))


def _now(before: Node, after: Node, line: str) -> Accepted[Node]:
    if before == after:
        return Accepted(value=before, lines=(), changed=False)
    return Accepted(value=after, lines=(line,))


def _declare_dead(node: Node, event: DeclaredDead) -> Accepted[Node] | Refused:
    if refused := check_text("who", event.who) or check_text("reason", event.why):
        return refused
    if node.dead:
        return Accepted(value=node, lines=(), changed=False)
    dead = Dead(who=event.who, why=event.why)
    return _now(node, replace(node, dead=dead), f"declared dead by {event.who}: {event.why}")


def _withdraw_death(node: Node, event: DeathWithdrawn) -> Accepted[Node] | Refused:
    if refused := check_text("who", event.who):
        return refused
    line = f"no longer declared dead: {event.who} took it back; what was done on that ground stays done"
    return _now(node, replace(node, dead=None), line)


def _check_registration(event: NodeRegistered) -> Refused | None:
    refused = check_name("node", event.name) or check_text("machine id", event.machine_id)
    refused = (
        refused or check_text("boot id", event.boot_id) or check_labels(event.labels, "label", LABELS_MAX)
    )
    if refused:
        return refused
    if len(event.disks) > DISKS_MAX:
        return invalid(f"{event.name} has {len(event.disks)} disks; {DISKS_MAX} are the most there can be")
    uids = [d.uid for d in event.disks]
    twice = next((uid for uid in uids if uids.count(uid) > 1), None)
    if twice is not None:
        return invalid(f"{event.name} names disk {twice} twice")
    for disk in event.disks:
        if refused := check_text("disk uid", disk.uid):
            return refused
        if disk.size < 0:
            return invalid(f"disk {disk.uid} of {event.name} has a negative size")
    return None


def _register_again(node: Node, event: NodeRegistered) -> Accepted[Node] | Refused:
    """Known disks keep their commitments; one that is not named stays in the record: not seen is not gone."""
    if event.name != node.name:
        return stale(f"{event.name} is not {node.name}")
    if refused := _check_registration(event):
        return refused
    if event.machine_id != node.machine_id:
        return exists(f"{node.name} is another machine already; join under another name")
    disks = _merge(node.disks, event.disks)
    after = replace(node, boot_id=event.boot_id, labels=tuple(sorted(event.labels)), disks=disks)
    lines = [f"booted again (boot {event.boot_id})"] if node.boot_id != event.boot_id else []
    new = len(disks) - len(node.disks)
    lines += [f"brought {_disks(new)} more"] if new else []
    if node == after:
        return Accepted(value=node, lines=(), changed=False)
    return Accepted(value=after, lines=tuple(lines) or ("registered with other disks or labels",))


def _merge(known: tuple[Disk, ...], named: tuple[Disk, ...]) -> tuple[Disk, ...]:
    sizes = {d.uid: d.size for d in named}
    kept = [replace(d, size=sizes.get(d.uid, d.size)) for d in known]
    uids = [d.uid for d in known]
    new = [_bare(d) for d in named if d.uid not in uids]
    return tuple(sorted((*kept, *new), key=lambda d: d.uid))


def _bare(disk: Disk) -> Disk:
    """A registration brings no commitments: those are the record's alone."""
    return Disk(uid=disk.uid, size=disk.size)


def _disks(count: int) -> str:
    return "1 disk" if count == 1 else f"{count} disks"
