"""Whether a node or disk may take something new, in plain words. Shared by the law and by planning."""

from shorthorn.core.model.ids import DiskUid
from shorthorn.core.model.node import Node
from shorthorn.core.model.units import format_size


def why_not_attachable(node: Node) -> str | None:
    """Why no new attachment may be made at this node."""
    if node.dead:
        return f"{node.name} was declared dead by {node.dead.who}"
    if node.cordoned:
        return f"{node.name} is cordoned"
    return None


def why_no_place(node: Node) -> str | None:
    """Why no new replica may be placed on this node (S9). Evicting implies it; no cordon is needed."""
    if node.evicting and not node.dead:
        return f"{node.name} is being evicted"
    return why_not_attachable(node)


def why_no_room(node: Node, disk_uid: DiskUid, size: int) -> str | None:
    """Why no new replica of `size` bytes may be placed on this disk."""
    disk = node.disk(disk_uid)
    if disk is None:
        return f"{node.name} has no disk {disk_uid}"
    if disk.disabled:
        return f"disk {disk_uid} of {node.name} is disabled"
    if disk.free < size:
        return f"disk {disk_uid} of {node.name} has {format_size(max(disk.free, 0))} left for {format_size(size)}"
    return None
