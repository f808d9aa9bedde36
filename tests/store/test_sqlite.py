"""What only the SQLite store promises: its file outlives it, is its own, and is refused when strange."""

import asyncio
import os
import random
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import apsw
import pytest

from shorthorn.errors import Damaged, Unavailable
from shorthorn.ports.store import ABSENT, Conflict, Done, NewEntry, Stored, Unknown, Write
from shorthorn.store import SqliteStore
from shorthorn.store._sqlite_open import APPLICATION_ID, FORMAT_VERSION, has_wal_reset_bug
from tests.store.power import Note, PowerVfs
from tests.store.writer_process import TASKS

BOUND_S = 20.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "store.sqlite"


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def run_python(program: str, *arguments: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=BOUND_S, check=False)


async def fill(path: Path, commits: int = 3) -> None:
    store = SqliteStore(path)
    for number in range(commits):
        await store.commit({f"k{number}": Write(ABSENT, b"v")}, {}, [NewEntry("s", b"%d" % number)])
    await store.close()


# ---- reopening


async def test_a_reopened_store_goes_on_where_it_was(path: Path) -> None:
    await fill(path)
    store = SqliteStore(path)
    listing = await store.list("")
    assert (listing.revision, listing.entries) == (3, 3)
    assert await store.commit({"k0": Write(ABSENT, b"")}) == Conflict("k0", 1)
    assert await store.commit({"k0": Write(1, b"w")}, {}, [NewEntry("s", b"3")]) == Done(4)
    async with aclosing(store.watch("", 2)) as watch:
        assert [(await anext(watch)).revision for _ in range(3)] == [2, 3, 4]
    assert [entry.number for entry in await store.journal()] == [1, 2, 3, 4]
    await store.close()


async def test_file_and_folder_belong_to_their_owner_only(path: Path) -> None:
    store = SqliteStore(path)
    await store.commit({"a": Write(ABSENT, b"")})
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {"store.sqlite": 0o600, "store.sqlite-wal": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    await store.close()
    assert [file.name for file in path.parent.iterdir()] == ["store.sqlite"]


# ---- what is refused


async def test_a_second_server_is_told_that_the_store_is_in_use(path: Path) -> None:
    store = SqliteStore(path)
    program = (
        "import asyncio, sys; from pathlib import Path; from shorthorn.store import SqliteStore\n"
        "async def main(): SqliteStore(Path(sys.argv[1]))\n"
        "asyncio.run(main())"
    )
    other = await asyncio.to_thread(lambda: run_python(program, path))
    last_line = other.stderr.strip().splitlines()[-1]
    assert last_line == f"shorthorn.errors.Unavailable: the store {path} is in use by another server"
    with pytest.raises(Unavailable, match="in use by another server"):
        SqliteStore(path)
    assert await store.commit({"a": Write(ABSENT, b"")}) == Done(1)
    await store.close()


def make_newer(path: Path) -> None:
    with apsw.Connection(str(path)) as connection:
        connection.execute(f"PRAGMA user_version = {FORMAT_VERSION + 1}")
    connection.close()


def make_newer_in_the_log_only(path: Path) -> None:
    """As after a crash in the middle of an upgrade: the file's own header is still the old one."""
    connection = apsw.Connection(str(path))
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    connection.execute("PRAGMA locking_mode = exclusive")
    connection.execute(f"PRAGMA user_version = {FORMAT_VERSION + 1}")
    connection.close()
    assert path.with_name(path.name + "-wal").stat().st_size > 0


def make_foreign(path: Path) -> None:
    path.unlink()
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE cow (name TEXT)")
    connection.close()


def make_text(path: Path) -> None:
    path.write_text("not a database\n" * 500)


def make_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def make_versionless(path: Path) -> None:
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA user_version = 0")
    connection.close()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (make_newer, f"has format {FORMAT_VERSION + 1}, written by a newer Shorthorn"),
        (make_newer_in_the_log_only, f"has format {FORMAT_VERSION + 1}, written by a newer Shorthorn"),
        (make_foreign, "is not a Shorthorn store"),
        (make_text, "is not a Shorthorn store"),
        (make_short, "damaged"),
        (make_versionless, "has format 0, which never existed"),
    ],
)
async def test_a_strange_file_is_refused_in_one_line_and_left_as_it_was(
    path: Path, spoil: Callable[[Path], None], says: str
) -> None:
    await fill(path)
    spoil(path)
    before = bytes_of(path.parent)
    with pytest.raises(Damaged, match=says) as raised:
        SqliteStore(path)
    assert "\n" not in raised.value.message
    assert bytes_of(path.parent) == before


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE state SET revision = 9",
        "UPDATE state SET revision = 4000000000000000000",
        "UPDATE state SET revision = -1",
        "UPDATE state SET revision = 2",
        "UPDATE state SET oldest = 0",
        "UPDATE state SET entries = 4",
        "UPDATE document SET version = 4 WHERE key = 'k1'",
        "UPDATE document SET key = CAST(x'ff' AS TEXT) WHERE key = 'k1'",
        "DELETE FROM state",
        "DELETE FROM change WHERE revision = 2; UPDATE journal SET revision = 3 WHERE revision = 2",
        "DELETE FROM journal WHERE number = 3",
        "DROP TABLE journal",
    ],
)
async def test_tables_that_contradict_each_other_are_damaged(path: Path, statement: str) -> None:
    await fill(path)
    connection = apsw.Connection(str(path))
    connection.execute(statement)
    connection.close()
    with pytest.raises(Damaged):
        SqliteStore(path)


