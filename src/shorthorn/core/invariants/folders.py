"""What a replica's folder says of itself against what is recorded of the replica. One folder, one record, no world.

What a folder says is older than the record, never newer: so it may lag where a transition is under way, and a number of
its own beyond the record's means that the record went back or was never told.
"""

from collections.abc import Iterator

from shorthorn.core.model.sighting import ReplicaRole, ReplicaSighting
from shorthorn.core.model.volume import Replica, ReplicaPhase, SessionPhase, Volume


def differences(volume: Volume, replica: Replica, seen: ReplicaSighting) -> Iterator[str]:
    """How the folder at the replica's place disagrees with the record, each with its rule."""
    if seen.damaged or seen.failed:
        yield seen.damaged or seen.failed
    elif seen.volume != volume.uid:
        yield f"its folder belongs to volume {seen.volume} (S8)"
    else:
        yield from _future(volume, replica, seen)
        yield from _open(volume, seen)
        if replica.phase is ReplicaPhase.IN_SYNC:
            yield from _member(volume, replica, seen)
        elif seen.role is ReplicaRole.MEMBER and seen.sealed[1] == replica.attempt:
            yield f"it was told to be in-sync in attempt {replica.attempt}, by the record it is syncing (S6)"


def _future(volume: Volume, replica: Replica, seen: ReplicaSighting) -> Iterator[str]:
    """The record always knows first: of an epoch, an attempt, a membership, a document."""
    epoch, attempt = seen.sealed
    for what, told, recorded in (
        ("was sealed in epoch", epoch, volume.epoch),
        ("was sealed in attempt", attempt, replica.attempt),
        ("was told membership number", seen.m, volume.m),
        ("stores document", seen.document_version, volume.version),
    ):
        if told > recorded:
            yield f"it {what} {told}, the record is at {recorded} (A15)"


def _open(volume: Volume, seen: ReplicaSighting) -> Iterator[str]:
    if seen.open and volume.session is None and not volume.tasks:
        yield f"an engine or copier of epoch {seen.sealed[0]} has it open, no session or task is recorded (S7)"


def _member(volume: Volume, replica: Replica, seen: ReplicaSighting) -> Iterator[str]:
    """An in-sync replica is what the record relies on: a source, and needed for every acknowledgement."""
    epoch, attempt = seen.sealed
    if epoch < volume.opened_epoch:
        yield f"it was last sealed in epoch {epoch}, in-sync means {volume.opened_epoch}: its disk went back in time (A17)"
    elif epoch and attempt != replica.attempt:
        yield f"its attempt is {attempt}, in-sync by the record is {replica.attempt} (A17)"
    if seen.m < replica.stored_m:
        yield f"its membership number is {seen.m}, it had stored {replica.stored_m} (A17)"
    elif volume.m and replica.stored_m == volume.m and seen.role is ReplicaRole.SYNCING:
        yield f"it says that it is syncing, it had stored to be in-sync in {volume.m} (A17)"
    session = volume.session
    is_open = session is not None and session.phase is SessionPhase.OPEN
    if seen.torn and (is_open or volume.settled):
        yield "it lost power while open, and still says so after it was made equal (A1)"
    if is_open and not seen.open:
        yield f"it is in-sync in session {volume.opened_epoch}, but no engine has it open"
