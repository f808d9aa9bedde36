"""The disks of this node: each has one replica program, kept running, told what is ordered, listened to.

The program locks its disk for its whole life; the agent starts one only when that lock is free, so a restarted agent
finds the running one. What the program should do is `reconcile`'s to say.
"""

import asyncio
import contextlib
import logging
import signal
from pathlib import PurePath
from typing import Final

import msgspec

from shorthorn.agent.node_folder import DiskEntry, check_disk
from shorthorn.agent.outside import Link
from shorthorn.agent.program_links import Taker
from shorthorn.agent.reconcile import TellDisk
from shorthorn.agent.running import LIST, DiskRuns, Told
from shorthorn.agent.surroundings import Surroundings
from shorthorn.agent.tasks import Tasks
from shorthorn.core.model.ids import ClusterUid, DiskUid, TaskId
from shorthorn.errors import ShorthornError
from shorthorn.links import program_lines as wire
from shorthorn.ports.processes import Process

log = logging.getLogger(__name__)

BACKOFF_FIRST_S: Final = 0.2
BACKOFF_MAX_S: Final = 10.0
STEADY_S: Final = 30.0
"""A program that ran this long is started again at once; one that keeps ending is given longer and longer pauses."""

RETRY_S: Final = 5.0
"""Before an order that a program could not carry out is told again."""

ANSWER_S: Final = 10.0
"""A program that has not answered an order for so long is in trouble, and people are told; it is waited for all the same."""

FREE_STEP: Final = 64 << 20
"""Free space is told in steps of this many bytes, so that writing alone is no news every time."""


