"""A schedule: what happens to a simulated cluster from outside, each step at its moment. Data only, readable as JSON.

Steps name things, never what became of them: a step whose object is not there does nothing. So any subset of a schedule is
a schedule, and a failing one can be shrunk by leaving steps out.
"""

from typing import Any, Final

import msgspec

FORMAT: Final = 1


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """The cluster that a schedule is for. `settings`: names and values of the cluster's settings."""

    seed: int
    nodes: int = 4
    disk_bytes: int = 64 << 20
    controls: int = 1
    store: str = "memory"
    settings: dict[str, float] = {}


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happens. `at_s`: seconds of virtual time. `for_s`: after so long it is taken back, 0: it is not.

    `do` is a fault, a request or block I/O; `faults.verbs` has them all.
    """

    at_s: float
    do: str
    of: tuple[str, ...] = ()
    for_s: float = 0.0

    def __str__(self) -> str:
        """One line for people."""
        lasting = f" for {self.for_s:.1f} s" if self.for_s else ""
        return f"{self.do} {' '.join(self.of)}".rstrip() + lasting


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """Steps in order of time, in periods: at the moments `calm_s` faults are over, and everything has to come right.

    Consumers go on for `work_s` of a calm; then all let go, and rest.
    """

    shape: Shape
    steps: tuple[Step, ...]
    calm_s: tuple[float, ...]
    period_s: float = 3600.0
    work_s: float = 800.0
    format: int = FORMAT

    def encode(self) -> bytes:
        """JSON, one step a line."""
        head: dict[str, Any] = msgspec.to_builtins(self)
        steps = head.pop("steps")
        lines = ",\n".join("  " + msgspec.json.encode(step).decode() for step in steps)
        body = msgspec.json.encode(head).decode()
        return f'{body[:-1]},"steps":[\n{lines}\n]}}\n'.encode()


def decode(text: bytes) -> Schedule:
    """A schedule from a file. Raises `ValueError` in one line when it is none."""
    try:
        schedule = msgspec.json.decode(text, type=Schedule)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"not a schedule: {error}") from error
    if schedule.format != FORMAT:
        raise ValueError(f"a schedule of format {schedule.format}; this version reads {FORMAT}")
    return schedule
