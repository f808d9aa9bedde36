"""Requests about nodes, from people."""

from shorthorn.control.control import Control
from shorthorn.control.refusals import raise_refusal
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
from shorthorn.errors import NotNow


class NodeRequests:
    """Over one control plane. Each returns the node as it is recorded then, and may be repeated.

    Each raises as `VolumeRequests` do.
    """

    def __init__(self, control: Control) -> None:
        self._control = control

    async def cordon(self, name: NodeName) -> Node:
        """No new replica and no new session there."""
        return await self._apply(name, Cordoned())

    async def uncordon(self, name: NodeName) -> Node:
        """The opposite."""
        return await self._apply(name, Uncordoned())

    async def evict(self, name: NodeName) -> Node:
        """All replicas are to leave."""
        return await self._apply(name, EvictRequested())

    async def cancel_evict(self, name: NodeName) -> Node:
        """The opposite."""
        return await self._apply(name, EvictCancelled())

    async def declare_dead(self, name: NodeName, who: str, why: str, *, force: bool = False) -> Node:
        """A person says that the node will not come back. Refused for one that is heard, unless forced."""
        self._control.check_leading()
        document = self._control.records.node(name)
        if document is not None and document.value.dead is None and not force:
            self._check_unreachable(name)
        return await self._apply(name, DeclaredDead(who=who, why=why))

    async def withdraw_death(self, name: NodeName, who: str) -> Node:
        """The opposite. What was done on that ground stays done."""
        return await self._apply(name, DeathWithdrawn(who=who))

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

    async def _apply(self, name: NodeName, event: NodeEvent) -> Node:
        self._control.check_leading()
        answer = await self._control.committer.change_node(name, event, cause="a person")
        if isinstance(answer, Refused):
            raise_refusal(answer)
        assert answer.value is not None
        return answer.value
