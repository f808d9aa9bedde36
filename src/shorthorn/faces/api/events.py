"""The calls about the journal: a page, or a stream."""

from collections.abc import AsyncIterator

import msgspec
from starlette.responses import Response, StreamingResponse

from shorthorn.control.control import Control
from shorthorn.core.model.journal import JournalLine
from shorthorn.faces.api.call import Call
from shorthorn.faces.api.views import EventsView, EventView
from shorthorn.ports.store import JOURNAL_PAGE_MAX, JournalEntry

HEARTBEAT_S = 15.0
"""A comment down the stream, so that what stands between does not think it dead."""


class EventCalls:
    """Handlers over a control plane."""

    def __init__(self, control: Control) -> None:
        self._control = control

    async def list(self, call: Call) -> EventsView:
        """Journal lines after `after`, of one `subject` or of all, at most `limit`."""
        after = int(call.query_number("after", 0, 2**62))
        limit = int(call.query_number("limit", JOURNAL_PAGE_MAX, JOURNAL_PAGE_MAX)) or 1
        return await self.page(after, call.query("subject"), limit)

    async def page(self, after: int, subject: str | None, limit: int = JOURNAL_PAGE_MAX) -> EventsView:
        """One page; `last` is where to go on."""
        entries = await self._control.store.journal(after, subject, limit)
        return EventsView(
            events=tuple(map(event_view, entries)), last=entries[-1].number if entries else after
        )

    async def watch(self, call: Call) -> Response:
        """Server-sent events: each journal line after `after` (default: from now on), as it comes."""
        after = int(call.query_number("after", self._control.records.journal_end, 2**62))
        return StreamingResponse(self._stream(after), media_type="text/event-stream")

    async def _stream(self, after: int) -> AsyncIterator[bytes]:
        while True:
            count = self._control.changes.count
            if self._control.records.journal_end > after:
                page = await self.page(after, None)
                after = page.last
                yield b"".join(
                    b"id: %d\ndata: %s\n\n" % (event.number, msgspec.json.encode(event))
                    for event in page.events
                )
            elif not await self._control.changes.after(count, HEARTBEAT_S):
                yield b": \n\n"


def event_view(entry: JournalEntry) -> EventView:
    """A journal entry as people see it."""
    line = msgspec.json.decode(entry.body, type=JournalLine)
    return EventView(number=entry.number, **msgspec.structs.asdict(line))
