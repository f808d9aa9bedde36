"""A store around a store whose commits go wrong on purpose, in every way the contract allows.

For tests and the simulator. It never breaks the contract: whatever it answers, a correct
caller ends up right. Without faults it is the store that it wraps.
"""

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence

from shorthorn.errors import Unavailable
from shorthorn.ports.store import (
    JOURNAL_PAGE_MAX,
    NO_GUARDS,
    CommitResult,
    JournalEntry,
    Listing,
    NewEntry,
    Store,
    Stored,
    Unknown,
    Watch,
    Write,
)


class Fault(enum.Enum):
    """What goes wrong with one commit."""

    REQUEST_LOST = "unknown, and it did not happen"
    ANSWER_LOST = "unknown, and it happened (or conflicted)"
    RIVAL = "somebody else writes one of its documents first, so it conflicts"
    UNAVAILABLE = "refused, nothing happened"


Decide = Callable[[Mapping[str, Write]], Fault | None]


def in_order(faults: Iterable[Fault | None]) -> Decide:
    """The given faults, one for each commit; when they are used up, none."""
    left = iter(faults)
    return lambda _writes: next(left, None)


def none(_writes: Mapping[str, Write]) -> None:
    """No fault."""


class FaultyStore:
    """`decide` is asked once for each commit, with its writes, before anything happens."""

    def __init__(self, store: Store, decide: Decide = none) -> None:
        self._store = store
        self.decide = decide

    async def get(self, key: str) -> Stored | None:
        """As the store."""
        return await self._store.get(key)

    async def list(self, prefix: str) -> Listing:
        """As the store."""
        return await self._store.list(prefix)

    def watch(self, prefix: str, from_revision: int) -> Watch:
        """As the store."""
        return self._store.watch(prefix, from_revision)

    async def commit(
        self,
        writes: Mapping[str, Write],
        unchanged: Mapping[str, int] = NO_GUARDS,
        journal: Sequence[NewEntry] = (),
    ) -> CommitResult:
        """As the store, after the fault."""
        match self.decide(writes):
            case None:
                return await self._store.commit(writes, unchanged, journal)
            case Fault.REQUEST_LOST:
                return Unknown("injected: the request was lost")
            case Fault.ANSWER_LOST:
                await self._store.commit(writes, unchanged, journal)
                return Unknown("injected: the answer was lost")
            case Fault.RIVAL:
                await self._act_as_rival(writes)
                return await self._store.commit(writes, unchanged, journal)
            case Fault.UNAVAILABLE:
                raise Unavailable("injected: the store is away", retry_after_s=0.1)

    async def journal(
        self, after: int = 0, subject: str | None = None, limit: int = JOURNAL_PAGE_MAX
    ) -> tuple[JournalEntry, ...]:
        """As the store."""
        return await self._store.journal(after, subject, limit)

    async def compact(self, revision: int) -> None:
        """As the store."""
        await self._store.compact(revision)

    async def close(self) -> None:
        """As the store."""
        await self._store.close()

    async def _act_as_rival(self, writes: Mapping[str, Write]) -> None:
        """Write the first document anew, with what it holds: a new version and nothing else.

        One that the commit would create is created with the same value. A commit without
        documents has no rival.
        """
        for key in sorted(writes):
            stored = await self._store.get(key)
            value = writes[key].value if stored is None else stored.value
            if value is not None:
                version = 0 if stored is None else stored.version
                await self._store.commit({key: Write(version, value)})
            return
