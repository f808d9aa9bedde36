"""One replica: its core, its files and the connections that talk to it, behind one lock.

The lock of the real program is a queue here: what happens to a replica happens one after the other, each after the time
that the disk takes. Requests wait while something exclusive is being recorded; ends of syncs, ends of connections and the
program's own requests don't. Syncs go on beside. Source: crates/shorthorn-replica/src/{slot,syncer,connection}.rs.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from shorthorn.links import program_lines as lines
from shorthorn.native._native import (
    DiskError,
    Do,
    Done,
    End,
    Ended,
    Outcome,
    Replica,
    ReplicaEffect,
    ReplicaEvent,
    ReplicaFiles,
    Reply,
    Request,
    Requested,
    SendReply,
    SyncHandle,
)
from shorthorn.sim.programs.drive import Drive
from shorthorn.sim.programs.surroundings import Log

FENCE_PREFIX: Final = "fence-"
"""Every fence's engine id begins so: no engine's or copier's does."""

SLOW: Final = {"hash", "fetch", "copy"}
"""Requests that look at a range of up to a megabyte."""

_standing: msgspec.json.Decoder[lines.Standing] = msgspec.json.Decoder(lines.Standing)


class _Header(msgspec.Struct):
    sealed: tuple[int, int]
    engine: str


class _Version(msgspec.Struct):
    version: int


class Fenced(NamedTuple):
    """A fence's seal, (epoch, attempt), and since when it is known to be durable, by the machine's clock."""

    sealed: tuple[int, int]
    since_s: float


class Outbox(NamedTuple):
    """The sending half of a connection. `end` ends it, after what was sent."""

    send: Callable[[int, Reply], object]
    end: Callable[[], object]


