"""Rules that several rows of the law share. Each answers a refusal or None."""

from typing import Protocol

from shorthorn.core.lifecycle.outcome import Refused
from shorthorn.core.lifecycle.transition import not_now, stale
from shorthorn.core.model.ids import Attempt, Epoch, ReplicaId
from shorthorn.core.model.volume import Volume

ERA_BITS = 32
"""An epoch's high part is the era (A15), its low part counts sessions, fences and tasks."""


class HasEpoch(Protocol):
    """An event about one epoch."""

    @property
    def epoch(self) -> Epoch: ...


class HasReplica(Protocol):
    """An event about one replica."""

    @property
    def replica(self) -> ReplicaId: ...


class HasAttempt(HasReplica, Protocol):
    """An event about one attempt of a replica."""

    @property
    def attempt(self) -> Attempt: ...


def spoken(epoch: Epoch) -> str:
    """An epoch as people read it: its count, with the era in front when there was a recovery."""
    era, count = divmod(epoch, 1 << ERA_BITS)
    return f"{era}:{count}" if era else f"{count}"


def not_deleting(volume: Volume, _event: object) -> Refused | None:
    """Nothing but the deletion goes on once it was asked for."""
    return not_now(f"{volume.name} is being deleted") if volume.deleting else None


def no_session(volume: Volume, _event: object) -> Refused | None:
    """While a session exists only its engine changes the in-sync set, and no work is done around it (B5)."""
    if volume.session is None:
        return None
    return not_now(f"{volume.name} has session {spoken(volume.session.epoch)} at {volume.session.node}")


def epoch_is_records(volume: Volume, event: HasEpoch) -> Refused | None:
    """What was done at an older epoch is void: a session may have written since (docs/protocol.md, Move, Settle)."""
    if event.epoch == volume.epoch:
        return None
    return stale(f"epoch {spoken(event.epoch)} of {volume.name} is over; it is at {spoken(volume.epoch)}")


def epoch_is_next(volume: Volume, event: HasEpoch) -> Refused | None:
    """Epochs only grow, by one, inside the era."""
    if event.epoch == volume.epoch + 1 and event.epoch >> ERA_BITS == volume.era:
        return None
    return stale(f"{volume.name} is at epoch {spoken(volume.epoch)}; {spoken(event.epoch)} does not follow")


def session_is(volume: Volume, event: HasEpoch) -> Refused | None:
    """The event is about the session that there is."""
    if volume.session and volume.session.epoch == event.epoch:
        return None
    return stale(f"session {spoken(event.epoch)} of {volume.name} is over")


def is_settled(volume: Volume, _event: object) -> Refused | None:
    """Nothing happens to an unsettled detached volume but settling: its replicas may differ (A10)."""
    return None if volume.settled else not_now(f"the replicas of {volume.name} are not settled yet")


def replica_known(volume: Volume, event: HasReplica) -> Refused | None:
    """The replica is in the record."""
    return None if volume.replica(event.replica) else stale(f"{volume.name} has no replica {event.replica}")


def attempt_is(volume: Volume, event: HasAttempt) -> Refused | None:
    """A replica that left the in-sync set since has a greater attempt: late messages are void (A7)."""
    replica = volume.replica(event.replica)
    if replica is None or replica.attempt == event.attempt:
        return None
    return stale(f"attempt {event.attempt} of replica {event.replica} is over; it is at {replica.attempt}")
