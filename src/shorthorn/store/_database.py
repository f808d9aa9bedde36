"""The synchronous half of a local store: decides commits, keeps the truth.

A `Database` is called by one thread at a time and never waits for another. It knows
nothing of tasks, watches or loops; `_local.LocalStore` does, and a runner stands between
(`_runner.py`). So the same database runs on a thread in production and inline in a
simulation whose clock jumps.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from msgspec import Struct

from shorthorn.ports.store import (
    Batch,
    Change,
    CommitResult,
    JournalEntry,
    NewEntry,
    Stored,
    Write,
)

HISTORY_BYTES_MAX: Final = 8 << 20
"""History kept for watches, in memory and on disk. A volume's document is about 1 KiB, so
this is some thousand commits: minutes of a busy cluster, far more than a client needs to
reconnect. Too small only costs relisting; too large costs memory and a slower start."""

HISTORY_COMMITS_MAX: Final = 10_000
"""The same bound for commits that are nearly empty, whose cost is the objects."""


class Commit(Struct, frozen=True):
    """One checked commit, on its way to the database. `size` in bytes."""

    writes: Mapping[str, Write]
    unchanged: Mapping[str, int]
    journal: Sequence[NewEntry]
    size: int


class Applied(Struct, frozen=True):
    """What a group of commits came to.

    `outcomes` stand in the order of the commits. `batches` are what has become true since
    the last call, in order. `oldest` is the lowest revision with history. `failed` is why
    the database can't be used any more.
    """

    outcomes: tuple[CommitResult, ...]
    batches: tuple[Batch, ...]
    oldest: int
    failed: str | None = None


class Loaded(Struct, frozen=True):
    """The state to begin from. `history` holds the batches of `oldest` to `revision`."""

    revision: int
    entries: int
    documents: tuple[Stored, ...]
    history: tuple[Batch, ...]
    oldest: int


class Database(Protocol):
    """What `LocalStore` needs of it. Arguments have been checked (`_limits.py`)."""

    def load(self) -> Loaded:
        """The whole state. Called once, before anything else."""
        ...

    def apply(self, commits: Sequence[Commit]) -> Applied:
        """Decide the commits one after another; make all that are done durable together.

        Raises `Unavailable` when none of them happened.
        """
        ...

    def journal(self, after: int, subject: str | None, limit: int) -> tuple[JournalEntry, ...]:
        """As `Store.journal`."""
        ...

    def compact(self, through: int) -> int:
        """Forget history up to and including `through`, at most all. Returns the oldest left."""
        ...

    def close(self) -> None:
        """Let go of everything. May be called twice."""
        ...


class Retention:
    """Which revisions still have history: the newest that fit the two bounds.

    One object decides for disk and memory alike, so that a watch can't be promised what a
    restart would have forgotten.
    """

    def __init__(self, oldest: int = 1) -> None:
        self.oldest = oldest
        self._sizes: deque[int] = deque()
        self._total = 0

    def add(self, batch: Batch) -> None:
        """Take in the next revision; forget from the old end what no longer fits."""
        size = _size(batch)
        self._sizes.append(size)
        self._total += size
        while self._total > HISTORY_BYTES_MAX or len(self._sizes) > HISTORY_COMMITS_MAX:
            self._forget_one()

    def forget(self, through: int) -> None:
        """Forget up to and including `through`."""
        while self.oldest <= through and self._sizes:
            self._forget_one()

    def _forget_one(self) -> None:
        self._total -= self._sizes.popleft()
        self.oldest += 1


def _size(batch: Batch) -> int:
    changed = sum(len(change.key) + len(change.value or b"") for change in batch.changes)
    return changed + sum(len(entry.subject) + len(entry.body) for entry in batch.journal)


def batch_of(commit: Commit, revision: int, entries: int) -> Batch:
    """What `commit` does as `revision`, when `entries` journal entries are there before it."""
    return Batch(
        revision=revision,
        changes=tuple(Change(key, commit.writes[key].value) for key in sorted(commit.writes)),
        journal=tuple(
            JournalEntry(number, revision, entry.subject, entry.body)
            for number, entry in enumerate(commit.journal, start=entries + 1)
        ),
    )


def conditions(commit: Commit) -> list[tuple[str, int]]:
    """Every (key, version) that the commit rests on, sorted by key."""
    named = {key: write.expected_version for key, write in commit.writes.items()}
    named.update(commit.unchanged)
    return sorted(named.items())