class Slot:
    """A replica that is served. `changed`: what it durably is has changed."""

    def __init__(
        self,
        name: str,
        files: ReplicaFiles,
        drive: Drive,
        loop: asyncio.AbstractEventLoop,
        log: Log,
        changed: Callable[[], object],
    ) -> None:
        self.name = name
        self.core = Replica(files)
        self.files = files
        self.fenced: Fenced | None = None
        self.closed = False
        self._drive = drive
        self._sim = drive.sim
        self._loop = loop
        self._log = log
        self._changed = changed
        self._outboxes: dict[int, Outbox] = {}
        self._urgent: deque[ReplicaEvent] = deque()
        self._requests: deque[Requested | Ended] = deque()
        self._syncs: deque[tuple[int, SyncHandle]] = deque()
        self._working = False
        self._revision = self.core.revision
        self._idle: list[asyncio.Future[None]] = []
        header = msgspec.json.decode(files.header(), type=_Header)
        if header.engine.startswith(FENCE_PREFIX):
            # A fence that is found was durable before this moment.
            self.fenced = Fenced(header.sealed, loop.time())

    # Connections.

    def join(self, conn: int, outbox: Outbox) -> None:
        """A new connection. A slot that is found is served: nobody waits between the two."""
        self._outboxes[conn] = outbox

    def leave(self, conn: int) -> None:
        """A connection is over; what came on it before is still done."""
        if conn in self._outboxes:
            self._requests.append(Ended(conn))
            self._go_on()

    def ask(self, conn: int, tag: int, request: Request) -> None:
        """A request came."""
        self._requests.append(Requested(conn, tag, request))
        if not self._working:
            self._go_on()

    def ask_now(self, conn: int, tag: int, request: Request) -> None:
        """A request of the program itself: it waits for no other."""
        self._urgent.append(Requested(conn, tag, request))
        self._go_on()

    def leave_now(self, conn: int) -> None:
        """A connection of the program itself is over."""
        if self._outboxes.pop(conn, None) is not None:
            self._urgent.append(Ended(conn))
            self._go_on()

    def close(self) -> None:
        """Deleted, or the program ends: all connections end, nothing is delivered any more."""
        self.closed = True
        outboxes, self._outboxes = self._outboxes, {}
        for outbox in outboxes.values():
            outbox.end()
        self._urgent.clear()
        self._requests.clear()
        self._syncs.clear()
        self._drive.done(self)
        self._drive.done((self, "sync"))
        self._tell_idle()

    async def idle(self) -> None:
        """Until nothing happens to it and nothing exclusive is being recorded."""
        while not self.closed and (self._working or self.core.is_busy):
            future: asyncio.Future[None] = self._loop.create_future()
            self._idle.append(future)
            await future

    # What others want to know.

    def is_sealed(self, epoch: int, attempt: int, engine: str) -> bool:
        """Whether it is served, and this seal is the one that holds."""
        return not self.closed and self.core.is_sealed(epoch, attempt, engine)

    def held(self) -> lines.Held:
        """What the agent is told of it."""
        standing, damaged, used = _standing.decode(self.core.standing()), None, 0
        try:
            used = self.files.used_bytes()
        except DiskError as error:
            damaged = str(error)
        return lines.Held(
            replica=self.name,
            volume=self.core.identity()[1],
            empty=standing.sealed[0] == 0,
            document_version=msgspec.json.decode(self.core.document(), type=_Version).version,
            used=used,
            open=self.core.is_open,
            damaged=damaged,
            standing=standing if damaged is None else None,
        )

    # The lock and what happens under it.

    def _go_on(self) -> None:
        if self._working or self.closed:
            return
        event = self._next()
        if event is None:
            self._tell_idle()
            return
        self._working = True
        # What is killed while the disk works has got to some point of it.
        self._drive.under_way(self, lambda: self.core.deliver(event, self.files))
        self._loop.call_later(self._drive.wait_s(self._base_s(event)), self._work, event)

    def _next(self) -> ReplicaEvent | None:
        if self._urgent:
            return self._urgent.popleft()
        requests = self._requests
        while requests and not self.core.is_busy:
            event = requests.popleft()
            if event.conn in self._outboxes:
                if type(event) is Ended:
                    del self._outboxes[event.conn]
                return event
        return None

    def _base_s(self, event: ReplicaEvent) -> float:
        times = self._drive.times
        if type(event) is Requested and event.request.kind in SLOW:
            return times.touch_s + times.scan_s
        return times.touch_s

    def _work(self, event: ReplicaEvent) -> None:
        if self.closed:
            return
        self._drive.done(self)
        before = self._sim.syncs
        effects = self.core.deliver(event, self.files)
        synced = self._sim.syncs - before
        if synced:
            self._loop.call_later(self._drive.wait_s(synced * self._drive.times.sync_s), self._say, effects)
        else:
            self._say(effects)

    def _say(self, effects: list[ReplicaEffect]) -> None:
        if self.closed:
            return
        for effect in effects:
            match effect:
                case SendReply(conn=conn, tag=tag, reply=reply):
                    outbox = self._outboxes.get(conn)
                    if outbox is not None:
                        outbox.send(tag, reply)
                    self._note(reply)
                case Do(token=token):
                    self._sync(token)
                case End(conn=conn, why=why):
                    self._log.info("connection ended", replica=self.name, conn=conn, why=why)
                    outbox = self._outboxes.pop(conn, None)
                    if outbox is not None:
                        outbox.end()
        revision = self.core.revision
        if revision != self._revision:
            self._revision = revision
            self._changed()
        self._working = False
        self._go_on()

    # Syncs, one after the other, beside everything else.

    def _sync(self, token: int) -> None:
        self._syncs.append((token, self.files.sync_handle()))
        if len(self._syncs) == 1:
            self._start_sync()

    def _start_sync(self) -> None:
        _, handle = self._syncs[0]
        drive = self._drive
        wait_s = drive.wait_s(3 * drive.times.sync_s)
        if drive.coin():
            # What is written while it lasts is not covered.
            self._loop.call_later(wait_s, self._synced, handle.sync())
        else:
            drive.under_way((self, "sync"), handle.sync)
            self._loop.call_later(wait_s, self._sync_late, handle)

    def _sync_late(self, handle: SyncHandle) -> None:
        if not self.closed:
            self._drive.done((self, "sync"))
            self._synced(handle.sync())

    def _synced(self, outcome: Outcome) -> None:
        if self.closed:
            return
        token, _ = self._syncs.popleft()
        self._urgent.append(Done(token, outcome))
        if self._syncs:
            self._start_sync()
        self._go_on()

    def _tell_idle(self) -> None:
        waiting, self._idle = self._idle, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def _note(self, reply: Reply) -> None:
        """What people should hear of."""
        kind = reply.kind
        if kind == "refused":
            told = self._log.fault if reply.why == "old_document" else self._log.warn
            told("request refused", replica=self.name, rule=reply.why, why=reply.detail)
        elif kind == "corrupt":
            self._log.fault("a block does not fit its checksum", replica=self.name)
