"""Takes rules out of the law, or puts wrong versions of it, of planning, control and agent in, for the time of a test.

Nothing of this is in the package. `out` knows every Python switch by name: `guard:EVENT:RULE` takes one guard out of one row of
the law's table, `node:RULE` one out of the law of nodes; the others have names of their own.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import msgspec

from shorthorn.core.lifecycle import attachments, fencing, guards, law, membership, phases, sessions, tasks
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
from shorthorn.core.lifecycle.requests import AttachRequested, DetachRequested
from shorthorn.core.lifecycle.transition import Change
from shorthorn.core.model.volume import ReplicaPhase, SessionPhase, Volume
from tests.mutants.patches import PATCHES, Patch, all_patched, always

Rule = Callable[..., Any]

OUT: dict[str, tuple[tuple[type, tuple[Rule, ...]], ...]] = {
    "last-guard": (
        (ReplicaDropped, (membership.not_the_last,)),
        (ReplicaLost, (membership.not_the_last, membership.with_witness)),
        (SessionOpened, (sessions.opens_on_some,)),
        (Settled, (tasks.some_stay,)),
    ),
    "last-copy-outside": (
        (ReplicaDropped, (membership.not_the_last, membership.others_probed)),
        (ReplicaLost, (membership.not_the_last, membership.with_witness)),
    ),
    "offline-no-epoch": ((ReplicaSynced, (membership.synced_at_epoch,)),),
    "offline-unclean": (
        (CopyStarted, (guards.is_settled,)),
        (ReplicaDropped, (guards.is_settled,)),
    ),
    "no-attempt": ((ReplicaSynced, (guards.attempt_is,)),),
    "any-member": ((SessionOpened, (sessions.members_in_sync,)),),
    "any-copy-source": ((CopyStarted, (tasks.source_in_sync,)),),
    "attach-for-maintenance": ((SessionStarted, (sessions.held_there,)),),
    "fence-not-in-sync": ((FenceHeld, (fencing.in_sync_now,)),),
    "fence-early": ((FenceHeld, (fencing.waited_long_enough,)),),
    "settle-partly": ((Settled, (tasks.all_sealed,)),),
    "two-nodes": ((AttachRequested, (attachments.one_node,)),),
    "reopen-closing": ((SessionOpened, (sessions._still_opening,)),),
    "evict-attaches": ((SessionStarted, (sessions.held_there,)),),
    "lost-in-fencing": ((ReplicaLost, (membership._not_fencing,)),),
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


def _lost_under_its_attempt(volume: Volume, event: ReplicaLost) -> Change:
    """A replica that left the set keeps its attempt."""
    after, lines = membership.ROWS[ReplicaLost].change(volume, event)
    assert after is not None
    left = msgspec.structs.replace(known(after, event.replica), attempt=event.attempt)
    return Change(msgspec.structs.replace(after, replicas=swap(after, left)), lines)


def _detached_at_once(volume: Volume, event: DetachRequested) -> Change:
    """Who lets go is told that it is detached, whatever its engine still does."""
    after, lines = attachments.ROWS[DetachRequested].change(volume, event)
    assert after is not None
    over = None if not after.attachments else after.session
    return Change(msgspec.structs.replace(after, session=over), lines)


def _stays_settled(volume: Volume, event: SessionOpened) -> Change:
    """A session that may write leaves the volume settled."""
    after, lines = sessions.ROWS[SessionOpened].change(volume, event)
    assert after is not None
    return Change(msgspec.structs.replace(after, settled=volume.settled), lines)


def _same_m(volume: Volume, event: SessionOpened) -> Change:
    """An open that removes replicas does not count the membership on."""
    after, lines = sessions.ROWS[SessionOpened].change(volume, event)
    assert after is not None
    return Change(msgspec.structs.replace(after, m=volume.m), lines)


def _same_hold(volume: Volume, event: FenceStarted) -> Change:
    """Whoever held on before a fence keeps the path."""
    after, lines = fencing.ROWS[FenceStarted].change(volume, event)
    assert after is not None
    return Change(msgspec.structs.replace(after, held_since=volume.held_since), lines)


INSTEAD: dict[str, tuple[type, Callable[[Volume, Any], Change]]] = {
    "fence-no-seal": (FenceStarted, _ends_at_once),
    "fence-same-epoch": (FenceStarted, _same_epoch),
    "fence-same-hold": (FenceStarted, _same_hold),
    "resync-same-attempt": (ReplicaLost, _same_attempt),
    "lost-same-attempt": (ReplicaLost, _lost_under_its_attempt),
    "detached-at-once": (DetachRequested, _detached_at_once),
    "stays-settled": (SessionOpened, _stays_settled),
    "open-same-m": (SessionOpened, _same_m),
}
"""Switch to what an event does instead."""

NODE_GUARDS: dict[str, Patch] = {
    "registration": Patch("core.lifecycle.nodes._check_registration", always(None)),
    "who-and-why": Patch("core.lifecycle.nodes.check_text", always(None)),
    "no-place": Patch("core.lifecycle.nodes.why_no_place", always(None)),
    "no-room": Patch("core.lifecycle.nodes.why_no_room", always(None)),
    "one-machine": Patch("core.lifecycle.nodes.exists", lambda _right: _accepts),
    "attachable": Patch("core.lifecycle.attachments.check_attach", always(None)),
}
"""The guards of the law of nodes, which is a match and no table."""


class _Yes:
    """In the place of a refusal: the caller goes on as if there was none."""

    def __bool__(self) -> bool:
        return False


def _accepts(_why: str) -> _Yes:
    return _Yes()


SWITCHES = tuple(dict.fromkeys((*OUT, *INSTEAD)))
"""Those of the law that have names of their own."""


def guards_of_rows() -> dict[str, tuple[type, Rule]]:
    """Every guard of every row of the law's table, by the name of its switch."""
    found: dict[str, tuple[type, Rule]] = {}
    for event, row in law.TABLE.items():
        rules: tuple[Rule, ...] = (*row.guards, *row.grounded)
        found |= {f"guard:{event.__name__}:{rule.__name__}": (event, rule) for rule in rules}
    return found


@contextmanager
def out(switch: str) -> Iterator[None]:
    """Without this rule; it is back afterwards."""
    before, moves = dict(law.TABLE), dict(phases.MOVES)
    rules = dict(OUT.get(switch, ()))
    if switch.startswith("guard:"):
        event, rule = guards_of_rows()[switch]
        rules = {event: (rule,)}
    patches = PATCHES.get(switch, ())
    if switch.startswith("node:"):
        patches = (NODE_GUARDS[switch.removeprefix("node:")],)
    with ExitStack() as stack:
        stack.callback(law.TABLE.update, before)
        stack.callback(phases.MOVES.update, moves)
        for event, taken in rules.items():
            _take_out(event, taken)
        if switch in INSTEAD:
            event, change = INSTEAD[switch]
            law.TABLE[event] = replace(before[event], change=change)
        if switch == "reopen-closing":
            phases.MOVES[SessionPhase.CLOSING] = (SessionPhase.OPEN, SessionPhase.FENCING)
        stack.enter_context(all_patched(patches))
        yield


def _take_out(event: type, rules: tuple[Rule, ...]) -> None:
    row = law.TABLE[event]
    left = tuple(guard for guard in row.guards if guard not in rules)
    grounded = tuple(guard for guard in row.grounded if guard not in rules)
    taken = len(row.guards) - len(left) + len(row.grounded) - len(grounded)
    assert taken == len(rules), f"{event.__name__} does not have all of these"
    law.TABLE[event] = replace(row, guards=left, grounded=grounded)
