"""The processes of this machine (`ports.processes`).

Watched through a pidfd: an end is seen at once, without polling, and a signal reaches this process or none, also when
its number has been given to another.
"""

import asyncio
import logging
import os
import signal
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Self

log = logging.getLogger(__name__)


class LocalProcess:
    """See `Process`."""

    def __init__(self, pid: int) -> None:
        """Watch a process. Raises `ProcessLookupError` when there is none."""
        self.pid: int = pid
        self.how = ""
        self._fd = os.pidfd_open(pid)
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._loop.add_reader(self._fd, self._on_end)

    @classmethod
    def start(cls, command: Sequence[str], log_file: PurePath) -> Self:
        """Start a program in a session of its own, with its output in a file. Raises `OSError`."""
        pid = os.posix_spawn(
            command[0],
            list(command),
            os.environ,
            file_actions=(
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(log_file), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ),
            setsid=True,
            setsigmask=(),
            setsigdef=(signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE),
        )
        return cls(pid)

    @property
    def running(self) -> bool:
        """Whether its end has not been seen."""
        return not self._ended.is_set()

    async def ended(self) -> None:
        """Wait for its end; `how` says how it ended as far as it can be told."""
        await self._ended.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens once it has ended."""
        if self.running:
            try:
                signal.pidfd_send_signal(self._fd, number)
            except ProcessLookupError:
                log.debug("process %d ended before signal %s", self.pid, number.name)

    def forget(self) -> None:
        """Watch no more; the process runs on."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _on_end(self) -> None:
        self.how = _how_it_ended(self._fd)
        self.forget()
        self._ended.set()


class LocalProcesses:
    """See `Processes`."""

    def start(self, command: Sequence[str], log_file: PurePath) -> LocalProcess:
        """See `Processes.start`: in a session of its own."""
        return LocalProcess.start(command, log_file)

    def watch(self, pid: int) -> LocalProcess:
        """See `Processes.watch`."""
        return LocalProcess(pid)

    def last_words(self, log_file: PurePath) -> str:
        """See `Processes.last_words`."""
        return last_words(Path(log_file))


def _how_it_ended(pidfd: int) -> str:
    """Such as " (exit 1)"; reaps it when it is our child. Only a parent learns how: else it is empty."""
    try:
        result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        return ""
    if result is None:
        return ""
    if result.si_code == os.CLD_EXITED:
        return f" (exit {result.si_status})"
    return f" (signal {result.si_status})"


def last_words(log_file: Path) -> str:
    """The last line that a program wrote, for people; empty when there is none."""
    try:
        with log_file.open("rb") as file:
            file.seek(max(0, log_file.stat().st_size - 4096))
            lines = file.read(4096).decode("utf-8", "replace").split("\n")
    except OSError:
        return ""
    return next((" ".join(line.split())[:300] for line in reversed(lines) if line.strip()), "")
