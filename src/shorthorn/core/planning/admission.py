"""One decision under the cluster's budgets, over what the planners of single volumes propose.

Each planner is right by itself and their sum could be a storm: so many rebuilds at once on a node or in all, and no
byte of a disk promised twice in one plan.
"""

from collections import Counter

from shorthorn.core.lifecycle.events import CopyStarted
from shorthorn.core.model.ids import DiskUid, NodeName
from shorthorn.core.model.volume import TaskKind, Volume
from shorthorn.core.model.world import World
from shorthorn.core.planning.plan import Claim, Intent, Plan, Wait


def admit(world: World, proposed: Plan) -> Plan:
    """The intents that fit, in order; the others become waits. Work under way counts first."""
    copies = _under_way(world)
    claimed: Counter[tuple[NodeName, DiskUid]] = Counter()
    admitted: list[Intent] = []
    waits: list[Wait] = []
    for intent in proposed.intents:
        why = _over_space(world, claimed, intent) or _over_rebuilds(world, copies, intent)
        if why:
            waits.append(Wait(reason=why, frees="others finish", volume=intent.volume, name=str(intent.name)))
            continue
        admitted.append(intent)
        if isinstance(intent.space, Claim):
            claimed[intent.space.node, intent.space.disk] += intent.space.size
        if isinstance(intent.event, CopyStarted):
            copies[intent.volume] = _nodes_of(world.volumes[intent.volume], intent.event)
    return Plan(
        intents=tuple(admitted), waits=proposed.waits + tuple(waits), look_again_s=proposed.look_again_s
    )


def _under_way(world: World) -> dict[str, tuple[NodeName, ...]]:
    """Volume to the nodes that its copy works on."""
    return {
        v.uid: tuple(r.node for r in v.replicas if r.id in (task.source, task.target))
        for v in world.volumes.values()
        for task in v.tasks
        if task.kind is TaskKind.COPY and not task.committed
    }


def _nodes_of(volume: Volume, event: CopyStarted) -> tuple[NodeName, ...]:
    return tuple(r.node for r in volume.replicas if r.id in (event.source, event.target))


def _over_space(world: World, claimed: Counter[tuple[NodeName, DiskUid]], intent: Intent) -> str:
    claim = intent.space
    if not isinstance(claim, Claim):
        return ""
    node = world.nodes.get(claim.node)
    disk = node.disk(claim.disk) if node else None
    if disk and disk.free - claimed[claim.node, claim.disk] >= claim.size:
        return ""
    return f"the room on disk {claim.disk} of {claim.node} goes to another replica first"


def _over_rebuilds(world: World, copies: dict[str, tuple[NodeName, ...]], intent: Intent) -> str:
    if not isinstance(intent.event, CopyStarted):
        return ""
    settings = world.settings
    others = {uid: nodes for uid, nodes in copies.items() if uid != intent.volume}
    if len(others) >= settings.rebuilds_max:
        return f"{len(others)} rebuilds are under way, the most there may be at once"
    for node in _nodes_of(world.volumes[intent.volume], intent.event):
        busy = sum(1 for nodes in others.values() if node in nodes)
        if busy >= settings.rebuilds_per_node_max:
            return f"{busy} rebuilds are under way on {node}, the most there may be at once"
    return ""
