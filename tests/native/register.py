"""Judges what clients saw of one block: a strictly linearizable register, with what a loss of all copies may undo.

All histories that fit are kept, as the states that the block may be in. None is left when, and only when, what clients
saw is impossible. After the monitor of the protocol's model (docs/protocol.md, section 5).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")
Pairs = frozenset[tuple[K, V]]

Op = int
Value = int


class Impossible(AssertionError):
    """A client saw what no history explains."""


def _without(pairs: Pairs[Op, V], op: Op) -> Pairs[Op, V]:
    return frozenset(pair for pair in pairs if pair[0] != op)


def _of(pairs: Pairs[Op, V], op: Op) -> V | None:
    return next((value for key, value in pairs if key == op), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    value: Value = 0
    pending: Pairs[Op, Value] = frozenset()
    """Writes that may still take effect."""
    landed: frozenset[Op] = frozenset()
    """Writes that took effect and are not answered."""
    left: frozenset[Value] = frozenset({0})
    """What may be left after a power loss of all copies."""
    since: Pairs[Op, frozenset[Value]] = frozenset()
    """Values since a read or flush was called, or since a write took effect."""

    def land(self, op: Op, value: Value) -> "_State":
        seen = {(key, values | {value}) for key, values in self.since}
        return _State(
            value=value,
            pending=_without(self.pending, op),
            landed=self.landed | {op},
            left=self.left | {value},
            since=frozenset(seen | {(op, frozenset({value}))}),
        )


class Register:
    """The histories of one block. Every method that a history can contradict raises `Impossible`."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._states = {_State()}

    def write(self, op: Op, value: Value) -> None:
        """A write is called."""
        self._states = {replace(state, pending=state.pending | {(op, value)}) for state in self._states}

    def watch(self, op: Op) -> None:
        """A read or flush is called."""
        self._map(
            lambda state: [replace(state, since=state.since | {(op, frozenset({state.value}))})], "a call"
        )

    def written(self, op: Op, *, fua: bool) -> None:
        """A write is answered: it has taken effect."""

        def after(state: _State) -> Iterable[_State]:
            since = _of(state.since, op)
            if op not in state.landed or since is None:
                return []
            left = since if fua else state.left
            landed = state.landed - {op}
            return [replace(state, landed=landed, left=left, since=_without(state.since, op))]

        self._map(after, f"write {op} was answered")

    def refused(self, op: Op) -> None:
        """A write failed: it has no effect, and never will."""

        def after(state: _State) -> Iterable[_State]:
            pending = _of(state.pending, op) is not None
            return [replace(state, pending=_without(state.pending, op))] if pending else []

        self._map(after, f"write {op} failed")

    def read(self, op: Op, value: Value) -> None:
        """A read is answered."""

        def after(state: _State) -> Iterable[_State]:
            since = _of(state.since, op)
            fits = since is not None and value in since
            return [replace(state, since=_without(state.since, op))] if fits else []

        self._map(after, f"read {op} returned {value}")

    def flushed(self, op: Op) -> None:
        """A flush is answered."""

        def after(state: _State) -> Iterable[_State]:
            since = _of(state.since, op)
            return [replace(state, left=since or state.left, since=_without(state.since, op))]

        self._map(after, f"flush {op} was answered")

    def forget(self, op: Op) -> None:
        """A read or flush is never answered, or failed."""
        self._states = {replace(state, since=_without(state.since, op)) for state in self._states}

    def lose(self) -> None:
        """All copies lost power: what was not flushed may be gone."""
        self._map(lambda state: [replace(state, value=value) for value in state.left], "a loss of power")

    def opened(self, *, broken: bool) -> None:
        """A session is open: what the ones before had not decided has happened by now, or never."""
        if broken:
            self.lose()
        self._map(lambda state: [_State(value=state.value, left=frozenset({state.value}))], "an open")

    def values(self) -> list[Value]:
        """What it may hold."""
        return sorted({state.value for state in self._closure()})

    def _closure(self) -> set[_State]:
        """Also with any of the pending writes having taken effect."""
        seen = set(self._states)
        todo = list(seen)
        while todo:
            state = todo.pop()
            for op, value in state.pending:
                after = state.land(op, value)
                if after not in seen:
                    seen.add(after)
                    todo.append(after)
        return seen

    def _map(self, after: Callable[[_State], Iterable[_State]], what: str) -> None:
        possible = self.values()
        self._states = {state for before in self._closure() for state in after(before)}
        if not self._states:
            raise Impossible(f"{self._name}: {what}, possible were {possible}")