def test_changed_bytes_in_the_file_are_damaged_or_harmless_and_never_another_error(path: Path) -> None:
    """SQLite has no checksums in its file. What it lets through must not break us."""
    asyncio.run(fill(path, 20))
    whole = path.read_bytes()
    chance = random.Random(3)
    refused = 0
    for _ in range(150):
        spoilt = bytearray(whole)
        for _ in range(4):
            spoilt[chance.randrange(len(spoilt))] = chance.randrange(256)
        path.write_bytes(spoilt)
        try:
            asyncio.run(read_and_write(path))
        except (Damaged, Unavailable):
            refused += 1
    assert refused > 10


async def read_and_write(path: Path) -> None:
    store = SqliteStore(path)
    try:
        await store.journal()
        for item in (await store.list("")).items:
            await store.commit({item.key: Write(item.version, b"")}, {}, [NewEntry("s", b"")])
    finally:
        await store.close()


@pytest.mark.parametrize(
    ("version", "bad"),
    [
        ("3.40.1", True),
        ("3.44.5", True),
        ("3.44.6", False),
        ("3.45.0", True),
        ("3.50.6", True),
        ("3.50.7", False),
        ("3.51.2", True),
        ("3.51.3", False),
        ("3.54.1", False),
        ("4.0.0", False),
        ("3.6.23", False),
    ],
)
def test_versions_with_the_wal_reset_bug_are_known(version: str, bad: bool) -> None:
    assert has_wal_reset_bug(version) is bad


async def test_a_version_with_the_wal_reset_bug_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: "3.40.1")
    with pytest.raises(Damaged, match=r"SQLite 3\.40\.1 can lose committed data"):
        SqliteStore(path)
    assert not path.parent.exists()


def test_the_application_id_reads_as_text() -> None:
    assert APPLICATION_ID.to_bytes(4, "big") == b"SHRS"


# ---- group commit


async def test_commits_in_flight_share_their_syncs(path: Path) -> None:
    with PowerVfs("power-group") as vfs:
        store = SqliteStore(path, vfs=vfs.name)
        before = sum(note.kind == "sync" for note in vfs.notes)
        outcomes = await asyncio.gather(*(store.commit({f"k{n}": Write(ABSENT, b"")}) for n in range(500)))
        syncs = sum(note.kind == "sync" for note in vfs.notes) - before
        await store.close()
    assert sorted(outcome.revision for outcome in outcomes if isinstance(outcome, Done)) == list(
        range(1, 501)
    )
    assert syncs < 100


async def test_a_conflict_alone_writes_nothing(path: Path) -> None:
    with PowerVfs("power-conflict") as vfs:
        store = SqliteStore(path, vfs=vfs.name)
        before = len(vfs.notes)
        assert await store.commit({"a": Write(5, b"")}) == Conflict("a", ABSENT)
        assert len(vfs.notes) == before
        await store.close()


async def test_too_many_at_once_are_told_to_come_back(path: Path) -> None:
    store = SqliteStore(path)
    asked = [store.commit({f"k{n}": Write(ABSENT, b"")}) for n in range(6000)]
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    done = [outcome for outcome in outcomes if isinstance(outcome, Done)]
    refused = [outcome for outcome in outcomes if isinstance(outcome, Unavailable)]
    assert len(done) + len(refused) == 6000
    assert refused
    assert (await store.list("")).revision == len(done)
    await store.close()


async def test_at_rest_a_store_uses_no_time(path: Path) -> None:
    store = SqliteStore(path)
    await store.commit({"a": Write(ABSENT, b"")})
    watch = asyncio.ensure_future(anext(store.watch("", 2)))
    await asyncio.sleep(0)
    used = time.process_time()
    await asyncio.sleep(1.0)
    assert time.process_time() - used < 0.02
    watch.cancel()
    await store.close()


# ---- a disk that refuses


