"""The SQLite half of `SqliteStore`: one connection, one caller at a time, one fsync per group.

Order of a group: begin; for each commit compare, then write documents, changes and journal
entries; the new state row; COMMIT. SQLite appends it all to the write-ahead log and syncs
the log before COMMIT returns, so "returned" means durable, and a crash leaves all of the
group or nothing (docs/formats/store.md).

When COMMIT itself fails, nobody knows which. The connection is dropped and the file opened
anew, as after a crash; what is then in it is the truth, and is told to the readers before
anything else is. If that fails too, the database is unusable until the process starts anew.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import apsw

from shorthorn.errors import Damaged, ShorthornError, Unavailable
from shorthorn.ports.store import (
    ABSENT,
    Batch,
    CommitResult,
    Conflict,
    Done,
    JournalEntry,
    Stored,
    Unknown,
)
from shorthorn.store import _sqlite_rows as rows
from shorthorn.store._database import Applied, Commit, Loaded, Retention, batch_of, conditions
from shorthorn.store._sqlite_open import as_ours, leave_as_is, open_connection, translated

CHANGES: Final = "SELECT revision, key, value FROM change WHERE revision >= ? ORDER BY revision, key"

# The inner query walks back from the journal's end, so an old and long journal costs nothing.
ENTRIES: Final = """
    SELECT number, revision, subject, body FROM journal
    WHERE number > coalesce(
        (SELECT number FROM journal WHERE revision < ? ORDER BY number DESC LIMIT 1), 0)
    ORDER BY number"""

JOURNAL: Final = """
    SELECT number, revision, subject, body FROM journal
    WHERE number > :after ORDER BY number LIMIT :limit"""

JOURNAL_OF_SUBJECT: Final = """
    SELECT number, revision, subject, body FROM journal
    WHERE subject = :subject AND number > :after ORDER BY number LIMIT :limit"""


class SqliteDatabase:
    """See `shorthorn.store._database.Database`. Opens, or makes, the file at `path`.

    `vfs` names an SQLite file layer registered with apsw (None: the system's); tests put
    one that loses power there.
    """

    def __init__(self, path: Path, vfs: str | None = None) -> None:
        self._path = path
        self._vfs = vfs
        self._connection = open_connection(path, vfs)
        self._failed: str | None = None
        self._revision = 0
        self._entries = 0
        self._retention = Retention()

    def load(self) -> Loaded:
        """See `Database.load`. Raises `Damaged` when the tables contradict each other."""
        with translated(self._path):
            revision, entries, oldest = self._state()
            history = self._batches(oldest, revision)
            documents = self._documents(revision)
            self._check_journal(entries)
        self._retention = Retention(oldest)
        self._advance(revision, entries, history)
        kept = tuple(batch for batch in history if batch.revision >= self._retention.oldest)
        return Loaded(revision, entries, documents, kept, self._retention.oldest)

    def apply(self, commits: Sequence[Commit]) -> Applied:
        """See `Database.apply`."""
        self._check_usable()
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            outcomes, batches = self._decide(commits)
            if not batches:
                self._connection.execute("ROLLBACK")
                return Applied(outcomes, (), self._retention.oldest)
        except apsw.Error as error:
            self._roll_back()
            raise as_ours(error, self._path) from error
        except BaseException:
            self._roll_back()
            raise
        try:
            self._connection.execute("COMMIT")
        except apsw.Error as error:
            return self._recover(len(commits), error)
        self._advance(batches[-1].revision, _entries_after(batches, self._entries), batches)
        return Applied(outcomes, tuple(batches), self._retention.oldest)

    def journal(self, after: int, subject: str | None, limit: int) -> tuple[JournalEntry, ...]:
        """See `Store.journal`."""
        self._check_usable()
        query = JOURNAL if subject is None else JOURNAL_OF_SUBJECT
        with translated(self._path):
            found = self._connection.execute(query, {"after": after, "subject": subject, "limit": limit})
            return tuple(map(rows.entry, found))

    def compact(self, through: int) -> int:
        """See `Database.compact`. The rows are deleted by the next group."""
        self._retention.forget(through)
        return self._retention.oldest

    def close(self) -> None:
        """Empties the write-ahead log into the file and unlocks it."""
        with translated(self._path):
            self._connection.close()

    # ---- one group

    def _decide(self, commits: Sequence[Commit]) -> tuple[tuple[CommitResult, ...], list[Batch]]:
        batches: list[Batch] = []
        outcomes = tuple(self._apply_one(commit, batches) for commit in commits)
        if batches:
            state = (batches[-1].revision, _entries_after(batches, self._entries), self._retention.oldest)
            self._connection.execute("UPDATE state SET revision = ?, entries = ?, oldest = ?", state)
            self._connection.execute("DELETE FROM change WHERE revision < ?", (self._retention.oldest,))
        return outcomes, batches

    def _apply_one(self, commit: Commit, batches: list[Batch]) -> CommitResult:
        for key, expected in conditions(commit):
            version = self._version(key)
            if version != expected:
                return Conflict(key, version)
        revision = self._revision + len(batches)
        if not commit.writes and not commit.journal:
            return Done(revision)
        batch = batch_of(commit, revision + 1, _entries_after(batches, self._entries))
        self._write(batch)
        batches.append(batch)
        return Done(batch.revision)

    def _version(self, key: str) -> int:
        found = self._connection.execute("SELECT version FROM document WHERE key = ?", (key,)).fetchall()
        return rows.numbers(found[0], 1)[0] if found else ABSENT

    def _write(self, batch: Batch) -> None:
        execute, revision = self._connection.execute, batch.revision
        for change in batch.changes:
            if change.value is None:
                execute("DELETE FROM document WHERE key = ?", (change.key,))
            else:
                row = (change.key, revision, change.value)
                execute("INSERT OR REPLACE INTO document (key, version, value) VALUES (?, ?, ?)", row)
            row_of_change = (revision, change.key, change.value)
            execute("INSERT INTO change (revision, key, value) VALUES (?, ?, ?)", row_of_change)
        for entry in batch.journal:
            row_of_entry = (entry.number, entry.revision, entry.subject, entry.body)
            execute("INSERT INTO journal (number, revision, subject, body) VALUES (?, ?, ?, ?)", row_of_entry)

    def _advance(self, revision: int, entries: int, batches: Iterable[Batch]) -> None:
        self._revision, self._entries = revision, entries
        for batch in batches:
            self._retention.add(batch)

    # ---- when it goes wrong

    def _check_usable(self) -> None:
        if self._failed is not None:
            raise Unavailable(self._failed)

    def _roll_back(self) -> None:
        """Undo what has not been committed; SQLite may have done so itself."""
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except apsw.Error as error:
            self._failed = f"the store {self._path} has failed: {error}"

    def _recover(self, commits: int, error: apsw.Error) -> Applied:
        """After a COMMIT that failed: ask the file what is true."""
        reason = f"the disk refused a commit: {error}"
        unknown = (Unknown(reason),) * commits
        try:
            leave_as_is(self._connection, on=True)
            self._connection.close(True)
            self._connection = open_connection(self._path, self._vfs)
            revision, entries, _ = self._state()
            if revision < self._revision:
                raise Damaged(f"revision {revision} where {self._revision} was acknowledged")
            batches = self._batches(self._revision + 1, revision)
        except (apsw.Error, ShorthornError) as second:
            self._failed = (
                f"the store {self._path} has failed and must be opened anew: {error}; then {second}"
            )
            return Applied(unknown, (), self._retention.oldest, self._failed)
        self._advance(revision, entries, batches)
        return Applied(unknown, batches, self._retention.oldest)

    # ---- reading what is there

    def _state(self) -> tuple[int, int, int]:
        found = self._connection.execute("SELECT revision, entries, oldest FROM state").fetchall()
        if len(found) != 1:
            raise Damaged(f"the store {self._path} is damaged: {len(found)} state rows instead of one")
        revision, entries, oldest = rows.numbers(found[0], 3)
        return revision, entries, oldest

    def _documents(self, revision: int) -> tuple[Stored, ...]:
        found = self._connection.execute("SELECT key, version, value FROM document ORDER BY key")
        documents = tuple(rows.stored(row) for row in found)
        for document in documents:
            if not 1 <= document.version <= revision:
                raise Damaged(
                    f"the store {self._path} is damaged: {document.key} has version {document.version},"
                    f" the store revision {revision}"
                )
        return documents

    def _batches(self, first: int, last: int) -> tuple[Batch, ...]:
        """The history from `first` to `last`. Raises `Damaged` when a revision left no trace."""
        changes = self._connection.execute(CHANGES, (first,))
        entries = self._connection.execute(ENTRIES, (first,))
        return rows.batches(first, last, map(rows.change, changes), map(rows.entry, entries))

    def _check_journal(self, entries: int) -> None:
        newest = self._connection.execute("SELECT coalesce(max(number), 0) FROM journal").fetchall()[0]
        if newest != (entries,):
            raise Damaged(f"the store {self._path} is damaged: the journal does not end at {entries}")


def _entries_after(batches: Sequence[Batch], before: int) -> int:
    """The number of the newest journal entry after `batches`."""
    return before + sum(len(batch.journal) for batch in batches)
