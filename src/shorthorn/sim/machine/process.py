"""Processes: each with an asyncio event loop of its own on its machine's clock, a number, signals and an end.

`loop` may be used directly (`call_soon`, `call_later`, `create_task`) by programs that are callbacks and not coroutines;
their main then waits for something that ends them.
"""

# ruff: noqa: SLF001 - a loop for asyncio is made of asyncio's insides

import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextvars import Context, copy_context
from pathlib import PurePath
from signal import SIGCONT, SIGKILL, SIGSTOP, Signals
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from shorthorn.sim.machine.endings import code_of, resolve, run_out
from shorthorn.sim.machine.kernel import Kernel
from shorthorn.sim.machine.loop import NEVER_NS, ProcessLoop
from shorthorn.sim.machine.waits import where_it_waits

if TYPE_CHECKING:
    from shorthorn.sim.machine.machine import Machine

TURN_NS: Final = 2_000
"""The least time between asking for a turn and having it; up to 2^`TURN_BITS` ns more, by chance."""

TURN_BITS: Final = 14

CALLBACKS_MIN: Final = 8
"""Callbacks of a turn; up to 2^`CALLBACKS_BITS` more, by chance: then others have theirs."""

CALLBACKS_BITS: Final = 6

START_NS: Final = 500_000
"""The least time from spawn to main; up to twice as much more, by chance."""

SIGNAL_NS: Final = 20_000
"""From a signal to its effect, and from an end to who waits for it."""

TASKS_APART: Final = 1_000_003
"""Between the numbers of two processes' first tasks."""

KILLED: Final = -int(SIGKILL)

T = TypeVar("T")


class Belonging(Protocol):
    """What a process has of the world: it is lost with the process."""

    def lost(self, heard: bool) -> None:
        """The process has ended; `heard`: by itself or a signal, so that its machine tells others. Not by power loss."""
        ...


Main = Callable[["Process"], Coroutine[Any, Any, int | None]]
"""What a process does. Its value is the exit code (None: 0); SystemExit(n) ends it with n."""


