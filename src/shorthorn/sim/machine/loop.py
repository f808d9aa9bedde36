"""A process's asyncio event loop: no selector, no thread; the kernel gives it its turns.

What asyncio's tasks, events, queues, timeouts and task groups ask of a loop; nothing of sockets and subprocesses (those
raise NotImplementedError). Time is the machine's monotonic clock. Never decides when it runs: `process` does.
"""

# ruff: noqa: SLF001 - a loop for asyncio is made of asyncio's insides

import asyncio
import math
import signal
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextvars import Context, copy_context
from heapq import heapify, heappop, heappush
from random import Random
from typing import Any, Final, TypeVar, TypeVarTuple

from shorthorn.sim.machine.clock import MachineClock
from shorthorn.sim.machine.kernel import NS

NEVER_NS: Final = 1 << 62

CANCELLED_MIN: Final = 100
"""Cancelled timers are swept out only when there are this many, and more than those that wait."""

ASIDE_S: Final = (0.0001, 0.002)
"""How long work of `run_in_executor` takes: between these."""

Callback = Callable[..., object]
Ts = TypeVarTuple("Ts")
R = TypeVar("R")


class Handle(asyncio.Handle):
    """A callback that is to run soon."""

    __slots__ = ()

    def __init__(
        self, callback: Callback, args: tuple[Any, ...], loop: "ProcessLoop", context: Context | None
    ) -> None:
        # As asyncio's own does, without its debugging: this is made for nearly everything that happens.
        self._callback = callback
        self._args = args
        self._loop = loop
        self._context = copy_context() if context is None else context
        self._cancelled = False
        self._repr = self._source_traceback = None


class TimerHandle(asyncio.TimerHandle):
    """A callback that is to run at a time of the loop."""

    __slots__ = ()
    _scheduled: bool


class Task(asyncio.Task[Any]):
    """A task that hashes by its number: sets of tasks (asyncio.TaskGroup has one) have the same order in each run."""

    number: int
    _log_destroy_pending: bool

    def __hash__(self) -> int:
        return self.number


