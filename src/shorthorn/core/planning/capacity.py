"""Whether a new volume could ever be placed, by what the disks may commit. Never decides where.

A courtesy to whoever asks: the promise itself is made, and checked again, in the commit that places a replica (S9).
Nodes that are cordoned, away or not there yet are no reason to refuse; space that no disk has is one.
"""

from shorthorn.core.model.units import format_size
from shorthorn.core.model.world import World


def why_no_capacity(world: World, size: int, replicas: int | None) -> str:
    """One line, empty when enough nodes have room for a replica of `size` bytes; `replicas` None: auto, one is enough.

    Of fewer nodes than replicas, every one must have room: more nodes may join.
    """
    alive = [node for node in world.nodes.values() if not node.dead]
    most = [max((disk.free for disk in node.disks if not disk.disabled), default=0) for node in alive]
    needed = min(replicas or 1, len(alive))
    if sum(free >= size for free in most) >= needed:
        return ""
    places = "; ".join(
        f"{node.name} may commit {format_size(max(free, 0))} more"
        for node, free in zip(alive, most, strict=True)
    )
    copies = "1 node is" if needed == 1 else f"{needed} nodes are"
    return f"{copies} needed with {format_size(size)} left to commit on one disk, but {places}"
