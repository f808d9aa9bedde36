"""The calls about volumes, and those of consumers."""

from starlette.responses import Response

from shorthorn.control.control import Control
from shorthorn.core.model.ids import Holder, NodeName, VolumeName
from shorthorn.core.model.volume import Mode, Reads, Spec, Volume
from shorthorn.core.planning.planner import plan_volume
from shorthorn.errors import Invalid
from shorthorn.faces.api.call import Call
from shorthorn.faces.api.events import EventCalls
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
from shorthorn.requests.volumes import VolumeRequests

WAIT_S_MAX = 300.0
"""Longest wait of one call; a client asks again."""


class VolumeCalls:
    """Handlers over a control plane."""

    def __init__(self, control: Control, requests: VolumeRequests, events: EventCalls) -> None:
        self._control = control
        self._requests = requests
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
        if body.reads not in list(Reads):
            raise Invalid(f"reads must be granted or strict, not {body.reads[:70]!r}")
        spec = Spec(replicas=body.replicas, domain_keys=body.domain_keys, reads=Reads(body.reads))
        return self._view(await self._requests.create(VolumeName(body.name), body.size, spec))

    async def show(self, call: Call) -> VolumeView:
        """One volume; with `until` (a state, or a health) waits up to `wait_s` for it and shows what is then."""
        until = call.query("until")
        if until is not None:
            wait_s = call.query_number("wait_s", 30, WAIT_S_MAX)
            await self._control.changes.until(lambda: self._is(call, until), wait_s)
        return self._view(self._requests.named(_name(call)))

    async def change(self, call: Call) -> VolumeView:
        """Another size or number of replicas."""
        body = await call.body(ChangeVolume)
        volume = await self._requests.change(_name(call), size=body.size, replicas=body.replicas)
        return self._view(volume)

    async def delete(self, call: Call) -> Response:
        """The volume is to go, with all it holds."""
        await self._requests.delete(_name(call))
        return Response(status_code=202)

    async def attach(self, call: Call) -> VolumeView:
        """The holder wants the volume on a node. Idempotent."""
        body = await call.body(Attach)
        if body.mode not in list(Mode):
            raise Invalid(f"mode must be rw or ro, not {body.mode!r}")
        volume = await self._requests.attach(_name(call), _holder(call), NodeName(body.node), Mode(body.mode))
        return self._view(volume)

    async def detach(self, call: Call) -> VolumeView:
        """The holder lets go. Idempotent."""
        return self._view(await self._requests.detach(_name(call), _holder(call)))

    async def history(self, call: Call) -> EventsView:
        """Every transition with its cause."""
        volume = self._requests.named(_name(call))
        after = int(call.query_number("after", 0, 2**62))
        return await self._events.page(after, f"volume/{volume.uid}")

    async def explain(self, call: Call) -> ExplainView:
        """Why the volume is as it is, and what happens next."""
        volume = self._requests.named(_name(call))
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
        volume = self._control.records.named(_name(call))
        if volume is None:
            return True
        view = self._view(volume)
        return until in (view.state, view.health)

    def _view(self, volume: Volume) -> VolumeView:
        return volume_view(self._control.loop.world(), volume, self._control.sightings.left_s)


def _name(call: Call) -> VolumeName:
    return VolumeName(call.path("name"))


def _holder(call: Call) -> Holder:
    return Holder(call.path("holder"))
