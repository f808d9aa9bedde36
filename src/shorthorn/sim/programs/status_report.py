"""What the agent is told of the engine's state, and when: a change at once, the progress of resyncs a few times a second.

Source: crates/shorthorn-engine/src/status_report.rs.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec

from shorthorn.links import program_lines as lines
from shorthorn.native._native import Status

PROGRESS_GAP_S: Final = 0.25
"""Between two reports that differ in the progress of resyncs only."""

SLACK_S: Final = 1e-6
"""A float of seconds may be a hair below the time that a timer was set for."""

_resyncs: msgspec.json.Decoder[tuple[lines.Resync, ...]] = msgspec.json.Decoder(tuple[lines.Resync, ...])


class StatusReport:
    """The core's last status, and whether the agent is still to be told. `tell` sends a line; `clients`: how many."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        is_up: Callable[[], bool],
        clients: Callable[[], int],
        tell: Callable[[lines.Status], object],
    ) -> None:
        self._loop = loop
        self._is_up, self._clients, self._tell = is_up, clients, tell
        self._status: lines.Status | None = None
        self._changed = False
        self._progressed = False
        self._told_at = 0.0
        self._armed = False

    def note(self, effect: Status) -> bool:
        """A newer status. True: something else changed than how far resyncs are."""
        status = lines.Status(
            phase=lines.Phase(effect.phase),
            waits_for=effect.waits_for,
            needed=tuple(effect.needed),
            resyncs=_resyncs.decode(effect.resyncs),
        )
        known, self._status = self._status, status
        changed = known is None or _still(known) != _still(status)
        self._changed |= changed
        self._progressed |= known != status
        self._look()
        return changed

    def tell_now(self) -> None:
        """Say it again, or for the first time on this link."""
        self._changed = True
        self._look()

    def _look(self) -> None:
        """Tell what is due; come again for what is due later."""
        if self._status is None or not self._is_up() or self._armed:
            return
        if self._changed:
            # At the end of this round: at most once in it.
            self._armed = True
            self._loop.call_soon(self._due)
        elif self._progressed:
            self._armed = True
            self._loop.call_at(max(self._told_at + PROGRESS_GAP_S, self._loop.time()), self._due)

    def _due(self) -> None:
        self._armed = False
        if self._status is None or not self._is_up():
            return
        if not self._changed and self._loop.time() + SLACK_S < self._told_at + PROGRESS_GAP_S:
            self._look()
            return
        self._changed = self._progressed = False
        self._told_at = self._loop.time()
        self._tell(msgspec.structs.replace(self._status, clients=self._clients()))


def _still(status: lines.Status) -> lines.Status:
    still = tuple(msgspec.structs.replace(resync, done=0) for resync in status.resyncs)
    return msgspec.structs.replace(status, resyncs=still)
