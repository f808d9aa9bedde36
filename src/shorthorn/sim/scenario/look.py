"""What an operator sees of a cluster, as lines: volumes, evictions, waits. Computed from the leader's view by the core."""

import re
from collections.abc import Iterator

from shorthorn.core.lifecycle.state import explain
from shorthorn.core.model.volume import Volume
from shorthorn.core.model.world import World
from shorthorn.core.planning.eviction import eviction_report
from shorthorn.core.planning.planner import plan

_AWAY = re.compile(r"\bfor \d+ s\b")


def volume_line(world: World, volume: Volume) -> str:
    """`v1: detached healthy; replicas n1 n2 n3`; the replicas are those in-sync by record."""
    why = explain(world, volume)
    health = f" {why.health}" if why.health else ""
    return f"{volume.name}: {why.state}{health}; replicas {_nodes(volume)}"


def volume_lines(world: World) -> list[str]:
    """One for each volume, by name."""
    volumes = sorted(world.volumes.values(), key=lambda v: (v.name, v.uid))
    return [volume_line(world, volume) for volume in volumes]


def eviction_lines(world: World) -> Iterator[str]:
    """One for each eviction that is wanted: done, moving or blocked, and why."""
    for name in sorted(world.nodes):
        report = eviction_report(world, name)
        if report.state:
            yield _steady(
                world, f"evict {name}: {report.state}" + "".join(f" - {line}" for line in report.lines)
            )


def wait_lines(world: World, volume: str) -> list[str]:
    """What planning holds back for a volume now, with the reason and what would free it."""
    waits = [wait.describe() for wait in plan(world, _nameless).waits]
    return [_steady(world, f"waits: {line}") for line in waits if line.startswith(f"{volume}: ")]


def reason_lines(world: World, volume: str) -> list[str]:
    """Why the volume is as it is, in the system's own words."""
    found = find(world, volume)
    reasons = explain(world, found).reasons if found else ()
    return [_steady(world, f"{volume}: {reason}") for reason in reasons]


def find(world: World, name: str) -> Volume | None:
    """The volume of that name; of several (one being deleted gave its name away), the one that keeps it."""
    found = [v for v in world.volumes.values() if v.name == name]
    return min(found, key=lambda v: (v.deleting, v.uid), default=None)


def _nodes(volume: Volume) -> str:
    return " ".join(sorted(replica.node for replica in volume.in_sync)) or "none"


def _steady(world: World, line: str) -> str:
    """Without what differs by a hair: how long somebody is away, and ids, which become the places they name."""
    for node in world.nodes.values():
        for number, disk in enumerate(node.disks, start=1):
            line = re.sub(rf"\b{re.escape(disk.uid)}\b", f"{node.name}-d{number}", line)
    for volume in world.volumes.values():
        known = [(one.id, one.node) for one in volume.replicas]
        known += [(one.replica, one.node) for one in volume.tombstones]
        for number, layer in enumerate(volume.chain, start=1):
            line = re.sub(rf"\b{re.escape(layer)}\b", f"l{number}", line)
        for replica, place in known:
            line = re.sub(rf"\b{re.escape(replica)}\b", f"r@{place}", line)
    return _AWAY.sub("for a while", line)


def _nameless(kind: str) -> str:
    """No intent of this plan is carried out, so none needs an id of its own."""
    return f"{kind}-new"
