"""Processes: each with an asyncio event loop of its own on its machine's clock, a number, signals and an end.

`loop` may be used directly (`call_soon`, `call_later`, `create_task`) by programs that are callbacks and not coroutines.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from shorthorn.sim.machine.kernel import Kernel

if TYPE_CHECKING:
    from shorthorn.sim.machine.machine import Machine

Main = Callable[["Process"], Awaitable[int | None]]
"""What a process does. Its value is the exit code (None: 0); SystemExit(n) ends it with n."""


class Process:
    """A process. Made by `spawn`.

    `pid` is never used twice on a machine. `machine`, `name`, `kernel`, `loop` are what they say.
    """

    pid: int
    name: str
    machine: "Machine"
    kernel: Kernel
    loop: asyncio.AbstractEventLoop

    @property
    def ended(self) -> bool:
        """Whether it has ended, in whatever way."""
        raise NotImplementedError

    @property
    def paused(self) -> bool:
        """Whether it is stopped (SIGSTOP)."""
        raise NotImplementedError

    @property
    def exit_code(self) -> int | None:
        """None while it lives; n for exit n; -n for the end by signal n, as subprocess has it. Power loss: -9."""
        raise NotImplementedError

    @property
    def error(self) -> BaseException | None:
        """What ended its main, when that was an exception that is not SystemExit."""
        raise NotImplementedError

    def pause(self) -> None:
        """SIGSTOP: nothing of it runs; messages and due timers wait."""
        raise NotImplementedError

    def resume(self) -> None:
        """SIGCONT: what has become due meanwhile happens now."""
        raise NotImplementedError

    def kill(self) -> None:
        """SIGKILL, also while paused: nothing of it runs ever again, no `finally` either.

        Its locks fall and its listeners are gone at once; its connections end at their other sides after a delay.
        Called from within the process: takes effect at once for what it asks of the world, and ends it at its next wait.
        """
        raise NotImplementedError

    def signal(self, number: signal.Signals) -> None:
        """Send a signal: KILL, STOP and CONT as above; others run the handler, or without one end the process.

        A paused process takes them when it is resumed. Nothing happens once it has ended.
        """
        raise NotImplementedError

    def when_ended(self, callback: Callable[["Process"], object]) -> None:
        """Call back at its end, or now if it has ended. For the kernel's owner: a process watches others by `watch`."""
        raise NotImplementedError

    async def wait(self, other: "Process") -> int:
        """For code of this process: wait for the end of another process of this machine; its exit code."""
        raise NotImplementedError


def spawn(
    machine: "Machine", name: str, main: Main, *, may_crash: bool = False, command: tuple[str, ...] = ()
) -> Process:
    """Start a process; `main` runs soon. Raises `RuntimeError` while the machine is off.

    An exception that leaves `main` ends the process with exit code 1 and stops the kernel's run with `Crashed`, unless
    `may_crash`: then it is in `error` only. As with `asyncio.run`, tasks that are left when main returns are cancelled
    and waited for. `command` is for whoever looks at the list of processes.
    """
    raise NotImplementedError
