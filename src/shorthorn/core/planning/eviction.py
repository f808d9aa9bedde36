"""How far the eviction of a node is, volume by volume. Reads the plan; proposes nothing itself."""

from shorthorn.core.model.ids import NodeName
from shorthorn.core.model.record import Record
from shorthorn.core.model.volume import Volume
from shorthorn.core.model.world import World
from shorthorn.core.planning.planner import plan_volume


class EvictionReport(Record):
    """`state`: empty when no eviction is wanted, else done, moving or blocked. `lines`: what is left, and why (L4)."""

    state: str
    lines: tuple[str, ...] = ()


def eviction_report(world: World, node: NodeName) -> EvictionReport:
    """Done means: no replica and no tombstone of any volume is on the node."""
    record = world.nodes.get(node)
    if record is None or not record.evicting:
        return EvictionReport(state="")
    left = [v for v in world.volumes.values() if _on(v, node)]
    if not left:
        return EvictionReport(state="done")
    lines: list[str] = []
    moving = False
    for volume in left:
        plan = plan_volume(world, volume, _nameless)
        busy = bool(plan.intents) or bool(volume.tasks) or not any(r.node == node for r in volume.replicas)
        moving = moving or busy
        reasons = (
            [w.reason for w in plan.waits] or [i.describe() for i in plan.intents] or ["its folder goes"]
        )
        lines.append(f"{volume.name}: {'; '.join(reasons)}")
    return EvictionReport(state="moving" if moving else "blocked", lines=tuple(lines))


def _on(volume: Volume, node: NodeName) -> bool:
    return any(r.node == node for r in volume.replicas) or any(t.node == node for t in volume.tombstones)


def _nameless(kind: str) -> str:
    """No intent of this plan is carried out, so none needs an id of its own."""
    return f"{kind}-new"
