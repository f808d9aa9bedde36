"""The judge of registers where power is lost: what a loss may undo is accepted, what it may not is caught."""

from collections.abc import Sequence
from typing import Any

import pytest

from shorthorn.sim.judges.registers import Register, Violation

Steps = Sequence[tuple[Any, ...]]

BROKEN = ("session_over", {"broken": True})
FUA = {"fua": True}

ALLOWED: dict[str, Steps] = {
    "an unflushed write is gone": [("call_write", 1, 5), ("written", 1), BROKEN, ("call_read", 2), ("shown", 2, 0)],
    "an unflushed write is there": [("call_write", 1, 5), ("written", 1), BROKEN, ("call_read", 2), ("shown", 2, 5)],
    "an unflushed write is there in part": [
        ("call_write", 1, 5), ("written", 1), BROKEN,
        ("call_read", 2), ("shown", 2, (5, 0, 0, 0, 5, 0, 0, 0)),
        ("call_read", 3), ("shown", 3, (5, 0, 0, 0, 5, 0, 0, 0)),
    ],
    "an older unflushed write below a newer one": [
        ("call_write", 1, 5), ("written", 1), ("call_write", 2, 6), ("written", 2), BROKEN,
        ("call_read", 3), ("shown", 3, 5),
    ],
    "a write after the flush's call is gone": [
        ("call_flush", 1), ("call_write", 2, 5), ("written", 2), ("flushed", 1), BROKEN,
        ("call_read", 3), ("shown", 3, 0),
    ],
    "an unanswered write is there after the loss": [
        ("call_write", 1, 5), BROKEN, ("call_read", 2), ("shown", 2, 5),
    ],
    "what failed may be left": [
        ("call_write", 1, 5), ("refused", 1), BROKEN, ("call_read", 2), ("shown", 2, 5),
    ],
    "two losses without a read between": [
        ("call_write", 1, 5), ("written", 1), BROKEN, ("call_write", 2, 6), ("written", 2), BROKEN,
        ("call_read", 3), ("shown", 3, 0),
    ],
}  # fmt: skip

WRONG: dict[str, Steps] = {
    "a flushed write is gone": [
        ("call_write", 1, 5), ("written", 1), ("call_flush", 2), ("flushed", 2), BROKEN,
        ("call_read", 3), ("shown", 3, 0),
    ],
    "a write with FUA is gone": [
        ("call_write", 1, 5, FUA), ("written", 1), BROKEN, ("call_read", 2), ("shown", 2, 0),
    ],
    "an unflushed write is gone without a loss": [
        ("call_write", 1, 5), ("written", 1), ("session_over",), ("call_read", 2), ("shown", 2, 0),
    ],
    "what a loss left changes": [
        ("call_write", 1, 5), ("written", 1), BROKEN, ("call_read", 2), ("shown", 2, 0),
        ("call_read", 3), ("shown", 3, 5),
    ],
    "a value from before the flush": [
        ("call_write", 1, 5), ("written", 1), ("call_write", 2, 6), ("written", 2), ("call_flush", 3), ("flushed", 3),
        BROKEN, ("call_read", 4), ("shown", 4, 5),
    ],
    "what failed is seen": [("call_write", 1, 5), ("refused", 1), ("call_read", 2), ("shown", 2, 5)],
    "a failed write that a read had seen": [
        ("call_write", 1, 5), ("call_read", 2), ("shown", 2, 5), ("refused", 1),
    ],
    "part of a value that nobody wrote": [
        ("call_write", 1, 5), ("written", 1), BROKEN, ("call_read", 2), ("shown", 2, (5, 0, 7, 0, 5, 0, 0, 0)),
    ],
    "what one open made durable is gone at the next": [
        ("call_write", 1, 5), ("written", 1), ("session_over",), BROKEN, ("call_read", 2), ("shown", 2, 0),
    ],
}  # fmt: skip


def judge(steps: Steps) -> None:
    register = Register("block 0")
    for name, *arguments in steps:
        named = arguments.pop() if arguments and isinstance(arguments[-1], dict) else {}
        getattr(register, name)(*arguments, **named)


@pytest.mark.parametrize("steps", ALLOWED.values(), ids=ALLOWED.keys())
def test_what_a_loss_may_leave(steps: Steps) -> None:
    judge(steps)


@pytest.mark.parametrize("steps", WRONG.values(), ids=WRONG.keys())
def test_what_no_loss_may_leave(steps: Steps) -> None:
    with pytest.raises(Violation, match="block 0"):
        judge(steps)
