"""Tasks without a session: each a copier with its connections and its clock, talking to replica programs as an engine does.

The same order again changes nothing but addresses. What a task came to is remembered for a while.
Source: crates/shorthorn-replica/src/task.rs.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import msgspec

from shorthorn.links import program_lines as lines
from shorthorn.native import _native as native
from shorthorn.native._native import CopierEvent
from shorthorn.sim.machine.kernel import NS
from shorthorn.sim.machine.process import Process
from shorthorn.sim.programs.engine import WAKE_SLACK_NS
from shorthorn.sim.programs.keepalive import Patience
from shorthorn.sim.programs.peers import Peers
from shorthorn.sim.programs.reports import Progress, Reports, TaskState
from shorthorn.sim.programs.surroundings import Log, Surroundings

DIAL_LIMIT_S: Final = 5.0

PATIENCE: Final = Patience(idle_s=60.0, again_s=20.0, limit_s=80.0)
"""Of replica programs, on both sides of a copier's connection."""

_encode: Final = msgspec.json.Encoder().encode


class Tasks:
    """The tasks of one program."""

    def __init__(self, process: Process, around: Surroundings, log: Log, reports: Reports) -> None:
        self._process, self._around, self._log, self._reports = process, around, log, reports
        self._running: dict[str, Runner] = {}

    def start(self, order: lines.CopyOrder) -> None:
        """Start a task, or give the one under way its targets' addresses."""
        task = order.task
        if self._tell(task, native.Targets(_encode(order.targets), None)):
            self._reports.repeat(task)
            return
        known = self._reports.known(task)
        if known is not None and isinstance(known.state, lines.TaskFinished):
            self._reports.repeat(task)
            return
        try:
            runner = Runner(self._process, self._around, self._log, self._reports, order)
        except native.OrderError as error:
            self._log.warn("task failed", task=task, why=error)
            self._reports.task(task, Progress(0, 0, lines.TaskFailed(why=str(error))))
            return
        self._log.info("task started", task=task)
        self._running[task] = runner
        runner.feed(native.Start())

    def cancel(self, task: str) -> None:
        """The task is no longer wanted."""
        self._tell(task, native.Cancel())
        self._running.pop(task, None)

    def committed(self, task: str, document: lines.Document) -> None:
        """The record says so now."""
        if not self._tell(task, native.Committed(_encode(document))):
            self._log.warn("a commit for a task that does not run here", task=task)

    def _tell(self, task: str, event: CopierEvent) -> bool:
        """False: it does not run (any more)."""
        runner = self._running.get(task)
        if runner is not None and runner.over:
            del self._running[task]
            runner = None
        if runner is not None:
            runner.feed(event)
        return runner is not None


class Runner:
    """One copier with its connections and its clock."""

    def __init__(
        self, process: Process, around: Surroundings, log: Log, reports: Reports, order: lines.CopyOrder
    ) -> None:
        """Raises `OrderError`."""
        self.over = False
        self._task = order.task
        self._loop = process.loop
        self._log = log
        self._reports = reports
        engine = f"copier-{around.chance('engine ids').getrandbits(64):016x}"
        self._copier = native.Copier(_encode(order), engine)
        self._peers = Peers(process, around, dial_limit_s=DIAL_LIMIT_S, patience=PATIENCE, feed=self.feed)
        self._wake: asyncio.TimerHandle | None = None
        self._progress = Progress(0, order.document.size, lines.TaskRunning())
        reports.task(self._task, self._progress)
        self._effects: dict[type, Callable[[Any], object]] = {
            native.Dial: lambda effect: self._peers.dial(effect.replica, effect.address),
            native.HangUp: lambda effect: self._peers.hang_up(effect.replica),
            native.Send: lambda effect: self._peers.send(effect.replica, effect.tag, effect.request),
            native.WakeAt: self._wake_at,
            native.Progress: self._get_on,
            native.Ready: lambda effect: self._report(lines.TaskReady(sealed=tuple(effect.sealed))),
            native.Finished: lambda _: self._end(lines.TaskFinished()),
            native.Failed: lambda effect: self._end(lines.TaskFailed(why=effect.why)),
        }

    def feed(self, event: CopierEvent) -> None:
        """One event to the copier; does what it says."""
        if self.over:
            return
        for effect in self._copier.handle(int(self._loop.time() * NS), event):
            self._effects[type(effect)](effect)

    def _wake_at(self, effect: native.WakeAt) -> None:
        if self._wake is not None:
            self._wake.cancel()
        self._wake = self._loop.call_at((effect.at_ns + WAKE_SLACK_NS) / NS, self.feed, native.Timer())

    def _get_on(self, effect: native.Progress) -> None:
        if effect.waits_for is not None:
            self._log.info("task waits", task=self._task, on=effect.waits_for)
        self._progress = Progress(effect.done, effect.total, self._progress.state)
        # Also while it waits for the record: how far it is says nothing about what comes next.
        self._report(self._progress.state)

    def _end(self, state: TaskState) -> None:
        self.over = True
        self._report(state)
        self._peers.hang_up_all()
        if self._wake is not None:
            self._wake.cancel()

    def _report(self, state: TaskState) -> None:
        if not isinstance(state, lines.TaskRunning) and state != self._progress.state:
            self._log.info("task", task=self._task, state=type(state).__name__)
        self._progress = self._progress._replace(state=state)
        self._reports.task(self._task, self._progress)
