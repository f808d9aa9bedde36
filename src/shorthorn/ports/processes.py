"""Programs as processes: start one that outlives its starter, watch one, signal one.

Never decides that anything should start or end.
"""

import asyncio
import signal
from collections.abc import Sequence
from pathlib import PurePath
from typing import Protocol


class Process(Protocol):
    """A program that was found running, started by this process or by another. A signal reaches this one or none."""

    @property
    def pid(self) -> int:
        """Its number. Once it has ended, another may get it."""
        ...

    @property
    def how(self) -> str:
        """How it ended, such as " (exit 1)"; empty before, and when it can't be told: only a parent learns it."""
        ...

    async def ended(self) -> None:
        """Wait for its end. Several may wait."""
        ...

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens once it has ended."""
        ...

    def forget(self) -> None:
        """Watch no more; the process runs on. May be called twice."""
        ...


class Processes(Protocol):
    """The processes of one machine."""

    def start(self, command: Sequence[str], log_file: PurePath) -> Process:
        """Start a program that lives on without us, with its output at the end of a file. Raises `OSError`."""
        ...

    def watch(self, pid: int) -> Process:
        """A process that runs already. Raises `ProcessLookupError` when there is none."""
        ...

    def last_words(self, log_file: PurePath) -> str:
        """The last line that a program wrote, for people; empty when there is none."""
        ...


async def ended_within(process: Process, bound_s: float) -> bool:
    """Wait for a process's end, not longer than the bound."""
    try:
        async with asyncio.timeout(bound_s):
            await process.ended()
    except TimeoutError:
        return False
    return True


async def end(process: Process, grace_s: float) -> bool:
    """SIGTERM, and SIGKILL after the grace time. Whether it ended by itself."""
    process.signal(signal.SIGTERM)
    if await ended_within(process, grace_s):
        return True
    process.signal(signal.SIGKILL)
    await process.ended()
    return False