class ProcessLoop(asyncio.AbstractEventLoop):
    """The loop of one process. `wake` asks for a turn; `report` takes what asyncio calls an unhandled exception.

    Tasks are numbered from `first`, which should be far from that of others: asyncio keeps all in one set.
    """

    def __init__(
        self,
        clock: MachineClock,
        chance: Random,
        wake: Callable[[], None],
        report: Callable[[dict[str, Any]], None],
        first: int,
    ) -> None:
        self.ready: deque[asyncio.Handle] = deque()
        self.handlers: dict[int, Handle] = {}
        """Of signals, by number."""
        self.gone = False
        """Set at the process's end: takes everything and does nothing."""
        self._clock = clock
        self._chance = chance
        self._wake = wake
        self._report = report
        self._handler: Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object] | None = None
        self._timers: list[tuple[int, int, TimerHandle]] = []
        self._cancelled = 0
        self._first = self._numbers = first

    # ---- for the process

    def next_timer_ns(self) -> int:
        """When the next timer is due, on the machine's monotonic clock; `NEVER_NS` when there is none."""
        timers = self._timers
        while timers and timers[0][2]._cancelled:
            self._cancelled -= 1
            heappop(timers)
        return timers[0][0] if timers else NEVER_NS

    def collect_due(self) -> None:
        """Make the timers that are due ready, in the order of their times."""
        timers = self._timers
        if timers:
            now_ns = self._clock.monotonic_ns()
            while timers and timers[0][0] <= now_ns:
                handle = heappop(timers)[2]
                handle._scheduled = False
                if handle._cancelled:
                    self._cancelled -= 1
                else:
                    self.ready.append(handle)

    def forget_all(self) -> None:
        """The process has ended: nothing of it is to run."""
        self.gone = True
        self.ready.clear()
        self._timers.clear()
        self.handlers.clear()

    def tasks(self) -> list["asyncio.Task[Any]"]:
        """Those that are not done, by number."""
        return sorted(asyncio.all_tasks(self), key=hash)

    def finalize(self, generator: AsyncGenerator[Any, None]) -> None:
        """An asynchronous generator was forgotten before its end: close it, as asyncio's loops do."""
        if not self.gone:
            self.call_soon(self.create_task, generator.aclose())

    # ---- asyncio's loop

    def time(self) -> float:
        """The machine's monotonic clock, in seconds."""
        return self._clock.monotonic_ns() / NS

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Run it in this turn or the next, in the order of asking."""
        handle = Handle(callback, args, self, context)
        if not self.gone:
            ready = self.ready
            ready.append(handle)
            if len(ready) == 1:
                self._wake()
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """There are no threads."""
        return self.call_soon(callback, *args, context=context)

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Run it after a delay in seconds of the machine's clock."""
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Run it at a time of the machine's clock."""
        handle = TimerHandle(when, callback, args, self, context)
        if not self.gone:
            timers = self._timers
            self._numbers += 1
            due_ns = math.ceil(when * NS)
            if due_ns / NS < when:  # rounded down: `time` must not show less than `when` once it is due
                due_ns += 1
            entry = (due_ns, self._numbers, handle)
            heappush(timers, entry)
            handle._scheduled = True
            if timers[0] is entry:
                self._wake()
        return handle

    def _timer_handle_cancelled(self, handle: TimerHandle) -> None:
        if handle._scheduled:
            self._cancelled += 1
            if self._cancelled > CANCELLED_MIN and self._cancelled * 2 > len(self._timers):
                self._timers = [entry for entry in self._timers if not entry[2]._cancelled]
                heapify(self._timers)
                self._cancelled = 0

    def create_future(self) -> "asyncio.Future[Any]":
        """A future. Hashes by its address: keep none in a set whose order matters."""
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Coroutine[Any, Any, R] | Generator[Any, None, R],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> "asyncio.Task[R]":
        """A task, numbered."""
        self._numbers = number = self._numbers + 1
        task = Task.__new__(Task)
        task.number = number  # before asyncio puts it into its set
        task.__init__(coro, loop=self, name=name or f"task-{number - self._first}", context=context)  # type: ignore[misc]
        if self.gone:
            task._log_destroy_pending = False
        return task

    def run_in_executor(
        self,
        executor: object,  # noqa: ARG002 - there are no threads
        func: Callable[[*Ts], R],
        *args: *Ts,
    ) -> "asyncio.Future[R]":
        """Do the work a little later, at once and whole; the executor is not used. A cancelled wait does not undo it."""
        future = self.create_future()
        least_s, most_s = ASIDE_S
        self.call_later(least_s + self._chance.random() * (most_s - least_s), _work, future, func, args)
        return future

    def add_signal_handler(self, sig: int, callback: Callable[[*Ts], object], *args: *Ts) -> None:
        """Call back in place of the end that the signal would bring."""
        if sig in {signal.SIGKILL, signal.SIGSTOP}:
            raise RuntimeError(f"sig {sig} cannot be caught")
        self.handlers[sig] = Handle(callback, args, self, None)

    def remove_signal_handler(self, sig: int) -> bool:
        """The signal ends the process again. Whether there was a handler."""
        return self.handlers.pop(sig, None) is not None

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Somebody's exception that nobody took: the process's handler has it, or else it is a bug and is reported."""
        if self._handler is None:
            self.default_exception_handler(context)
        else:
            self._handler(self, context)

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """Report it."""
        if not self.gone:
            self._report(context)

    def set_exception_handler(
        self, handler: Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object] | None
    ) -> None:
        """Who takes exceptions that nobody took."""
        self._handler = handler

    def get_exception_handler(self) -> Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object] | None:
        """Who takes them."""
        return self._handler

    def get_debug(self) -> bool:
        """Never."""
        return False

    def set_debug(self, enabled: bool) -> None:
        """Not here: it costs too much."""

    def get_task_factory(self) -> None:
        """Tasks are made here."""
        return

    def is_running(self) -> bool:
        """Until the process ends."""
        return not self.gone

    def is_closed(self) -> bool:
        """From the process's end."""
        return self.gone

    async def shutdown_asyncgens(self) -> None:
        """Nothing to do."""

    async def shutdown_default_executor(self) -> None:
        """There is none."""


def _work(future: "asyncio.Future[Any]", func: Callable[..., Any], args: tuple[Any, ...]) -> None:
    try:
        result = func(*args)
    except Exception as error:
        if future.cancelled():
            raise  # nobody waits who could take it
        future.set_exception(error)
    else:
        if not future.cancelled():
            future.set_result(result)
