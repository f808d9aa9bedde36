"""Small files that survive a power cut, and lock files that tell who lives.

A program holds a `flock` on its lock file for its whole life: the kernel lets go of it when the last of the process is
gone and no sooner, so taking the lock is evidence of its end (docs/protocol.md, C).
"""

import fcntl
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from shorthorn.errors import Damaged


def write_durably(path: Path, content: bytes) -> None:
    """Put `content` in place whole: after a crash the file is the old one or the new one."""
    draft = path.with_name(path.name + ".new")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync_folder(path.parent)


def make_folder_durably(path: Path) -> None:
    """Make a folder that must not exist. Raises `FileExistsError`."""
    path.mkdir(mode=0o700)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def read_small(path: Path, bytes_max: int = 1 << 24) -> bytes:
    """The whole of a file that can't be large. Raises `Damaged` when it is."""
    with path.open("rb") as file:
        content = file.read(bytes_max + 1)
    if len(content) > bytes_max:
        raise Damaged(f"{path} is larger than any such file: {bytes_max} bytes")
    return content


class FileLock:
    """A lock file held by this process."""

    def __init__(self, fd: int) -> None:
        self._fd: int | None = fd

    @classmethod
    def take(cls, path: Path) -> Self | None:
        """Take the lock now, or None when somebody holds it. The file is made if it is missing."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        except BaseException:
            os.close(fd)
            raise
        return cls(fd)

    def release(self) -> None:
        """Let go. May be called twice.

        Unlocked before it is closed: a child that is just being started shares the open file for a moment.
        """
        if self._fd is not None:
            fcntl.flock(self._fd, fcntl.LOCK_UN)
            os.close(self._fd)
            self._fd = None


def who_holds(paths: Iterable[Path]) -> dict[Path, int]:
    """The process, other than this one, that holds each lock, as far as this user may see.

    Who only has the file open, perhaps just to try the lock, is not meant: nobody may be taken for a program that he is
    not, and be ended in its place. Reads all of /proc: for an agent's start, not for a loop.
    """
    wanted: dict[tuple[int, int], Path] = {}
    for path in paths:
        status = path.stat()
        wanted[status.st_dev, status.st_ino] = path
    found: dict[Path, int] = {}
    if not wanted:
        return found
    for process in sorted(p for p in os.listdir("/proc") if p.isdecimal()):  # noqa: PTH208 - names only
        if int(process) != os.getpid():
            for name, key in _open_files(process):
                if key in wanted and _holds(process, name):
                    found[wanted[key]] = int(process)
    return found


def _open_files(process: str) -> list[tuple[str, tuple[int, int]]]:
    """Number, device and inode of what a process has open; nothing when it is gone or not ours to see."""
    folder = f"/proc/{process}/fd"
    keys = []
    try:
        for name in os.listdir(folder):  # noqa: PTH208 - names only
            try:
                status = os.stat(f"{folder}/{name}")  # noqa: PTH116 - thousands of them
            except OSError:
                continue  # closed meanwhile
            keys.append((name, (status.st_dev, status.st_ino)))
    except OSError:
        pass  # ended meanwhile, or another user's
    return keys


def _holds(process: str, name: str) -> bool:
    """Whether the lock was taken through this open file. Source: proc_pid_fdinfo(5), "lock"."""
    try:
        lines = Path(f"/proc/{process}/fdinfo/{name}").read_text("ascii").splitlines()
    except OSError:
        return False  # closed or ended meanwhile
    return any(
        line.startswith("lock:") and line.split()[2:5] == ["FLOCK", "ADVISORY", "WRITE"] for line in lines
    )
