"""What agents call: registration, orders down, sightings and engines' asks up. The table in `links.messages`, typed.

A face brings them over HTTP; a simulation calls them. Every call raises `Unavailable` while this server does not lead.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

from shorthorn.control.control import Control
from shorthorn.control.refusals import raise_refusal
from shorthorn.core.lifecycle.events import NodeRegistered
from shorthorn.core.lifecycle.outcome import Refused
from shorthorn.core.model.ids import NodeName
from shorthorn.core.model.order import NodeOrders
from shorthorn.core.model.sighting import NodeSighting
from shorthorn.errors import Conflict, NotFound, OutcomeUnknown, Unavailable
from shorthorn.links.messages import Beat, EngineAnswer, EngineEvent, EngineOutcome, Registered, Registration

HEARTBEAT_S: Final = 2.0
"""Nothing new for so long: an agent is told at least that, and notices a half-open connection by its absence."""


class AgentCalls:
    """The calls over one control plane."""

    def __init__(self, control: Control) -> None:
        self._control = control

    async def register(self, registration: Registration) -> Registered:
        """A node joins, or its agent came back. Raises a `RequestError` when it is refused, `OutcomeUnknown`."""
        control = self._control
        control.check_leading()
        event = NodeRegistered(
            name=registration.node,
            machine_id=registration.machine_id,
            boot_id=registration.boot_id,
            disks=registration.disks,
            labels=registration.labels,
        )
        answer = await control.committer.register_node(event, cause=f"agent of {registration.node}")
        if isinstance(answer, Refused):
            raise_refusal(answer)
        control.sightings.forget(registration.node)
        control.changes.note()
        return Registered(cluster=control.settings.cluster, settings=control.settings)

    def sighting(self, sighting: NodeSighting) -> None:
        """What the agent sees now. Raises `NotFound` or `Conflict` for one that is not taken."""
        self._check_known(sighting.node, sighting.boot_id)
        if not self._control.sightings.take(sighting):
            raise Conflict(f"a newer sighting of {sighting.node} is held")
        self._control.changes.note()

    def beat(self, beat: Beat) -> None:
        """Nothing changed. Raises `Conflict` when the sighting that it speaks of is not held: it is to be sent whole."""
        self._check_known(beat.node, beat.boot_id)
        if not self._control.sightings.beat(beat):
            raise Conflict(f"sighting {beat.sequence} of {beat.node} is not held; send it whole")

    async def ask(self, node: NodeName, ask: EngineEvent) -> EngineAnswer:
        """An engine's ask. An outcome that is not known is told as such, never guessed."""
        self._check_known(node)
        try:
            answer = await self._control.committer.change_volume(
                ask.volume, ask.event, cause=f"engine on {node}"
            )
        except (OutcomeUnknown, Unavailable) as error:
            return EngineAnswer(outcome=EngineOutcome.UNKNOWN, why=error.message)
        if isinstance(answer, Refused):
            return EngineAnswer(outcome=EngineOutcome.REFUSED, why=answer.why)
        return EngineAnswer(outcome=EngineOutcome.COMMITTED, volume=answer.value)

    def check_orders(self, node: NodeName) -> None:
        """Raises what `orders` would raise at once."""
        self._check_known(node)

    async def orders(self, node: NodeName) -> AsyncGenerator[NodeOrders | None, None]:
        """All orders of the node, whole, now and whenever they differ from the last; None when nothing is new for a while.

        Raises `NotFound` for a node that is not registered, `Unavailable` once this server does not lead.
        """
        self._check_known(node)
        control, loop = self._control, asyncio.get_running_loop()
        sent, sent_at = None, loop.time()
        while True:
            control.check_leading()
            count = control.changes.count
            current = control.loop.orders(node)
            if current != sent:
                sent, sent_at = current, loop.time()
                yield current
            elif loop.time() - sent_at >= HEARTBEAT_S:
                sent_at = loop.time()
                yield None
            else:
                await control.changes.after(count, sent_at + HEARTBEAT_S - loop.time())

    def _check_known(self, name: NodeName, boot_id: str | None = None) -> None:
        self._control.check_leading()
        document = self._control.records.node(name)
        if document is None:
            raise NotFound(f"node {name} is not registered")
        if boot_id is not None and document.value.boot_id != boot_id:
            raise Conflict(f"node {name} is registered with another boot id; register again")
