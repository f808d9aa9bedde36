"""Requests about volumes, and those of consumers: the only ones that attach or detach."""

import msgspec

from shorthorn.control.control import Control
from shorthorn.control.refusals import raise_refusal
from shorthorn.core.lifecycle.events import Created, DeleteRequested, Expanded, SpecChanged, VolumeEvent
from shorthorn.core.lifecycle.law import attach, create
from shorthorn.core.lifecycle.outcome import Accepted, Refused
from shorthorn.core.lifecycle.requests import AttachRequested, DetachRequested
from shorthorn.core.model.ids import Holder, LayerId, NodeName, VolumeName, VolumeUid
from shorthorn.core.model.volume import Mode, Spec, Volume
from shorthorn.core.planning.capacity import why_no_capacity
from shorthorn.errors import Invalid, NoCapacity, NotFound


class VolumeRequests:
    """Over one control plane. Each returns the volume as it is recorded then.

    Each raises a `RequestError` in one line when it is refused (then nothing changed), `OutcomeUnknown` when it may have
    happened, `Unavailable` when the store is away or this server does not lead.
    """

    def __init__(self, control: Control) -> None:
        self._control = control

    def named(self, name: VolumeName) -> Volume:
        """The volume of that name. Raises `NotFound`."""
        volume = self._control.records.named(name)
        if volume is None:
            raise NotFound(f"there is no volume named {name}")
        return volume

    async def create(self, name: VolumeName, size: int, spec: Spec) -> Volume:
        """A new volume of `size` bytes. Its replicas are placed by planning."""
        self._control.check_leading()
        ids = self._control.ids
        event = Created(
            name=name, uid=VolumeUid(ids.new("v")), size=size, spec=spec, head=LayerId(ids.new("l"))
        )
        judged = create(event)
        if isinstance(judged, Refused):
            raise_refusal(judged)
        if why := why_no_capacity(self._control.loop.world(), event.size, event.spec.replicas):
            raise NoCapacity(f"{event.name} can't be placed: {why}")
        return _value(await self._control.committer.create_volume(event, cause="a person"), None)

    async def change(
        self, name: VolumeName, *, size: int | None = None, replicas: int | None = None
    ) -> Volume:
        """Another size in bytes, or number of replicas, or both, one after the other. None: it stays."""
        self._control.check_leading()
        volume = self.named(name)
        if size is not None:
            volume = await self._apply(volume, Expanded(size=size))
        if replicas is not None:
            spec = msgspec.structs.replace(volume.spec, replicas=replicas)
            volume = await self._apply(volume, SpecChanged(spec=spec))
        return volume

    async def delete(self, name: VolumeName) -> Volume:
        """The volume is to go, with all it holds."""
        self._control.check_leading()
        return await self._apply(self.named(name), DeleteRequested())

    async def attach(
        self, name: VolumeName, holder: Holder, node: NodeName, mode: Mode = Mode.READ_WRITE
    ) -> Volume:
        """The holder wants the volume on a node. Idempotent."""
        self._control.check_leading()
        volume = self.named(name)
        _check_holder(holder)
        event = AttachRequested(holder=holder, node=node, mode=mode)
        answer = await self._control.committer.change_volume(
            volume.uid,
            event,
            cause=f"holder {holder}",
            rests_on=(node,),
            decide=lambda found, nodes: attach(found, nodes[0], event),
        )
        return _value(answer, volume)

    async def detach(self, name: VolumeName, holder: Holder) -> Volume:
        """The holder lets go. Idempotent."""
        self._control.check_leading()
        volume = self.named(name)
        _check_holder(holder)
        event = DetachRequested(holder=holder)
        answer = await self._control.committer.change_volume(volume.uid, event, cause=f"holder {holder}")
        return _value(answer, volume)

    async def _apply(self, volume: Volume, event: VolumeEvent) -> Volume:
        answer = await self._control.committer.change_volume(volume.uid, event, cause="a person")
        return _value(answer, volume)


def _value(answer: Accepted[Volume] | Refused, before: Volume | None) -> Volume:
    """The volume after it; one that is gone is shown as it was."""
    if isinstance(answer, Refused):
        raise_refusal(answer)
    value = answer.value or before
    assert value is not None
    return value


def _check_holder(holder: Holder) -> None:
    """A holder id: 1 to 253 printable characters without spaces."""
    if not 1 <= len(holder) <= 253 or not holder.isprintable() or any(c.isspace() for c in holder):
        raise Invalid("a holder is 1 to 253 printable characters without spaces")
