"""The judge of registers: what a disk may do is accepted, and what none may do is caught."""

import itertools
import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

import pytest

from shorthorn.sim.judges.registers import Register, Violation


class Op(NamedTuple):
    """One operation of a whole history: what was written or shown, and moments.

    `answer` None: none came. `over`: when it was known that it can't take effect any more.
    """

    kind: str
    value: int
    call: int
    answer: int | None
    over: int | None = None


def judge(*steps: tuple[str | int, ...]) -> None:
    register = Register("block 0")
    for name, *arguments in steps:
        getattr(register, str(name))(*arguments)


ALLOWED: dict[str, Sequence[tuple[str | int, ...]]] = {
    "zeroes at first": [("call_read", 1), ("shown", 1, 0)],
    "what was written": [("call_write", 1, 5), ("written", 1), ("call_read", 2), ("shown", 2, 5)],
    "old during a write": [("call_write", 1, 5), ("call_read", 2), ("shown", 2, 0), ("written", 1)],
    "new during a write": [("call_write", 1, 5), ("call_read", 2), ("shown", 2, 5), ("written", 1)],
    "old told late": [
        ("call_read", 1),
        ("call_write", 2, 5),
        ("written", 2),
        ("shown", 1, 0),
        ("call_read", 3),
        ("shown", 3, 5),
    ],
    "two reads of one write in both orders": [
        ("call_write", 1, 5),
        ("call_read", 2),
        ("call_read", 3),
        ("shown", 2, 5),
        ("shown", 3, 0),
    ],
    "either of two writes at once": [
        ("call_write", 1, 5),
        ("call_write", 2, 6),
        ("written", 2),
        ("written", 1),
        ("call_read", 3),
        ("shown", 3, 6),
    ],
    "an unanswered write that comes late": [
        ("call_write", 1, 5),
        ("call_read", 2),
        ("shown", 2, 0),
        ("call_read", 3),
        ("shown", 3, 5),
        ("over", 1),
    ],
    "a write that failed and was done": [
        ("call_write", 1, 5),
        ("over", 1),
        ("call_read", 2),
        ("shown", 2, 5),
    ],
    "a write that failed and was not done": [
        ("call_write", 1, 5),
        ("over", 1),
        ("call_read", 2),
        ("shown", 2, 0),
    ],
    "an unanswered write below a later one": [
        ("call_write", 1, 5),
        ("call_write", 2, 6),
        ("written", 2),
        ("over", 1),
        ("call_read", 3),
        ("shown", 3, 5),
    ],
    "the same value twice": [
        ("call_write", 1, 5),
        ("written", 1),
        ("call_write", 2, 0),
        ("call_read", 3),
        ("shown", 3, 0),
        ("call_read", 4),
        ("shown", 4, 0),
        ("written", 2),
    ],
}

WRONG: dict[str, Sequence[tuple[str | int, ...]]] = {
    "a value that nobody wrote": [("call_read", 1), ("shown", 1, 7)],
    "an acknowledged write is lost": [
        ("call_write", 1, 5),
        ("written", 1),
        ("call_read", 2),
        ("shown", 2, 0),
    ],
    "a read goes back": [
        ("call_write", 1, 5),
        ("call_read", 2),
        ("shown", 2, 5),
        ("call_read", 3),
        ("shown", 3, 0),
    ],
    "reads alternate between copies": [
        ("call_write", 1, 5),
        ("call_write", 2, 6),
        ("written", 1),
        ("written", 2),
        ("call_read", 3),
        ("shown", 3, 5),
        ("call_read", 4),
        ("shown", 4, 6),
    ],
    "an unanswered write that was decided comes back": [
        ("call_write", 1, 5),
        ("over", 1),
        ("call_read", 2),
        ("shown", 2, 0),
        ("call_read", 3),
        ("shown", 3, 5),
    ],
    "an acknowledgement after all was decided": [("call_write", 1, 5), ("over", 1), ("written", 1)],
    "a read is answered after all was decided": [("call_read", 1), ("over", 1), ("shown", 1, 0)],
    "a write is seen before its call": [("call_read", 1), ("shown", 1, 5), ("call_write", 2, 5)],
    "a write from before the read's call is undone": [
        ("call_write", 1, 5),
        ("written", 1),
        ("call_write", 2, 6),
        ("written", 2),
        ("call_read", 3),
        ("shown", 3, 5),
    ],
    "a read that showed an unanswered write decides it": [
        ("call_write", 1, 5),
        ("call_read", 2),
        ("shown", 2, 5),
        ("over", 1),
        ("call_read", 3),
        ("shown", 3, 0),
    ],
    "an unanswered write is seen between two of a later one": [
        ("call_write", 1, 5),
        ("call_write", 2, 6),
        ("written", 2),
        ("call_read", 3),
        ("shown", 3, 6),
        ("call_read", 4),
        ("shown", 4, 5),
        ("call_read", 5),
        ("shown", 5, 6),
    ],
    "a write of a session that is over, told as done although it never was": [
        ("call_write", 1, 5),
        ("session_over",),
        ("call_read", 2),
        ("shown", 2, 0),
        ("written", 1),
    ],
    "a write of a session that is over comes late": [
        ("call_write", 1, 5),
        ("session_over",),
        ("call_write", 2, 6),
        ("written", 2),
        ("call_read", 3),
        ("shown", 3, 5),
    ],
    "a read of a session that is over shows what the next one wrote": [
        ("call_read", 1),
        ("session_over",),
        ("call_write", 2, 5),
        ("written", 2),
        ("shown", 1, 5),
    ],
}


