"""Opens the file of an SQLite store: the only place that knows tables, pragmas and versions.

What is opened is ours alone (locked), of a format that this build knows, and on disk as it
is read: whatever a crash left in the write-ahead log has been brought into the file. What
can't be opened is refused in one line and left as it was. docs/formats/store.md describes
the file; `_sqlite_database.py` reads and writes it.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import apsw

from shorthorn.errors import Damaged, ShorthornError, Unavailable

APPLICATION_ID: Final = 0x53485253
""""SHRS" in the file's header, so that `file` and we can tell it from any other database."""

FORMAT_VERSION: Final = 1
"""In the header as user_version. Grows with any change of tables or of their meaning."""

# The last three: tables that are not as this module made them (our statements are tested).
_DAMAGE: Final = (
    apsw.CorruptError,
    UnicodeDecodeError,
    apsw.SQLError,
    apsw.ConstraintError,
    apsw.MismatchError,
)

SCHEMA: Final = """
CREATE TABLE state (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    revision INTEGER NOT NULL,
    entries  INTEGER NOT NULL,
    oldest   INTEGER NOT NULL
) STRICT;
INSERT INTO state VALUES (1, 0, 0, 1);
CREATE TABLE document (
    key     TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    value   BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE change (
    revision INTEGER NOT NULL,
    key      TEXT NOT NULL,
    value    BLOB,
    PRIMARY KEY (revision, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE journal (
    number   INTEGER PRIMARY KEY,
    revision INTEGER NOT NULL,
    subject  TEXT NOT NULL,
    body     BLOB NOT NULL
) STRICT;
CREATE INDEX journal_by_subject ON journal (subject, number);
"""


def has_wal_reset_bug(version: str) -> bool:
    """Whether this SQLite can lose committed pages when two connections checkpoint at once.

    We hold one connection only, so we should be safe even then; but a store is no place
    for "should". Source: SQLite 3.51.3 release notes; repaired in 3.50.7 and 3.44.6 too.
    """
    numbers = tuple(int(part) for part in version.split(".")[:3])
    if numbers >= (3, 51, 3) or numbers < (3, 7, 0):
        return False
    repaired = {(3, 50): 7, (3, 44): 6}.get((numbers[0], numbers[1]))
    return repaired is None or numbers[2] < repaired


def open_connection(path: Path, vfs: str | None = None) -> apsw.Connection:
    """The one connection to the store at `path`, which is made if it is not there.

    Raises `Unavailable` (another process has it, or the disk refuses), `Damaged` (not ours,
    of another format, or not readable).
    """
    version = apsw.sqlite_lib_version()
    if has_wal_reset_bug(version):
        raise Damaged(f"SQLite {version} can lose committed data (WAL-reset bug); use 3.51.3 or newer")
    with translated(path):
        _make_file(path)
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_PRIVATECACHE
        connection = apsw.Connection(str(path), flags=flags, vfs=vfs)
        try:
            _take(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


def leave_as_is(connection: apsw.Connection, *, on: bool) -> None:
    """Whether closing leaves the files untouched, instead of emptying the write-ahead log."""
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, int(on))


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """SQLite's and the system's errors become ours."""
    try:
        yield
    except (apsw.Error, OSError, UnicodeDecodeError) as error:
        raise as_ours(error, path) from error


def as_ours(error: Exception, path: Path) -> ShorthornError:
    """The error of our tree that says what `error` means for the store at `path`."""
    context = f"{type(error).__name__}, extended result {getattr(error, 'extendedresult', None)}"
    match error:
        case apsw.BusyError() | apsw.LockedError():
            return Unavailable(f"the store {path} is in use by another server", context=context)
        case apsw.NotADBError():
            return Damaged(f"{path} is not a Shorthorn store", context=context)
        case _ if isinstance(error, _DAMAGE):
            return Damaged(f"the store {path} is damaged: {error}", context=context)
        case _:
            return Unavailable(f"the store {path} can't be used: {error}", context=context)


def _make_file(path: Path) -> None:
    """An empty file, readable by its owner only, whose name survives a power cut."""
    if path.exists():
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    for folder in (path.parent, path.parent.parent):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _take(connection: apsw.Connection, path: Path) -> None:
    # A log that holds something stays as it is if we refuse; an empty one that our own opening
    # makes goes away again.
    log = path.with_name(path.name + "-wal")
    leave_as_is(connection, on=log.exists() and log.stat().st_size > 0)
    # Before the first read: in this mode that read takes the lock, and the index of the
    # write-ahead log is in our memory instead of in a file shared with others.
    _set(connection, "locking_mode", "exclusive")
    is_new = _check_format(connection, path)
    leave_as_is(connection, on=False)
    _set(connection, "journal_mode", "wal")
    connection.execute("PRAGMA synchronous = FULL")
    if _pragma(connection, "synchronous") != 2:  # 2 is FULL
        raise Unavailable(f"SQLite does not take synchronous=FULL for {path}")
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA mmap_size = 0")  # a read error must be an error, not a signal
    connection.execute("PRAGMA temp_store = MEMORY")
    if is_new:
        connection.execute(
            f"BEGIN EXCLUSIVE; {SCHEMA} PRAGMA application_id = {APPLICATION_ID};"
            f"PRAGMA user_version = {FORMAT_VERSION}; COMMIT"
        )
    # What a killed process wrote and had not synced yet is in the log, readable but not
    # durable. Nobody may see it before it is: bring all of the log into the file, synced.
    busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()[0]
    if busy:
        raise Unavailable(f"the store {path} is in use by another server")


def _check_format(connection: apsw.Connection, path: Path) -> bool:
    """Whether the file is new and empty. Raises `Damaged` unless it is that or our format."""
    application, version = _pragma(connection, "application_id"), _pragma(connection, "user_version")
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()[0][0]
    if (application, version, tables) == (0, 0, 0):
        return True
    if application != APPLICATION_ID:
        raise Damaged(f"{path} is not a Shorthorn store")
    if version > FORMAT_VERSION:
        raise Damaged(
            f"the store {path} has format {version}, written by a newer Shorthorn;"
            f" this one knows up to {FORMAT_VERSION}"
        )
    if version < 1:
        raise Damaged(f"the store {path} has format {version}, which never existed")
    return False


def _set(connection: apsw.Connection, name: str, value: str) -> None:
    got = connection.execute(f"PRAGMA {name} = {value}").fetchall()[0][0]
    if got != value:
        raise Unavailable(f"SQLite does not take {name}={value}, but {got}")


def _pragma(connection: apsw.Connection, name: str) -> Any:  # noqa: ANN401 - a number or a word
    return connection.execute(f"PRAGMA {name}").fetchall()[0][0]
