"""All replicas of one disk: finding, making, deleting and listing them.

A folder that can't be read is reported as damaged and left alone; the others are served.
Source: crates/shorthorn-replica/src/store.rs.
"""

import asyncio
import re
from collections.abc import Callable
from typing import Final

import msgspec

from shorthorn.links import program_lines as lines
from shorthorn.native._native import DiskError, ReplicaFiles
from shorthorn.sim.programs.drive import FOLDER, Drive
from shorthorn.sim.programs.slot import Slot
from shorthorn.sim.programs.surroundings import Log

MAKING_SYNCS: Final = 8
"""Making or deleting a folder takes about so many syncs."""


class Settings(msgspec.Struct, frozen=True):
    """Of one replica program, from its command line."""

    disk: str
    disk_uid: str
    cluster: str
    boot: str
    agent: str


class OrderError(Exception):
    """Why an order about a replica was not carried out; nothing changed."""


class UnknownError(OrderError):
    """No such folder."""


class _Identity(msgspec.Struct):
    cluster: str
    replica: str
    disk: str


class _Header(msgspec.Struct):
    identity: _Identity


class Store:
    """The replicas of a disk. `changed`: what the agent may know has changed."""

    def __init__(
        self,
        settings: Settings,
        drive: Drive,
        loop: asyncio.AbstractEventLoop,
        log: Log,
        changed: Callable[[], object],
    ) -> None:
        """Opens every replica. Raises `DiskError` and `OSError`: the folder itself can't be read."""
        self.settings = settings
        self._drive = drive
        self._loop = loop
        self._log = log
        self._changed = changed
        self._slots: dict[str, Slot] = {}
        self._damaged: dict[str, str] = {}
        self._last_conn = 0
        drive.sim.sweep(FOLDER)
        for name in drive.sim.replicas(FOLDER):
            try:
                self._slots[name] = self._open(name)
            except DiskError as error:
                log.fault("replica can't be served", replica=name, why=error)
                self._damaged[name] = str(error)

    def next_conn(self) -> int:
        """A number for a new connection."""
        self._last_conn += 1
        return self._last_conn

    def find(self, replica: str) -> Slot:
        """A replica that is served. Raises `OrderError` with why not."""
        slot = self._slots.get(replica)
        if slot is not None:
            return slot
        if replica in self._damaged:
            raise OrderError(f"replica {replica} is damaged: {self._damaged[replica]}")
        raise UnknownError(f"there is no replica {replica} on this disk")

    def held(self) -> tuple[lines.Held, ...]:
        """Every replica folder."""
        served = [self._slots[name].held() for name in sorted(self._slots)]
        unreadable = [
            lines.Held(
                replica=name,
                volume="",
                empty=False,
                document_version=0,
                used=0,
                open=False,
                damaged=self._damaged[name],
            )
            for name in sorted(self._damaged)
        ]
        return (*served, *unreadable)

    @property
    def any_open(self) -> bool:
        """Whether a session is open on any replica."""
        return any(slot.core.is_open for slot in self._slots.values())

    async def create(self, order: lines.Create) -> None:
        """Make an empty replica; the same again changes nothing. Raises `OrderError`, `DiskError`."""
        try:
            known = self.find(order.replica).core.identity()
        except UnknownError:
            pass
        else:
            if known[:2] == (order.cluster, order.volume):
                return
            raise OrderError(f"replica {order.replica} exists and is another one")
        if order.cluster != self.settings.cluster:
            raise OrderError(f"this disk belongs to cluster {self.settings.cluster}")
        # The name comes from another machine and becomes part of a path.
        if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*", order.replica):
            raise OrderError(f"{order.replica!r} is not the id of a replica")
        await self._take_time()
        identity = {
            "cluster": order.cluster,
            "volume": order.volume,
            "replica": order.replica,
            "disk": self.settings.disk_uid,
            "era": order.document.era,
        }
        files = ReplicaFiles.create(
            self._drive.sim,
            f"{FOLDER}/{order.replica}",
            identity=msgspec.json.encode(identity),
            attempt=order.attempt,
            document=msgspec.json.encode(order.document),
            boot=self.settings.boot,
        )
        self._slots[order.replica] = self._slot(order.replica, files)
        self._log.info("replica made", replica=order.replica, volume=order.volume, bytes=order.document.size)
        self._changed()

    async def delete(self, order: lines.Delete) -> None:
        """Delete a replica for a tombstone, unless it has stored something newer. One that is not there is deleted.

        Raises `OrderError`, `DiskError`.
        """
        try:
            slot = self.find(order.replica)
        except UnknownError:
            return
        await slot.idle()
        if not slot.core.may_delete(order.era, order.version):
            stored = msgspec.json.decode(slot.core.document(), type=_Stored)
            raise OrderError(
                f"replica {order.replica} has stored document {stored.era}.{stored.version}, newer than the"
                f" tombstone's {order.era}.{order.version}"
            )
        slot.close()
        del self._slots[order.replica]
        self._changed()
        await self._take_time()
        try:
            self._drive.sim.delete(f"{FOLDER}/{order.replica}")
        except DiskError as error:
            # Not served any more, and not gone: said until the next start, which finds out what it is.
            self._damaged[order.replica] = f"it could not be deleted: {error}"
            raise
        self._log.info("replica deleted", replica=order.replica)

    def shut_down(self) -> None:
        """End all connections and make everything durable."""
        for name in sorted(self._slots):
            slot = self._slots[name]
            slot.close()
            outcome = slot.files.sync_handle().sync()
            if outcome.kind == "disk":
                self._log.fault("replica could not be synced", replica=name, why=outcome.detail)

    def _open(self, name: str) -> Slot:
        files = ReplicaFiles.open(self._drive.sim, f"{FOLDER}/{name}", boot=self.settings.boot)
        found = msgspec.json.decode(files.header(), type=_Header).identity
        for what, is_it, expected in (
            ("replica", found.replica, name),
            ("disk", found.disk, self.settings.disk_uid),
            ("cluster", found.cluster, self.settings.cluster),
        ):
            if is_it != expected:
                raise DiskError(f"it belongs to {what} {is_it}, not to {expected}")
        return self._slot(name, files)

    def _slot(self, name: str, files: ReplicaFiles) -> Slot:
        return Slot(name, files, self._drive, self._loop, self._log, self._changed)

    async def _take_time(self) -> None:
        await asyncio.sleep(self._drive.wait_s(MAKING_SYNCS * self._drive.times.sync_s))


class _Stored(msgspec.Struct):
    era: int
    version: int