@pytest.mark.parametrize("steps", ALLOWED.values(), ids=ALLOWED.keys())
def test_what_a_disk_may_show(steps: Sequence[tuple[str | int, ...]]) -> None:
    judge(*steps)


@pytest.mark.parametrize("steps", WRONG.values(), ids=WRONG.keys())
def test_what_no_disk_may_show(steps: Sequence[tuple[str | int, ...]]) -> None:
    with pytest.raises(Violation, match="block 0"):
        judge(*steps)


def test_it_says_what_it_allows_and_what_came_before() -> None:
    register = Register("block 3")
    register.call_write(1, 5)
    assert register.possible == {0, 5}
    assert register.pending == {1}
    register.call_read(2)
    with pytest.raises(Violation, match=r"block 3: read 2 shows 9, allowed are \[0, 5\]; before: 1: write 5"):
        register.shown(2, 9)


def test_it_agrees_with_a_search_through_all_orders() -> None:
    """Small random histories, of which one half shows values by chance: accepted exactly when some order explains them."""
    verdicts = [0, 0]
    for seed in range(2000):
        history = _history(random.Random(seed))
        accepted = _accepts(history)
        assert accepted == _some_order(history), f"seed {seed}: {history}"
        verdicts[accepted] += 1
    assert min(verdicts) > 250, f"histories of both kinds were tried: {verdicts}"


def test_a_real_register_is_never_accused() -> None:
    """Long histories of several clients, some of them cut off in the middle of a request."""
    for seed in range(40):
        assert _accepts(_honest(random.Random(seed), 150)), f"seed {seed}"


def test_a_stale_copy_is_caught() -> None:
    """Long histories in which one read is answered from a copy that lacks the last few writes."""
    caught = sum(not _accepts(_honest(random.Random(seed), 150, stale=True)) for seed in range(40))
    assert caught == 40


def _accepts(history: Sequence[Op]) -> bool:
    register = Register("r")
    at: dict[int, Callable[[], None]] = {}
    for number, op in enumerate(history):
        if op.kind == "write":
            at[op.call] = lambda n=number, v=op.value: register.call_write(n, v)  # type: ignore[misc]
            if op.answer is not None:
                at[op.answer] = lambda n=number: register.written(n)  # type: ignore[misc]
            if op.over is not None:
                at[op.over] = lambda n=number: register.over(n)  # type: ignore[misc]
        elif op.answer is not None:
            at[op.call] = lambda n=number: register.call_read(n)  # type: ignore[misc]
            at[op.answer] = lambda n=number, v=op.value: register.shown(n, v)  # type: ignore[misc]
    try:
        for moment in sorted(at):
            at[moment]()
    except Violation:
        return False
    return True


def _some_order(history: Sequence[Op]) -> bool:
    """Try every order of every choice of the unanswered writes: slow, and plainly right."""
    sure = [op for op in history if op.answer is not None]
    unsure = [op for op in history if op.answer is None and op.kind == "write"]
    for count in range(len(unsure) + 1):
        for chosen in itertools.combinations(unsure, count):
            if any(_explains(order) for order in itertools.permutations([*sure, *chosen])):
                return True
    return False


def _explains(order: Sequence[Op]) -> bool:
    value = 0
    for i, op in enumerate(order):
        if any(later.answer is not None and later.answer < op.call for later in order[i + 1 :]):
            return False
        if op.kind == "write":
            value = op.value
        elif op.value != value:
            return False
    return True


def _history(rng: random.Random) -> list[Op]:
    """Up to six operations at random moments; a read shows a value by chance."""
    count = rng.randint(2, 6)
    moments = iter(rng.sample(range(100), 2 * count))
    values = itertools.count(1)
    history, written = [], [0]
    for _ in range(count):
        call, answer = sorted((next(moments), next(moments)))
        if rng.random() < 0.5:
            written.append(next(values))
            history.append(Op("write", written[-1], call, answer if rng.random() < 0.8 else None))
        else:
            history.append(Op("read", -1, call, answer))
    return [
        op._replace(value=rng.choice(written)) if op.kind == "read" else op
        for op in sorted(history, key=lambda op: op.call)
    ]


def _honest(rng: random.Random, count: int, *, stale: bool = False) -> list[Op]:
    """Four clients of a register that takes every request at one moment; `stale`: but for one read in its middle."""
    history: list[Op] = []
    moments: list[tuple[int, int]] = []  # when an operation takes effect
    ends = [0] * 4
    for number in range(count):
        client = min(range(4), key=lambda c: ends[c])
        call = ends[client] * 1000 + rng.randrange(1000)
        effect, end = call + 1000 * rng.randint(1, 3) + 1, call + 1000 * rng.randint(4, 6) + 2
        ends[client] = end // 1000 + 1
        kind, end = rng.choice(("read", "write")), end * 8 + client
        cut = kind == "write" and rng.random() < 0.1
        history.append(
            Op(kind, number + 1, call * 8 + client, None if cut else end, over=end if cut else None)
        )
        if not cut or rng.random() < 0.5:
            moments.append((effect * 8 + client, number))
    values = [0]
    for _, number in sorted(moments):
        op = history[number]
        if op.kind == "write":
            values.append(op.value)
            continue
        old = stale and len(values) > count // 4
        stale = stale and not old
        history[number] = op._replace(value=values[-12 if old else -1])
    return sorted(history, key=lambda op: op.call)