class Refusal:
    """Lets the disk refuse notes that match, `times` times."""

    def __init__(self, kind: str, error: Exception, times: int) -> None:
        self._kind = kind
        self._error = error
        self._left = times

    def __call__(self, note: Note) -> None:
        if note.kind == self._kind and note.file.endswith("-wal") and self._left:
            self._left -= 1
            raise self._error


@pytest.mark.parametrize("inline", [False, True])
@pytest.mark.parametrize(
    ("kind", "error"), [("sync", apsw.IOError("no sync")), ("write", apsw.FullError("disk is full"))]
)
async def test_a_commit_that_the_disk_refuses_is_unknown_and_then_one_truth_is_read(
    path: Path, inline: bool, kind: str, error: Exception
) -> None:
    with PowerVfs("power-refuse") as vfs:
        store = SqliteStore(path, inline=inline, vfs=vfs.name)
        await store.commit({"a": Write(ABSENT, b"1")})
        watch = store.watch("", 2)
        vfs.refuse = Refusal(kind, error, times=1)
        assert isinstance(await store.commit({"a": Write(1, b"2")}, {}, [NewEntry("s", b"")]), Unknown)
        read = await store.get("a")
        assert read in (Stored("a", 1, b"1"), Stored("a", 2, b"2"))
        assert read is not None
        assert len(await store.journal()) == read.version - 1
        outcome = await store.commit({"a": Write(read.version, b"3")})
        assert outcome == Done(read.version + 1)
        shown = [(await anext(watch)).revision for _ in range(read.version)]
        assert shown == list(range(2, read.version + 2))
        await store.close()
    reopened = SqliteStore(path)
    assert await reopened.get("a") == Stored("a", read.version + 1, b"3")
    await reopened.close()


@pytest.mark.parametrize("inline", [False, True])
async def test_a_store_whose_disk_stays_bad_refuses_everything_until_opened_anew(
    path: Path, inline: bool
) -> None:
    with PowerVfs("power-bad") as vfs:
        store = SqliteStore(path, inline=inline, vfs=vfs.name)
        await store.commit({"a": Write(ABSENT, b"1")})
        watch = store.watch("", 2)
        vfs.refuse = Refusal("sync", apsw.IOError("no sync"), times=1_000_000)
        assert isinstance(await store.commit({"a": Write(1, b"2")}), Unknown)
        for refused in (store.get("a"), store.list(""), store.journal(), store.commit({"b": Write(0, b"")})):
            with pytest.raises(Unavailable, match="opened anew"):
                await refused
        with pytest.raises(Unavailable, match="opened anew"):
            await anext(watch)
        await store.close()
    reopened = SqliteStore(path)
    assert await reopened.get("a") in (Stored("a", 1, b"1"), Stored("a", 2, b"2"))
    await reopened.close()


# ---- kill -9


def test_a_killed_writer_leaves_all_that_it_acknowledged(path: Path) -> None:
    chance = random.Random(5)
    acknowledged = dict.fromkeys(range(TASKS), 0)
    for _ in range(12):
        for task, number in lines_until_killed(path, chance.randint(1, 120)):
            acknowledged[task] = max(acknowledged[task], number)
        asyncio.run(check_after_kill(path, acknowledged))
    assert min(acknowledged.values()) > 10


def lines_until_killed(path: Path, count: int) -> list[tuple[int, int]]:
    """Start a writer, read `count` of its lines, kill it, read what it had said until then."""
    root = Path(__file__).parents[2]
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(root), str(root / "src")]))
    command = [sys.executable, "-m", "tests.store.writer_process", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as writer:
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(count)]
        writer.send_signal(signal.SIGKILL)
        lines += writer.stdout.readlines()
        assert writer.wait(BOUND_S) == -signal.SIGKILL
    pairs = [line.split() for line in lines if line.endswith("\n")]
    assert len(pairs) >= count
    return [(int(task), int(number)) for task, number in pairs]


async def check_after_kill(path: Path, acknowledged: dict[int, int]) -> None:
    store = SqliteStore(path)
    listing = await store.list("")
    known = {item.key: item for item in listing.items}
    total = 0
    for task, number in acknowledged.items():
        mine, twin = known.get(f"mine/{task}"), known.get(f"twin/{task}")
        reached = int(mine.value) if mine else 0
        assert reached >= number
        assert (mine and (mine.version, mine.value)) == (twin and (twin.version, twin.value))
        if reached:
            last = await store.journal(0, f"mine/{task}", 1000)
            assert [entry.body for entry in last] == [b"%d" % at for at in range(1, min(reached, 1000) + 1)]
        total += reached
    assert (listing.revision, listing.entries) == (total, total)
    await store.close()