class Process:
    """A process. Made by `spawn`.

    `pid` is never used twice on a machine. `parent` is the pid of the process that started it, 0 for the kernel's owner.
    """

    def __init__(
        self, machine: "Machine", pid: int, name: str, command: tuple[str, ...], parent: int
    ) -> None:
        self.machine = machine
        self.kernel: Kernel = machine.kernel
        self.pid = pid
        self.name = name
        self.command = command
        self.parent = parent
        self.may_crash = False
        self.exit_code: int | None = None
        """None while it lives; n for exit n; -n for the end by signal n, as subprocess has it. Power loss: -9."""
        self.error: BaseException | None = None
        """What ended its main, when that was an exception that is not SystemExit."""
        self.paused = False
        """Whether it is stopped (SIGSTOP)."""
        self.ended = False
        """Whether it has ended, in whatever way."""
        self.log_file: PurePath | None = None
        """Where what it prints goes."""
        self.belongings: dict[Belonging, None] = {}
        """What is lost with it."""
        self.loop = ProcessLoop(  # type: ignore[abstract]  # what is missing raises NotImplementedError
            machine.clock,
            self.kernel.chance("processes"),
            self._wake,
            self._report,
            self.kernel.serial() * TASKS_APART,
        )
        self._context: Context = copy_context()
        self._ready = self.loop.ready
        self._bits = self.kernel.chance("processes").getrandbits
        self._asked = False  # a turn is on its way
        self._in_turn = False
        self._halted = False  # paused or ended: what the turns look at
        self._alarm_ns = NEVER_NS  # on the machine's clock
        self._pending: list[Signals] = []
        self._when_ended: list[Callable[[Process], object]] = []
        self._main: asyncio.Task[Any] | None = None
        self._leaving: int | None = None
        self._dead_tasks: list[asyncio.Task[Any]] = []

    def __repr__(self) -> str:
        return f"{self.machine.name} {self.name}[{self.pid}]"

    # ---- what others do to it

    def pause(self) -> None:
        """SIGSTOP: nothing of it runs; messages and due timers wait. No effect once it has ended."""
        if not self.ended:
            self.paused = self._halted = True

    def resume(self) -> None:
        """SIGCONT: what has become due meanwhile happens now."""
        if self.paused and not self.ended:
            self.paused = self._halted = False
            pending, self._pending = self._pending, []
            for number in pending:
                self._deliver_signal(number)
            self._ask_for_turn()

    def kill(self) -> None:
        """SIGKILL, also while paused: nothing of it runs ever again, no `finally` either.

        Its locks fall and its listeners are gone at once; its connections end at their other sides after a delay.
        Called from within the process: takes effect at once for what it asks of the world, and ends it at its next wait.
        """
        self._end(KILLED, heard=True)

    def lose_power(self) -> None:
        """For the machine: as `kill`, but nobody is told."""
        self._end(KILLED, heard=False)

    def signal(self, number: Signals) -> None:
        """Send a signal, which takes effect a moment later: KILL, STOP and CONT as above; others run the handler, or
        without one end the process. A paused process takes them when it is resumed. Nothing happens once it has ended.
        """
        self.kernel.after(SIGNAL_NS, self._take_signal, number)

    def when_ended(self, callback: Callable[["Process"], object]) -> None:
        """Call back at its end, or now if it has ended. For the kernel's owner: a process uses `wait`."""
        if self.ended:
            callback(self)
        else:
            self._when_ended.append(callback)

    async def wait(self, other: "Process") -> int:
        """For code of this process: wait for the end of another process of this machine; its exit code."""
        if other.exit_code is None:
            future = self.loop.create_future()
            other.when_ended(lambda _: self.kernel.after(SIGNAL_NS, resolve, future))
            await future
        assert other.exit_code is not None
        return other.exit_code

    @property
    def leaves_tasks(self) -> bool:
        """Whether it was killed in the middle of something, which must stay as it is."""
        return bool(self._dead_tasks)

    # ---- having turns

    def deliver(self, callback: Callable[[T], object], argument: T) -> None:
        """For the kernel's side: run a callback of the process now, or behind what waits to run already.

        Not for code of a process: that uses `loop.call_soon`. Nothing happens once it has ended.
        """
        if self._ready or self._halted or asyncio._get_running_loop() is not None:
            self.loop.call_soon(callback, argument, context=self._context)
            return
        self._in_turn = True
        loop = self.loop
        asyncio._set_running_loop(loop)
        sys.set_asyncgen_hooks(finalizer=loop.finalize)
        try:
            callback(argument)
        except SystemExit as request:
            self._leave(code_of(request))
        except Exception as error:  # noqa: BLE001 - reported, and ends the kernel's run
            loop.call_exception_handler({"message": f"exception in {callback}", "exception": error})
        if self._ready and not self._halted:
            self._run_ready()
        self._after_turn()

    def clock_changed(self) -> None:
        """For the machine: its clock has another rate, or began anew."""
        self._alarm_ns = NEVER_NS
        self._ask_for_turn()

    def _wake(self) -> None:
        """The loop has something to do: soon, or at another time than was thought."""
        if not (self._in_turn or self._asked or self._halted):
            self._ask_for_turn()

    def _ask_for_turn(self) -> None:
        if not self._asked:
            self._asked = True
            self.kernel.after(TURN_NS + self._bits(TURN_BITS), Process._turn, self)

    def _turn(self) -> None:
        self._asked = False
        if self._halted:
            return
        loop = self.loop
        self._in_turn = True
        asyncio._set_running_loop(loop)
        sys.set_asyncgen_hooks(finalizer=loop.finalize)
        loop.collect_due()
        self._run_ready()
        self._after_turn()

    def _run_ready(self) -> None:
        ready = self._ready
        budget = CALLBACKS_MIN + self._bits(CALLBACKS_BITS)
        while ready and budget:
            budget -= 1
            handle: Any = ready.popleft()
            if handle._cancelled:
                continue
            try:
                handle._context.run(handle._callback, *handle._args)
            except SystemExit as request:
                self._leave(code_of(request))
            except Exception as error:  # noqa: BLE001 - reported, and ends the kernel's run
                self.loop.call_exception_handler({"message": f"exception in {handle}", "exception": error})
            if self._halted:
                break

    def _after_turn(self) -> None:
        self._in_turn = False
        asyncio._set_running_loop(None)
        if self._halted:
            return
        if self._ready:
            self._ask_for_turn()
            return
        due_ns = self.loop.next_timer_ns()
        if due_ns < self._alarm_ns:
            self._alarm_ns = due_ns
            self.kernel.at(self.machine.clock.true_ns(due_ns), self._ring, due_ns)

    def _ring(self, alarm_ns: int) -> None:
        if alarm_ns == self._alarm_ns:  # else another alarm took its place
            self._alarm_ns = NEVER_NS
            if not self._asked:
                self._asked = True
                self._turn()

    # ---- signals

    def _take_signal(self, number: Signals) -> None:
        if self.ended:
            return
        if number is SIGKILL:
            self.kill()
        elif number is SIGSTOP:
            self.pause()
        elif number is SIGCONT:
            self.resume()
        elif self.paused:
            if number not in self._pending:
                self._pending.append(number)
        else:
            self._deliver_signal(number)

    def _deliver_signal(self, number: Signals) -> None:
        handler: Any = self.loop.handlers.get(number)
        if handler is None:
            self._end(-int(number), heard=True)
        else:
            self.loop.call_soon(handler._callback, *handler._args, context=handler._context)

    # ---- beginning and end

    def begin(self, main: Main) -> None:
        """For `spawn`."""
        delay_ns = START_NS + self._bits(20)
        self.kernel.after(delay_ns, lambda main: self.deliver(self._begin, main), main)

    def _begin(self, main: Main) -> None:
        self._main = self.loop.create_task(main(self), name="main")
        self._main.add_done_callback(self._main_done)

    def _main_done(self, main: "asyncio.Task[Any]") -> None:
        if self._leaving is not None:
            return
        error: BaseException | None = asyncio.CancelledError() if main.cancelled() else main.exception()
        if error is None:
            self._leave(main.result() or 0)
        elif isinstance(error, SystemExit):
            self._leave(code_of(error))
        else:
            self.error = error
            if not self.may_crash:
                self.kernel.crash(f"{self}: {type(error).__name__}: {error}", error)
            self._leave(1)

    def _leave(self, code: int) -> None:
        """Cancel what is left and wait for it, as `asyncio.run` does; then end."""
        if self._leaving is None:
            self._leaving = code
            left = self.loop.tasks()
            for task in left:
                task.cancel()
                task.add_done_callback(self._left)
            self._left(None)

    def _left(self, task: "asyncio.Task[Any] | None") -> None:
        if (
            task is not None
            and task is not self._main
            and not task.cancelled()
            and (error := task.exception())
        ):
            self._report({"message": f"{error!r} while the process was leaving", "exception": error})
        if not self.ended and self._leaving is not None and not self.loop.tasks():
            self._end(self._leaving, heard=True)

    def _report(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.error = self.error or error
        if not self.may_crash:
            self.kernel.crash(f"{self}: {context.get('message')}: {error!r}", error)

    def _end(self, code: int, *, heard: bool) -> None:
        if self.ended:
            return
        self.ended = self._halted = True
        self.paused = False
        self.exit_code = code
        self._keep_tasks()
        self.loop.forget_all()
        for belonging in list(self.belongings):
            belonging.lost(heard)
        self.belongings.clear()
        self.machine.process_ended(self)
        watchers, self._when_ended = self._when_ended, []
        for watcher in watchers if not self.kernel.closed else ():
            watcher(self)

    def _keep_tasks(self) -> None:
        """Its tasks stay as they are until the world ends: an object that dies early would run its `finally`."""
        self._dead_tasks = self.loop.tasks()
        for task in self._dead_tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]

    def bury(self) -> None:
        """For the machine, at the end of the world: run out what is left of the coroutines, where it can do nothing."""
        self._end(KILLED, heard=False)
        asyncio._set_running_loop(self.loop)
        try:
            for task in self._dead_tasks:
                run_out(task.get_coro())
        finally:
            asyncio._set_running_loop(None)
        self._dead_tasks.clear()

    def waits(self) -> Iterator[str]:
        """For people: what it is, and where each of its tasks waits."""
        yield f"  {self}{' (paused)' if self.paused else ''}"
        for task in self.loop.tasks():
            yield f"    {task.get_name()}: {where_it_waits(task)}"


def spawn(
    machine: "Machine",
    name: str,
    main: Main,
    *,
    may_crash: bool = False,
    command: tuple[str, ...] = (),
    parent: int = 0,
) -> Process:
    """Start a process; `main` runs soon. Raises `RuntimeError` while the machine is off.

    An exception that leaves `main` ends the process with exit code 1 and stops the kernel's run with `Crashed`, unless
    `may_crash`: then it is in `error` only. So does whatever asyncio reports as unhandled, but that ends no process. As
    with `asyncio.run`, tasks that are left when main returns are cancelled and waited for. `command` is for whoever
    looks at the list of processes.
    """
    return machine.start_process(name, main, may_crash=may_crash, command=command, parent=parent)
