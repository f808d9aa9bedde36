"""The folder of a node: its identity, its disks, its lock, and where everything lies in it.

    node.json            name, cluster once known, disks
    agent.lock           held by the one agent
    agent.sock           programs dial it
    disks/<name>/        a disk (unless it lies elsewhere): disk.json, replica.lock, and its program's files
    engines/<volume uid>.<epoch>/   a session's engine: order.json, boot, lock, log
    engines/<volume uid>.last       the greatest epoch that was started or refused here
    nbd/<volume uid>.<held since>.sock   endpoints

Refuses what it can't trust with one clear line: a newer format, another cluster, another disk in a disk's place.
"""

import re
from pathlib import PurePath
from typing import Final, TypeVar

import msgspec

from shorthorn.agent.options import AgentOptions, DiskOption
from shorthorn.core.model.ids import ClusterUid, DiskUid, Epoch, NodeName, VolumeUid
from shorthorn.errors import Damaged, Invalid, NotNow
from shorthorn.ports.files import Files, Lock
from shorthorn.ports.ids import Ids

FORMAT: Final = 1
"""Of node.json and disk.json. A newer one is refused: an older agent would not keep its promises."""

SOCKET_BYTES_MAX: Final = 107
"""Longest path of a unix socket on Linux (sun_path, less its end)."""

_ENDPOINT_BYTES: Final = len("/nbd/v-01234567890123456789.123456789012.sock")
"""The longest endpoint's name: a uid of `ports.ids` and an epoch of the first few hundred eras."""

_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")
_UID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_ENGINE: Final = re.compile(r"(?P<volume>[A-Za-z0-9][A-Za-z0-9_-]{0,63})\.(?P<epoch>[0-9]{1,20})")

T = TypeVar("T")


class DiskFile(msgspec.Struct, frozen=True, kw_only=True):
    """disk.json: what makes a folder this disk."""

    format: int
    uid: DiskUid


class DiskEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A disk as its node knows it."""

    name: str
    uid: DiskUid
    path: str
    size: int


class NodeFile(msgspec.Struct, frozen=True, kw_only=True):
    """node.json."""

    format: int
    name: NodeName
    cluster: ClusterUid | None = None
    disks: tuple[DiskEntry, ...] = ()


class NodeFolder:
    """An opened node folder; its lock is held until `close`."""

    def __init__(self, path: PurePath, files: Files, lock: Lock, node: NodeFile) -> None:
        self.path = path
        self.node = node
        self._files = files
        self._lock = lock

    @classmethod
    def open(cls, options: AgentOptions, files: Files, ids: Ids) -> "NodeFolder":
        """Open the folder, made if new, with its disks. Raises `Invalid`, `NotNow`, `Damaged` or `OSError`."""
        if _NAME.fullmatch(options.node) is None:
            raise Invalid(f"bad node name {options.node!r}: 1 to 63 of a-z, 0-9, '.' and '-'")
        path = options.folder
        check_path(path)
        files.make_folder(path, private=True)
        lock = take_agent_lock(files, path)
        try:
            folder = cls(path, files, lock, _read_node(files, path, options.node))
            for part in (folder.engines, folder.nbd):
                files.make_folder(part)
            folder._take_disks(options.disks, ids)
        except BaseException:
            lock.release()
            raise
        return folder

    def close(self) -> None:
        """Let another agent have it."""
        self._lock.release()

    @property
    def socket(self) -> PurePath:
        """Where programs dial the agent."""
        return self.path / "agent.sock"

    @property
    def engines(self) -> PurePath:
        """The folder of the engines' folders."""
        return self.path / "engines"

    @property
    def nbd(self) -> PurePath:
        """The folder of the endpoints."""
        return self.path / "nbd"

    def engine(self, volume: VolumeUid, epoch: Epoch) -> PurePath:
        """The folder of a session's engine. Raises `Invalid` for what is no uid."""
        if _UID.fullmatch(volume) is None:
            raise Invalid(f"bad volume uid {volume!r}")
        return self.engines / f"{volume}.{epoch}"

    def endpoint(self, volume: VolumeUid, held_since: Epoch) -> PurePath:
        """The socket at which a hold is served (docs/protocol.md, A16). Raises `Invalid`."""
        path = self.nbd / f"{volume}.{held_since}.sock"
        if len(bytes(path)) > SOCKET_BYTES_MAX:
            raise Invalid(f"the endpoint path {path} is longer than {SOCKET_BYTES_MAX} bytes")
        return path

    def engine_folders(self) -> list[tuple[VolumeUid, Epoch, PurePath]]:
        """Every session's engine that was ever started here and not forgotten, in order."""
        found = []
        for name in self._files.names(self.engines):
            match, path = _ENGINE.fullmatch(name), self.engines / name
            if match is not None and self._files.is_folder(path):
                found.append((VolumeUid(match["volume"]), Epoch(int(match["epoch"])), path))
        return sorted(found)

    def last_epochs(self) -> dict[VolumeUid, Epoch]:
        """The greatest epoch of each volume that was started or refused here. Raises `Damaged`."""
        paths = [self.engines / name for name in self._files.names(self.engines) if name.endswith(".last")]
        last = {VolumeUid(path.stem): _read_epoch(self._files, path) for path in paths}
        for volume, epoch, _ in self.engine_folders():
            last[volume] = max(epoch, last.get(volume, epoch))
        return last

    def write_last_epoch(self, volume: VolumeUid, epoch: Epoch) -> None:
        """No engine of this epoch or an older one is ever started from now on. Durable."""
        self._files.write_durably(self.engines / f"{volume}.last", b"%d\n" % epoch)

    def make_engine(self, volume: VolumeUid, epoch: Epoch, order: bytes, boot_id: str) -> PurePath:
        """Write down, durably, that the engine of this epoch is started: before it is, and only once (B2, B15).

        Raises `FileExistsError` when it was before.
        """
        path = self.engine(volume, epoch)
        self.write_last_epoch(volume, epoch)
        self._files.make_folder_durably(path)
        self._files.write_durably(path / "boot", boot_id.encode())
        self._files.write_durably(path / "order.json", order)
        return path

    def join(self, cluster: ClusterUid) -> None:
        """Belong to a cluster, for good. Raises `Invalid` when it is another's."""
        if self.node.cluster is None:
            self._write(msgspec.structs.replace(self.node, cluster=cluster))
        elif self.node.cluster != cluster:
            raise Invalid(
                f"node {self.node.name} belongs to cluster {self.node.cluster}, "
                f"the server is of cluster {cluster}: use another data folder"
            )

    def _write(self, node: NodeFile) -> None:
        content = msgspec.json.format(msgspec.json.encode(node)) + b"\n"
        self._files.write_durably(self.path / "node.json", content)
        self.node = node

    def _take_disks(self, options: tuple[DiskOption, ...], ids: Ids) -> None:
        """Check the disks that the node has, add those that are new."""
        if not options and not self.node.disks:
            options = (DiskOption(name="d1", path=self.path / "disks" / "d1"),)
        disks = {d.name: d for d in self.node.disks}
        for option in options:
            if _NAME.fullmatch(option.name) is None:
                raise Invalid(f"bad disk name {option.name!r}: 1 to 63 of a-z, 0-9, '.' and '-'")
            known = disks.get(option.name)
            disks[option.name] = _renewed(known, option) if known else _adopted(self._files, option, ids)
        for disk in disks.values():
            check_disk(self._files, disk)
        node = msgspec.structs.replace(self.node, disks=tuple(disks[name] for name in sorted(disks)))
        if node != self.node or not self._files.exists(self.path / "node.json"):
            self._write(node)


