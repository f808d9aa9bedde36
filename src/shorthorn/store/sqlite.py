"""A store in one SQLite file: the default of a single server, with nothing to install.

Writes run on a thread of their own, in groups that share one fsync; reads come from
memory. `inline=True` runs the same database in the loop's thread, for a simulation whose
loop has no real time. The file is described in docs/formats/store.md.
"""

from pathlib import Path

from shorthorn.store._local import LocalStore
from shorthorn.store._runner import InlineRunner, ThreadRunner
from shorthorn.store._sqlite_database import SqliteDatabase


class SqliteStore(LocalStore):
    """The store in the file `path`, which is made, with its folder, if it is not there.

    Made inside a running loop, which it then belongs to; blocks it while the file is read
    (some 10 ms for ten thousand volumes). Raises `Unavailable` (in use by another server,
    or the disk refuses) and `Damaged` (not a store, or of a newer format); the file is then
    as it was. `vfs`: see `SqliteDatabase`.
    """

    def __init__(self, path: Path, *, inline: bool = False, vfs: str | None = None) -> None:
        database = SqliteDatabase(path, vfs)
        try:
            super().__init__(database, InlineRunner if inline else ThreadRunner)
        except BaseException:
            database.close()
            raise
