"""Judges what clients of a block device were told: is there one order of their requests in which all of it is true?

A register is one range of the device that is only ever written and read whole. Every request takes effect at one moment
between its call and its answer (docs/protocol.md, S2 as in B11). One that never got an answer may have taken effect or
not, until it is known that it can't any more. An open as *broken* may undo what was not flushed, sector by sector; nothing
else may. Pure: no clock, no I/O, no threads; whoever calls it says what happened, in the order in which it happened, a
call before its request is sent and an answer after it was received.

How: the register keeps every state that the answers so far allow. A request is made to take effect only when an answer
can't be explained otherwise, since an effect may be put off until just before the answer that needs it. States that allow
nothing that another does not are left out, so a register stays small however long it is used.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

RECENT = 24
"""So many of the last calls and answers are told with a violation."""

STATES_MAX = 20_000
"""More states than this means that something is wrong with the test: too many requests without an end."""

NOTHING: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Lost:
    """What a loss of all copies left, not yet read: each sector is one of these. The first read says which."""

    options: frozenset[int]


Value: TypeAlias = int | tuple[int, ...] | Lost
"""What a register holds: one write's value; after a loss perhaps the values of its sectors; or nobody knows yet."""


class Violation(AssertionError):
    """No order of the requests explains what clients were told."""


class _State(NamedTuple):
    """One thing that may be so.

    `applied`: unanswered writes that took effect. `seen`: what unanswered reads may show. `left`: what a loss of all copies
    may leave. `since`: for each unanswered flush, and each write to disk that took effect, the values since.
    """

    value: Value
    applied: frozenset[int]
    seen: frozenset[tuple[int, Value]]
    left: frozenset[Value]
    since: frozenset[tuple[int, Value]]