def check_path(path: PurePath) -> None:
    """Raises `Invalid` when sockets of a node folder would have too long a path."""
    if len(bytes(path)) + _ENDPOINT_BYTES > SOCKET_BYTES_MAX:
        raise Invalid(
            f"the path {path} is too long: unix sockets in it may have {SOCKET_BYTES_MAX} bytes, "
            f"so it may have {SOCKET_BYTES_MAX - _ENDPOINT_BYTES}; choose a shorter data folder"
        )


def take_agent_lock(files: Files, path: PurePath) -> Lock:
    """The lock of a node folder. Raises `NotNow` while an agent runs there."""
    lock = files.take_lock(path / "agent.lock")
    if lock is None:
        raise NotNow(f"an agent already runs in {path}", waits_for="its end")
    return lock


def read_node(files: Files, path: PurePath) -> NodeFile | None:
    """What a node folder says of itself; None when it is none yet. Raises `Damaged`."""
    try:
        return _decode(files, path / "node.json", NodeFile)
    except FileNotFoundError:
        return None


def _read_node(files: Files, path: PurePath, name: NodeName) -> NodeFile:
    node = read_node(files, path)
    if node is None:
        return NodeFile(format=FORMAT, name=name)
    if node.name != name:
        raise Invalid(f"{path} is the folder of node {node.name}, not of {name}")
    return node


def _renewed(known: DiskEntry, option: DiskOption) -> DiskEntry:
    if PurePath(known.path) != option.path:
        raise Invalid(f"disk {known.name} lies at {known.path}; it can't be moved to {option.path}")
    return known if option.size is None else msgspec.structs.replace(known, size=option.size)


def _adopted(files: Files, option: DiskOption, ids: Ids) -> DiskEntry:
    """A disk that is new to the node: a new folder, or one that is a disk already."""
    path = option.path
    files.make_folder(path)
    file = path / "disk.json"
    if not files.exists(file):
        uid = DiskUid(ids.new("d"))
        files.write_durably(file, msgspec.json.encode(DiskFile(format=FORMAT, uid=uid)) + b"\n")
        files.sync_folder(path.parent)
    size = files.space(path).size if option.size is None else option.size
    return DiskEntry(name=option.name, uid=_decode(files, file, DiskFile).uid, path=str(path), size=size)


def check_disk(files: Files, disk: DiskEntry) -> None:
    """Raises `Invalid` or `Damaged` unless the folder is there and is this disk. Never makes one: it may only be not
    mounted, and an empty folder in its place would look like the loss of every replica.
    """
    if disk.size < 0:
        raise Invalid(f"disk {disk.name} has a negative size")
    try:
        found = _decode(files, PurePath(disk.path) / "disk.json", DiskFile)
    except FileNotFoundError:
        raise Invalid(
            f"disk {disk.name} is not at {disk.path}: disk.json is missing; is it mounted?"
        ) from None
    if found.uid != disk.uid:
        raise Invalid(
            f"disk {disk.name} at {disk.path} is {found.uid}, not {disk.uid}: another disk is in its place"
        )


def _decode(files: Files, path: PurePath, kind: type[T]) -> T:
    content = files.read(path)
    try:
        version = msgspec.json.decode(content, type=dict[str, msgspec.Raw])["format"]
        number = msgspec.json.decode(version, type=int)
        if number > FORMAT:
            raise Damaged(f"{path} is of format {number}; this version knows formats up to {FORMAT}")
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, RecursionError) as error:
        raise Damaged(f"{path} can't be read: {error}") from error


def _read_epoch(files: Files, path: PurePath) -> Epoch:
    content = files.read(path, 64)
    if not content.strip().isdigit():
        raise Damaged(f"{path} does not hold an epoch")
    return Epoch(int(content))
