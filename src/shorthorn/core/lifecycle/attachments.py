"""Consumers take and let go of a volume. The only rows that add or remove an attachment (S1)."""

import msgspec

from shorthorn.core.lifecycle import guards
from shorthorn.core.lifecycle.fitness import why_not_attachable
from shorthorn.core.lifecycle.limits import ATTACHMENTS_MAX, check_text
from shorthorn.core.lifecycle.outcome import Refused
from shorthorn.core.lifecycle.phases import advance, may_advance
from shorthorn.core.lifecycle.requests import AttachRequested, DetachRequested, UseConfirmed, UseStarted
from shorthorn.core.lifecycle.transition import Change, Transition, exists, not_found, not_now
from shorthorn.core.model.ids import Epoch, Holder
from shorthorn.core.model.node import Node
from shorthorn.core.model.volume import Attachment, Mode, SessionPhase, Use, UseState, Volume

replace = msgspec.structs.replace


def held_by(volume: Volume, holder: Holder) -> Attachment | None:
    """The attachment of this holder."""
    return next((a for a in volume.attachments if a.holder == holder), None)


def check_attach(node: Node | None, event: AttachRequested) -> Refused | None:
    """The part of the guard that needs the node's record: commit with that record unchanged.

    Only for a new attachment: one that exists is not refused because its node was cordoned since.
    """
    if node is None:
        return not_found(f"there is no node {event.node}")
    why = why_not_attachable(node)
    return not_now(f"{why}; attach at another node") if why else None


def _attached_so(volume: Volume, event: AttachRequested) -> bool:
    held = held_by(volume, event.holder)
    return held is not None and held.node == event.node and held.mode == event.mode


def _holder_valid(_volume: Volume, event: AttachRequested) -> Refused | None:
    return check_text("holder", event.holder)


def one_node(volume: Volume, event: AttachRequested) -> Refused | None:
    """All attachments are on one node (B8)."""
    other = next((a for a in volume.attachments if a.node != event.node), None)
    if other is None:
        return None
    return not_now(f"{volume.name} is held at {other.node} by {other.holder}; detach it there first")


def _one_mode(volume: Volume, event: AttachRequested) -> Refused | None:
    held = held_by(volume, event.holder)
    if held is None:
        return None
    return exists(f"{event.holder} holds {volume.name} as {held.mode} already; detach it to change the mode")


def _as_the_session_serves(volume: Volume, event: AttachRequested) -> Refused | None:
    """An engine serves read-only when every attachment was so at its start; a writer waits for the next session."""
    serves = volume.session is not None and volume.session.phase in (SessionPhase.OPENING, SessionPhase.OPEN)
    if (
        not serves
        or event.mode is Mode.READ_ONLY
        or any(a.mode is Mode.READ_WRITE for a in volume.attachments)
    ):
        return None
    holders = ", ".join(a.holder for a in volume.attachments[:3])
    return not_now(f"{volume.name} is served read-only for {holders}; detach them first, or attach as ro")


def not_fencing(volume: Volume, _event: AttachRequested) -> Refused | None:
    """A new holder waits for the end of the fence, which is near or has a reason that people see."""
    session = volume.session
    if session is None or session.phase is not SessionPhase.FENCING:
        return None
    return not_now(
        f"{volume.name} is being fenced at {session.node}, which can't be asked; "
        "attach it once it is detached, in some seconds"
    )


def _room_for_one(volume: Volume, _event: AttachRequested) -> Refused | None:
    if len(volume.attachments) < ATTACHMENTS_MAX:
        return None
    return not_now(f"{volume.name} has {ATTACHMENTS_MAX} holders, the most there can be")


def _attach(volume: Volume, event: AttachRequested) -> Change:
    new = Attachment(holder=event.holder, node=event.node, mode=event.mode)
    held = tuple(sorted((*volume.attachments, new), key=lambda a: a.holder))
    return Change(
        replace(volume, attachments=held), (f"{event.holder} attached at {event.node} as {event.mode}",)
    )


def _detach(volume: Volume, event: DetachRequested) -> Change:
    """The last one to go closes the session in the same commit: the atomic detach. So does the last stale one."""
    left = tuple(a for a in volume.attachments if a.holder != event.holder)
    after = replace(volume, attachments=left)
    session = volume.session
    freed = session is not None and session.broken and not any(a.stale for a in left)
    if left and not freed:
        return Change(after, (f"{event.holder} detached",))
    after = replace(after, held_since=Epoch(0))
    if session is None or not may_advance(session, SessionPhase.CLOSING):
        return Change(after, (f"{event.holder} detached",))
    after = replace(after, session=advance(session, SessionPhase.CLOSING))
    why = "nobody from before the loss holds on" if left else "nobody holds the volume"
    return Change(
        after, (f"{event.holder} detached", f"session {guards.spoken(session.epoch)} closes: {why}")
    )


def _holds_for_writing(volume: Volume, event: UseStarted | UseConfirmed) -> Refused | None:
    held = held_by(volume, event.holder)
    if held is not None and held.mode is Mode.READ_WRITE:
        return None
    return not_now(f"{event.holder} does not hold {volume.name} for writing")


def _fs_valid(_volume: Volume, event: UseStarted) -> Refused | None:
    return check_text("file system", event.fs, longest=32)


def _never_used(volume: Volume, _event: UseStarted) -> Refused | None:
    if volume.use.state is UseState.NONE:
        return None
    return exists(f"{volume.name} holds a file system already ({volume.use.fs}, {volume.use.state})")


def _being_formatted(volume: Volume, event: UseConfirmed) -> Refused | None:
    if volume.use == Use(state=UseState.FORMATTING, fs=event.fs):
        return None
    return not_now(f"no making of a {event.fs} file system on {volume.name} was announced")


def _start_use(volume: Volume, event: UseStarted) -> Change:
    use = Use(state=UseState.FORMATTING, fs=event.fs)
    return Change(replace(volume, use=use), (f"{event.holder} makes a {event.fs} file system",))


def _confirm_use(volume: Volume, event: UseConfirmed) -> Change:
    use = Use(state=UseState.USED, fs=event.fs)
    return Change(replace(volume, use=use), (f"{event.holder} made a {event.fs} file system",))


ROWS: dict[type, Transition] = {
    AttachRequested: Transition(
        repeated=_attached_so,
        guards=(
            _holder_valid,
            guards.not_deleting,
            not_fencing,
            one_node,
            _one_mode,
            _as_the_session_serves,
            _room_for_one,
        ),
        change=_attach,
    ),
    DetachRequested: Transition(
        repeated=lambda volume, event: held_by(volume, event.holder) is None,
        change=_detach,
    ),
    UseStarted: Transition(
        repeated=lambda volume, event: bool(volume.use == Use(state=UseState.FORMATTING, fs=event.fs)),
        guards=(_fs_valid, guards.not_deleting, _holds_for_writing, _never_used),
        change=_start_use,
    ),
    UseConfirmed: Transition(
        repeated=lambda volume, event: bool(volume.use == Use(state=UseState.USED, fs=event.fs)),
        guards=(guards.not_deleting, _holds_for_writing, _being_formatted),
        change=_confirm_use,
    ),
}
