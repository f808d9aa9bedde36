"""Takes single rules out of the law's table, or puts a wrong change in, for the time of a test. Nothing of this is in the package."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import msgspec

from shorthorn.core.lifecycle import attachments, fencing, guards, law, membership, sessions, tasks
from shorthorn.core.lifecycle.events import (
    CopyStarted,
    FenceHeld,
    FenceStarted,
    ReplicaDropped,
    ReplicaLost,
    ReplicaSynced,
    SessionOpened,
    SessionStarted,
    Settled,
)
from shorthorn.core.lifecycle.replicas import known, swap
from shorthorn.core.lifecycle.requests import AttachRequested
from shorthorn.core.lifecycle.transition import Change
from shorthorn.core.model.volume import ReplicaPhase, Volume

Rule = Callable[..., Any]

OUT: dict[str, tuple[tuple[type, tuple[Rule, ...]], ...]] = {
    "last-guard": (
        (ReplicaDropped, (membership.not_the_last,)),
        (ReplicaLost, (membership.not_the_last, membership.with_witness)),
        (SessionOpened, (sessions.opens_on_some,)),
        (Settled, (tasks.some_stay,)),
    ),
    "offline-no-epoch": ((ReplicaSynced, (membership.synced_at_epoch,)),),
    "no-attempt": ((ReplicaSynced, (guards.attempt_is,)),),
    "any-member": ((SessionOpened, (sessions.members_in_sync,)),),
    "any-copy-source": ((CopyStarted, (tasks.source_in_sync,)),),
    "attach-for-maintenance": ((SessionStarted, (sessions.held_there,)),),
    "fence-not-in-sync": ((FenceHeld, (fencing.in_sync_now,)),),
    "fence-early": ((FenceHeld, (fencing.waited_long_enough,)),),
    "settle-partly": ((Settled, (tasks.all_sealed,)),),
    "two-nodes": ((AttachRequested, (attachments.one_node,)),),
}
"""Switch to the rules that it takes out, by event."""


def _ends_at_once(volume: Volume, event: FenceStarted) -> Change:
    """Declared dead, so detached."""
    after, lines = fencing.ROWS[FenceStarted].change(volume, event)
    assert after is not None
    return Change(msgspec.structs.replace(after, session=None), lines)


def _same_epoch(volume: Volume, event: FenceStarted) -> Change:
    """The fence seals at the session's own epoch."""
    after, lines = fencing.ROWS[FenceStarted].change(volume, event)
    assert after is not None
    return Change(msgspec.structs.replace(after, epoch=volume.epoch), lines)


def _same_attempt(volume: Volume, event: ReplicaLost) -> Change:
    """A broken resync goes on under its attempt."""
    after, lines = membership.ROWS[ReplicaLost].change(volume, event)
    before = known(volume, event.replica)
    if after is None or before.phase is ReplicaPhase.IN_SYNC:
        return Change(after, lines)
    return Change(msgspec.structs.replace(after, replicas=swap(after, before)), lines)


INSTEAD: dict[str, tuple[type, Callable[[Volume, Any], Change]]] = {
    "fence-no-seal": (FenceStarted, _ends_at_once),
    "fence-same-epoch": (FenceStarted, _same_epoch),
    "resync-same-attempt": (ReplicaLost, _same_attempt),
}
"""Switch to what an event does instead."""

SWITCHES = (*OUT, *INSTEAD)


@contextmanager
def out(switch: str) -> Iterator[None]:
    """The law without these rules; they are back afterwards."""
    before = dict(law.TABLE)
    try:
        for event, rules in OUT.get(switch, ()):
            row = before[event]
            left = tuple(guard for guard in row.guards if guard not in rules)
            grounded = tuple(guard for guard in row.grounded if guard not in rules)
            taken = len(row.guards) - len(left) + len(row.grounded) - len(grounded)
            assert taken == len(rules), f"{switch} takes out what {event.__name__} does not have"
            law.TABLE[event] = replace(row, guards=left, grounded=grounded)
        if switch in INSTEAD:
            event, change = INSTEAD[switch]
            law.TABLE[event] = replace(before[event], change=change)
        yield
    finally:
        law.TABLE.update(before)
