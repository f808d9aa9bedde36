"""A power cut at any point: all that was acknowledged is there, whole, and the file is sound.

Each commit writes two documents and a journal entry that must agree. The workload opens,
fills the write-ahead log past its checkpoint, closes, and opens again, so every kind of
moment in the life of the file is cut. The last tests turn the syncs off and demand that the
same checks then fail: a harness that can't see a fault proves nothing.
"""

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct

from shorthorn.errors import Damaged
from shorthorn.ports.store import JOURNAL_PAGE_MAX, Done, NewEntry, Write
from shorthorn.store._database import Commit
from shorthorn.store._sqlite_database import SqliteDatabase
from tests.store.power import Disk, Note, PowerVfs, lay_out

FILE = "store.sqlite"
COMMITS = 400
DOCUMENTS = 6
CUTS = 400
MAKING_NOTES = 36


class Run(Struct):
    """What was asked of the disk, and the revision acknowledged after each number of notes."""

    notes: list[Note]
    acknowledged: list[tuple[int, int]]

    def owed(self, cut: int) -> int:
        """The revision that had been acknowledged when `cut` notes had been taken."""
        return max((revision for at, revision in self.acknowledged if at <= cut), default=0)


class Lost(Exception):
    """What the checks find when a power cut did harm."""


def commit_number(number: int, versions: dict[str, int], chance: random.Random) -> Commit:
    """The commit that becomes revision `number`: two documents and an entry that agree."""
    pair = chance.randrange(DOCUMENTS)
    body = b"%d:" % number + chance.randbytes(chance.choice((10, 3_000, 12_000)))
    keys = (f"left/{pair}", f"right/{pair}")
    writes = {key: Write(versions.get(key, 0), body) for key in keys}
    versions.update(dict.fromkeys(keys, number))
    return Commit(writes, {}, (NewEntry(f"pair/{pair}", b"%d" % number),), 2 * len(body))


def work(folder: Path, synchronous: str | None = None) -> Run:
    """Groups of commits, in two lives of the store; as the store is, or with less syncing."""
    chance, versions, number = random.Random(7), dict[str, int](), 0
    with PowerVfs(f"power-{synchronous}") as vfs:
        acknowledged = []
        for life in (1, 2):
            database = SqliteDatabase(folder / FILE, vfs.name)
            if synchronous is not None:
                database._connection.execute(f"PRAGMA synchronous = {synchronous}")
            database.load()
            while number < COMMITS * life // 2:
                size = chance.randint(1, 4)
                group = [commit_number(number + at + 1, versions, chance) for at in range(size)]
                number += size
                applied = database.apply(group)
                assert applied.outcomes[-1] == Done(number)
                acknowledged.append((len(vfs.notes), number))
            database.compact(number // 2)
            database.close()
        return Run(vfs.notes, acknowledged)


def cuts_of(run: Run, count: int) -> Iterator[tuple[int, Disk, random.Random]]:
    """The disk at `count` points of the run, half of them beside a sync, where it matters;
    and at every point while the file is made."""
    chance = random.Random(11)
    beside = [at + step for at, note in enumerate(run.notes) if note.kind != "write" for step in (0, 1)]
    points = {chance.randrange(len(run.notes) + 1) for _ in range(count // 2)}
    points |= set(chance.sample(beside, min(len(beside), count // 2)))
    points |= set(range(MAKING_NOTES))
    disk = Disk()
    for at in range(len(run.notes) + 1):
        if at in points:
            yield at, disk, random.Random(at)
        if at < len(run.notes):
            disk.take(run.notes[at])


def check(folder: Path, owed: int, vfs: str | None = None) -> int:
    """The revision of the store in the folder. Raises `Lost` when it is not as it must be."""
    try:
        database = SqliteDatabase(folder / FILE, vfs)
        try:
            loaded = database.load()
            sound = database._connection.execute("PRAGMA integrity_check").fetchall()
            journal = database.journal(0, None, JOURNAL_PAGE_MAX)
        finally:
            database.close()
    except Damaged as error:
        raise Lost(f"can't be read: {error}") from error
    if sound != [("ok",)]:
        raise Lost(f"not sound: {sound}")
    if loaded.revision < owed:
        raise Lost(f"revision {owed} was acknowledged, {loaded.revision} is there")
    if [(entry.number, entry.revision) for entry in journal] != [
        (number, number) for number in range(1, loaded.revision + 1)
    ]:
        raise Lost("the journal does not have one entry for each revision")
    newest = {entry.subject: entry.revision for entry in journal}
    documents = {document.key: document for document in loaded.documents}
    if len(documents) != 2 * len(newest):
        raise Lost("documents without an entry, or entries without a document")
    for subject, revision in newest.items():
        left, right = (documents[subject.replace("pair", side)] for side in ("left", "right"))
        if not left.value == right.value or not left.value.startswith(b"%d:" % revision):
            raise Lost(f"{subject} is torn")
        if not left.version == right.version == revision:
            raise Lost(f"{subject} has another version than its entry")
    return loaded.revision


def harm(run: Run, tmp_path: Path, count: int) -> list[str]:
    """What the checks find over `count` cuts."""
    found, folder = [], tmp_path / "after"
    with PowerVfs("power-check") as vfs:  # spares the real syncs, which would be most of the time
        for at, disk, chance in cuts_of(run, count):
            lay_out({FILE: b""} | disk.remains(chance), folder)
            try:
                check(folder, run.owed(at), vfs.name)
            except Lost as lost:
                found.append(f"cut {at}: {lost}")
            shutil.rmtree(folder)
            vfs.notes.clear()
    return found


def test_a_power_cut_loses_nothing_acknowledged_and_leaves_no_commit_torn(tmp_path: Path) -> None:
    run = work(tmp_path)
    checkpoints = [note.file for note in run.notes if note.kind == "sync"].count(FILE)
    assert checkpoints > 4, "the log must also be checkpointed between commits, or the test misses that"
    assert harm(run, tmp_path, CUTS) == []


def test_what_a_new_process_shows_outlives_a_power_cut(tmp_path: Path) -> None:
    """A killed process may have written a commit without syncing it. The next one reads it from
    the page cache; if it showed it and the power went, a reader would have seen what never was."""
    run = work(tmp_path)
    shown_unsynced = 0
    for at, disk, chance in cuts_of(run, 60):
        folder, after = tmp_path / "process", tmp_path / "after"
        lay_out({FILE: b""} | disk.settle(), folder)
        with PowerVfs("power-again") as vfs:
            database = SqliteDatabase(folder / FILE, vfs.name)
            shown = database.load().revision
            notes = list(vfs.notes)
            database.close()
        shown_unsynced += shown > run.owed(at)
        restarted = disk.copy()
        for note in notes:
            restarted.take(note)
        lay_out({FILE: b""} | restarted.remains(chance), after)
        assert check(after, shown) == shown
        shutil.rmtree(folder)
        shutil.rmtree(after)
    assert shown_unsynced > 0, "no cut fell between a commit's writes and its acknowledgement"


@pytest.mark.parametrize("synchronous", ["OFF", "NORMAL"])
def test_the_same_checks_see_a_store_that_does_not_sync(tmp_path: Path, synchronous: str) -> None:
    run = work(tmp_path, synchronous)
    found = harm(run, tmp_path, 60)
    assert len(found) > 20, found
