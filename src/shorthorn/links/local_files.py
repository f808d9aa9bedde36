"""The file system of this machine, as an agent uses it (`ports.files`), and lock files for everybody.

A lock is a `flock`, which the kernel lets go of when the last of its process is gone and no sooner.
"""

import asyncio
import fcntl
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path, PurePath
from typing import Self, TypeVar

from shorthorn.errors import Damaged
from shorthorn.ports.files import SMALL_BYTES_MAX, Space

T = TypeVar("T")


class LocalFiles:
    """See `Files`."""

    def read(self, path: PurePath, bytes_max: int = SMALL_BYTES_MAX) -> bytes:
        """See `Files.read`."""
        with Path(path).open("rb") as file:
            content = file.read(bytes_max + 1)
        if len(content) > bytes_max:
            raise Damaged(f"{path} is larger than any such file: {bytes_max} bytes")
        return content

    def write_durably(self, path: PurePath, content: bytes) -> None:
        """See `Files.write_durably`."""
        draft = Path(path.with_name(path.name + ".new"))
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        self.sync_folder(path.parent)

    def names(self, folder: PurePath) -> list[str]:
        """See `Files.names`."""
        return sorted(path.name for path in Path(folder).iterdir())

    def exists(self, path: PurePath) -> bool:
        """See `Files.exists`."""
        return Path(path).exists()

    def is_folder(self, path: PurePath) -> bool:
        """See `Files.is_folder`."""
        return Path(path).is_dir()

    def is_program(self, path: PurePath) -> bool:
        """See `Files.is_program`."""
        return os.access(path, os.X_OK)

    def make_folder(self, path: PurePath, *, private: bool = False) -> None:
        """See `Files.make_folder`."""
        folder = Path(path)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if private:
            folder.chmod(0o700)

    def make_folder_durably(self, path: PurePath) -> None:
        """See `Files.make_folder_durably`."""
        Path(path).mkdir(mode=0o700)
        self.sync_folder(path.parent)

    def sync_folder(self, path: PurePath) -> None:
        """See `Files.sync_folder`."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def rename(self, path: PurePath, to: PurePath) -> None:
        """See `Files.rename`."""
        Path(path).replace(to)

    def remove(self, path: PurePath) -> None:
        """See `Files.remove`."""
        Path(path).unlink(missing_ok=True)

    def remove_tree(self, path: PurePath) -> None:
        """See `Files.remove_tree`."""
        shutil.rmtree(path)

    def space(self, path: PurePath) -> Space:
        """See `Files.space`."""
        status = os.statvfs(path)
        return Space(size=status.f_blocks * status.f_frsize, free=status.f_bavail * status.f_frsize)

    def take_lock(self, path: PurePath) -> "FileLock | None":
        """See `Files.take_lock`."""
        return FileLock.take(path)

    def who_holds(self, paths: Iterable[PurePath]) -> dict[PurePath, int]:
        """See `Files.who_holds`."""
        return who_holds(paths)

    async def aside(self, work: Callable[[], T]) -> T:
        """See `Files.aside`: on a thread."""
        return await asyncio.to_thread(work)


class FileLock:
    """A lock file held by this process."""

    def __init__(self, fd: int) -> None:
        self._fd: int | None = fd

    @classmethod
    def take(cls, path: PurePath) -> Self | None:
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


def who_holds(paths: Iterable[PurePath]) -> dict[PurePath, int]:
    """The process, other than this one, that holds each lock, as far as this user may see.

    Who only has the file open, perhaps just to try the lock, is not meant: nobody may be taken for a program that he is
    not, and be ended in its place. Reads all of /proc: for an agent's start, not for a loop.
    """
    wanted: dict[tuple[int, int], PurePath] = {}
    for path in paths:
        status = Path(path).stat()
        wanted[status.st_dev, status.st_ino] = path
    found: dict[PurePath, int] = {}
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
