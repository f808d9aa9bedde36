"""A session whose node can't be asked ends by a seal and a wait, never by a guess (docs/protocol.md, Fence)."""

import msgspec
import pytest

from shorthorn.core.invariants.step import check_step
from shorthorn.core.lifecycle import law, nodes
from shorthorn.core.lifecycle.events import DeclaredDead, FenceHeld, FenceStarted, ReplicaLost, SettleStarted
from shorthorn.core.lifecycle.fencing import fence_wait_s
from shorthorn.core.lifecycle.grounds import NO_GROUNDS, Grounds
from shorthorn.core.lifecycle.outcome import Accepted, RefusalKind, Refused
from shorthorn.core.lifecycle.state import State, state_of
from shorthorn.core.model.ids import Epoch, Holder, ReplicaId, TaskId
from shorthorn.core.model.volume import SessionPhase, Volume
from tests.core import examples as ex

T_S = 2.0
N1_DEAD = Grounds(
    nodes={ex.N1: ex.accepted(nodes.apply_node(ex.node(ex.N1), DeclaredDead(who="ann", why="burnt")))},
    grant_s=T_S,
)
N1_ALIVE = Grounds(nodes={ex.N1: ex.node(ex.N1)}, grant_s=T_S)


def fence(volume: Volume) -> FenceStarted:
    assert volume.session is not None
    return FenceStarted(epoch=volume.session.epoch, why="n1 is unreachable")


def held(volume: Volume, replica: ReplicaId = ex.R2, waited_s: float = 2.2) -> FenceHeld:
    return FenceHeld(epoch=volume.epoch, replica=replica, waited_s=waited_s)


def let_go() -> Volume:
    """Served at n1, then detached: closing."""
    return ex.after(ex.serving(ex.formed()), ex.detach())


def fencing() -> Volume:
    volume = let_go()
    return ex.after(volume, fence(volume))


def ended(volume: Volume) -> Volume:
    return ex.accepted(law.apply(volume, held(volume), N1_ALIVE))


def test_a_fence_raises_the_records_epoch_and_leaves_the_sessions() -> None:
    before = let_go()
    volume = ex.after(before, fence(before))
    assert volume.session is not None
    assert (volume.session.phase, volume.session.epoch) == (SessionPhase.FENCING, before.epoch)
    assert volume.epoch == before.epoch + 1
    assert state_of(volume) is State.DETACHING
    assert law.apply(volume, fence(volume)) == Accepted(value=volume, lines=(), changed=False)


def test_a_held_session_is_fenced_only_when_its_node_was_declared_dead() -> None:
    opening = ex.after(ex.formed(), ex.attach())
    opening = ex.after(opening, ex.start(opening))
    for volume in (opening, ex.serving(ex.formed())):
        for grounds in (NO_GROUNDS, N1_ALIVE):
            outcome = law.apply(volume, fence(volume), grounds)
            assert isinstance(outcome, Refused)
            assert outcome.kind is RefusalKind.NOT_NOW
            assert "held at n1 by pod" in outcome.why
            assert "declare n1 dead" in outcome.why
        assert law.rests_on(volume, fence(volume)) == (ex.N1,)
        after = ex.accepted(law.apply(volume, fence(volume), N1_DEAD))
        assert after.attachments == volume.attachments, "a fence detaches nobody"


def test_who_attached_since_the_close_holds_nothing_up() -> None:
    """A closing session serves nobody any more."""
    volume = ex.after(let_go(), ex.attach(ex.N1, Holder("next")))
    volume = ex.after(volume, fence(volume))
    volume = ended(volume)
    assert ex.after(volume, ex.start(volume)).session is not None


def test_a_fence_of_another_session_is_stale() -> None:
    volume = let_go()
    wrong = FenceStarted(epoch=Epoch(volume.epoch + 1), why="x")
    outcome = law.apply(volume, wrong)
    assert isinstance(outcome, Refused)
    assert outcome.kind is RefusalKind.STALE
    assert isinstance(law.apply(ex.formed(), FenceStarted(epoch=Epoch(1), why="x")), Refused)


def test_it_ends_unclean_once_an_in_sync_replica_has_waited() -> None:
    volume = fencing()
    after = ended(volume)
    assert (after.session, after.settled) == (None, False)
    assert state_of(after) is State.DETACHED
    assert after.epoch == volume.epoch
    assert law.apply(after, held(volume), N1_ALIVE) == Accepted(value=after, lines=(), changed=False)
    settle = SettleStarted(epoch=Epoch(after.epoch + 1), task=TaskId("s1"), place=ex.N2)
    assert ex.after(after, settle).tasks


def test_a_session_that_never_opened_leaves_settled_as_it_was() -> None:
    volume = ex.after(ex.formed(), ex.attach())
    volume = ex.after(volume, ex.start(volume), ex.detach())
    volume = ex.after(volume, fence(volume))
    assert ended(volume).settled


@pytest.mark.parametrize("waited_s", [0.0, 2.0, 2.19, -1.0, float("nan")])
def test_too_short_a_wait_ends_nothing(waited_s: float) -> None:
    volume = fencing()
    assert "of 2.2 s since its seal" in ex.refused(
        law.apply(volume, held(volume, waited_s=waited_s), N1_ALIVE)
    )


def test_the_wait_is_1_1_t_and_nobody_guesses_t() -> None:
    volume = fencing()
    assert fence_wait_s(T_S) == pytest.approx(2.2)
    assert "not known here" in ex.refused(law.apply(volume, held(volume, waited_s=1e9)))
    exactly = held(volume, waited_s=fence_wait_s(T_S))
    assert isinstance(law.apply(volume, exactly, N1_ALIVE), Accepted)


