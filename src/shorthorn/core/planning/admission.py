"""One decision under the cluster's budgets, over what the planners of single volumes propose.

Each planner is right by itself and their sum could be a storm: so many rebuilds at once on a node or in all, and no
byte of a disk promised twice in one plan. A resync in a session is its engine's and begins by itself: it counts here, and
a new replica for an open session is held back by it, but a replica that returns is not.
"""

from collections import Counter

from shorthorn.core.lifecycle.events import CopyStarted, ReplicaPlaced
from shorthorn.core.lifecycle.resyncs import resync_seen
from shorthorn.core.model.ids import DiskUid, NodeName
from shorthorn.core.model.volume import SessionPhase, TaskKind, Volume
from shorthorn.core.model.world import World
from shorthorn.core.planning.looking import away_s, coming
from shorthorn.core.planning.plan import Claim, Intent, Plan, PlannedEvent, Wait


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
        if nodes := _nodes_of(world.volumes[intent.volume], intent.event):
            copies[intent.volume] = nodes
    return Plan(
        intents=tuple(admitted), waits=proposed.waits + tuple(waits), look_again_s=proposed.look_again_s
    )


def _under_way(world: World) -> dict[str, tuple[NodeName, ...]]:
    """Volume to the nodes that its copy, or its engine's resyncs, work on."""
    found: dict[str, tuple[NodeName, ...]] = {}
    for volume in world.volumes.values():
        nodes = _resynced_on(world, volume)
        for task in volume.tasks:
            if task.kind is TaskKind.COPY and not task.committed:
                nodes += tuple(r.node for r in volume.replicas if r.id in (task.source, task.target))
        if nodes:
            found[volume.uid] = nodes
    return found


def _resynced_on(world: World, volume: Volume) -> tuple[NodeName, ...]:
    """The session's node and those of the replicas that its engine resyncs or is about to, not of those that wait."""
    session = volume.session
    if session is None or session.phase is not SessionPhase.OPEN:
        return ()
    at_work = [
        r.node
        for r in coming(world, volume)
        if away_s(world, r) is None and not ((seen := resync_seen(world, volume, r)) and seen.waits_for)
    ]
    return (session.node, *at_work) if at_work else ()


def _nodes_of(volume: Volume, event: PlannedEvent) -> tuple[NodeName, ...]:
    """The nodes that a rebuild which begins by this event works on; none if it begins none."""
    if isinstance(event, CopyStarted):
        return tuple(r.node for r in volume.replicas if r.id in (event.source, event.target))
    if isinstance(event, ReplicaPlaced) and volume.session is not None:
        return (volume.session.node, event.node)
    return ()


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
    nodes_of_it = _nodes_of(world.volumes[intent.volume], intent.event)
    if not nodes_of_it:
        return ""
    settings = world.settings
    others = {uid: nodes for uid, nodes in copies.items() if uid != intent.volume}
    if len(others) >= settings.rebuilds_max:
        return f"{len(others)} rebuilds are under way, the most there may be at once"
    for node in nodes_of_it:
        busy = sum(1 for nodes in others.values() if node in nodes)
        if busy >= settings.rebuilds_per_node_max:
            return f"{busy} rebuilds are under way on {node}, the most there may be at once"
    return ""
