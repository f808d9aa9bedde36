"""Who holds a lock: found for programs that an earlier agent started, and nobody else taken for one."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shorthorn.links.local_files import FileLock, who_holds

_HOLD = "import fcntl, sys; f = open(sys.argv[1], 'r+'); {take}; print(flush=True); sys.stdin.read()"


@contextmanager
def _other(path: Path, take: str) -> Iterator[int]:
    """Another process that has the file open."""
    command = [sys.executable, "-c", _HOLD.format(take=take), str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.communicate()


def test_the_holder_of_a_lock_is_found(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch()
    with _other(path, "fcntl.flock(f, fcntl.LOCK_EX)") as pid:
        assert FileLock.take(path) is None
        assert who_holds([path]) == {path: pid}
    assert who_holds([path]) == {}


def test_who_only_has_the_file_open_holds_nothing(tmp_path: Path) -> None:
    """An agent that tried an engine's lock was taken for the engine by `shorthorn down`, and waited for in its place."""
    path = tmp_path / "lock"
    path.touch()
    with _other(path, "None"):
        assert who_holds([path]) == {}


def test_this_process_is_not_named(tmp_path: Path) -> None:
    lock = FileLock.take(tmp_path / "lock")
    assert lock is not None
    assert who_holds([tmp_path / "lock"]) == {}
    lock.release()
