"""One engine that was started here: what is known of it, and how its end is confirmed.

Its folder holds its order, the boot id of its start, its lock and its log. Nothing here starts or ends a program.
"""

import contextlib
import logging
from pathlib import PurePath

import msgspec

from shorthorn.agent.outside import Link
from shorthorn.agent.running import EngineRuns, Told
from shorthorn.agent.surroundings import Surroundings
from shorthorn.core.model.ids import Epoch, VolumeUid
from shorthorn.errors import Damaged
from shorthorn.links import program_lines as wire
from shorthorn.ports.processes import Process

log = logging.getLogger(__name__)


class Engine:
    """One engine that was started here, and what is known of it."""

    def __init__(self, volume: VolumeUid, epoch: Epoch, folder: PurePath, around: Surroundings) -> None:
        self.volume = volume
        self.epoch = epoch
        self.folder = folder
        self._around = around
        self.process: Process | None = None
        self.link: Link | None = None
        self.status: wire.Status | None = None
        self.told: set[Told] = set()
        self.targets: tuple[wire.Target, ...] | None = None
        self.linked_before = False
        self.evidence = ""
        self.trouble = ""
        self.starting = False
        self.ending = False
        self.closing = False

    @property
    def lock_file(self) -> PurePath:
        """Held by the program for its whole life."""
        return self.folder / "lock"

    @property
    def log_file(self) -> PurePath:
        """Where its output goes."""
        return self.folder / "log"

    def __str__(self) -> str:
        return f"engine of {self.volume}, epoch {self.epoch}"

    def runs(self) -> EngineRuns:
        """The view of it."""
        return EngineRuns(
            volume=self.volume,
            epoch=self.epoch,
            evidence=self.evidence,
            ending=self.ending,
            closing=self.closing,
            linked=self.link is not None,
            status=self.status,
            told=frozenset(self.told),
            targets=self.targets,
            trouble=self.trouble,
        )

    def boot_id(self) -> str:
        """That of the machine when the engine was started; empty when it never was."""
        with contextlib.suppress(OSError):
            return self._around.files.read(self.folder / "boot", 4096).decode("utf-8", "replace")
        return ""

    def confirm_end(self, evidence: str) -> bool:
        """Take the lock over and, holding it, withdraw the order: nothing can serve by it from now on.

        False while somebody holds the lock. The order is kept under another name, for people.
        """
        files = self._around.files
        lock = files.take_lock(self.lock_file)
        if lock is None:
            return False
        try:
            with contextlib.suppress(FileNotFoundError):
                files.rename(self.folder / "order.json", self._ended_order)
                files.sync_folder(self.folder)
        finally:
            lock.release()
        self.evidence, self.ending, self.status, self.trouble = evidence, False, None, ""
        return True

    def endpoint(self) -> PurePath | None:
        """Where it served; known only after its end, None when it had no whole order."""
        try:
            order = msgspec.json.decode(self._around.files.read(self._ended_order), type=wire.SessionOrder)
        except FileNotFoundError:
            return None
        except (msgspec.MsgspecError, UnicodeDecodeError, Damaged) as error:
            log.warning("%s: its order can't be read: %s", self, error)
            return None
        return PurePath(order.endpoint)

    def last_words(self, process: Process) -> str:
        """How it ended, as evidence; with the last line of its log if that is more than routine."""
        words = self._around.last_complaint(self.log_file)
        how = f"its process ended{process.how} and its lock was taken over"
        return f"{how}: {words}" if words else how

    @property
    def _ended_order(self) -> PurePath:
        return self.folder / "order.ended.json"
