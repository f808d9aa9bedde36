"""The store of one process: a database for the truth, a feed for its readers, a runner between.

    commit, journal, compact ──► runner ──► database        (a thread, or inline)
    get, list, watch         ◄── feed   ◄── what became true

Reads of documents come from memory and never wait for a disk. That is safe because this
process is the only one that writes (the database holds a lock), and because the feed is
told of a commit before its caller is.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from shorthorn.errors import Invalid, Unavailable
from shorthorn.ports.store import (
    JOURNAL_PAGE_MAX,
    NO_GUARDS,
    CommitResult,
    JournalEntry,
    Listing,
    NewEntry,
    Stored,
    Watch,
    Write,
)
from shorthorn.store._database import Applied, Commit, Database
from shorthorn.store._feed import Feed, FeedWatch
from shorthorn.store._limits import check_commit, check_key, check_page, check_prefix
from shorthorn.store._runner import Runner, Told

T = TypeVar("T")

CLOSED: Final = "the store is closed"


class LocalStore:
    """A `shorthorn.ports.store.Store` over a database that only this process writes."""

    def __init__(self, database: Database, make_runner: Callable[[Database, Told], Runner]) -> None:
        self._database = database
        self._feed = Feed(database.load())
        self._runner = make_runner(database, self._told)
        self._refusal: Unavailable | None = None

    async def get(self, key: str) -> Stored | None:
        """See `Store.get`."""
        check_key(key)
        self._check_usable()
        return self._feed.get(key)

    async def list(self, prefix: str) -> Listing:
        """See `Store.list`."""
        check_prefix(prefix)
        self._check_usable()
        return self._feed.list(prefix)

    def watch(self, prefix: str, from_revision: int) -> Watch:
        """See `Store.watch`."""
        self._check_usable()
        return FeedWatch(self._feed, prefix, from_revision)

    async def commit(
        self,
        writes: Mapping[str, Write],
        unchanged: Mapping[str, int] = NO_GUARDS,
        journal: Sequence[NewEntry] = (),
    ) -> CommitResult:
        """See `Store.commit`."""
        size = check_commit(writes, unchanged, journal)
        self._check_usable()
        # Copies: the caller may change its own while the commit is on its way.
        commit = Commit(dict(writes), dict(unchanged), tuple(journal), size)
        outcome: CommitResult = await self._runner.submit(commit)
        return outcome

    async def journal(
        self, after: int = 0, subject: str | None = None, limit: int = JOURNAL_PAGE_MAX
    ) -> tuple[JournalEntry, ...]:
        """See `Store.journal`."""
        check_page(after, subject, limit)
        return await self._call(lambda: self._database.journal(after, subject, limit))

    async def compact(self, revision: int) -> None:
        """See `Store.compact`."""
        if revision > self._feed.revision:
            raise Invalid(f"the store is at revision {self._feed.revision}, not {revision}")
        self._feed.forget_below(await self._call(lambda: self._database.compact(revision)))

    async def close(self) -> None:
        """See `Store.close`."""
        if self._refusal is None:
            self._refuse(CLOSED)
        await self._runner.close()
        self._database.close()

    async def _call(self, work: Callable[[], T]) -> T:
        self._check_usable()
        result: Any = await self._runner.submit(work)
        return result  # type: ignore[no-any-return]  # the runner carries any value

    def _told(self, applied: Applied) -> None:
        for batch in applied.batches:
            self._feed.take_in(batch)
        self._feed.forget_below(applied.oldest)
        if applied.failed is not None:
            self._refuse(applied.failed)

    def _refuse(self, why: str) -> None:
        self._refusal = Unavailable(why)
        self._feed.end(Unavailable(why))

    def _check_usable(self) -> None:
        if self._refusal is not None:
            raise Unavailable(self._refusal.message)
