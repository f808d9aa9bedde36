"""HTTP/1.1 as uvicorn speaks it, with bounds on how long the head of a request may take to come, and on its size.

uvicorn bounds an idle connection after an answer only, and the head of a request not at all.
"""

import asyncio
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

HEAD_S: Final = 10.0
"""From the connection, or from the first byte of a later request, to the end of its head."""

HEAD_BYTES_MAX: Final = 64 << 10
"""Our own are a few hundred bytes; browsers and proxies add some KiB."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection; it ends when a head does not come, or is too long."""

    _head_timer: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A head is awaited."""
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """What is no part of a request under way is part of a head."""
        super().data_received(data)
        if self._under_way():
            self._stop()
            return
        self._await_head()
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and cycle.more_body:
            return  # the rest of a body that was refused: it is read, so that the refusal is not lost
        self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES_MAX:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is awaited any more."""
        self._stop()
        super().connection_lost(exc)

    def _under_way(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def _await_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_S, self._no_head)

    def _no_head(self) -> None:
        self._head_timer = None
        if not self._under_way():
            self.transport.close()

    def _stop(self) -> None:
        self._head_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
