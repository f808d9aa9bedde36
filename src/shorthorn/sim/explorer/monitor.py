"""What clients saw, judged: all histories of the one block that a strictly linearizable register allows.

A history is (value, writes under way, writes that took effect, values that a loss of power may leave). The set of them is
empty when, and only when, what clients saw is impossible (S2, S3, S4). The same as in tests/model/protocol_model.py.
"""

from typing import NamedTuple

_NONE: frozenset[int] = frozenset()


class History(NamedTuple):
    """One possible past. `left`: what a loss of all page caches may leave behind."""

    value: int
    pending: frozenset[int]
    took: frozenset[int]
    left: frozenset[int]


Histories = frozenset[History]

START: Histories = frozenset((History(0, _NONE, _NONE, frozenset((0,))),))


class Impossible(Exception):
    """No history explains what a client saw."""


def closure(histories: Histories) -> Histories:
    """With everything that may have taken effect meanwhile."""
    seen, todo = set(histories), list(histories)
    while todo:
        past = todo.pop()
        for value in past.pending:
            one = frozenset((value,))
            after = History(value, past.pending - one, past.took | one, past.left | one)
            if after not in seen:
                seen.add(after)
                todo.append(after)
    return frozenset(seen)


def sent(histories: Histories, value: int) -> Histories:
    """A client wrote; it may take effect from now on."""
    return frozenset(h._replace(pending=h.pending | {value}) for h in histories)


def acknowledged(histories: Histories, value: int) -> Histories:
    """It took effect by now. Raises: Impossible."""
    kept = frozenset(h._replace(took=h.took - {value}) for h in closure(histories) if value in h.took)
    if not kept:
        raise Impossible(f"S4: acknowledged write {value} can have no place")
    return kept


def failed(histories: Histories, value: int) -> Histories:
    """Answered with an error: it took effect by now, or never will."""
    return frozenset(
        h._replace(pending=h.pending - {value}, took=h.took - {value}) for h in closure(histories)
    )


def was_read(histories: Histories, value: int) -> Histories:
    """Raises: Impossible."""
    every = closure(histories)
    kept = frozenset(h for h in every if h.value == value)
    if not kept:
        raise Impossible(f"S3/S4: a read returned {value}, possible were {sorted({h.value for h in every})}")
    return kept


def flushed(histories: Histories) -> Histories:
    """What was acknowledged before survives a loss of power from now on."""
    return frozenset(h._replace(left=frozenset((h.value,))) for h in histories)


def opened(histories: Histories, *, broken: bool) -> Histories:
    """A new session: writes under way have happened by now, or never will. Broken: unflushed ones may be gone."""
    return frozenset(
        History(value, _NONE, h.took, h.left)
        for h in closure(histories)
        for value in (h.left if broken else (h.value,))
    )
