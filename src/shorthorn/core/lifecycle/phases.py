"""Phases of a session only move right (S8): one table, one function."""

import msgspec

from shorthorn.core.model.volume import Session, SessionPhase

MOVES: dict[SessionPhase, tuple[SessionPhase, ...]] = {
    SessionPhase.OPENING: (SessionPhase.OPEN, SessionPhase.CLOSING, SessionPhase.FENCING),
    SessionPhase.OPEN: (SessionPhase.CLOSING, SessionPhase.FENCING),
    SessionPhase.CLOSING: (SessionPhase.FENCING,),
    SessionPhase.FENCING: (),
}


def may_advance(session: Session, to: SessionPhase) -> bool:
    """Whether the table has this move."""
    return to in MOVES[session.phase]


def advance(session: Session, to: SessionPhase) -> Session:
    """The session in its next phase. Guards ask `may_advance` first; an illegal move here is our bug."""
    if not may_advance(session, to):
        raise AssertionError(f"a session cannot go from {session.phase} to {to}")
    return msgspec.structs.replace(session, phase=to)
