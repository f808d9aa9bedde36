"""A store that keeps nothing beyond its process: for tests, and for simulations.

The same contract and the same readers' half as `SqliteStore`; only the database differs.
"""

from collections.abc import Sequence
from itertools import islice

from shorthorn.ports.store import (
    ABSENT,
    Batch,
    CommitResult,
    Conflict,
    Done,
    JournalEntry,
)
from shorthorn.store._database import Applied, Commit, Loaded, Retention, batch_of, conditions
from shorthorn.store._local import LocalStore
from shorthorn.store._runner import InlineRunner


class MemoryDatabase:
    """Versions and the journal; the documents themselves are in the feed."""

    def __init__(self) -> None:
        self._revision = 0
        self._versions: dict[str, int] = {}
        self._journal: list[JournalEntry] = []
        self._retention = Retention()

    def load(self) -> Loaded:
        """Nothing: a new memory store is empty."""
        return Loaded(revision=0, entries=0, documents=(), history=(), oldest=1)

    def apply(self, commits: Sequence[Commit]) -> Applied:
        """See `Database.apply`."""
        batches: list[Batch] = []
        outcomes = tuple(self._apply_one(commit, batches) for commit in commits)
        return Applied(outcomes, tuple(batches), self._retention.oldest)

    def journal(self, after: int, subject: str | None, limit: int) -> tuple[JournalEntry, ...]:
        """See `Store.journal`."""
        rest = islice(self._journal, after, None)
        wanted = (entry for entry in rest if subject is None or entry.subject == subject)
        return tuple(islice(wanted, limit))

    def compact(self, through: int) -> int:
        """See `Database.compact`."""
        self._retention.forget(through)
        return self._retention.oldest

    def close(self) -> None:
        """Nothing is held."""

    def _apply_one(self, commit: Commit, batches: list[Batch]) -> CommitResult:
        for key, expected in conditions(commit):
            version = self._versions.get(key, ABSENT)
            if version != expected:
                return Conflict(key, version)
        if not commit.writes and not commit.journal:
            return Done(self._revision)
        self._revision += 1
        batch = batch_of(commit, self._revision, len(self._journal))
        for change in batch.changes:
            if change.value is None:
                del self._versions[change.key]
            else:
                self._versions[change.key] = self._revision
        self._journal.extend(batch.journal)
        self._retention.add(batch)
        batches.append(batch)
        return Done(self._revision)


class MemoryStore(LocalStore):
    """An empty store in memory. May be made outside of a loop."""

    def __init__(self) -> None:
        super().__init__(MemoryDatabase(), InlineRunner)
