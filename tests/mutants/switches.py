"""Takes single rules out of the law's table, for the time of a test. Nothing of this is in the package."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from shorthorn.core.lifecycle import attachments, guards, law, membership, sessions, tasks
from shorthorn.core.lifecycle.events import (
    CopyStarted,
    ReplicaDropped,
    ReplicaLost,
    ReplicaSynced,
    SessionOpened,
    SessionStarted,
)
from shorthorn.core.lifecycle.requests import AttachRequested

Rule = Callable[..., Any]

OUT: dict[str, tuple[tuple[type, tuple[Rule, ...]], ...]] = {
    "last-guard": (
        (ReplicaDropped, (membership.not_the_last,)),
        (ReplicaLost, (membership.not_the_last, membership.with_witness)),
        (SessionOpened, (sessions.opens_on_some,)),
    ),
    "offline-no-epoch": ((ReplicaSynced, (membership.synced_at_epoch,)),),
    "no-attempt": ((ReplicaSynced, (guards.attempt_is,)),),
    "any-member": ((SessionOpened, (sessions.members_in_sync,)),),
    "any-copy-source": ((CopyStarted, (tasks.source_in_sync,)),),
    "attach-for-maintenance": ((SessionStarted, (sessions.held_there,)),),
    "two-nodes": ((AttachRequested, (attachments.one_node,)),),
}
"""Switch to the rules that it takes out, by event."""


@contextmanager
def out(switch: str) -> Iterator[None]:
    """The law without these rules; they are back afterwards."""
    before = dict(law.TABLE)
    try:
        for event, rules in OUT[switch]:
            row = law.TABLE[event]
            left = tuple(guard for guard in row.guards if guard not in rules)
            assert len(left) == len(row.guards) - len(rules), (
                f"{switch} takes out what {event.__name__} does not have"
            )
            law.TABLE[event] = replace(row, guards=left)
        yield
    finally:
        law.TABLE.update(before)