class Register:
    """One register. Operations are named by numbers of the caller's, each used once."""

    def __init__(self, name: str, value: int = 0) -> None:
        self._name = name
        none: frozenset[tuple[int, Value]] = frozenset()
        self._states = {_State(value, NOTHING, none, frozenset({value}), none)}
        self._writes: dict[int, int] = {}
        self._durable: set[int] = set()
        self._reads: set[int] = set()
        self._flushes: set[int] = set()
        self._closed: set[int] = set()
        self._recent: deque[tuple[int | str, str, Value | None]] = deque(maxlen=RECENT)

    @property
    def pending(self) -> frozenset[int]:
        """The reads and writes that were called and have no end yet."""
        return frozenset(self._writes) | frozenset(self._reads)

    @property
    def crowd(self) -> int:
        """Writes that may take effect at any moment: a judge has much to think about when there are many."""
        return len(self._writes) - len(self._closed)

    @property
    def possible(self) -> frozenset[Value]:
        """What a read that is called and answered now may show."""
        return frozenset(s.value for start in self._states for s in self._reach(start, _never))

    def call_write(self, op: int, value: int, *, fua: bool = False) -> None:
        """A write is about to be sent; `fua`: it is on disk before its answer."""
        self._recent.append((op, "fua" if fua else "write", value))
        self._writes[op] = value
        if fua:
            self._durable.add(op)

    def call_read(self, op: int) -> None:
        """A read is about to be sent."""
        self._recent.append((op, "read", None))
        self._reads.add(op)
        self._states = {s._replace(seen=s.seen | {(op, s.value)}) for s in self._states}

    def call_flush(self, op: int) -> None:
        """A flush is about to be sent."""
        self._recent.append((op, "flush", None))
        self._flushes.add(op)
        self._states = {s._replace(since=s.since | {(op, s.value)}) for s in self._states}

    def written(self, op: int) -> None:
        """The write was acknowledged: it has taken effect. Raises `Violation`."""
        self._recent.append((op, "written", None))
        self._keep(self._explained(lambda s: op in s.applied), f"the acknowledged write {op}")
        if op in self._durable:
            self._states = {_flushed(s, op) for s in self._states}
        self._end(op)

    def shown(self, op: int, value: int | tuple[int, ...]) -> None:
        """The read has shown `value`. Raises `Violation` when no moment since its call had it."""
        self._recent.append((op, "shown", value))
        states = [
            found
            for s in self._explained(lambda s: _shows(s, op, value))
            if (found := _settled(s, op, value))
        ]
        if not states:
            self._keep((), f"read {op} shows {value}, allowed are {self._readable(op)}")
        self._keep(states, "")
        self._end(op)

    def flushed(self, op: int) -> None:
        """The flush was acknowledged: what was answered before its call is on disk."""
        self._recent.append((op, "flushed", None))
        self._states = {_flushed(s, op) for s in self._states}
        self._end(op)

    def refused(self, op: int) -> None:
        """The write failed and has no effect (A12); but until a flush a loss of all copies may show it."""
        self._recent.append((op, "refused", None))
        value = self._writes[op]
        never = (s for s in self._states if op not in s.applied)
        self._keep((_left(s, value) for s in never), f"write {op} failed, and yet it was seen")
        self._end(op)

    def over(self, op: int) -> None:
        """No answer, or an error that says nothing: the operation has taken effect by now, or never will."""
        self._recent.append((op, "over", None))
        if op in self._writes:
            happened = self._explained(lambda s: op in s.applied)
            never = [s for s in self._states if op not in s.applied]
            self._keep([*happened, *never], "an operation without an answer")
        self._end(op)

    def session_over(self, *, broken: bool = False) -> None:
        """Another session serves: what is unanswered has happened by now, or never will; and all is on disk.

        An answer may still come: of what the session had decided before its end, and could not say (B11). `broken`: what
        was not flushed may be gone.
        """
        self._recent.append(("", "a session opens, broken" if broken else "a session opens", None))
        reached = {s for start in self._states for s in self._decided(start)}
        self._states = {_opened(s, broken=broken) for s in reached}
        self._prune()
        self._closed |= self.pending
        self._flushes.clear()

    def _explained(self, holds: Callable[[_State], bool]) -> Iterator[_State]:
        """The states in which it holds, that are reached by letting pending writes take effect, and no more than needed."""
        for start in self._states:
            if holds(start):
                yield start
            else:
                yield from (s for s in self._reach(start, holds) if holds(s))

    def _reach(self, start: _State, enough: Callable[[_State], bool]) -> Iterator[_State]:
        """`start` and all that pending writes make of it; nothing follows on a state that is enough."""
        found, rest = {start}, [start]
        while rest:
            state = rest.pop()
            yield state
            if enough(state):
                continue
            for op, value in self._writes.items():
                if op not in state.applied and op not in self._closed:
                    following = self._landed(state, op, value)
                    if following not in found:
                        found.add(following)
                        rest.append(following)

    def _decided(self, start: _State) -> Iterator[_State]:
        """What pending writes may have made of it once and for all.

        Either nothing, or one of them was the last: then all others may have been before it, and no state in which they
        were not allows more, since none of them can fail or take effect any more.
        """
        yield start
        left = [op for op in self._writes if op not in start.applied and op not in self._closed]
        for last in left:
            state = start
            for op in (*(op for op in left if op != last), last):
                state = self._landed(state, op, self._writes[op])
            yield state

    def _landed(self, state: _State, op: int, value: int) -> _State:
        since = state.since
        if since or op in self._durable:
            since |= {(sync, value) for sync, _ in since}
            if op in self._durable:
                since |= {(op, value)}
        return _State(
            value=value,
            applied=state.applied | {op},
            seen=state.seen | {(read, value) for read in self._reads if read not in self._closed},
            left=state.left | {value},
            since=since,
        )

    def _readable(self, read: int) -> list[Value]:
        """What an unanswered read may show."""
        states = (s for start in self._states for s in self._reach(start, _never))
        return sorted({value for state in states for op, value in state.seen if op == read}, key=repr)

    def _keep(self, states: Iterable[_State], what: str) -> None:
        kept = set(states)
        if not kept:
            raise Violation(f"{self._name}: {what}; before: {self._story()}")
        self._states = kept
        self._prune()
        assert len(self._states) <= STATES_MAX, f"{self._name}: {len(self._states)} states"

    def _prune(self) -> None:
        """Leave out what allows nothing that another state does not allow as well."""
        if len(self._states) < 2:
            return
        alike: dict[tuple[object, ...], list[_State]] = {}
        for state in self._states:
            durable = frozenset(op for op, _ in state.since)
            rivals = alike.setdefault((state.value, state.applied, durable), [])
            if not any(_allows_all_of(rival, state) for rival in rivals):
                rivals[:] = [rival for rival in rivals if not _allows_all_of(state, rival)]
                rivals.append(state)
        self._states = {state for rivals in alike.values() for state in rivals}

    def _end(self, op: int) -> None:
        """Forget an operation that has its end."""
        write = self._writes.pop(op, None) is not None
        self._durable.discard(op)
        self._reads.discard(op)
        self._flushes.discard(op)
        self._closed.discard(op)
        self._states = {
            s._replace(
                applied=s.applied - {op} if write else s.applied,
                seen=frozenset(pair for pair in s.seen if pair[0] != op) if s.seen else s.seen,
                since=frozenset(pair for pair in s.since if pair[0] != op) if s.since else s.since,
            )
            for s in self._states
        }
        self._prune()

    def _story(self) -> str:
        return "; ".join(
            f"{op}: {what} {'' if value is None else value}".strip() for op, what, value in self._recent
        )


