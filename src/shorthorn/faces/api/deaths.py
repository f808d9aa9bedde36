"""What follows when a node is declared dead, in plain words, for the person who did it. Decides nothing."""

from collections.abc import Iterator

from shorthorn.core.model.ids import NodeName
from shorthorn.core.model.volume import Volume
from shorthorn.core.model.world import World


def effects_of_death(world: World, name: NodeName) -> tuple[str, ...]:
    """What is given up, volume by volume."""
    lines = [f"nothing waits for {name} any more, and nothing new is placed there"]
    for volume in sorted(world.volumes.values(), key=lambda v: (v.name, v.uid)):
        lines += _of_volume(world, volume, name)
    return tuple(lines)


def _of_volume(world: World, volume: Volume, name: NodeName) -> Iterator[str]:
    if volume.session is not None and volume.session.node == name:
        yield f"volume {volume.name}: its session there is fenced; then it can be attached elsewhere"
        holders = ", ".join(a.holder for a in volume.attachments if a.node == name)
        if holders:
            yield f"volume {volume.name}: detach {holders}, which held it there"
    if not any(replica.node == name for replica in volume.replicas):
        return
    in_sync_there = [r for r in volume.in_sync if r.node == name]
    elsewhere = [r for r in volume.in_sync if not _dead(world, r.node)]
    if not in_sync_there:
        yield f"volume {volume.name}: its syncing replica there is given up"
    elif elsewhere:
        nodes = ", ".join(r.node for r in elsewhere)
        yield f"volume {volume.name}: its replica there is given up and made anew from {nodes}"
    else:
        yield (
            f"volume {volume.name}: every in-sync replica is on a node declared dead; nothing is given up, it stays "
            "as it is until one returns"
        )


def _dead(world: World, name: NodeName) -> bool:
    node = world.nodes.get(name)
    return node is None or node.dead is not None
