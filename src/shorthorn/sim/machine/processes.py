"""The port `Processes` of one process: it starts, watches and signals others of its machine.

What a program prints goes to the log file that it was started with, by `print_line`.
"""

import asyncio
import errno
from collections.abc import Sequence
from pathlib import PurePath
from signal import Signals

from shorthorn.errors import ShorthornError
from shorthorn.sim.machine.files import ProcessFiles
from shorthorn.sim.machine.process import SIGNAL_NS, Process


class WatchedProcess:
    """Port `Process`: another process, as `watcher` sees it, a moment after it happens."""

    def __init__(self, watcher: Process, process: Process) -> None:
        self.pid = process.pid
        self.how = ""
        self._watcher = watcher
        self._process: Process | None = process
        self._ended = asyncio.Event()  # set by the kernel's side: who waits has a turn then
        process.when_ended(self._tell)

    @property
    def running(self) -> bool:
        """Whether its end has not been seen."""
        return not self._ended.is_set()

    async def ended(self) -> None:
        """Wait for its end. Several may wait."""
        await self._ended.wait()

    def signal(self, number: Signals) -> None:
        """Send a signal; nothing happens once it has ended, or once this process has."""
        if self._process is not None and not self._watcher.ended:
            self._process.signal(number)

    def forget(self) -> None:
        """Watch no more; the process runs on. May be called twice."""
        self._process = None

    def _tell(self, process: Process) -> None:
        if self._process is not None:
            process.kernel.after(SIGNAL_NS, self._see_end, process)

    def _see_end(self, process: Process) -> None:
        if self._process is not None:
            if process.parent == self._watcher.pid:
                self.how = how_it_ended(process.exit_code or 0)
            self._process = None
            self._ended.set()


class MachineProcesses:
    """Port `Processes`, for `process`."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def start(self, command: Sequence[str], log_file: PurePath) -> WatchedProcess:
        """Start one of `Machine.programs`. Raises `FileNotFoundError` for another."""
        machine = self._process.machine
        program = machine.programs.get(command[0])
        if program is None or self._process.ended:
            raise FileNotFoundError(errno.ENOENT, f"no program {command[0]}")
        started = machine.spawn(
            command[0].rpartition("/")[2], program(command), command=tuple(command), parent=self._process.pid
        )
        started.log_file = log_file
        return WatchedProcess(self._process, started)

    def watch(self, pid: int) -> WatchedProcess:
        """A process that runs already. Raises `ProcessLookupError` when there is none."""
        process = self._process.machine.process(pid)
        if process is None:
            raise ProcessLookupError(errno.ESRCH, f"no process {pid}")
        return WatchedProcess(self._process, process)

    def last_words(self, log_file: PurePath) -> str:
        """The last line that a program wrote, for people; empty when there is none."""
        try:
            lines = ProcessFiles(self._process).read(log_file).decode("utf-8", "replace").split("\n")
        except (OSError, ShorthornError):
            return ""
        return next((" ".join(line.split())[:300] for line in reversed(lines) if line.strip()), "")


def print_line(process: Process, line: str) -> None:
    """What a program says to whoever reads its log file; nothing when it was started without one."""
    if process.log_file is not None:
        ProcessFiles(process).append_log(process.log_file, line)


def how_it_ended(exit_code: int) -> str:
    """In the port's words, such as " (exit 1)"."""
    return f" (signal {-exit_code})" if exit_code < 0 else f" (exit {exit_code})"