def _never(_state: _State) -> bool:
    return False


def _allows_all_of(wide: _State, narrow: _State) -> bool:
    return narrow.seen <= wide.seen and narrow.left <= wide.left and narrow.since <= wide.since


def _shows(state: _State, op: int, value: int | tuple[int, ...]) -> bool:
    return (op, value) in state.seen or _unread(state, op, value) is not None


def _unread(state: _State, op: int, value: int | tuple[int, ...]) -> Lost | None:
    """What a loss left and this read may be the first to show."""
    sectors = set(value) if isinstance(value, tuple) else {value}
    lost = [v for read, v in state.seen if read == op and isinstance(v, Lost) and sectors <= v.options]
    return lost[0] if lost else None


def _settled(state: _State, op: int, value: int | tuple[int, ...]) -> _State | None:
    """The state in which what the loss left is known."""
    if (op, value) in state.seen:
        return state
    lost = _unread(state, op, value)
    if lost is None:
        return None

    def known(held: Value) -> Value:
        return value if held == lost else held

    return _State(
        value=known(state.value),
        applied=state.applied,
        seen=frozenset((read, known(v)) for read, v in state.seen),
        left=frozenset(known(v) for v in state.left),
        since=frozenset((sync, known(v)) for sync, v in state.since),
    )


def _flushed(state: _State, op: int) -> _State:
    since = frozenset(value for sync, value in state.since if sync == op)
    return state._replace(left=since) if since else state


def _left(state: _State, value: Value) -> _State:
    since = state.since | {(sync, value) for sync, _ in state.since}
    return state._replace(left=state.left | {value}, since=since)


def _opened(state: _State, *, broken: bool) -> _State:
    value = _lost(state.left) if broken else state.value
    return _State(value, state.applied, state.seen, frozenset({value}), frozenset())


def _lost(left: frozenset[Value]) -> Value:
    """What a loss of all copies makes of it: any of these, in any sector."""
    if len(left) == 1:
        return next(iter(left))
    options: set[int] = set()
    for value in left:
        options |= (
            value.options if isinstance(value, Lost) else set(value) if isinstance(value, tuple) else {value}
        )
    return Lost(frozenset(options))
