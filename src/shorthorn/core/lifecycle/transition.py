"""The shape of one row of the law: when an event was true before, what must hold, what it changes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from shorthorn.core.lifecycle.grounds import NO_GROUNDS, Grounds
from shorthorn.core.lifecycle.outcome import Accepted, RefusalKind, Refused
from shorthorn.core.model.ids import NodeName
from shorthorn.core.model.volume import Volume


class Change(NamedTuple):
    """The new document, its version not yet raised (None: to be removed), and what happened, a line each."""

    volume: Volume | None
    lines: tuple[str, ...]


Guard = Callable[[Volume, Any], Refused | None]
"""Answers why an event is refused, or None. One function a rule, so that a test can take one rule out."""

Grounded = Callable[[Volume, Any, Grounds], Refused | None]
"""A guard that needs more than the document."""


def never_repeated(_volume: Volume, _event: object) -> bool:
    """For events that are no repeat however often they come."""
    return False


def on_no_node(_volume: Volume, _event: object) -> tuple[NodeName, ...]:
    """For events that need no node's record."""
    return ()


@dataclass(frozen=True, kw_only=True)
class Transition:
    """One row. `repeated`: the event is already true, so it is accepted and changes nothing (idempotence).

    `rests_on`: the nodes whose records `grounded` looks at; the commit names them as unchanged.
    """

    change: Callable[[Volume, Any], Change]
    guards: tuple[Guard, ...] = ()
    grounded: tuple[Grounded, ...] = ()
    rests_on: Callable[[Volume, Any], tuple[NodeName, ...]] = on_no_node
    repeated: Callable[[Volume, Any], bool] = never_repeated

    def apply(
        self, volume: Volume, event: object, grounds: Grounds = NO_GROUNDS
    ) -> Accepted[Volume] | Refused:
        """Repeats first, then the guards in order, then the change, which raises the version by one."""
        if self.repeated(volume, event):
            return Accepted(value=volume, lines=(), changed=False)
        for guard in self.guards:
            if refused := guard(volume, event):
                return refused
        for grounded in self.grounded:
            if refused := grounded(volume, event, grounds):
                return refused
        after, lines = self.change(volume, event)
        if after is not None:
            after = msgspec.structs.replace(after, version=volume.version + 1)
        return Accepted(value=after, lines=lines)


def not_now(why: str) -> Refused:
    """Legal, but not in this state; says what it waits for."""
    return Refused(kind=RefusalKind.NOT_NOW, why=why)


def stale(why: str) -> Refused:
    """About something that is over, or that never was."""
    return Refused(kind=RefusalKind.STALE, why=why)


def not_found(why: str) -> Refused:
    """Names something that the record does not have."""
    return Refused(kind=RefusalKind.NOT_FOUND, why=why)


def exists(why: str) -> Refused:
    """Is there already, and different."""
    return Refused(kind=RefusalKind.ALREADY_EXISTS, why=why)