def test_only_a_replica_that_is_in_sync_now_holds_a_fence() -> None:
    volume = ex.serving(ex.formed())
    r2 = ReplicaLost(epoch=volume.epoch, replica=ex.R2, attempt=volume.replicas[1].attempt, witness=ex.R3)
    volume = ex.after(volume, r2, ex.detach())
    volume = ex.after(volume, fence(volume))
    for stranger in (ex.R2, ReplicaId("r9")):
        assert "not in-sync" in ex.refused(law.apply(volume, held(volume, stranger), N1_ALIVE))
    older = msgspec.structs.replace(held(volume, ex.R3), epoch=Epoch(volume.epoch - 1))
    assert "not being fenced at epoch 1" in ex.refused(law.apply(volume, older, N1_ALIVE))


def test_the_engine_changes_nothing_while_it_is_fenced_but_may_say_that_it_ended() -> None:
    """B12, B13."""
    opening = ex.after(ex.formed(), ex.attach())
    opening = ex.after(opening, ex.start(opening))
    late_open = ex.opened(opening)
    opening = ex.after(opening, ex.detach())
    opening = ex.after(opening, fence(opening))
    assert "will not open any more" in ex.refused(law.apply(opening, late_open))

    volume = ex.serving(ex.formed())
    first = volume.replicas[0]
    lost = ReplicaLost(epoch=volume.epoch, replica=first.id, attempt=first.attempt, witness=ex.R2)
    smaller = ex.after(volume, lost)
    smaller = ex.after(smaller, ex.detach())
    fenced = ex.after(smaller, fence(smaller))
    assert law.apply(fenced, lost) == Accepted(value=fenced, lines=(), changed=False), "it was true before"
    another = msgspec.structs.replace(lost, replica=ex.R2, witness=ex.R3)
    assert "being fenced" in ex.refused(law.apply(fenced, another))
    joins = ex.synced(fenced, first.id, epoch=smaller.epoch)
    assert "fencing" in ex.refused(law.apply(fenced, joins))
    joins_later = ex.synced(fenced, first.id, epoch=fenced.epoch)
    assert isinstance(law.apply(fenced, joins_later), Refused)

    closed = ex.after(fenced, ex.closed(smaller, clean=False))
    assert (closed.session, closed.epoch) == (None, fenced.epoch)
    assert law.apply(closed, held(fenced, ex.R2), N1_ALIVE) == Accepted(value=closed, lines=(), changed=False)


def test_attaching_waits_for_the_end_of_the_fence_on_any_node() -> None:
    for at in (ex.N1, ex.N2):
        outcome = law.apply(fencing(), ex.attach(at))
        assert isinstance(outcome, Refused)
        assert outcome.kind is RefusalKind.NOT_NOW
        assert outcome.why == (
            "v1 is being fenced at n1, which can't be asked; attach it once it is detached, in some seconds"
        )
    volume = ended(fencing())
    assert ex.after(volume, ex.attach(ex.N2)).held_at == ex.N2


def test_whoever_holds_on_through_a_fence_keeps_the_attachment_and_loses_the_path() -> None:
    """A16: an old device of the dead node must not flow into what follows."""
    volume = ex.serving(ex.formed())
    assert volume.held_since
    volume = ex.accepted(law.apply(volume, fence(volume), N1_DEAD))
    again = law.apply(volume, ex.attach())
    assert again == Accepted(value=volume, lines=(), changed=False)
    for after in (ended(volume), ex.after(volume, ex.closed(ex.serving(ex.formed()), clean=False))):
        assert [a.holder for a in after.attachments] == [ex.POD]
        follows = ex.after(after, ex.start(after))
        assert follows.held_since == follows.epoch


def test_detaching_while_fenced_lets_go_once() -> None:
    volume = ex.serving(ex.formed())
    volume = ex.accepted(law.apply(volume, fence(volume), N1_DEAD))
    outcome = law.apply(volume, ex.detach())
    assert isinstance(outcome, Accepted)
    assert outcome.lines == ("pod detached",)
    assert outcome.value is not None
    assert law.apply(outcome.value, ex.detach()) == Accepted(value=outcome.value, lines=(), changed=False)
    assert outcome.value.session == volume.session
    assert state_of(ended(outcome.value)) is State.DETACHED


def test_the_invariants_see_what_no_fence_may_do() -> None:
    """They stand beside the law, for the day on which it lets one of these pass."""
    before, volume = let_go(), fencing()
    change, next_version = msgspec.structs.replace, volume.version + 1

    def rules(old: Volume, new: Volume) -> set[str]:
        return {finding.rule for finding in check_step(old, new)}

    assert rules(before, volume) == set()
    assert "S7" in rules(before, change(volume, session=None)), "ended at once, without a seal"
    assert volume.session is not None
    moved = change(volume.session, epoch=volume.epoch)
    assert "S8" in rules(before, change(volume, session=moved)), "the session took the fence's epoch"
    assert "A16" in rules(before, change(volume, held_since=Epoch(1)))
    assert "S8" in rules(volume, change(volume, version=next_version, epoch=Epoch(volume.epoch + 1)))
    fewer = ex.accepted(
        law.apply(
            before,
            ReplicaLost(epoch=before.epoch, replica=ex.R1, attempt=volume.replicas[0].attempt, witness=ex.R2),
        )
    )
    lost = change(volume, version=next_version, replicas=fewer.replicas, m=fewer.m)
    assert "B12" in rules(volume, lost), "the engine was heard while it is fenced"
    assert "S7" in rules(before, change(volume, replicas=fewer.replicas, m=fewer.m))
