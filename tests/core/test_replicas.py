"""Replicas without a session: placed, formed, copied, dropped, buried; the last one never goes."""

import msgspec

from shorthorn.core.lifecycle import law
from shorthorn.core.lifecycle.events import (
    DeleteRequested,
    Formed,
    ReplicaAbandoned,
    ReplicaDropped,
    ReplicaGone,
    ReplicaLeaving,
    ReplicaPlaced,
    Settled,
    SettleStarted,
    TaskEnded,
)
from shorthorn.core.lifecycle.outcome import Accepted, Refused
from shorthorn.core.lifecycle.state import State, state_of
from shorthorn.core.model.ids import Attempt, DiskUid, Epoch, LayerId, NodeName, ReplicaId, TaskId
from shorthorn.core.model.volume import ReplicaPhase, Volume
from tests.core import examples as ex


def with_fourth(volume: Volume) -> Volume:
    return ex.after(volume, ReplicaPlaced(replica=ex.R4, node=ex.N4, disk=ex.disk_of(ex.N4)))


def copied(volume: Volume) -> Volume:
    """r4 on n4 copied from r1."""
    volume = with_fourth(volume)
    volume = ex.after(volume, ex.copy_started(volume, ex.R1, ex.R4))
    return ex.after(volume, ex.synced(volume, ex.R4))


def leaving(volume: Volume, replica: ReplicaId = ex.R2) -> Volume:
    return ex.after(volume, ReplicaLeaving(replica=replica, why="n2 is being evicted"))


def dropped(volume: Volume, replica: ReplicaId, probes: tuple[ReplicaId, ...]) -> ReplicaDropped:
    return ReplicaDropped(epoch=volume.epoch, replica=replica, probes=probes)


def test_no_two_replicas_on_one_node() -> None:
    volume = ex.formed()
    twice = ReplicaPlaced(replica=ex.R4, node=ex.N1, disk=ex.disk_of(ex.N1))
    assert "n1 holds replica r1" in ex.refused(law.apply(volume, twice))


def test_identities_are_not_reused() -> None:
    volume = leaving(copied(ex.formed()))
    volume = ex.after(volume, dropped(volume, ex.R2, (ex.R1, ex.R3, ex.R4)))
    again = ReplicaPlaced(replica=ex.R2, node=NodeName("n5"), disk=DiskUid("n5-d1"))
    assert "used before" in ex.refused(law.apply(volume, again))


def test_formed_once_of_those_that_are_there() -> None:
    volume = ex.after(ex.created(2), ReplicaPlaced(replica=ex.R1, node=ex.N1, disk=ex.disk_of(ex.N1)))
    volume = ex.after(volume, ReplicaPlaced(replica=ex.R2, node=ex.N2, disk=ex.disk_of(ex.N2)))
    assert state_of(volume) is State.CREATING
    assert "of no replica" in ex.refused(law.apply(volume, Formed(members=())))
    assert "not a fresh one" in ex.refused(law.apply(volume, Formed(members=(ex.R1, ex.R3))))
    event = Formed(members=(ex.R1,))
    after = ex.after(volume, event)
    assert ([r.id for r in after.in_sync], after.m, after.settled) == ([ex.R1], 1, True)
    assert law.apply(after, event) == Accepted(value=after, lines=(), changed=False)
    assert "formed before" in ex.refused(law.apply(after, Formed(members=(ex.R1, ex.R2))))


def test_a_copy_makes_in_sync_without_a_session() -> None:
    volume = copied(ex.detached_clean(ex.serving(ex.formed())))
    r4 = volume.replica(ex.R4)
    assert r4 is not None
    assert (r4.phase, r4.synced_through) == (ReplicaPhase.IN_SYNC, volume.m)
    assert volume.tasks[0].committed
    assert volume.session is None
    again = law.apply(volume, ex.synced(volume, ex.R4))
    assert again == Accepted(value=volume, lines=(), changed=False)
    assert ex.after(volume, TaskEnded(task=TaskId("t1"), epoch=volume.epoch, why="done")).tasks == ()


def test_a_session_makes_an_older_copy_void() -> None:
    """late-copier, offline-no-epoch: writes of the session are not in the copy."""
    volume = with_fourth(ex.formed())
    volume = ex.after(volume, ex.copy_started(volume, ex.R1, ex.R4))
    late = ex.synced(volume, ex.R4)
    session = ex.serving(volume)
    assert session.tasks == ()
    assert isinstance(law.apply(session, late), Refused)
    assert "epoch 1" in ex.refused(law.apply(ex.detached_clean(session), late))


def test_a_copy_of_another_base_or_attempt_is_void() -> None:
    volume = with_fourth(ex.formed())
    volume = ex.after(volume, ex.copy_started(volume, ex.R1, ex.R4))
    event = ex.synced(volume, ex.R4)
    other = msgspec.structs.replace(event, base=msgspec.structs.replace(event.base, chain=(LayerId("l9"),)))
    assert "another chain" in ex.refused(law.apply(volume, other))
    assert "attempt 2" in ex.refused(law.apply(volume, ex.synced(volume, ex.R4, attempt=2)))
    unasked = ex.after(volume, TaskEnded(task=TaskId("t1"), epoch=volume.epoch, why="not wanted"))
    assert "no copy" in ex.refused(law.apply(unasked, event))


