"""How far the eviction of a node is, volume by volume. Reads the plan; proposes nothing itself."""

from shorthorn.core.model.ids import NodeName
from shorthorn.core.model.record import Record
from shorthorn.core.model.volume import SessionPhase, Volume
from shorthorn.core.model.world import World
from shorthorn.core.planning.looking import coming, present
from shorthorn.core.planning.planner import plan_volume
from shorthorn.core.planning.reclaim import left_alone


class EvictionReport(Record):
    """`state`: empty when no eviction is wanted, else done, moving or blocked. `lines`: what is left, and why (L4)."""

    state: str
    lines: tuple[str, ...] = ()


def eviction_report(world: World, node: NodeName) -> EvictionReport:
    """Done means: no replica and no tombstone of any volume is on the node; on one declared dead tombstones stay."""
    record = world.nodes.get(node)
    if record is None or not record.evicting:
        return EvictionReport(state="")
    left = [v for v in world.volumes.values() if _on(v, node, record.dead is not None)]
    if not left:
        return EvictionReport(state="done")
    lines: list[str] = []
    moving = False
    for volume in left:
        plan = plan_volume(world, volume, _nameless)
        moving = moving or bool(plan.intents) or _busy(world, volume, node)
        reasons = (
            [w.reason for w in plan.waits] or [i.describe() for i in plan.intents] or ["its folder goes"]
        )
        lines.append(f"{volume.name}: {'; '.join(reasons)}")
    return EvictionReport(state="moving" if moving else "blocked", lines=tuple(lines))


def _on(volume: Volume, node: NodeName, dead: bool) -> bool:
    if any(r.node == node for r in volume.replicas):
        return True
    return not dead and any(t.node == node for t in volume.tombstones)


def _busy(world: World, volume: Volume, node: NodeName) -> bool:
    """Something goes on by itself: a task, a resync or a removal by the engine, or only folders are left to go, and do."""
    here = [r for r in volume.replicas if r.node == node]
    if volume.tasks:
        return True
    if not here:
        return not any(left_alone(world, stone) for stone in volume.tombstones if stone.node == node)
    if volume.session is None or volume.session.phase is not SessionPhase.OPEN:
        return False
    return any(r.leaving for r in here) or any(present(world, r) for r in coming(world, volume))


def _nameless(kind: str) -> str:
    """No intent of this plan is carried out, so none needs an id of its own."""
    return f"{kind}-new"
