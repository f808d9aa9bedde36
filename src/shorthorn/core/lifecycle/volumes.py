"""What people and programs want of a volume: create, change, delete it."""

import msgspec

from shorthorn.core.lifecycle import guards
from shorthorn.core.lifecycle.events import Created, DeleteRequested, Expanded, SpecChanged
from shorthorn.core.lifecycle.limits import check_name, check_size, check_spec, check_text, invalid
from shorthorn.core.lifecycle.outcome import Accepted, Refused
from shorthorn.core.lifecycle.transition import Change, Transition, not_now
from shorthorn.core.model.ids import Epoch
from shorthorn.core.model.units import format_size
from shorthorn.core.model.volume import Replica, Spec, Tombstone, Volume

replace = msgspec.structs.replace


def create(event: Created) -> Accepted[Volume] | Refused:
    """A volume's first document. That no other has its name is the committer's to make sure."""
    refused = check_name("volume", event.name) or check_size(event.size) or check_spec(event.spec)
    refused = refused or check_text("uid", event.uid) or check_text("layer id", event.head)
    if refused:
        return refused
    if not 0 <= event.era < 1 << 31:
        return invalid(f"era {event.era} is out of range")
    volume = Volume(
        name=event.name,
        uid=event.uid,
        size=event.size,
        spec=event.spec,
        head=event.head,
        chain=(event.head,),
        era=event.era,
        epoch=Epoch(event.era << guards.ERA_BITS),
    )
    wanted = _wanted(event.spec)
    return Accepted(value=volume, lines=(f"created with {format_size(event.size)} and {wanted}",))


def _wanted(spec: Spec) -> str:
    return "as many replicas as fit" if spec.replicas is None else f"{spec.replicas} replicas wanted"


def _spec_valid(_volume: Volume, event: SpecChanged) -> Refused | None:
    return check_spec(event.spec)


def _change_spec(volume: Volume, event: SpecChanged) -> Change:
    return Change(replace(volume, spec=event.spec), (f"spec changed: {_wanted(event.spec)}",))


def _size_grows(volume: Volume, event: Expanded) -> Refused | None:
    if event.size < volume.size:
        return invalid(
            f"{volume.name} has {format_size(volume.size)} and never shrinks to {format_size(event.size)}"
        )
    return check_size(event.size)


def _expansion_exists(volume: Volume, event: Expanded) -> Refused | None:
    return not_now(f"{volume.name} cannot grow to {format_size(event.size)} yet: expansion is not built")


def _expand(_volume: Volume, _event: Expanded) -> Change:
    raise AssertionError("expansion is refused by a guard")


def not_held(volume: Volume, _event: object) -> Refused | None:
    """A volume is not deleted under its consumers, nor before the session's end is confirmed."""
    if volume.attachments:
        first = volume.attachments[0]
        return not_now(f"{volume.name} is held at {first.node} by {first.holder}; detach it first")
    if volume.session:
        return not_now(f"{volume.name} is not detached from {volume.session.node} yet; try again when it is")
    return None


def bury(replica: Replica, version: int) -> Tombstone:
    """The proof that this replica's folder may be deleted, first held by the document of `version`."""
    return Tombstone(replica=replica.id, node=replica.node, disk=replica.disk, version=version)


def _delete(volume: Volume, _event: DeleteRequested) -> Change:
    buried = volume.tombstones + tuple(bury(r, volume.version + 1) for r in volume.replicas)
    if not buried:
        return Change(None, ("deleted: it had no replicas",))
    after = replace(
        volume, deleting=True, replicas=(), tasks=(), tombstones=tuple(sorted(buried, key=_by_replica))
    )
    return Change(after, (f"deletion asked for: {len(buried)} replica folders are to go",))


def _by_replica(tombstone: Tombstone) -> str:
    return tombstone.replica


ROWS: dict[type, Transition] = {
    SpecChanged: Transition(
        repeated=lambda volume, event: bool(volume.spec == event.spec),
        guards=(guards.not_deleting, _spec_valid),
        change=_change_spec,
    ),
    Expanded: Transition(
        repeated=lambda volume, event: bool(volume.size == event.size),
        guards=(guards.not_deleting, _size_grows, _expansion_exists),
        change=_expand,
    ),
    DeleteRequested: Transition(
        repeated=lambda volume, _event: volume.deleting,
        guards=(not_held,),
        change=_delete,
    ),
}
