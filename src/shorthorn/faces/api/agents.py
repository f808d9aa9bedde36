"""The calls of agents: registration, orders down, sightings and engines' events up.

Source: `shorthorn.links.messages`.
"""

import asyncio
from collections.abc import AsyncIterator

import msgspec
from starlette.responses import Response, StreamingResponse

from shorthorn.control.control import Control
from shorthorn.core.lifecycle.events import NodeRegistered
from shorthorn.core.lifecycle.outcome import Refused
from shorthorn.core.model.ids import NodeName
from shorthorn.core.model.sighting import NodeSighting
from shorthorn.errors import Conflict, Invalid, NotFound, OutcomeUnknown, Unavailable
from shorthorn.faces.api.call import Call
from shorthorn.faces.api.problems import raise_refusal
from shorthorn.links.messages import Beat, EngineAnswer, EngineEvent, EngineOutcome, Registered, Registration

HEARTBEAT_S = 2.0
"""An empty line down the stream of orders: an agent notices a half-open connection by its absence."""


class AgentCalls:
    """Handlers over a control plane."""

    def __init__(self, control: Control) -> None:
        self._control = control

    async def register(self, call: Call) -> Registered:
        """A node joins, or its agent came back."""
        body = await call.body(Registration)
        self._same_node(call, body.node)
        event = NodeRegistered(
            name=body.node,
            machine_id=body.machine_id,
            boot_id=body.boot_id,
            disks=body.disks,
            labels=body.labels,
        )
        answer = await self._control.committer.register_node(event, cause=f"agent of {body.node}")
        if isinstance(answer, Refused):
            raise_refusal(answer)
        self._control.sightings.forget(body.node)
        self._control.changes.note()
        return Registered(cluster=self._control.settings.cluster, settings=self._control.settings)

    async def orders(self, call: Call) -> Response:
        """All orders of the node, whole, now and on each change."""
        name = NodeName(call.path("node"))
        self._known(name)
        return StreamingResponse(self._order_lines(name), media_type="application/x-ndjson")

    async def sighting(self, call: Call) -> None:
        """What the agent sees now."""
        body = await call.body(NodeSighting)
        self._same_node(call, body.node)
        self._known(body.node, body.boot_id)
        if not self._control.sightings.take(body):
            raise Conflict(f"a newer sighting of {body.node} is held")
        self._control.changes.note()

    async def beat(self, call: Call) -> None:
        """Nothing changed."""
        body = await call.body(Beat)
        self._same_node(call, body.node)
        self._known(body.node, body.boot_id)
        if not self._control.sightings.beat(body):
            raise Conflict(f"sighting {body.sequence} of {body.node} is not held; send it whole")

    async def event(self, call: Call) -> EngineAnswer:
        """An engine's ask. An outcome that is not known is told as such, never guessed."""
        body = await call.body(EngineEvent)
        name = NodeName(call.path("node"))
        self._known(name)
        control = self._control
        try:
            answer = await control.committer.change_volume(body.volume, body.event, cause=f"engine on {name}")
        except (OutcomeUnknown, Unavailable) as error:
            return EngineAnswer(outcome=EngineOutcome.UNKNOWN, why=error.message)
        if isinstance(answer, Refused):
            return EngineAnswer(outcome=EngineOutcome.REFUSED, why=answer.why)
        return EngineAnswer(outcome=EngineOutcome.COMMITTED, volume=answer.value)

    async def _order_lines(self, name: NodeName) -> AsyncIterator[bytes]:
        """The orders whenever they differ from those sent last; an empty line when nothing was sent for a while."""
        loop = asyncio.get_running_loop()
        sent, sent_at = None, loop.time()
        while True:
            count = self._control.changes.count
            current = self._control.loop.orders(name)
            if current != sent:
                sent, sent_at = current, loop.time()
                yield msgspec.json.encode(current) + b"\n"
            elif loop.time() - sent_at >= HEARTBEAT_S:
                sent_at = loop.time()
                yield b"\n"
            else:
                await self._control.changes.after(count, sent_at + HEARTBEAT_S - loop.time())

    def _same_node(self, call: Call, name: NodeName) -> None:
        if call.path("node") != name:
            raise Invalid(f"the body speaks of node {name}, the path of {call.path('node')}")

    def _known(self, name: NodeName, boot_id: str | None = None) -> None:
        document = self._control.records.node(name)
        if document is None:
            raise NotFound(f"node {name} is not registered")
        if boot_id is not None and document.value.boot_id != boot_id:
            raise Conflict(f"node {name} is registered with another boot id; register again")
