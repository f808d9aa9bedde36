"""Small files that survive a power cut, and lock files that tell who lives: the file system as the agent uses it.

A program holds the lock of its lock file for its whole life: it falls when the last of the process is gone and no
sooner, so taking it is evidence of the program's end (docs/protocol.md, C).

Paths are pure and absolute. Every method may raise `OSError`: a file system may be full, failing or not mounted at any
time. What is durable is there again after a loss of power; everything else may or may not be.
"""

from collections.abc import Callable, Iterable
from pathlib import PurePath
from typing import Final, Protocol, TypeVar

from shorthorn.core.model.record import Record

SMALL_BYTES_MAX: Final = 1 << 24
"""More than any file that an agent reads."""

T = TypeVar("T")


class Space(Record):
    """Of a file system, in bytes: `free` is what this user may still write."""

    size: int
    free: int


class Lock(Protocol):
    """A lock file that this process holds. The lock falls with the process."""

    def release(self) -> None:
        """Let go. May be called twice."""
        ...


class Files(Protocol):
    """The file system of one machine."""

    def read(self, path: PurePath, bytes_max: int = SMALL_BYTES_MAX) -> bytes:
        """The whole of a file that can't be large. Raises `FileNotFoundError`, and `Damaged` when it is larger."""
        ...

    def write_durably(self, path: PurePath, content: bytes) -> None:
        """Put `content` in place whole, durably: after a crash the file is the old one or the new one."""
        ...

    def names(self, folder: PurePath) -> list[str]:
        """What lies in a folder, sorted. Raises `FileNotFoundError`."""
        ...

    def exists(self, path: PurePath) -> bool:
        """Whether a file or folder is there."""
        ...

    def is_folder(self, path: PurePath) -> bool:
        """Whether a folder is there."""
        ...

    def is_program(self, path: PurePath) -> bool:
        """Whether it is there and may be started."""
        ...

    def make_folder(self, path: PurePath, *, private: bool = False) -> None:
        """Make a folder and those above it, for this user only; nothing happens when it is there.

        `private`: take it away from other users also when it was there before.
        """
        ...

    def make_folder_durably(self, path: PurePath) -> None:
        """Make one folder that must not exist, durably. Raises `FileExistsError`."""
        ...

    def sync_folder(self, path: PurePath) -> None:
        """Make the names in a folder durable."""
        ...

    def rename(self, path: PurePath, to: PurePath) -> None:
        """Give a file another name, in the place of what had it. Raises `FileNotFoundError`."""
        ...

    def remove(self, path: PurePath) -> None:
        """Remove a file or socket; nothing happens when it is not there."""
        ...

    def remove_tree(self, path: PurePath) -> None:
        """Remove a folder with all that is in it. Raises `FileNotFoundError`."""
        ...

    def space(self, path: PurePath) -> Space:
        """Of the file system that a folder is on. Raises `FileNotFoundError`."""
        ...

    def take_lock(self, path: PurePath) -> Lock | None:
        """Take a lock now, or None when a process holds it. The file is made if it is missing."""
        ...

    def who_holds(self, paths: Iterable[PurePath]) -> dict[PurePath, int]:
        """The process, other than this one, that holds each lock, as far as it can be told.

        Every path must be there. Slow: for an agent's start, not for a loop.
        """
        ...

    async def aside(self, work: Callable[[], T]) -> T:
        """Do what takes a while, such as a few durable writes, without keeping others waiting."""
        ...
