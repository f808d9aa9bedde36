"""Judges what clients of a block device were told: is there one order of their requests in which all of it is true?

A register is one range of the device that is only ever written and read whole. Every request takes effect at one moment
between its call and its answer (docs/protocol.md, S2 as in B11). One that never got an answer may have taken effect or
not, until it is known that it can't any more. Pure: no clock, no I/O, no threads; whoever calls it says what happened, in
the order in which it happened, a call before its request is sent and an answer after it was received.

How: the register keeps every state that the answers so far allow. A request is made to take effect only when an answer
can't be explained otherwise, since an effect may be put off until just before the answer that needs it.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

RECENT = 24
"""So many of the last calls and answers are told with a violation."""

STATES_MAX = 20_000
"""More states than this means that something is wrong with the test: too many requests without an end."""


class Violation(AssertionError):
    """No order of the requests explains what clients were told."""


class _State(NamedTuple):
    """One thing that may be so: the value, which unanswered writes have taken effect, what unanswered reads may show."""

    value: int
    applied: frozenset[int]
    seen: frozenset[tuple[int, int]]


class Register:
    """One register. Operations are named by numbers of the caller's, each used once."""

    def __init__(self, name: str, value: int = 0) -> None:
        self._name = name
        self._states = {_State(value, frozenset(), frozenset())}
        self._writes: dict[int, int] = {}
        self._reads: set[int] = set()
        self._closed: set[int] = set()
        self._recent: deque[str] = deque(maxlen=RECENT)

    @property
    def pending(self) -> frozenset[int]:
        """The operations that were called and have no end yet."""
        return frozenset(self._writes) | frozenset(self._reads)

    @property
    def possible(self) -> frozenset[int]:
        """What a read that is called and answered now may show."""
        return frozenset(s.value for start in self._states for s in self._reach(start, lambda _: False))

    def call_write(self, op: int, value: int) -> None:
        """A write is about to be sent."""
        self._note(f"{op}: write {value} …")
        self._writes[op] = value

    def call_read(self, op: int) -> None:
        """A read is about to be sent."""
        self._note(f"{op}: read …")
        self._reads.add(op)
        self._states = {s._replace(seen=s.seen | {(op, s.value)}) for s in self._states}

    def written(self, op: int) -> None:
        """The write was acknowledged: it has taken effect. Raises `Violation`."""
        self._note(f"{op}: written")
        self._keep(self._explained(lambda s: op in s.applied), f"the acknowledged write {op}")
        self._end(op)

    def shown(self, op: int, value: int) -> None:
        """The read has shown `value`. Raises `Violation` when no moment since its call had it."""
        self._note(f"{op}: shown {value}")
        allowed = sorted(self._readable(op))
        self._keep(
            self._explained(lambda s: (op, value) in s.seen),
            f"read {op} shows {value}, allowed are {allowed}",
        )
        self._end(op)

    def over(self, op: int) -> None:
        """No answer, or an error: the operation has taken effect by now, or never will."""
        self._note(f"{op}: over")
        if op in self._writes:
            happened = self._explained(lambda s: op in s.applied)
            never = [s for s in self._states if op not in s.applied]
            self._keep([*happened, *never], "an operation without an answer")
        self._end(op)

    def session_over(self) -> None:
        """Another session serves: what is unanswered has happened by now, or never will.

        An answer may still come: of what the session had decided before its end, and could not say (B11).
        """
        self._note("the session is over")
        self._states = {s for start in self._states for s in self._reach(start, lambda _: False)}
        self._closed |= self.pending

    def _explained(self, holds: Callable[[_State], bool]) -> Iterator[_State]:
        """The states in which it holds, that are reached by letting pending writes take effect, and no more than needed."""
        for start in self._states:
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
                    seen = state.seen | {(read, value) for read in self._reads - self._closed}
                    following = _State(value, state.applied | {op}, seen)
                    if following not in found:
                        found.add(following)
                        rest.append(following)

    def _readable(self, read: int) -> set[int]:
        """What an unanswered read may show."""
        states = (s for start in self._states for s in self._reach(start, lambda _: False))
        return {value for state in states for op, value in state.seen if op == read}

    def _keep(self, states: Iterable[_State], what: str) -> None:
        kept = set(states)
        if not kept:
            raise Violation(f"{self._name}: {what}; before: {'; '.join(self._recent)}")
        assert len(kept) <= STATES_MAX, f"{self._name}: {len(kept)} states"
        self._states = kept

    def _end(self, op: int) -> None:
        """Forget an operation that has its end."""
        self._writes.pop(op, None)
        self._reads.discard(op)
        self._closed.discard(op)
        self._states = {
            _State(s.value, s.applied - {op}, frozenset(pair for pair in s.seen if pair[0] != op))
            for s in self._states
        }

    def _note(self, line: str) -> None:
        self._recent.append(line)
