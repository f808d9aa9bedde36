"""A session's life: started for attachments, opened and ended by its engine's word. See docs/protocol.md, Open, Close."""

import msgspec

from shorthorn.core.lifecycle import guards
from shorthorn.core.lifecycle.events import SessionClosed, SessionOpened, SessionStarted
from shorthorn.core.lifecycle.grounds import Grounds
from shorthorn.core.lifecycle.guards import spoken
from shorthorn.core.lifecycle.limits import ENDPOINT_MAX, check_text, invalid
from shorthorn.core.lifecycle.outcome import Refused
from shorthorn.core.lifecycle.phases import advance
from shorthorn.core.lifecycle.transition import Change, Transition, not_found, not_now, stale
from shorthorn.core.model.ids import Attempt, Epoch, Membership, NodeName
from shorthorn.core.model.volume import Replica, ReplicaPhase, Session, SessionPhase, Volume

replace = msgspec.structs.replace


def lose(replica: Replica, m: Membership) -> Replica:
    """Out of the in-sync set: a greater attempt, and complete up to `m`, the last membership it was part of (A6)."""
    return replace(
        replica, phase=ReplicaPhase.SYNCING, attempt=Attempt(replica.attempt + 1), synced_through=m
    )


def _started_so(volume: Volume, event: SessionStarted) -> bool:
    s = volume.session
    return s is not None and (s.epoch, s.node, s.machine_id, s.boot_id) == (
        event.epoch,
        event.node,
        event.machine_id,
        event.boot_id,
    )


def held_there(volume: Volume, event: SessionStarted) -> Refused | None:
    """A session is for attachments on its node, and for nothing else (S1, S10)."""
    if any(a.node == event.node for a in volume.attachments):
        return None
    return not_now(f"nobody holds {volume.name} at {event.node}")


def _its_node(_volume: Volume, event: SessionStarted) -> tuple[NodeName, ...]:
    return (event.node,)


def node_alive(volume: Volume, event: SessionStarted, grounds: Grounds) -> Refused | None:
    """No session for a boot of the node that is over, nor on a node that was declared dead (its end would be a fence).

    The committer names and reads the node (`rests_on`); who plays with a volume alone has none.
    """
    if event.node not in grounds.nodes:
        return None
    node = grounds.nodes[event.node]
    if node is None:
        return not_found(f"there is no node {event.node}")
    if node.dead:
        return not_now(f"{event.node} was declared dead by {node.dead.who}; detach {volume.name} from it")
    if (node.machine_id, node.boot_id) != (event.machine_id, event.boot_id):
        return stale(f"{event.node} booted again (boot {node.boot_id})")
    return None


def _has_source(volume: Volume, _event: SessionStarted) -> Refused | None:
    return None if volume.in_sync else not_now(f"{volume.name} has no in-sync replica")


def _machine_named(_volume: Volume, event: SessionStarted) -> Refused | None:
    return check_text("machine id", event.machine_id) or check_text("boot id", event.boot_id)


def _start(volume: Volume, event: SessionStarted) -> Change:
    """A task without a session is void from here: the engine seals higher (docs/protocol.md, Move)."""
    session = Session(
        epoch=event.epoch,
        node=event.node,
        machine_id=event.machine_id,
        boot_id=event.boot_id,
        broken=any(a.stale for a in volume.attachments),
    )
    after = replace(
        volume, epoch=event.epoch, session=session, tasks=(), held_since=volume.held_since or event.epoch
    )
    line = f"session {spoken(event.epoch)} starts at {event.node}"
    over = tuple(f"{t.kind} {t.id} is void: a session starts" for t in volume.tasks if not t.committed)
    return Change(after, (line, *over))


def was_opened(volume: Volume, epoch: Epoch) -> bool:
    """Whether this session ever opened. `epoch` must be the session's: no task has the same."""
    return volume.opened_epoch == epoch


def _opened_so(volume: Volume, event: SessionOpened) -> bool:
    s = volume.session
    return (
        s is not None
        and s.epoch == event.epoch
        and was_opened(volume, event.epoch)
        and s.endpoint == event.endpoint
    )


