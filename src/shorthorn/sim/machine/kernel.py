"""Virtual time: one queue of what is to happen, and everything that chance decides. Knows no process and no machine."""

from collections.abc import Callable
from random import Random
from typing import TypeVar

NS = 1_000_000_000
"""Nanoseconds in a second."""

T = TypeVar("T")


class NotReached(AssertionError):
    """The condition did not hold within the bound of virtual time; the message says who waits for what."""


class NothingToDo(NotReached):
    """Nothing is left that could happen, and the condition does not hold: a deadlock."""


class Crashed(AssertionError):
    """A process ended by an exception that nobody caught, or asyncio reported one; it is the cause of this."""


class Kernel:
    """Runs callbacks in the order of virtual time; of one moment, in the order in which they were asked for."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.now_ns = 0

    def chance(self, name: str) -> Random:
        """The stream of chance of this name: depends on the seed and the name only. The same object at each call."""
        raise NotImplementedError

    def at(self, when_ns: int, callback: Callable[[T], object], argument: T) -> None:
        """Call back at a moment (now, if it has passed). Can't be undone: let the callback look whether it is wanted."""
        raise NotImplementedError

    def after(self, delay_ns: int, callback: Callable[[T], object], argument: T) -> None:
        """Call back after a delay."""
        raise NotImplementedError

    def note(self, what: str) -> None:
        """Make something that happened part of the digest."""
        raise NotImplementedError

    @property
    def now_s(self) -> float:
        """Seconds of virtual time since the kernel was made."""
        return self.now_ns / NS

    @property
    def digest(self) -> str:
        """Of everything that happened so far: 16 hexadecimal digits; equal for equal runs under any PYTHONHASHSEED."""
        raise NotImplementedError

    def run_for(self, seconds: float) -> None:
        """Let this much virtual time pass. Raises `Crashed`."""
        raise NotImplementedError

    def run_until(self, condition: Callable[[], bool], bound_s: float, every_s: float = 0.001) -> None:
        """Run until the condition holds; looked at first, and then at most each `every_s`.

        Raises `NotReached`, `NothingToDo`, `Crashed`.
        """
        raise NotImplementedError

    def close(self) -> None:
        """The end of the world: no process runs again, and no `finally` of one can act on anything. Idempotent."""
        raise NotImplementedError
