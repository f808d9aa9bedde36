"""The port `Files` of one process of a machine. Its locks are the process's: they fall with it and no sooner.

What a process that has ended asks is refused (EIO): nothing of it acts on the world.
"""

import asyncio
import errno
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import PurePath
from typing import Final, TypeVar

from shorthorn.errors import Damaged
from shorthorn.ports.files import SMALL_BYTES_MAX, Space
from shorthorn.sim.machine.filesystem import File, FileSystem, Folder
from shorthorn.sim.machine.process import Process

LOG_BYTES_MAX: Final = 4096
"""The end of a log that is kept."""

T = TypeVar("T")


class ProcessLock:
    """Port `Lock`."""

    def __init__(self, file: File, process: Process) -> None:
        self._file: File | None = file
        self._process = process
        file.holder = process
        process.belongings[self] = None

    def lost(self, heard: bool) -> None:  # noqa: ARG002 - a lock falls in any case
        """The process has ended."""
        if self._file is not None:
            self._file.holder = None
            self._file = None

    def release(self) -> None:
        """Let go. May be called twice."""
        self._process.belongings.pop(self, None)
        self.lost(heard=True)


class ProcessFiles:
    """Port `Files`, of the process's machine. `is_program` is true for what is in `Machine.programs`."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def read(self, path: PurePath, bytes_max: int = SMALL_BYTES_MAX) -> bytes:
        """The whole of a small file."""
        content = self._system().file(path).content
        if len(content) > bytes_max:
            raise Damaged(f"{path} is larger than any such file: {bytes_max} bytes")
        return content

    def write_durably(self, path: PurePath, content: bytes) -> None:
        """Put a file in place, durably."""
        self._system().put_durably(path, File(content))

    def names(self, folder: PurePath) -> list[str]:
        """What lies in a folder, sorted."""
        return sorted(self._system().folder(folder).names)

    def exists(self, path: PurePath) -> bool:
        """Whether a file or folder is there."""
        return self._find(path) is not None

    def is_folder(self, path: PurePath) -> bool:
        """Whether a folder is there."""
        return isinstance(self._find(path), Folder)

    def is_program(self, path: PurePath) -> bool:
        """Whether it may be started."""
        return str(path) in self._process.machine.programs

    def make_folder(self, path: PurePath, *, private: bool = False) -> None:  # noqa: ARG002 - there is one user
        """Make a folder and those above it."""
        system = self._system()
        for folder in (*reversed(path.parents), path):
            if system.find(folder) is None:
                system.put(folder, Folder())
        system.folder(path)

    def make_folder_durably(self, path: PurePath) -> None:
        """Make one folder that must not exist, durably."""
        system = self._system()
        if system.find(path) is not None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        system.put_durably(path, Folder())

    def sync_folder(self, path: PurePath) -> None:
        """Make the names in a folder durable."""
        self._system().sync_folder(path)

    def rename(self, path: PurePath, to: PurePath) -> None:
        """Give a file another name."""
        self._system().rename(path, to)

    def remove(self, path: PurePath) -> None:
        """Remove a file; nothing happens when it is not there."""
        system = self._system()
        if system.find(path) is not None:
            system.file(path)  # not a folder
            system.remove(path)

    def remove_tree(self, path: PurePath) -> None:
        """Remove a folder with all that is in it."""
        system = self._system()
        system.folder(path)
        system.remove(path)

    def space(self, path: PurePath) -> Space:
        """Of the file system that a folder is on."""
        return self._system().space(path)

    def take_lock(self, path: PurePath) -> ProcessLock | None:
        """Take a lock now, or None when a process holds it, this one included."""
        system = self._system()
        if system.find(path) is None:
            system.put(path, File(b""))
        file = system.file(path)
        return None if file.holder is not None else ProcessLock(file, self._process)

    def who_holds(self, paths: Iterable[PurePath]) -> dict[PurePath, int]:
        """The process, other than this one, that holds each lock."""
        system = self._system()
        found = {}
        for path in paths:
            holder = system.file(path).holder
            if holder is not None and holder is not self._process:
                found[path] = holder.pid
        return found

    async def aside(self, work: Callable[[], T]) -> T:
        """Do what takes a while, a while later."""
        return await asyncio.get_running_loop().run_in_executor(None, work)

    def append_log(self, path: PurePath, line: str) -> None:
        """Add a line to a log file; nothing happens where that fails. Beside the port: what a program prints."""
        with suppress(OSError):
            self._system().append(path, line.encode() + b"\n", LOG_BYTES_MAX)

    def _find(self, path: PurePath) -> File | Folder | None:
        try:
            return self._system().find(path)
        except OSError:
            return None  # as pathlib's exists and is_dir have it

    def _system(self) -> FileSystem:
        if self._process.ended:
            raise OSError(errno.EIO, f"{self._process} has ended")
        return self._process.machine.files