def _still_opening(volume: Volume, _event: SessionOpened) -> Refused | None:
    session = volume.session
    if session is None or session.phase is SessionPhase.OPENING:
        return None
    if session.phase is SessionPhase.OPEN:
        return stale(
            f"session {spoken(session.epoch)} of {volume.name} is open already, at {session.endpoint}"
        )
    return not_now(
        f"session {spoken(session.epoch)} of {volume.name} is {session.phase}; it will not open any more"
    )


def _endpoint_valid(_volume: Volume, event: SessionOpened) -> Refused | None:
    return check_text("endpoint", event.endpoint, ENDPOINT_MAX)


def members_in_sync(volume: Volume, event: SessionOpened) -> Refused | None:
    """Only replicas that hold every acknowledged write by the record may start a volume (S6)."""
    in_sync = [r.id for r in volume.in_sync]
    strange = next((m for m in event.members if m not in in_sync), None)
    return stale(f"replica {strange} of {volume.name} is not in-sync") if strange is not None else None


def opens_on_some(volume: Volume, event: SessionOpened) -> Refused | None:
    """Opening removes the missing; it never removes all (S5)."""
    if event.members:
        return None
    return invalid(f"session {spoken(event.epoch)} of {volume.name} cannot open on no replica")


def _open(volume: Volume, event: SessionOpened) -> Change:
    """Removes the missing, raises m, ends settled; clients from before a loss are to let go (A2)."""
    session = volume.session
    if session is None:
        raise AssertionError("guarded by session_is")
    lost = event.broken and volume.held_since != event.epoch
    attachments = tuple(replace(a, stale=True) for a in volume.attachments) if lost else volume.attachments
    broken = any(a.stale for a in attachments)
    missing = [r for r in volume.in_sync if r.id not in event.members]
    after = replace(
        volume,
        replicas=tuple(lose(r, volume.m) if r in missing else r for r in volume.replicas),
        m=Membership(volume.m + 1),
        settled=False,
        opened_epoch=event.epoch,
        held_since=event.epoch if lost else volume.held_since,
        attachments=attachments,
        session=replace(advance(session, SessionPhase.OPEN), endpoint=event.endpoint, broken=broken),
    )
    lines = [f"session {spoken(event.epoch)} open on {', '.join(event.members)}"]
    lines += [f"replica {r.id} on {r.node} lost: it did not answer when the session opened" for r in missing]
    if event.broken:
        lines.append("broken: every replica lost power while open, so unflushed writes may be gone")
    if broken:
        lines.append("serves nobody until the clients from before have let go")
    return Change(after, tuple(lines))


def _closed_before(volume: Volume, event: SessionClosed) -> bool:
    session = volume.session
    return event.epoch <= volume.epoch and (session is None or session.epoch != event.epoch)


def _with_evidence(_volume: Volume, event: SessionClosed) -> Refused | None:
    """The end of a session is never guessed (S7)."""
    return check_text("evidence", event.evidence, ENDPOINT_MAX)


def _close(volume: Volume, event: SessionClosed) -> Change:
    """A clean end makes settled what was opened. A session that never opened wrote nothing: settled stays as it was.

    A session that was opened and closed clean was served, so every member has stored its m (A17).
    """
    served = event.clean and was_opened(volume, event.epoch)
    how = "closed clean" if event.clean else "ended unclean"
    stored = tuple(
        replace(r, stored_m=volume.m) if served and r.phase is ReplicaPhase.IN_SYNC else r
        for r in volume.replicas
    )
    return Change(
        replace(volume, session=None, settled=volume.settled or served, replicas=stored),
        (f"session {spoken(event.epoch)} {how}: {event.evidence}",),
    )


ROWS: dict[type, Transition] = {
    SessionStarted: Transition(
        repeated=_started_so,
        guards=(
            guards.not_deleting,
            guards.no_session,
            guards.epoch_is_next,
            held_there,
            _has_source,
            _machine_named,
        ),
        rests_on=_its_node,
        grounded=(node_alive,),
        change=_start,
    ),
    SessionOpened: Transition(
        repeated=_opened_so,
        guards=(guards.session_is, _still_opening, _endpoint_valid, members_in_sync, opens_on_some),
        change=_open,
    ),
    SessionClosed: Transition(
        repeated=_closed_before,
        guards=(guards.session_is, _with_evidence),
        change=_close,
    ),
}
