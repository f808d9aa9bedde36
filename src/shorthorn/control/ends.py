"""Counts the ends of held sessions that follow one another quickly, for planning to slow down.

Kept in memory only: a server that starts anew begins at nothing, and the first new session is always at once.
"""

from collections.abc import Mapping

import msgspec

from shorthorn.core.model.ids import Epoch, VolumeUid
from shorthorn.core.model.volume import Session, SessionPhase, Volume
from shorthorn.core.model.world import Ended
from shorthorn.ports.clock import Clock

FORGET_S = 120.0
"""A session that ends so long after the end before it is no part of a row: twice the longest pause between two."""


LASTING_S = 20.0
"""A session that served so long begins a new row by its end, so that a client of a volume that works does not wait for it."""


class _Known(msgspec.Struct):
    """A session that is not over. `open_since_s`: when it was first seen open."""

    epoch: Epoch
    open_since_s: float | None = None


class _Row(msgspec.Struct):
    count: int
    at_s: float


class Ends:
    """What `note` has seen of each volume's sessions."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sessions: dict[VolumeUid, _Known] = {}
        self._rows: dict[VolumeUid, _Row] = {}

    def forget(self) -> None:
        """Begin as a server that has just started."""
        self._sessions.clear()
        self._rows.clear()

    def note(self, volumes: Mapping[VolumeUid, Volume]) -> None:
        """Look at all volumes; may be called as often as one likes."""
        for uid, volume in volumes.items():
            known = self._sessions.get(uid)
            if known is not None and (volume.session is None or volume.session.epoch != known.epoch):
                self._end(volume, known)
                del self._sessions[uid]
            if volume.session is not None:
                self._follow(uid, volume.session)
        self._rows = {uid: row for uid, row in self._rows.items() if uid in volumes}
        self._sessions = {uid: known for uid, known in self._sessions.items() if uid in volumes}

    def ended(self) -> Mapping[VolumeUid, Ended]:
        """The rows that have not been forgotten."""
        now = self._clock.monotonic_s()
        rows = sorted(self._rows.items())
        return {
            uid: Ended(count=row.count, ago_s=now - row.at_s)
            for uid, row in rows
            if now - row.at_s < FORGET_S
        }

    def _follow(self, uid: VolumeUid, session: Session) -> None:
        known = self._sessions.setdefault(uid, _Known(session.epoch))
        if session.phase is SessionPhase.OPEN and known.open_since_s is None:
            known.open_since_s = self._clock.monotonic_s()

    def _end(self, volume: Volume, session: _Known) -> None:
        """Clean or not: nobody asked for the end of a session that is held. When nobody holds it, the row is over."""
        now = self._clock.monotonic_s()
        if not volume.attachments:
            self._rows.pop(volume.uid, None)
            return
        row = self._rows.get(volume.uid)
        lasted = session.open_since_s is not None and now - session.open_since_s >= LASTING_S
        count = 1 if row is None or lasted or now - row.at_s >= FORGET_S else row.count + 1
        self._rows[volume.uid] = _Row(count, now)