class Disk:
    """One disk with its replica program."""

    def __init__(self, entry: DiskEntry, around: Surroundings) -> None:
        self.entry = entry
        self.path = PurePath(entry.path)
        self.process: Process | None = None
        self.link: Link | None = None
        self._around = around
        self._address = ""
        self._held: dict[str, wire.Held] | None = None
        self._probes: dict[str, str] = {}
        self._fences: dict[str, int] = {}
        self._tasks = Tasks(around.clock)
        self._told: set[Told] = set()
        self._targets: dict[str, tuple[wire.Target, ...]] = {}
        self._awaited: dict[int, Told] = {}
        self._listing_again = False
        self._last_id = 0
        self._down = ""
        self._failures: dict[Told, str] = {}
        self._late: dict[Told, str] = {}
        self._stopping = False

    @property
    def lock_file(self) -> PurePath:
        """Held by the program for its whole life."""
        return self.path / "replica.lock"

    @property
    def log_file(self) -> PurePath:
        """Where its output goes."""
        return self.path / "replica.log"

    def __str__(self) -> str:
        return f"disk {self.entry.name}"

    def runs(self) -> DiskRuns:
        """The view of it."""
        return DiskRuns(
            uid=self.entry.uid,
            size=self.entry.size,
            free=self._free(),
            address=self._address if self.link is not None else "",
            linked=self.link is not None,
            held=None if self._held is None else tuple(self._held[key] for key in sorted(self._held)),
            probes=dict(self._probes),
            fences=dict(self._fences),
            awaited=frozenset(self._awaited.values()),
            told=frozenset(self._told),
            targets=dict(self._targets),
            tasks=self._tasks.views(),
            trouble=self._down
            or "; ".join(words for _, words in sorted((self._failures | self._late).items())),
        )

    # The program's life.

    async def keep(self, cluster: ClusterUid) -> None:
        """Keep a replica program running, until the agent has it stop."""
        backoff_s = BACKOFF_FIRST_S
        while True:
            started_s = self._around.clock.monotonic_s()
            why = await self._run_once(cluster)
            if self._around.clock.monotonic_s() - started_s > STEADY_S:
                backoff_s = BACKOFF_FIRST_S
            self._down = why
            if self._stopping:
                return
            log.warning("%s: %s; next start in %.1f s", self, why, backoff_s)
            self._around.changed()
            await asyncio.sleep(backoff_s)
            backoff_s = min(2 * backoff_s, BACKOFF_MAX_S)

    async def _run_once(self, cluster: ClusterUid) -> str:
        """Find the program or start it, and wait for its end. Why there is none now."""
        files, lock = self._around.files, None
        try:
            lock = files.take_lock(self.lock_file)
            if lock is None:
                self.process = self._find()
            else:
                check_disk(files, self.entry)
                files.write_durably(self.path / "boot", self._around.machine.boot_id.encode())
                lock.release()
                self.process = self._start(cluster)
        except OSError as error:
            return f"its replica program can't be started: {error}"
        except ShorthornError as error:
            return error.message
        finally:
            if lock is not None:
                lock.release()
        if self.process is None:
            return "its replica program is not to be found, but its lock is held"
        self._down = ""
        await self.process.ended()
        words = self._around.last_complaint(self.log_file)
        how = f"its replica program ended{self.process.how}"
        self.process = None
        self._unlink()
        self._tasks.clear()
        return f"{how}: {words}" if words else how

    def _find(self) -> Process | None:
        pid = self._around.files.who_holds([self.lock_file]).get(self.lock_file)
        if pid is None:
            return None
        try:
            process = self._around.processes.watch(pid)
        except ProcessLookupError:
            return None
        log.info("%s: replica program found running, process %d", self, pid)
        if self._boot() != self._around.machine.boot_id:
            log.info("%s: its replica program is of another boot: killed", self)
            process.signal(signal.SIGKILL)
        return process

    def _boot(self) -> str:
        """The boot id of the machine when the program was started."""
        with contextlib.suppress(FileNotFoundError):
            return self._around.files.read(self.path / "boot", 4096).decode("utf-8", "replace")
        return ""

    def _start(self, cluster: ClusterUid) -> Process:
        command = (
            *self._around.programs.replica,
            *("--disk", str(self.path)),
            *("--disk-uid", self.entry.uid),
            *("--cluster", cluster),
            *("--boot-id", self._around.machine.boot_id),
            *("--agent", str(self._around.folder.socket)),
            *("--listen", self._around.listen),
        )
        process = self._around.processes.start(command, self.log_file)
        log.info("%s: replica program started, process %d", self, process.pid)
        return process

    # The link.

    def greet(self, hello: wire.ReplicaHello, link: Link) -> Taker | None:
        """Its program dialled: who takes its lines."""
        if self.process is None or self.process.pid != link.pid:
            link.drop(f"the replica program of {self} is not process {link.pid}")
            return None
        if self.link is not None:
            self.link.drop("dialled again")
        self._unlink()
        self.link = link
        self._address = hello.address
        log.info("%s: replica program is linked, at %s", self, hello.address)
        self._list()
        self._around.changed()
        return lambda message: self._take(link, message)

    def unlink(self, link: Link) -> None:
        """A link ended; the program may live on and dial again."""
        if self.link is link:
            self._unlink()
            self._around.changed()

    def tell(self, action: TellDisk) -> None:
        """Send a line, with a fresh id if it has one."""
        if self.link is None:
            return
        message = action.message
        if isinstance(message, wire.Create | wire.Delete | wire.Probe | wire.Fence):
            waits_s = message.wait_ms / 1000 if isinstance(message, wire.Fence) else 0
            message = msgspec.structs.replace(message, id=self._await_result(action.told, waits_s))
        elif isinstance(message, wire.Copy):
            self._targets[message.order.task] = message.order.targets
        elif isinstance(message, wire.CancelTask):
            self._forget_task(message.task)
        if not isinstance(message, wire.CancelTask):
            self._told.add(action.told)
        self.link.send(message)

    def stop(self) -> None:
        """Have the program end once no replica is open, and start it no more."""
        self._stopping = True
        if self.link is not None:
            self.link.send(wire.Stop())
        elif self.process is not None:
            self.process.signal(signal.SIGTERM)

    def let_go(self) -> None:
        """Watch no more; what runs runs on."""
        if self.process is not None:
            self.process.forget()

    def _unlink(self) -> None:
        self.link = None
        self._held = None
        self._told.clear()
        self._targets.clear()
        self._awaited.clear()
        self._probes.clear()
        self._fences.clear()
        self._failures.clear()
        self._late.clear()
        self._listing_again = False

    def _forget_task(self, task: str) -> None:
        self._tasks.forget(TaskId(task))
        self._targets.pop(task, None)
        self._told -= {("task", task), ("committed", task)}

    def _await_result(self, told: Told, waits_s: float = 0) -> int:
        """`waits_s`: how long the order itself takes."""
        self._last_id += 1
        self._awaited[self._last_id] = told
        asyncio.get_running_loop().call_later(waits_s + ANSWER_S, self._look_late, self._last_id)
        return self._last_id

    def _look_late(self, order: int) -> None:
        told = self._awaited.get(order)
        if told is not None:
            self._late[told] = f"{' '.join(told[:2])}: its replica program does not answer"
            log.warning("%s: %s", self, self._late[told])
            self._around.changed()

    def _list(self) -> None:
        """Have all folders listed, once more if a list is under way: that one may be older than what made us ask."""
        if LIST in self._awaited.values():
            self._listing_again = True
        elif self.link is not None:
            self.link.send(wire.List(id=self._await_result(LIST)))

    def _take(self, link: Link, message: wire.FromProgram) -> None:
        if self.link is not link:
            return
        if isinstance(message, wire.Result):
            self._take_result(message)
        elif isinstance(message, wire.TaskReport):
            self._take_report(message)
        else:
            raise ValueError(f"a replica program does not say this: {type(message).__name__}")  # noqa: TRY004
        self._around.changed()

    def _take_report(self, report: wire.TaskReport) -> None:
        """A report of a task that is no longer wanted crossed its cancellation."""
        if ("task", report.task) in self._told and self._tasks.take(report):
            self._list()

    def _take_result(self, result: wire.Result) -> None:
        if result.id == wire.UNASKED:
            # Something changed that nobody ordered: sealed, opened, closed, failed.
            self._held = {held.replica: held for held in result.replicas}
            return
        told = self._awaited.pop(result.id, None)
        if told is None:
            raise ValueError(f"result {result.id} answers nothing that was asked")
        self._late.pop(told, None)
        if result.error is not None:
            self._fail(told, result.error)
        elif told == LIST:
            self._held = {held.replica: held for held in result.replicas}
            if self._listing_again:
                self._listing_again = False
                self._list()
        elif told[0] == "probe":
            self._take_probe(told, result.replicas)
        elif told[0] == "fence":
            self._take_fence(told)
        else:
            self._list()

    def _take_probe(self, told: Told, replicas: tuple[wire.Held, ...]) -> None:
        _, replica, drop = told
        answer = next((held for held in replicas if held.replica == replica), None)
        if answer is None or answer.standing is None or self._held is None:
            self._fail(told, f"replica {replica} did not answer a probe")
            return
        self._held[replica] = answer
        self._probes[replica] = drop

    def _take_fence(self, told: Told) -> None:
        """Its program sealed the replica and has waited since. Another link is told again, and waits again."""
        _, replica, epoch = told
        self._fences[replica] = max(int(epoch), self._fences.get(replica, 0))
        log.info("%s: replica %s is held for the fence at epoch %s", self, replica, epoch)
        self._list()

    def _fail(self, told: Told, why: str) -> None:
        """An order could not be carried out: say so, and tell it again after a while."""
        words = f"{' '.join(told[:2])}: {' '.join(why.split())[:300]}"
        log.warning("%s: %s", self, words)
        self._failures[told] = words
        if told != LIST:
            self._list()
        asyncio.get_running_loop().call_later(RETRY_S, self._retry, told)

    def _retry(self, told: Told) -> None:
        if self._failures.pop(told, None) is not None:
            self._told.discard(told)
            if told == LIST:
                self._list()
            self._around.changed()

    def _free(self) -> int:
        try:
            free = self._around.files.space(self.path).free
        except OSError:
            return 0
        return free - free % FREE_STEP


class Disks:
    """All of the node's."""

    def __init__(self, around: Surroundings) -> None:
        self.all = tuple(Disk(entry, around) for entry in around.folder.node.disks)
        self._by_uid = {disk.entry.uid: disk for disk in self.all}

    def views(self) -> tuple[DiskRuns, ...]:
        """What runs, by uid."""
        return tuple(self._by_uid[uid].runs() for uid in sorted(self._by_uid))

    def greet(self, hello: wire.ReplicaHello, link: Link) -> Taker | None:
        """A replica program dialled: who takes its lines, None when it is none of ours."""
        disk = self._by_uid.get(DiskUid(hello.disk))
        if disk is None:
            link.drop(f"this node has no disk {hello.disk}")
            return None
        return disk.greet(hello, link)

    def let_go(self) -> None:
        """Watch no more; what runs runs on."""
        for disk in self.all:
            disk.let_go()

    def unlink(self, link: Link) -> None:
        """A link ended."""
        for disk in self.all:
            disk.unlink(link)

    def tell(self, action: TellDisk) -> None:
        """Send a line to a disk's program."""
        self._by_uid[action.disk].tell(action)
