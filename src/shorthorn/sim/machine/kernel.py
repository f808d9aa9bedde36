"""Virtual time: one queue of what is to happen, and everything that chance decides. Knows no process and no machine."""

# ruff: noqa: SLF001 - a loop for asyncio is made of asyncio's insides

import asyncio
import atexit
import gc
import sys
import weakref
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from heapq import heappop, heappush
from random import Random
from typing import Any, Final, Self, TypeVar

NS: Final = 1_000_000_000
"""Nanoseconds in a second."""

EVENTS_PER_SWEEP: Final = 50_000
"""Garbage is collected each time so many events have run: at fixed places, as finalizers may make things happen."""

T = TypeVar("T")


class NotReached(AssertionError):
    """The condition did not hold within the bound of virtual time; the message says who waits for what."""


class NothingToDo(NotReached):
    """Nothing is left that could happen, and the condition does not hold: a deadlock."""


class Crashed(AssertionError):
    """A process ended by an exception that nobody caught, or asyncio reported one; it is the cause of this."""


class Kernel:
    """Runs callbacks in the order of virtual time; of one moment, in the order in which they were asked for.

    May be used in a `with` block, which closes it. One thread only.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.now_ns = 0
        self.events = 0
        """How many callbacks have run."""
        self._heap: list[tuple[int, int, Callable[[Any], object], Any]] = []
        self._number = 0
        self._mark = 0
        self._streams: dict[str, Random] = {}
        self._crashes: list[tuple[str, BaseException | None]] = []
        self._witnesses: list[Callable[[], Iterable[str]]] = []
        self._closers: list[Callable[[], None]] = []
        self.closed = False
        """Whether this world has ended."""
        self._serial = 0
        self._running = False
        _open_kernels.add(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- what is to happen

    def at(self, when_ns: int, callback: Callable[[T], object], argument: T) -> None:
        """Call back at a moment (now, if it has passed). Can't be undone: let the callback look whether it is wanted."""
        self._number = number = self._number + 1
        now_ns = self.now_ns
        if when_ns < now_ns:  # noqa: PLR1730 - max() takes three times as long
            when_ns = now_ns
        heappush(self._heap, (when_ns, number, callback, argument))

    def after(self, delay_ns: int, callback: Callable[[T], object], argument: T) -> None:
        """Call back after a delay, 0 or more."""
        self._number = number = self._number + 1
        heappush(self._heap, (self.now_ns + delay_ns, number, callback, argument))

    def chance(self, name: str) -> Random:
        """The stream of chance of this name: depends on the seed and the name only. The same object at each call."""
        stream = self._streams.get(name)
        if stream is None:
            # Random makes its state of a string by SHA-512, not by hash().
            stream = self._streams[name] = Random(f"{self.seed}/{name}")
        return stream

    def serial(self) -> int:
        """1, 2, 3 … for whatever needs a number of its own."""
        self._serial += 1
        return self._serial

    # ---- what happened

    @property
    def now_s(self) -> float:
        """Seconds of virtual time since the kernel was made."""
        return self.now_ns / NS

    @property
    def digest(self) -> str:
        """Of everything that happened so far: 16 hexadecimal digits; equal for equal runs under any PYTHONHASHSEED."""
        return f"{self._mark & 0xFFFFFFFFFFFFFFFF:016x}"

    def note(self, what: str) -> None:
        """Make something that happened part of the digest."""
        self._mark = hash((self._mark, zlib.crc32(what.encode())))  # of numbers: the same everywhere

    def crash(self, what: str, error: BaseException | None) -> None:
        """End the present run with `Crashed`, as soon as the present callback has returned."""
        self._crashes.append((what, error))

    def add_witness(self, witness: Callable[[], Iterable[str]]) -> None:
        """Ask it for lines about who waits for what, whenever something is not reached."""
        self._witnesses.append(witness)

    def who_waits(self) -> str:
        """For people: one line each."""
        return "\n".join(line for witness in self._witnesses for line in witness())

    # ---- running

    def run_for(self, seconds: float) -> None:
        """Let this much virtual time pass. Raises `Crashed`."""
        until_ns = self.now_ns + round(seconds * NS)
        with self._as_the_world():
            self._run(until_ns, None, 0)
        self.now_ns = until_ns

    def run_until(self, condition: Callable[[], bool], bound_s: float, every_s: float = 0.001) -> None:
        """Run until the condition holds; looked at first, and then at most each `every_s`.

        Raises `NotReached`, `NothingToDo`, `Crashed`.
        """
        if condition():
            return
        until_ns = self.now_ns + round(bound_s * NS)
        with self._as_the_world():
            if self._run(until_ns, condition, round(every_s * NS)):
                return
        idle = not self._heap
        began_s, self.now_ns = self.now_s, until_ns
        if condition():
            return
        waits = f"seed {self.seed}; who waits:\n{self.who_waits()}"
        if idle:
            raise NothingToDo(
                f"nothing is left to do at {began_s:.6f} s, and the condition does not hold; {waits}"
            )
        raise NotReached(f"the condition does not hold after {bound_s} s, at {self.now_s:.6f} s; {waits}")

    def _run(self, until_ns: int, condition: Callable[[], bool] | None, every_ns: int) -> bool:
        """Whether the condition held. The one hot loop: everything that happens passes here."""
        heap, crashes = self._heap, self._crashes
        look_ns = self.now_ns
        sweep = self.events + EVENTS_PER_SWEEP - self.events % EVENTS_PER_SWEEP
        while heap and heap[0][0] <= until_ns:
            when_ns, number, callback, argument = heappop(heap)
            self.now_ns = when_ns
            # Numbers are given in the order of asking and times hold all delays: so this sees any difference.
            self._mark = hash((self._mark, when_ns, number))
            self.events += 1
            callback(argument)
            if crashes:
                self._raise()
            if self.events >= sweep:
                sweep += EVENTS_PER_SWEEP
                self._sweep()
            if condition is not None and when_ns >= look_ns:
                look_ns = when_ns + every_ns
                if condition():
                    return True
        return False

    def _raise(self) -> None:
        what, error = self._crashes[0]
        self._crashes.clear()
        raise Crashed(f"{what} at {self.now_s:.6f} s (seed {self.seed})") from error

    def _sweep(self) -> None:
        round_ = self.events // EVENTS_PER_SWEEP
        gc.collect(2 if round_ % 64 == 0 else 1 if round_ % 8 == 0 else 0)

    @contextmanager
    def _as_the_world(self) -> Iterator[None]:
        """Whatever this thread was to asyncio and to the collector of garbage before, it is again afterwards."""
        if self._running or self.closed:
            raise RuntimeError("the kernel runs already" if self._running else "the kernel is closed")
        self._running = True
        loop, hooks, collecting = asyncio._get_running_loop(), sys.get_asyncgen_hooks(), gc.isenabled()
        asyncio._set_running_loop(None)
        gc.disable()
        try:
            yield
        finally:
            if collecting:
                gc.enable()
            sys.set_asyncgen_hooks(*hooks)
            asyncio._set_running_loop(loop)
            self._running = False

    # ---- the end

    def when_closed(self, callback: Callable[[], None]) -> None:
        """Call back at the end of the world."""
        self._closers.append(callback)

    def close(self) -> None:
        """The end of the world: no process runs again, and no `finally` of one can act on anything. Idempotent."""
        if self.closed:
            return
        self.closed = True
        self._heap.clear()
        for closer in self._closers:
            closer()
        for held in (self._heap, self._closers, self._witnesses, self._crashes):
            held.clear()


_open_kernels: "weakref.WeakSet[Kernel]" = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """Coroutines of a world that nobody closed must not be finalized one by one as the interpreter ends."""
    for kernel in list(_open_kernels):
        kernel.close()