def test_nothing_but_settling_happens_to_an_unsettled_volume() -> None:
    volume = leaving(copied(ex.formed()))
    volume = ex.died(ex.serving(volume))
    volume = ex.after(volume, ex.detach())
    assert "settled" in ex.refused(law.apply(volume, dropped(volume, ex.R2, (ex.R1, ex.R3, ex.R4))))
    more = ex.after(volume, ReplicaPlaced(replica=ReplicaId("r5"), node=NodeName("n5"), disk=DiskUid("d")))
    assert "settled" in ex.refused(law.apply(more, ex.copy_started(more, ex.R1, ReplicaId("r5"))))
    settle = SettleStarted(epoch=Epoch(volume.epoch + 1), task=TaskId("s1"), place=ex.N1)
    volume = ex.after(volume, settle)
    partly = Settled(epoch=volume.epoch, sealed=(ex.R1,))
    assert "took no part" in ex.refused(law.apply(volume, partly))
    m = volume.m
    volume = ex.after(volume, Settled(epoch=volume.epoch, sealed=(ex.R1, ex.R2, ex.R3, ex.R4)))
    assert (volume.settled, volume.m, volume.tasks[0].committed) == (True, m, True)


def test_starting_the_same_work_again_counts_its_tries_and_voids_the_older() -> None:
    volume = with_fourth(ex.formed())
    volume = ex.after(volume, ex.copy_started(volume, ex.R1, ex.R4, "t1"))
    late = ex.synced(volume, ex.R4)
    volume = ex.after(volume, ex.copy_started(volume, ex.R2, ex.R4, "t2"))
    assert [(t.id, t.tries) for t in volume.tasks] == [("t2", 2)]
    assert isinstance(law.apply(volume, late), Refused)


def test_a_drop_needs_probes_of_all_others_the_mark_and_this_epoch() -> None:
    volume = copied(ex.formed())
    probes = (ex.R1, ex.R3, ex.R4)
    assert "not an in-sync one" in ex.refused(law.apply(volume, dropped(volume, ex.R2, probes)))
    volume = leaving(volume)
    assert "r4 did not answer" in ex.refused(law.apply(volume, dropped(volume, ex.R2, (ex.R1, ex.R3))))
    old = dropped(volume, ex.R2, probes)
    held = ex.serving(volume)
    assert "has session" in ex.refused(law.apply(held, msgspec.structs.replace(old, epoch=held.epoch)))
    assert "is over" in ex.refused(law.apply(ex.detached_clean(held), old))
    after = ex.after(volume, old)
    assert [r.id for r in after.replicas] == [ex.R1, ex.R3, ex.R4]
    assert [(t.replica, t.version) for t in after.tombstones] == [(ex.R2, after.version)]
    assert after.m == volume.m + 1


def test_two_removals_never_take_the_last_replica() -> None:
    """LH-4238: two checks pass, then two deletions. Here check and removal are one commit on one document."""
    volume = leaving(leaving(ex.formed(2), ex.R1), ex.R2)
    first, second = dropped(volume, ex.R1, (ex.R2,)), dropped(volume, ex.R2, (ex.R1,))
    volume = ex.after(volume, first)
    assert "last in-sync" in ex.refused(law.apply(volume, second))
    assert "last in-sync" in ex.refused(law.apply(volume, dropped(volume, ex.R2, ())))


def test_the_only_replica_is_not_dropped_for_want_of_others() -> None:
    """BLK-114: 'healthy replacements >= wanted' was 0 >= 0."""
    volume = leaving(ex.formed(1), ex.R1)
    assert "last in-sync" in ex.refused(law.apply(volume, dropped(volume, ex.R1, ())))


def test_the_source_of_a_copy_stays_until_it_is_done() -> None:
    volume = with_fourth(leaving(ex.formed()))
    volume = ex.after(volume, ex.copy_started(volume, ex.R2, ex.R4))
    assert "copy t1" in ex.refused(law.apply(volume, dropped(volume, ex.R2, (ex.R1, ex.R3))))
    gives_up = ReplicaAbandoned(replica=ex.R4, attempt=Attempt(1), why="cancelled")
    assert "copy t1" in ex.refused(law.apply(volume, gives_up))


def test_only_a_syncing_replica_of_this_attempt_is_given_up() -> None:
    volume = with_fourth(ex.formed())
    wrong = ReplicaAbandoned(replica=ex.R1, attempt=Attempt(1), why="cancelled")
    assert "in-sync" in ex.refused(law.apply(volume, wrong))
    late = ReplicaAbandoned(replica=ex.R4, attempt=Attempt(2), why="cancelled")
    assert "attempt 2" in ex.refused(law.apply(volume, late))
    volume = ex.after(volume, ReplicaAbandoned(replica=ex.R4, attempt=Attempt(1), why="cancelled"))
    assert [t.replica for t in volume.tombstones] == [ex.R4]


def test_a_folder_goes_for_a_tombstone_only() -> None:
    volume = ex.formed()
    assert "no tombstone" in ex.refused(law.apply(volume, ReplicaGone(replica=ex.R1)))
    unknown = law.apply(volume, ReplicaGone(replica=ex.R4))
    assert unknown == Accepted(value=volume, lines=(), changed=False)


def test_delete_buries_all_and_ends_with_the_last_folder() -> None:
    volume = ex.serving(ex.formed(2))
    assert "held at n1 by pod" in ex.refused(law.apply(volume, DeleteRequested()))
    volume = ex.after(volume, ex.detach())
    assert "not detached" in ex.refused(law.apply(volume, DeleteRequested()))
    volume = ex.after(volume, ex.closed(volume), DeleteRequested())
    assert state_of(volume) is State.DELETING
    assert (volume.replicas, len(volume.tombstones)) == ((), 2)
    assert "being deleted" in ex.refused(law.apply(volume, ex.attach()))
    volume = ex.after(volume, ReplicaGone(replica=ex.R1))
    last = law.apply(volume, ReplicaGone(replica=ex.R2))
    assert isinstance(last, Accepted)
    assert last.value is None
    assert law.apply(ex.created(), DeleteRequested()) == Accepted(
        value=None, lines=("deleted: it had no replicas",)
    )
