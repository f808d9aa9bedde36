"""Sessions start for attachments only, open on in-sync replicas only, and end by evidence only."""

import msgspec

from shorthorn.core.lifecycle import law
from shorthorn.core.lifecycle.events import (
    ReplicaAbandoned,
    ReplicaGone,
    ReplicaLeaving,
    ReplicaLost,
    ReplicaPlaced,
    SessionClosed,
    SessionStarted,
)
from shorthorn.core.lifecycle.outcome import Accepted, RefusalKind, Refused
from shorthorn.core.lifecycle.state import State, state_of
from shorthorn.core.model.ids import Attempt, Epoch, ReplicaId
from shorthorn.core.model.volume import ReplicaPhase, SessionPhase
from tests.core import examples as ex


def lost(epoch: int, replica: str, attempt: int, witness: str) -> ReplicaLost:
    return ReplicaLost(
        epoch=Epoch(epoch),
        replica=ReplicaId(replica),
        attempt=Attempt(attempt),
        witness=ReplicaId(witness),
    )


def test_no_session_without_an_attachment_on_its_node() -> None:
    volume = ex.formed()
    assert "nobody holds" in ex.refused(law.apply(volume, ex.start(volume)))
    volume = ex.after(volume, ex.attach(ex.N1))
    assert "nobody holds" in ex.refused(law.apply(volume, ex.start(volume, ex.N2)))


def test_no_session_without_an_in_sync_replica() -> None:
    volume = ex.after(ex.created(), ex.attach())
    assert "no in-sync" in ex.refused(law.apply(volume, ex.start(volume)))


def test_epochs_grow_by_one_inside_the_era() -> None:
    volume = ex.after(ex.formed(), ex.attach())
    for wrong in (0, 2, 1 << 32):
        event = msgspec.structs.replace(ex.start(volume), epoch=Epoch(wrong))
        assert "does not follow" in ex.refused(law.apply(volume, event))
    recovered = ex.created(era=3)
    assert recovered.epoch == 3 << 32


def test_start_is_idempotent_and_one_at_a_time() -> None:
    volume = ex.after(ex.formed(), ex.attach())
    event = ex.start(volume)
    volume = ex.after(volume, event)
    again = law.apply(volume, event)
    assert isinstance(again, Accepted)
    assert not again.changed
    other = SessionStarted(epoch=Epoch(2), node=ex.N1, machine_id="m-n1", boot_id="b-n1")
    assert "has session 1" in ex.refused(law.apply(volume, other))


def test_open_removes_the_missing_raises_m_and_ends_settled() -> None:
    volume = ex.after(ex.formed(), ex.attach())
    volume = ex.after(volume, ex.start(volume))
    volume = ex.after(volume, ex.opened(volume, (ex.R1, ex.R3)))
    r2 = volume.replica(ex.R2)
    assert r2 is not None
    assert (r2.phase, r2.attempt, r2.synced_through) == (ReplicaPhase.SYNCING, 2, 1)
    assert (volume.m, volume.settled, volume.opened_epoch) == (2, False, 1)
    assert state_of(volume) is State.ATTACHED


def test_open_with_all_members_raises_m_too() -> None:
    assert ex.serving(ex.formed()).m == 2


def test_open_on_none_or_on_a_replica_that_is_not_in_sync_is_refused() -> None:
    volume = ex.after(ex.formed(), ex.attach())
    volume = ex.after(volume, ex.start(volume))
    nobody = msgspec.structs.replace(ex.opened(volume), members=())
    assert "no replica" in ex.refused(law.apply(volume, nobody))
    volume = ex.after(volume, ex.opened(volume, (ex.R1,)))
    volume = ex.died(volume)
    volume = ex.after(volume, ex.start(volume))
    assert "r2 of v1 is not in-sync" in ex.refused(law.apply(volume, ex.opened(volume, (ex.R1, ex.R2))))


def test_a_repeated_open_answers_as_the_first_did_even_when_closing_began() -> None:
    volume = ex.serving(ex.formed())
    event = ex.opened(volume)
    for now in (volume, ex.after(volume, ex.detach())):
        outcome = law.apply(now, event)
        assert outcome == Accepted(value=now, lines=(), changed=False)
    elsewhere = msgspec.structs.replace(event, endpoint="nbd+unix:///other")
    assert "open already" in ex.refused(law.apply(volume, elsewhere))


def test_close_clean_settles_what_was_opened() -> None:
    volume = ex.detached_clean(ex.serving(ex.formed()))
    assert (volume.session, volume.settled) == (None, True)
    assert state_of(volume) is State.DETACHED


def test_an_unclean_end_leaves_the_volume_unsettled_and_a_later_unopened_session_does_not_change_that() -> (
    None
):
    volume = ex.died(ex.serving(ex.formed()))
    assert not volume.settled
    volume = ex.after(volume, ex.start(volume))
    volume = ex.after(volume, ex.closed(volume, clean=True))
    assert not volume.settled, "it never opened, so it made nothing equal"


def test_close_needs_evidence_and_a_late_one_changes_nothing() -> None:
    volume = ex.serving(ex.formed())
    guessed = SessionClosed(epoch=volume.epoch, clean=False, evidence="")
    assert isinstance(law.apply(volume, guessed), Refused)
    old = ex.closed(volume, clean=False)
    volume = ex.died(volume)
    volume = ex.after(volume, ex.start(volume))
    outcome = law.apply(volume, old)
    assert outcome == Accepted(value=volume, lines=(), changed=False)
    future = SessionClosed(epoch=Epoch(9), clean=True, evidence="own exit")
    assert isinstance(law.apply(volume, future), Refused)


