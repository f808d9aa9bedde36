"""A session whose node can't be asked is ended by sealing an in-sync replica (docs/protocol.md, Fence; B9, B10, B12).

FenceStarted raises the record's epoch; the session keeps its own, so that SessionClosed is still accepted: it is true,
and faster. FenceHeld ends the session. Whether the node is unheard is planning's view and no matter of the law.
"""

from typing import Final

import msgspec

from shorthorn.core.lifecycle import guards
from shorthorn.core.lifecycle.events import FenceHeld, FenceStarted
from shorthorn.core.lifecycle.grounds import Grounds
from shorthorn.core.lifecycle.guards import spoken
from shorthorn.core.lifecycle.limits import TEXT_MAX, check_text
from shorthorn.core.lifecycle.outcome import Refused
from shorthorn.core.lifecycle.phases import advance
from shorthorn.core.lifecycle.transition import Change, Transition, not_now, stale
from shorthorn.core.model.ids import Epoch, NodeName
from shorthorn.core.model.volume import ReplicaPhase, Session, SessionPhase, Volume

replace = msgspec.structs.replace

FENCE_FACTOR: Final = 1.1
"""Times T: two clocks that drift by 1 % each, and some room (B10)."""


def fence_wait_s(grant_s: float) -> float:
    """How long a sealed replica waits, in seconds, until no engine may complete a read by its grant of `grant_s`."""
    return FENCE_FACTOR * grant_s


def _session(volume: Volume) -> Session:
    if volume.session is None:
        raise AssertionError("guarded by session_is or is_fence")
    return volume.session


def _fencing_already(volume: Volume, event: FenceStarted) -> bool:
    session = volume.session
    return session is not None and (session.epoch, session.phase) == (event.epoch, SessionPhase.FENCING)


def _why_valid(_volume: Volume, event: FenceStarted) -> Refused | None:
    return check_text("reason", event.why, TEXT_MAX)


def _session_node(volume: Volume, _event: FenceStarted) -> tuple[NodeName, ...]:
    return (volume.session.node,) if volume.session else ()


def unheld_or_dead(volume: Volume, _event: FenceStarted, grounds: Grounds) -> Refused | None:
    """A consumer that may be alive keeps its session; only a person may say that its node is not (B9)."""
    session = _session(volume)
    at = session.node
    if session.phase is SessionPhase.CLOSING:
        return None  # It serves nobody any more; who attached since waits for the next one.
    holder = next((a.holder for a in volume.attachments if a.node == at), None)
    if holder is None or grounds.is_dead(at):
        return None
    return not_now(
        f"{volume.name} is held at {at} by {holder}, so it is not fenced; detach it, or declare {at} dead"
    )


def _start(volume: Volume, event: FenceStarted) -> Change:
    """A fence breaks the hold: whoever still holds on gets another path in the next session (A16)."""
    session = advance(_session(volume), SessionPhase.FENCING)
    after = replace(volume, epoch=Epoch(volume.epoch + 1), session=session, held_since=Epoch(0))
    what = f"session {spoken(session.epoch)} at {session.node}"
    return Change(after, (f"{what} is being fenced, epoch {spoken(after.epoch)}: {event.why}",))


def _held_before(volume: Volume, event: FenceHeld) -> bool:
    session = volume.session
    return event.epoch <= volume.epoch and (session is None or session.epoch > event.epoch)


def is_fence(volume: Volume, event: FenceHeld) -> Refused | None:
    """The event is about the fence under way."""
    session = volume.session
    if session and session.phase is SessionPhase.FENCING and event.epoch == volume.epoch:
        return None
    return stale(f"{volume.name} is not being fenced at epoch {spoken(event.epoch)}")


def in_sync_now(volume: Volume, event: FenceHeld) -> Refused | None:
    """The old engine needs every in-sync replica, and no other: sealing one that left the set stops nothing (B12)."""
    replica = volume.replica(event.replica)
    if replica is not None and replica.phase is ReplicaPhase.IN_SYNC:
        return None
    return stale(f"replica {event.replica} of {volume.name} is not in-sync, so its seal ends nothing")


def waited_long_enough(volume: Volume, event: FenceHeld, grounds: Grounds) -> Refused | None:
    """Until then the old engine may complete reads by what the replica granted before its seal (B10)."""
    if grounds.grant_s is None:
        return not_now(f"how long a fence of {volume.name} has to wait is not known here")
    need_s = fence_wait_s(grounds.grant_s)
    if event.waited_s >= need_s:
        return None
    return not_now(f"replica {event.replica} waited {event.waited_s:.1f} s of {need_s:.1f} s since its seal")


def _hold(volume: Volume, event: FenceHeld) -> Change:
    """Unclean: what the engine left half done is settled, or made equal at the next open."""
    session = _session(volume)
    evidence = f"replica {event.replica}, sealed at {spoken(event.epoch)}, refuses its engine"
    line = f"session {spoken(session.epoch)} ended by the fence: {evidence}"
    return Change(replace(volume, session=None), (line,))


ROWS: dict[type, Transition] = {
    FenceStarted: Transition(
        repeated=_fencing_already,
        guards=(guards.session_is, _why_valid),
        rests_on=_session_node,
        grounded=(unheld_or_dead,),
        change=_start,
    ),
    FenceHeld: Transition(
        repeated=_held_before,
        guards=(is_fence, in_sync_now),
        grounded=(waited_long_enough,),
        change=_hold,
    ),
}
