"""Consumers take and let go: one node, idempotent, and the atomic detach."""

from shorthorn.core.lifecycle import law, nodes
from shorthorn.core.lifecycle.events import Cordoned, DeclaredDead
from shorthorn.core.lifecycle.outcome import Accepted, RefusalKind, Refused
from shorthorn.core.lifecycle.requests import AttachRequested, UseConfirmed, UseStarted
from shorthorn.core.lifecycle.state import State, state_of
from shorthorn.core.model.ids import Holder
from shorthorn.core.model.volume import Mode, SessionPhase, UseState
from tests.core import examples as ex

OTHER = Holder("other")


def test_attach_asks_and_starts_nothing() -> None:
    before = ex.formed()
    volume = ex.after(before, ex.attach())
    assert volume.held_at == ex.N1
    assert volume.session is None
    assert volume.version == before.version + 1
    assert state_of(volume) is State.ATTACHING


def test_the_same_attachment_again_changes_nothing() -> None:
    volume = ex.serving(ex.formed())
    outcome = law.apply(volume, ex.attach())
    assert outcome == Accepted(value=volume, lines=(), changed=False)


def test_attach_elsewhere_is_refused_and_names_the_node_that_holds_it() -> None:
    volume = ex.serving(ex.formed())
    for holder in (ex.POD, OTHER):
        outcome = law.apply(volume, ex.attach(ex.N2, holder))
        assert isinstance(outcome, Refused)
        assert outcome.kind is RefusalKind.NOT_NOW
        assert "held at n1 by pod" in outcome.why


def test_another_mode_for_one_holder_is_refused() -> None:
    volume = ex.serving(ex.formed())
    ask = AttachRequested(holder=ex.POD, node=ex.N1, mode=Mode.READ_ONLY)
    assert "already" in ex.refused(law.apply(volume, ask))


def test_detach_of_the_last_closes_the_session_in_the_same_commit() -> None:
    volume = ex.after(ex.serving(ex.formed()), ex.attach(holder=OTHER))
    volume = ex.after(volume, ex.detach(OTHER))
    assert volume.session is not None
    assert volume.session.phase is SessionPhase.OPEN
    before = volume
    volume = ex.after(volume, ex.detach())
    assert volume.session is not None
    assert volume.session.phase is SessionPhase.CLOSING
    assert volume.version == before.version + 1
    assert state_of(volume) is State.DETACHING


def test_detach_while_opening_closes_too() -> None:
    volume = ex.after(ex.formed(), ex.attach())
    volume = ex.after(volume, ex.start(volume), ex.detach())
    assert state_of(volume) is State.DETACHING
    assert "will not open" in ex.refused(law.apply(volume, ex.opened(volume)))
    volume = ex.after(volume, ex.closed(volume, clean=False))
    assert state_of(volume) is State.DETACHED
    assert volume.settled, "a session that never opened wrote nothing"


def test_detach_of_a_stranger_changes_nothing() -> None:
    volume = ex.serving(ex.formed())
    outcome = law.apply(volume, ex.detach(OTHER))
    assert outcome == Accepted(value=volume, lines=(), changed=False)


def test_attach_while_closing_waits_for_a_new_epoch_also_on_another_node() -> None:
    volume = ex.after(ex.serving(ex.formed()), ex.detach())
    volume = ex.after(volume, ex.attach(ex.N2))
    assert state_of(volume) is State.DETACHING, "a closing session is never reopened"
    assert "session 1" in ex.refused(law.apply(volume, ex.start(volume, ex.N2)))
    volume = ex.after(volume, ex.closed(volume))
    volume = ex.after(volume, ex.start(volume, ex.N2))
    assert volume.epoch == 2


def test_an_unfit_node_refuses_new_attachments_only() -> None:
    node = ex.node(ex.N1)
    cordoned = ex.accepted(nodes.apply_node(node, Cordoned()))
    dead = ex.accepted(nodes.apply_node(node, DeclaredDead(who="ann", why="burnt")))
    volume = ex.formed()
    assert "cordoned" in ex.refused(law.attach(volume, cordoned, ex.attach()))
    assert "dead by ann" in ex.refused(law.attach(volume, dead, ex.attach()))
    assert "no node n1" in ex.refused(law.attach(volume, None, ex.attach()))
    held = ex.accepted(law.attach(volume, node, ex.attach()))
    again = law.attach(held, cordoned, ex.attach())
    assert isinstance(again, Accepted)
    assert not again.changed


def test_an_unbroken_hold_keeps_its_path_and_a_new_one_gets_another() -> None:
    """A16: a stale device of an ended hold must not flow into the next one."""
    volume = ex.died(ex.serving(ex.formed()))
    volume = ex.after(volume, ex.start(volume))
    assert (volume.epoch, volume.held_since) == (2, 1)
    volume = ex.after(volume, ex.opened(volume))
    volume = ex.after(volume, ex.detach(), ex.attach())
    volume = ex.after(volume, ex.closed(volume))
    volume = ex.after(volume, ex.start(volume))
    assert (volume.epoch, volume.held_since) == (3, 3)


def test_a_broken_session_serves_nobody_until_the_clients_from_before_let_go() -> None:
    """A2: writes that were acknowledged may be gone; the client that wrote them must not go on as if they were not."""
    volume = ex.died(ex.serving(ex.formed()))
    volume = ex.after(volume, ex.start(volume))
    volume = ex.after(volume, ex.opened(volume, broken=True))
    assert volume.session is not None
    assert volume.session.broken
    assert volume.held_since == 2, "no path is carried over"
    volume = ex.after(volume, ex.attach(holder=OTHER))
    # The engine dies again; that must not let the old client back in.
    volume = ex.died(volume)
    volume = ex.after(volume, ex.start(volume))
    volume = ex.after(volume, ex.opened(volume))
    assert volume.session is not None
    assert volume.session.broken
    volume = ex.after(volume, ex.detach())
    assert volume.session is not None
    assert volume.session.phase is SessionPhase.CLOSING, "the new holder gets a session of its own"
    volume = ex.after(volume, ex.closed(volume))
    volume = ex.after(volume, ex.start(volume))
    volume = ex.after(volume, ex.opened(volume))
    assert volume.session is not None
    assert not volume.session.broken
    assert volume.held_since == volume.epoch


def test_a_loss_nobody_held_through_breaks_no_client() -> None:
    volume = ex.after(ex.formed(), ex.attach())
    volume = ex.after(volume, ex.start(volume))
    volume = ex.after(volume, ex.opened(volume, broken=True))
    assert volume.session is not None
    assert not volume.session.broken


def test_only_the_record_says_that_a_volume_was_never_used() -> None:
    volume = ex.serving(ex.formed())
    assert volume.use.state is UseState.NONE
    volume = ex.after(volume, UseStarted(holder=ex.POD, fs="ext4"))
    assert volume.use.state is UseState.FORMATTING
    assert "announced" in ex.refused(law.apply(volume, UseConfirmed(holder=ex.POD, fs="xfs")))
    volume = ex.after(volume, UseConfirmed(holder=ex.POD, fs="ext4"))
    assert volume.use.state is UseState.USED
    assert "already" in ex.refused(law.apply(volume, UseStarted(holder=ex.POD, fs="ext4")))
    assert "does not hold" in ex.refused(law.apply(ex.formed(), UseStarted(holder=ex.POD, fs="ext4")))