def test_a_lost_replica_leaves_with_a_witness_only() -> None:
    volume = ex.serving(ex.formed())
    for witness in ("r1", "", "r9"):
        assert "no witness" in ex.refused(law.apply(volume, lost(1, "r1", 1, witness)))
    after = ex.after(volume, lost(1, "r1", 1, "r2"))
    assert [r.id for r in after.in_sync] == ["r2", "r3"]
    assert after.m == volume.m + 1
    r1 = after.replica(ex.R1)
    assert r1 is not None
    assert (r1.attempt, r1.synced_through) == (2, volume.m)
    again = law.apply(after, lost(1, "r1", 1, "r2"))
    assert again == Accepted(value=after, lines=(), changed=False)
    assert "attempt 3" in ex.refused(law.apply(after, lost(1, "r1", 3, "r2")))


def test_a_broken_resync_raises_the_attempt_only() -> None:
    volume = ex.after(ex.serving(ex.formed()), lost(1, "r1", 1, "r2"))
    after = ex.after(volume, lost(1, "r1", 2, ""))
    r1 = after.replica(ex.R1)
    assert r1 is not None
    assert (r1.attempt, after.m) == (3, volume.m)


def test_the_last_in_sync_replica_is_never_lost_by_event() -> None:
    volume = ex.after(ex.serving(ex.formed(2)), lost(1, "r1", 1, "r2"))
    for witness in ("r1", "r2", ""):
        assert isinstance(law.apply(volume, lost(1, "r2", 1, witness)), Refused)


def test_losses_of_an_ended_session_are_stale() -> None:
    volume = ex.detached_clean(ex.serving(ex.formed()))
    outcome = law.apply(volume, lost(1, "r1", 1, "r2"))
    assert isinstance(outcome, Refused)
    assert outcome.kind is RefusalKind.STALE


def test_losses_are_accepted_while_closing() -> None:
    volume = ex.after(ex.serving(ex.formed()), ex.detach())
    assert volume.session is not None
    assert volume.session.phase is SessionPhase.CLOSING
    assert len(ex.after(volume, lost(1, "r1", 1, "r2")).in_sync) == 2


def test_a_replica_rejoins_in_an_open_session_under_its_new_attempt() -> None:
    volume = ex.after(ex.serving(ex.formed()), lost(1, "r1", 1, "r2"))
    assert isinstance(law.apply(volume, ex.synced(volume, ex.R1, attempt=1)), Refused)
    event = ex.synced(volume, ex.R1)
    joined = ex.after(volume, event)
    assert len(joined.in_sync) == 3
    assert joined.m == volume.m + 1
    again = law.apply(joined, event)
    assert isinstance(again, Accepted)
    assert not again.changed
    closing = ex.after(volume, ex.detach())
    assert "closing" in ex.refused(law.apply(closing, event))


def test_a_replacement_is_placed_and_joins_in_an_open_session() -> None:
    volume = ex.after(ex.serving(ex.formed()), lost(1, "r1", 1, "r2"))
    volume = ex.after(volume, ReplicaPlaced(replica=ex.R4, node=ex.N4, disk=ex.disk_of(ex.N4)))
    joined = ex.after(volume, ex.synced(volume, ex.R4))
    assert [r.id for r in joined.in_sync] == ["r2", "r3", "r4"]


def test_of_joining_and_being_given_up_the_first_to_commit_wins() -> None:
    volume = ex.after(ex.serving(ex.formed()), lost(1, "r1", 1, "r2"))
    joins = ex.synced(volume, ex.R1)
    goes = ReplicaAbandoned(replica=ex.R1, attempt=Attempt(2), why="nobody needs it")
    joined = ex.after(volume, joins)
    assert "may only be dropped" in ex.refused(law.apply(joined, goes))
    gone = ex.after(volume, goes)
    assert [t.replica for t in gone.tombstones] == [ex.R1]
    assert "no replica r1" in ex.refused(law.apply(gone, joins))


def test_an_engine_that_still_counts_on_a_replica_given_up_is_told_that_it_is_out() -> None:
    volume = ex.after(ex.serving(ex.formed()), lost(1, "r1", 1, "r2"))
    goes = ReplicaAbandoned(replica=ex.R1, attempt=Attempt(2), why="nobody needs it")
    volume = ex.after(volume, goes)
    for attempt in (1, 2, 3):
        outcome = law.apply(volume, lost(1, "r1", attempt, ""))
        assert outcome == Accepted(value=volume, lines=(), changed=False)
    assert "session 2" in ex.refused(law.apply(volume, lost(2, "r1", 2, "")))


def test_a_replica_leaves_in_a_session_by_mark_loss_tombstone_and_deletion() -> None:
    volume = ex.serving(ex.formed())
    volume = ex.after(volume, ReplicaLeaving(replica=ex.R1, why="n1 is being evicted"))
    assert len(volume.in_sync) == 3, "a mark takes nothing out of the set (B4)"
    outcome = law.apply(volume, msgspec.structs.replace(lost(1, "r1", 1, "r2"), why="it leaves on order"))
    after = ex.accepted(outcome)
    assert isinstance(outcome, Accepted)
    assert outcome.lines == (
        "replica r1 on n1 left, as it was to (n1 is being evicted): it leaves on order; r2 answered",
    )
    r1 = after.replica(ex.R1)
    assert r1 is not None
    assert (r1.phase, r1.leaving) == (ReplicaPhase.SYNCING, "n1 is being evicted")
    goes = ReplicaAbandoned(replica=ex.R1, attempt=r1.attempt, why=r1.leaving)
    gone = ex.after(after, goes, ReplicaGone(replica=ex.R1))
    assert (gone.replica(ex.R1), gone.tombstones) == (None, ())
    assert gone.session == volume.session
