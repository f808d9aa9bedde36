"""One store for all servers of a simulated cluster: a real database, and for each server a client that is some way off.

The database (memory, or SQLite's own writer called directly) decides commits; requests and answers take virtual time, and
a server that dies has its last request carried out or not. Watches of other servers lag. Contract: `shorthorn.ports.store`.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from shorthorn.errors import Unavailable
from shorthorn.ports.store import (
    JOURNAL_PAGE_MAX,
    NO_GUARDS,
    Batch,
    CommitResult,
    Done,
    JournalEntry,
    Listing,
    NewEntry,
    Stored,
    Unknown,
    Watch,
    Write,
)
from shorthorn.sim.machine.kernel import Kernel
from shorthorn.sim.machine.process import Process
from shorthorn.store._database import Commit, Database, Loaded
from shorthorn.store._feed import Feed, FeedWatch
from shorthorn.store._limits import check_commit, check_key, check_page, check_prefix
from shorthorn.store._sqlite_database import SqliteDatabase
from shorthorn.store.memory import MemoryDatabase

MS: Final = 1_000_000
TRIP_NS: Final = (MS // 10, MS)
"""A request, or an answer, takes this long: from and to, nanoseconds."""

LAG_NS: Final = 20 * MS
"""A watch is at most this far behind."""

LOST_S: Final = 5.0
"""After this long without an answer the outcome of a commit is unknown."""

T = TypeVar("T")


class SharedStore:
    """The truth. `on_commit` hears each batch in order, before anybody else does; it may raise what it finds wrong."""

    def __init__(self, kernel: Kernel, path: Path | None = None) -> None:
        """`path`: the folder of an SQLite store; without it all is in memory."""
        self.kernel = kernel
        self.chance = kernel.chance("store")
        self.on_commit: Callable[[Batch], None] = lambda _batch: None
        self.lose_requests = 0.0
        self.lose_answers = 0.0
        self.away = False
        self._path = path
        self._clients: list[StoreClient] = []
        self._database = self._open()
        self.feed = Feed(self._database.load())

    def _open(self) -> Database:
        return MemoryDatabase() if self._path is None else SqliteDatabase(self._path / "store.sqlite")

    def client(self, process: Process) -> "StoreClient":
        """A server's own view, which ends with its process."""
        self._clients = [client for client in self._clients if not client.process.ended]
        client = StoreClient(self, process)
        self._clients.append(client)
        return client

    def crash(self) -> None:
        """The process with the database dies and starts again: what was committed is there, nothing else. SQLite only."""
        if self._path is None:
            return
        before = self.feed
        self._database.close()
        self._database = self._open()
        loaded = self._database.load()
        if (loaded.revision, loaded.entries) != (before.revision, before.entries):
            raise AssertionError(f"the store came back at revision {loaded.revision}, not {before.revision}")

    def apply(self, commit: Commit) -> CommitResult:
        """Decide one commit now."""
        applied = self._database.apply([commit])
        for batch in applied.batches:
            self.feed.take_in(batch)
            self.on_commit(batch)
            for client in self._clients:
                client.behind(batch)
        self.feed.forget_below(applied.oldest)
        return applied.outcomes[0]

    def journal(self, after: int, subject: str | None, limit: int) -> tuple[JournalEntry, ...]:
        """As `Store.journal`, now."""
        return self._database.journal(after, subject, limit)

    def compact(self, revision: int) -> None:
        """As `Store.compact`, now."""
        self.feed.forget_below(self._database.compact(revision))

    def trip_ns(self) -> int:
        """How long the next message takes."""
        return self.chance.randrange(*TRIP_NS)

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()


class StoreClient:
    """A `shorthorn.ports.store.Store` for one server process."""

    def __init__(self, store: SharedStore, process: Process) -> None:
        self.process = process
        self._store = store
        self._kernel = store.kernel
        self._late: deque[Batch] = deque()
        self._feed = self._fresh()

    def _fresh(self) -> Feed:
        truth = self._store.feed
        listing = truth.list("")
        return Feed(
            Loaded(
                revision=listing.revision,
                entries=listing.entries,
                documents=listing.items,
                history=(),
                oldest=listing.revision + 1,
            )
        )

    def behind(self, batch: Batch) -> None:
        """A commit became true; this server hears of it a little later."""
        self._late.append(batch)
        self._kernel.after(self._store.chance.randrange(LAG_NS), self._catch_up, batch.revision)

    def _catch_up(self, revision: int) -> None:
        while self._late and self._late[0].revision <= revision:
            self._feed.take_in(self._late.popleft())

    async def get(self, key: str) -> Stored | None:
        """See `Store.get`."""
        check_key(key)
        return await self._ask(lambda: self._store.feed.get(key))

    async def list(self, prefix: str) -> Listing:
        """See `Store.list`."""
        check_prefix(prefix)
        listing = await self._ask(lambda: self._store.feed.list(prefix))
        self._catch_up(listing.revision)
        return listing

    def watch(self, prefix: str, from_revision: int) -> Watch:
        """See `Store.watch`."""
        return FeedWatch(self._feed, prefix, from_revision)

    async def commit(
        self,
        writes: Mapping[str, Write],
        unchanged: Mapping[str, int] = NO_GUARDS,
        journal: Sequence[NewEntry] = (),
    ) -> CommitResult:
        """See `Store.commit`."""
        size = check_commit(writes, unchanged, journal)
        store, chance = self._store, self._store.chance
        if store.away:
            raise Unavailable("the store can't be reached")
        commit = Commit(dict(writes), dict(unchanged), tuple(journal), size)
        lost = chance.random() < store.lose_requests if store.lose_requests else False
        if lost or (store.lose_answers and chance.random() < store.lose_answers):
            if not lost:
                self._kernel.after(store.trip_ns(), store.apply, commit)
            await asyncio.sleep(LOST_S)
            return Unknown("the store did not answer")
        result = await self._ask(lambda: store.apply(commit))
        if isinstance(result, Done):
            self._catch_up(result.revision)
        return result

    async def journal(
        self, after: int = 0, subject: str | None = None, limit: int = JOURNAL_PAGE_MAX
    ) -> tuple[JournalEntry, ...]:
        """See `Store.journal`."""
        check_page(after, subject, limit)
        return await self._ask(lambda: self._store.journal(after, subject, limit))

    async def compact(self, revision: int) -> None:
        """See `Store.compact`."""
        await self._ask(lambda: self._store.compact(revision))

    async def close(self) -> None:
        """See `Store.close`: the truth stays open for the others."""

    async def _ask(self, work: Callable[[], T]) -> T:
        """Have the store do something: there and back take a while, and it is done even if nobody waits any more."""
        if self._store.away:
            raise Unavailable("the store can't be reached")
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def arrive(_: None) -> None:
            value = work()
            self._kernel.after(self._store.trip_ns(), told, value)

        def told(value: T) -> None:
            if not answer.done() and not self.process.ended:
                answer.set_result(value)

        self._kernel.after(self._store.trip_ns(), arrive, None)
        result: T = await answer
        return result
