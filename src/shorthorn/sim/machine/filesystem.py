"""A file system in memory: what is there now, what of it is durable, and what a loss of power leaves.

Names that were changed and not synced are kept as a list of steps, in order. A loss of power keeps some of them from
the front, as a file system with a journal does; what was made durable is there for good.
"""

import errno
import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import PurePath
from random import Random
from typing import TYPE_CHECKING, Final

from shorthorn.ports.files import Space

if TYPE_CHECKING:
    from shorthorn.sim.machine.process import Process

SIZE_BYTES: Final = 1 << 40
"""Of a file system whose size nobody set."""


@dataclass(eq=False, slots=True)
class File:
    """A file, whatever its names. Locks are of files, not of names."""

    content: bytes
    holder: "Process | None" = None


@dataclass(eq=False, slots=True)
class Folder:
    """A folder and what is in it."""

    names: "dict[str, File | Folder]" = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """A change of names that is not durable yet: something stands at `to` from now on, and no longer at `path`."""

    path: PurePath | None
    to: PurePath | None
    content: bytes | None = None
    """Of what was made at `to`, when nothing came from `path`; None for a folder."""

    def folders(self) -> set[PurePath]:
        """Those whose names it changes."""
        return {path.parent for path in (self.path, self.to) if path is not None}


@dataclass(eq=False, slots=True)
class Trouble:
    """What ails everything under a folder."""

    error: int = 0
    """Every access fails with this errno; 0: none does."""
    full: bool = False
    """Nothing can be written."""
    size: int = SIZE_BYTES
    used: int = 0
    """Bytes taken by what is not told here."""


class FileSystem:
    """Of one machine. Paths are absolute."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._root = Folder()
        self._durable: dict[PurePath, bytes | None] = {}
        """By path, folders before what is in them: content, or None for a folder."""
        self._steps: list[Step] = []
        self._troubles: dict[PurePath, Trouble] = {}

    # ---- for the kernel's owner

    def trouble(self, folder: PurePath) -> Trouble:
        """What ails everything under a folder, to be set; the nearest above a path counts."""
        return self._troubles.setdefault(folder, Trouble())

    def lose_power(self) -> None:
        """Forget what was not durable, but for some of the last changes, by chance."""
        for step in self._steps[: self._chance.randint(0, len(self._steps))]:
            self._make_durable(step)
        self._steps.clear()
        self._root = Folder()
        for path, content in self._durable.items():
            parent = self._folder(path.parent)
            parent.names[path.name] = Folder() if content is None else File(content)

    # ---- looking

    def find(self, path: PurePath) -> File | Folder | None:
        """What stands at a path. Raises `OSError` where something ails it."""
        self._check(path)
        node: File | Folder | None = self._root
        for name in path.parts[1:]:
            node = node.names.get(name) if isinstance(node, Folder) else None
        return node

    def file(self, path: PurePath) -> File:
        """The file at a path. Raises `FileNotFoundError`, `IsADirectoryError`."""
        node = self.find(path)
        if isinstance(node, Folder):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if node is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return node

    def folder(self, path: PurePath) -> Folder:
        """The folder at a path. Raises `FileNotFoundError`, `NotADirectoryError`."""
        self._check(path)
        return self._folder(path)

    def space(self, path: PurePath) -> Space:
        """Of the file system that a folder is on."""
        self.folder(path)
        ill = self._trouble_of(path)
        return Space(size=ill.size, free=0 if ill.full else max(0, ill.size - ill.used))

    # ---- changing

    def put(self, path: PurePath, node: File | Folder) -> None:
        """Let something stand at a path, in the place of what stood there. Not durable until its folder is synced."""
        self._may_write(path)
        self.folder(path.parent).names[path.name] = node
        self._steps.append(Step(None, path, node.content if isinstance(node, File) else None))

    def put_durably(self, path: PurePath, node: File | Folder) -> None:
        """The same, with its content, its name and those of its folder."""
        self.put(path, node)
        self.sync_folder(path.parent)

    def append(self, path: PurePath, line: bytes, bytes_max: int) -> None:
        """Add to a log, which keeps its last bytes only; not durable, and silently not where it can't be written."""
        with suppress(OSError):
            node = self.find(path)
            if node is None:
                node = File(b"")
                self.put(path, node)
            if isinstance(node, File):
                self._may_write(path)
                node.content = (node.content + line)[-bytes_max:]

    def rename(self, path: PurePath, to: PurePath) -> None:
        """Give a file or folder another name. Raises `FileNotFoundError`."""
        node = self.find(path)
        if node is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        target = self.folder(to.parent)
        del self.folder(path.parent).names[path.name]
        target.names[to.name] = node
        self._steps.append(Step(path, to))

    def remove(self, path: PurePath) -> None:
        """Let nothing stand at a path, nor under it. Raises `FileNotFoundError`."""
        if self.find(path) is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        del self.folder(path.parent).names[path.name]
        self._steps.append(Step(path, None))

    def sync_folder(self, path: PurePath) -> None:
        """Make the names in a folder durable, and those that lead to it."""
        self.folder(path)
        wanted, before = {path, *path.parents}, 0
        while len(wanted) != before:  # a move between two folders is durable in both or in none
            before = len(wanted)
            for step in self._steps:
                folders = step.folders()
                if not wanted.isdisjoint(folders):
                    wanted |= folders
        for step in self._steps:
            if not wanted.isdisjoint(step.folders()):
                self._make_durable(step)
        self._steps = [step for step in self._steps if wanted.isdisjoint(step.folders())]

    # ---- inside

    def _folder(self, path: PurePath) -> Folder:
        node: File | Folder = self._root
        for name in path.parts[1:]:
            if not isinstance(node, Folder):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
            inner = node.names.get(name)
            if inner is None:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
            node = inner
        if not isinstance(node, Folder):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
        return node

    def _make_durable(self, step: Step) -> None:
        durable = self._durable
        moved: dict[PurePath, bytes | None] = {}
        if step.path is not None:
            moved = {p: durable.pop(p) for p in list(durable) if p == step.path or step.path in p.parents}
        if step.to is None or not (step.to.parent in durable or step.to.parent == step.to.parent.parent):
            return
        if step.path is None:
            if step.content is not None or step.to not in durable:
                durable[step.to] = step.content
            return
        for path in [p for p in durable if p == step.to or step.to in p.parents]:
            del durable[path]
        for path, content in moved.items():
            durable[step.to / path.relative_to(step.path)] = content

    def _trouble_of(self, path: PurePath) -> Trouble:
        if self._troubles:
            for above in (path, *path.parents):
                if above in self._troubles:
                    return self._troubles[above]
        return Trouble()

    def _check(self, path: PurePath) -> None:
        if self._troubles and (error := self._trouble_of(path).error):
            raise OSError(error, os.strerror(error), str(path))

    def _may_write(self, path: PurePath) -> None:
        if self._troubles and self._trouble_of(path).full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
