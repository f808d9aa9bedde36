"""The calls about nodes."""

from shorthorn.control.control import Control
from shorthorn.core.model.ids import NodeName
from shorthorn.core.model.node import Node
from shorthorn.core.model.world import World
from shorthorn.core.planning.eviction import eviction_report
from shorthorn.errors import NotFound
from shorthorn.faces.api.call import Call
from shorthorn.faces.api.deaths import effects_of_death
from shorthorn.faces.api.views import DeathView, DeclareDead, DiskView, NodesView, NodeView
from shorthorn.requests.nodes import NodeRequests


class NodeCalls:
    """Handlers over a control plane."""

    def __init__(self, control: Control, requests: NodeRequests) -> None:
        self._control = control
        self._requests = requests

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
        return self._view(await self._requests.cordon(_name(call)))

    async def uncordon(self, call: Call) -> NodeView:
        """The opposite."""
        return self._view(await self._requests.uncordon(_name(call)))

    async def evict(self, call: Call) -> NodeView:
        """All replicas are to leave."""
        return self._view(await self._requests.evict(_name(call)))

    async def cancel_evict(self, call: Call) -> NodeView:
        """The opposite."""
        return self._view(await self._requests.cancel_evict(_name(call)))

    async def declare_dead(self, call: Call) -> DeathView:
        """A person says that the node will not come back. Refused for one that is heard, unless forced."""
        body = await call.body(DeclareDead)
        node = await self._requests.declare_dead(_name(call), body.who, body.why, force=body.force)
        view = self._view(node)
        return DeathView(node=view, effects=effects_of_death(self._control.loop.world(), node.name))

    async def withdraw_death(self, call: Call) -> DeathView:
        """The opposite. What was done on that ground stays done."""
        document = self._control.records.node(_name(call))
        was_dead = document is not None and document.value.dead is not None
        node = await self._requests.withdraw_death(_name(call), who=call.query("who") or "a person")
        effects = ("what was done on that ground stays done",) if was_dead else ()
        return DeathView(node=self._view(node), effects=effects)

    def _view(self, node: Node) -> NodeView:
        return node_view(self._control.loop.world(), node)


def _name(call: Call) -> NodeName:
    return NodeName(call.path("name"))


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
