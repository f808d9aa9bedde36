"""The calls about volumes, and those of consumers: the only ones that attach or detach."""

import msgspec
from starlette.responses import Response

from shorthorn.control.control import Control
from shorthorn.core.lifecycle.events import Created, DeleteRequested, Expanded, SpecChanged, VolumeEvent
from shorthorn.core.lifecycle.law import attach, create
from shorthorn.core.lifecycle.outcome import Refused
from shorthorn.core.lifecycle.requests import AttachRequested, DetachRequested
from shorthorn.core.model.ids import Holder, LayerId, NodeName, VolumeName, VolumeUid
from shorthorn.core.model.volume import Mode, Reads, Spec, Volume
from shorthorn.core.planning.capacity import why_no_capacity
from shorthorn.core.planning.planner import plan_volume
from shorthorn.errors import Invalid, NoCapacity, NotFound
from shorthorn.faces.api.call import Call
from shorthorn.faces.api.events import EventCalls
from shorthorn.faces.api.problems import raise_refusal
from shorthorn.faces.api.views import (
    Attach,
    ChangeVolume,
    CreateVolume,
    EventsView,
    ExplainView,
    VolumesView,
    VolumeView,
)
from shorthorn.faces.api.volume_view import volume_view

WAIT_S_MAX = 300.0
"""Longest wait of one call; a client asks again."""


class VolumeCalls:
    """Handlers over a control plane."""

    def __init__(self, control: Control, events: EventCalls) -> None:
        self._control = control
        self._events = events

    async def list(self, _call: Call) -> VolumesView:
        """All volumes, by name."""
        world = self._control.loop.world()
        volumes = sorted(world.volumes.values(), key=lambda v: (v.name, v.uid))
        left_s = self._control.sightings.left_s
        return VolumesView(volumes=tuple(volume_view(world, volume, left_s) for volume in volumes))

    async def create(self, call: Call) -> VolumeView:
        """A new volume. Its replicas are placed by planning."""
        body = await call.body(CreateVolume)
        ids = self._control.ids
        if body.reads not in list(Reads):
            raise Invalid(f"reads must be granted or strict, not {body.reads[:70]!r}")
        event = Created(
            name=VolumeName(body.name),
            uid=VolumeUid(ids.new("v")),
            size=body.size,
            spec=Spec(replicas=body.replicas, domain_keys=body.domain_keys, reads=Reads(body.reads)),
            head=LayerId(ids.new("l")),
        )
        judged = create(event)
        if isinstance(judged, Refused):
            raise_refusal(judged)
        if why := why_no_capacity(self._control.loop.world(), event.size, event.spec.replicas):
            raise NoCapacity(f"{event.name} can't be placed: {why}")
        answer = await self._control.committer.create_volume(event, cause="a person")
        if isinstance(answer, Refused):
            raise_refusal(answer)
        assert answer.value is not None
        return self._view(answer.value)

    async def show(self, call: Call) -> VolumeView:
        """One volume; with `until` (a state, or a health) waits up to `wait_s` for it and shows what is then."""
        until = call.query("until")
        if until is not None:
            wait_s = call.query_number("wait_s", 30, WAIT_S_MAX)
            await self._control.changes.until(lambda: self._is(call, until), wait_s)
        return self._view(self._volume(call))

    async def change(self, call: Call) -> VolumeView:
        """Another size or number of replicas."""
        body = await call.body(ChangeVolume)
        volume = self._volume(call)
        if body.size is not None:
            volume = await self._apply(volume, Expanded(size=body.size))
        if body.replicas is not None:
            spec = msgspec.structs.replace(volume.spec, replicas=body.replicas)
            volume = await self._apply(volume, SpecChanged(spec=spec))
        return self._view(volume)

    async def delete(self, call: Call) -> Response:
        """The volume is to go, with all it holds."""
        await self._apply(self._volume(call), DeleteRequested())
        return Response(status_code=202)

    async def attach(self, call: Call) -> VolumeView:
        """The holder wants the volume on a node. Idempotent."""
        body = await call.body(Attach)
        if body.mode not in list(Mode):
            raise Invalid(f"mode must be rw or ro, not {body.mode!r}")
        volume = self._volume(call)
        event = AttachRequested(holder=_holder(call), node=NodeName(body.node), mode=Mode(body.mode))
        node = NodeName(body.node)
        answer = await self._control.committer.change_volume(
            volume.uid,
            event,
            cause=f"holder {event.holder}",
            rests_on=(node,),
            decide=lambda found, nodes: attach(found, nodes[0], event),
        )
        if isinstance(answer, Refused):
            raise_refusal(answer)
        return self._view(answer.value or volume)

    async def detach(self, call: Call) -> VolumeView:
        """The holder lets go. Idempotent."""
        volume = self._volume(call)
        event = DetachRequested(holder=_holder(call))
        answer = await self._control.committer.change_volume(
            volume.uid, event, cause=f"holder {event.holder}"
        )
        if isinstance(answer, Refused):
            raise_refusal(answer)
        return self._view(answer.value or volume)

    async def history(self, call: Call) -> EventsView:
        """Every transition with its cause."""
        volume = self._volume(call)
        after = int(call.query_number("after", 0, 2**62))
        return await self._events.page(after, f"volume/{volume.uid}")

    async def explain(self, call: Call) -> ExplainView:
        """Why the volume is as it is, and what happens next."""
        volume = self._volume(call)
        world = self._control.loop.world()
        view = volume_view(world, volume, self._control.sightings.left_s)
        plan = plan_volume(world, volume, self._control.ids.new)
        return ExplainView(
            name=view.name,
            state=view.state,
            health=view.health,
            reasons=view.reasons,
            intents=tuple(intent.describe() for intent in plan.intents),
            waits=tuple(wait.describe() for wait in plan.waits),
            resyncs=view.resyncs,
        )

    def _is(self, call: Call, until: str) -> bool:
        volume = self._control.records.named(VolumeName(call.path("name")))
        if volume is None:
            return True
        view = self._view(volume)
        return until in (view.state, view.health)

    def _view(self, volume: Volume) -> VolumeView:
        return volume_view(self._control.loop.world(), volume, self._control.sightings.left_s)

    def _volume(self, call: Call) -> Volume:
        name = VolumeName(call.path("name"))
        volume = self._control.records.named(name)
        if volume is None:
            raise NotFound(f"there is no volume named {name}")
        return volume

    async def _apply(self, volume: Volume, event: VolumeEvent) -> Volume:
        answer = await self._control.committer.change_volume(volume.uid, event, cause="a person")
        if isinstance(answer, Refused):
            raise_refusal(answer)
        return answer.value or volume


def _holder(call: Call) -> Holder:
    """A holder id: 1 to 253 printable characters without spaces or slashes."""
    holder = call.path("holder")
    if not 1 <= len(holder) <= 253 or not holder.isprintable() or any(c.isspace() for c in holder):
        raise Invalid("a holder is 1 to 253 printable characters without spaces")
    return Holder(holder)
