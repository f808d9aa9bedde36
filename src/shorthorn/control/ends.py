"""Counts the ends of held sessions that follow one another quickly, for planning to slow down.

Kept in memory only: a server that starts anew begins at nothing, and the first new session is always at once.
"""

from collections.abc import Mapping

import msgspec

from shorthorn.core.model.ids import Epoch, VolumeUid
from shorthorn.core.model.volume import Volume
from shorthorn.core.model.world import Ended
from shorthorn.ports.clock import Clock

FORGET_S = 120.0
"""A session that ends so long after the end before it is no part of a row: twice the longest pause between two."""


class _Row(msgspec.Struct):
    count: int
    at_s: float


class Ends:
    """What `note` has seen of each volume's sessions."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sessions: dict[VolumeUid, Epoch] = {}
        self._rows: dict[VolumeUid, _Row] = {}

    def note(self, volumes: Mapping[VolumeUid, Volume]) -> None:
        """Look at all volumes; may be called as often as one likes."""
        for uid, volume in volumes.items():
            before = self._sessions.pop(uid, None)
            if volume.session is not None:
                self._sessions[uid] = volume.session.epoch
            if before is not None and (volume.session is None or volume.session.epoch != before):
                self._end(volume)
        for uid in [uid for uid in self._rows if uid not in volumes]:
            del self._rows[uid]

    def ended(self) -> Mapping[VolumeUid, Ended]:
        """The rows that have not been forgotten."""
        now = self._clock.monotonic_s()
        rows = sorted(self._rows.items())
        return {
            uid: Ended(count=row.count, ago_s=now - row.at_s)
            for uid, row in rows
            if now - row.at_s < FORGET_S
        }

    def _end(self, volume: Volume) -> None:
        """Clean or not: nobody asked for the end of a session that is held. When nobody holds it, the row is over."""
        now = self._clock.monotonic_s()
        if not volume.attachments:
            self._rows.pop(volume.uid, None)
            return
        row = self._rows.get(volume.uid)
        count = 1 if row is None or now - row.at_s >= FORGET_S else row.count + 1
        self._rows[volume.uid] = _Row(count, now)
