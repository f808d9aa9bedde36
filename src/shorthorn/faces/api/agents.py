"""The calls of agents over HTTP: decoded here, answered by `control.agent_calls`.

Source: `shorthorn.links.messages`.
"""

from collections.abc import AsyncIterator
from contextlib import aclosing

import msgspec
from starlette.responses import Response, StreamingResponse

from shorthorn.control.agent_calls import AgentCalls
from shorthorn.core.model.ids import NodeName
from shorthorn.core.model.sighting import NodeSighting
from shorthorn.errors import Invalid, Unavailable
from shorthorn.faces.api.call import Call
from shorthorn.links.messages import Beat, EngineAnswer, EngineEvent, Registered, Registration


class AgentHandlers:
    """Handlers over the calls of agents."""

    def __init__(self, calls: AgentCalls) -> None:
        self._calls = calls

    async def register(self, call: Call) -> Registered:
        """A node joins, or its agent came back."""
        body = await call.body(Registration)
        _check_same_node(call, body.node)
        return await self._calls.register(body)

    async def orders(self, call: Call) -> Response:
        """All orders of the node, whole, now and on each change."""
        name = NodeName(call.path("node"))
        self._calls.check_orders(name)
        return StreamingResponse(self._order_lines(name), media_type="application/x-ndjson")

    async def sighting(self, call: Call) -> None:
        """What the agent sees now."""
        body = await call.body(NodeSighting)
        _check_same_node(call, body.node)
        self._calls.sighting(body)

    async def beat(self, call: Call) -> None:
        """Nothing changed."""
        body = await call.body(Beat)
        _check_same_node(call, body.node)
        self._calls.beat(body)

    async def event(self, call: Call) -> EngineAnswer:
        """An engine's ask."""
        body = await call.body(EngineEvent)
        return await self._calls.ask(NodeName(call.path("node")), body)

    async def _order_lines(self, name: NodeName) -> AsyncIterator[bytes]:
        """A line for each change, an empty one for a heartbeat. The stream ends when this server does not lead."""
        try:
            async with aclosing(self._calls.orders(name)) as stream:
                async for orders in stream:
                    yield b"\n" if orders is None else msgspec.json.encode(orders) + b"\n"
        except Unavailable:
            return


def _check_same_node(call: Call, name: NodeName) -> None:
    if call.path("node") != name:
        raise Invalid(f"the body speaks of node {name}, the path of {call.path('node')}")
