"""The calls about nodes."""

from shorthorn.control.control import Control
from shorthorn.core.lifecycle.events import (
    Cordoned,
    DeathWithdrawn,
    DeclaredDead,
    EvictCancelled,
    EvictRequested,
    NodeEvent,
    Uncordoned,
)
from shorthorn.core.lifecycle.outcome import Refused
from shorthorn.core.model.ids import NodeName
from shorthorn.core.model.node import Node
from shorthorn.core.model.sighting import Reach
from shorthorn.core.model.world import World
from shorthorn.core.planning.eviction import eviction_report
from shorthorn.errors import NotFound, NotNow
from shorthorn.faces.api.call import Call
from shorthorn.faces.api.deaths import effects_of_death
from shorthorn.faces.api.problems import raise_refusal
from shorthorn.faces.api.views import DeathView, DeclareDead, DiskView, NodesView, NodeView


class NodeCalls:
    """Handlers over a control plane."""

    def __init__(self, control: Control) -> None:
        self._control = control

    async def list(self, _call: Call) -> NodesView:
        """All nodes."""
        world = self._control.loop.world()
        return NodesView(nodes=tuple(node_view(world, node) for node in world.nodes.values()))

    async def show(self, call: Call) -> NodeView:
        """One node."""
        world = self._control.loop.world()
        node = world.nodes.get(NodeName(call.path("name")))
        if node is None:
            raise NotFound(f"there is no node named {call.path('name')}")
        return node_view(world, node)

    async def cordon(self, call: Call) -> NodeView:
        """No new replica and no new session there."""
        return await self._apply(call, Cordoned())

    async def uncordon(self, call: Call) -> NodeView:
        """The opposite."""
        return await self._apply(call, Uncordoned())

    async def evict(self, call: Call) -> NodeView:
        """All replicas are to leave."""
        return await self._apply(call, EvictRequested())

    async def cancel_evict(self, call: Call) -> NodeView:
        """The opposite."""
        return await self._apply(call, EvictCancelled())

    async def declare_dead(self, call: Call) -> DeathView:
        """A person says that the node will not come back. Refused for one that is heard, unless forced."""
        body = await call.body(DeclareDead)
        name = NodeName(call.path("name"))
        document = self._control.records.node(name)
        if document is not None and document.value.dead is None and not body.force:
            self._check_unreachable(name)
        view = await self._apply(call, DeclaredDead(who=body.who, why=body.why))
        return DeathView(node=view, effects=effects_of_death(self._control.loop.world(), name))

    async def withdraw_death(self, call: Call) -> DeathView:
        """The opposite. What was done on that ground stays done."""
        document = self._control.records.node(NodeName(call.path("name")))
        was_dead = document is not None and document.value.dead is not None
        view = await self._apply(call, DeathWithdrawn(who=call.query("who") or "a person"))
        effects = ("what was done on that ground stays done",) if was_dead else ()
        return DeathView(node=view, effects=effects)

    def _check_unreachable(self, name: NodeName) -> None:
        sightings = self._control.sightings
        silent_s = sightings.silent_s(name)
        match sightings.reach(name):
            case Reach.REACHABLE:
                raise NotNow(
                    f"{name} is reachable (heard {silent_s:.1f} s ago): cordon and evict it instead, or say --force"
                )
            case Reach.UNKNOWN:
                raise NotNow(
                    f"{name} was not heard in the {silent_s:.1f} s since this server or its agent started, which is not "
                    f"long enough to know: try again in {sightings.limit_s:.0f} s, or say --force"
                )
            case Reach.UNREACHABLE:
                pass

    async def _apply(self, call: Call, event: NodeEvent) -> NodeView:
        answer = await self._control.committer.change_node(
            NodeName(call.path("name")), event, cause="a person"
        )
        if isinstance(answer, Refused):
            raise_refusal(answer)
        assert answer.value is not None
        return node_view(self._control.loop.world(), answer.value)


def node_view(world: World, node: Node) -> NodeView:
    """A node with what is seen of it."""
    seen = world.seen.get(node.name)
    sighted = {} if seen is None or seen.sighting is None else {d.uid: d for d in seen.sighting.disks}
    disks = []
    for disk in node.disks:
        sight = sighted.get(disk.uid)
        disks.append(
            DiskView(
                uid=disk.uid,
                size=disk.size,
                committed=disk.committed,
                free=sight.free if sight else 0,
                address=sight.address if sight else "",
                replicas=len(disk.commitments),
                trouble=sight.trouble if sight else "",
            )
        )
    report = eviction_report(world, node.name)
    return NodeView(
        name=node.name,
        reach=seen.reach.value if seen else "unknown",
        cordoned=node.cordoned,
        evicting=node.evicting,
        dead=node.dead.why if node.dead else "",
        dead_by=node.dead.who if node.dead else "",
        machine_id=node.machine_id,
        boot_id=node.boot_id,
        disks=tuple(disks),
        eviction=report.state,
        eviction_lines=report.lines,
    )
