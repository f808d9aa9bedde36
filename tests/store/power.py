"""A disk for SQLite that remembers what was asked of it, and can lose power at any point of that.

`PowerVfs` passes everything on to real files and notes each write, truncate, sync, creation
and deletion. `remains` then rebuilds, for a point of those notes, files as a disk might hold
them after a power cut there:

- what was written to a file before its last sync is there;
- of what was written or truncated since, a random part is, in any combination: a write
  may be torn at any multiple of 512 bytes, or leave a hole;
- a file made and never synced may be missing; one deleted without a sync of its folder may
  still be there. SQLite's unix layer syncs the folder with a new file's first sync, and
  that also makes earlier deletions last.

It can also refuse: `refuse` is asked before each write and sync, and may raise.
"""

import random
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

import apsw
from msgspec import Struct

SECTOR_BYTES = 512

Kind: TypeAlias = Literal["create", "write", "truncate", "sync", "delete", "delete-synced"]


class Note(Struct, frozen=True):
    """One call. `at`: offset of a write, new size of a truncate."""

    kind: Kind
    file: str
    at: int = 0
    data: bytes = b""


class PowerVfs(apsw.VFS):
    """Registered with SQLite under `name` while the `with` block lasts."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.notes: list[Note] = []
        self.refuse: Callable[[Note], None] = lambda _note: None
        super().__init__(name, "")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.unregister()

    def note(self, note: Note) -> None:
        """Ask whether it may happen, and remember it."""
        self.refuse(note)
        self.notes.append(note)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        if name is None:
            raise AssertionError("SQLite wants a temporary file, which this disk does not know")
        path = Path(name.filename() if isinstance(name, apsw.URIFilename) else name)
        if not path.exists():
            self.note(Note("create", path.name))
        return PowerFile(self, path.name, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        super().xDelete(filename, syncdir)
        self.note(Note("delete-synced" if syncdir else "delete", Path(filename).name))


class PowerFile(apsw.VFSFile):
    """One open file of a `PowerVfs`."""

    def __init__(self, vfs: PowerVfs, file: str, name: str | apsw.URIFilename, flags: list[int]) -> None:
        self._vfs = vfs
        self._file = file
        super().__init__("", name, flags)

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802
        self._vfs.note(Note("write", self._file, offset, bytes(data)))
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        self._vfs.note(Note("truncate", self._file, newsize))
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802
        # The real files need no sync: it is the notes that lose power.
        self._vfs.note(Note("sync", self._file))


class Disk:
    """What is safe on the disk, and what was asked of it since."""

    def __init__(self) -> None:
        self._safe: dict[str, bytearray] = {}
        self._since: dict[str, list[Note]] = {}
        self._doomed: dict[str, bytearray] = {}

    def take(self, note: Note) -> None:
        """The next call."""
        match note.kind:
            case "create":
                self._since[note.file] = [note]
            case "sync":
                content = self._safe.setdefault(note.file, bytearray())
                waiting = self._since.pop(note.file, [])
                for earlier in waiting:
                    _carry_out(content, earlier)
                if waiting and waiting[0].kind == "create":
                    self._doomed.clear()  # the folder is synced with it
            case "delete":
                self._doomed[note.file] = self._safe.pop(note.file, bytearray())
                self._since.pop(note.file, None)
            case "delete-synced":
                self._safe.pop(note.file, None)
                self._since.pop(note.file, None)
            case "write" | "truncate":
                self._since.setdefault(note.file, []).append(note)

    def copy(self) -> "Disk":
        """One that goes its own way from here."""
        other = Disk()
        other._safe = {file: bytearray(content) for file, content in self._safe.items()}
        other._since = {file: list(notes) for file, notes in self._since.items()}
        other._doomed = dict(self._doomed)
        return other

    def settle(self) -> dict[str, bytes]:
        """All that was asked, as a process sees it that comes after: no power was lost."""
        files = {file: bytearray(content) for file, content in self._safe.items()}
        for file, notes in self._since.items():
            for note in notes:
                _carry_out(files.setdefault(file, bytearray()), note)
        return {file: bytes(content) for file, content in files.items()}

    def remains(self, chance: random.Random) -> dict[str, bytes]:
        """What a power cut now might leave."""
        files = {file: bytearray(content) for file, content in self._safe.items()}
        for file, content in self._doomed.items():
            if file not in files and chance.random() < 0.5:
                files[file] = bytearray(content)
        for file in sorted(self._since):
            self._keep_a_part(files, file, chance)
        return {file: bytes(content) for file, content in files.items()}

    def _keep_a_part(self, files: dict[str, bytearray], file: str, chance: random.Random) -> None:
        notes = self._since[file]
        if notes and notes[0].kind == "create" and chance.random() < 0.3:
            return
        # Sometimes nearly all has reached the disk, sometimes nearly nothing.
        share = chance.choice((0.05, 0.5, 0.95))
        if notes and notes[0].kind == "create":
            files[file] = bytearray()  # another file than one of that name that was deleted
        content = files.setdefault(file, bytearray())
        for note in notes:
            if chance.random() < share:
                _carry_out(content, note)
            elif note.kind == "write" and chance.random() < 0.3:
                _tear(content, note, chance)


def _carry_out(content: bytearray, note: Note) -> None:
    if note.kind == "truncate":
        del content[note.at :]
        content.extend(bytes(note.at - len(content)))
    elif note.kind == "write":
        if len(content) < note.at:
            content.extend(bytes(note.at - len(content)))
        content[note.at : note.at + len(note.data)] = note.data


def _tear(content: bytearray, note: Note, chance: random.Random) -> None:
    """Some of the sectors that the write covers, whole; the rest as they were."""
    start, end = note.at, note.at + len(note.data)
    while start < end:
        stop = min(end, (start // SECTOR_BYTES + 1) * SECTOR_BYTES)
        if chance.random() < 0.5:
            _carry_out(content, Note("write", note.file, start, note.data[start - note.at : stop - note.at]))
        start = stop


def lay_out(files: dict[str, bytes], folder: Path) -> None:
    """Make the files in a new folder."""
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
