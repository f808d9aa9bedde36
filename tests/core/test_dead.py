"""A person says that a node will not come back: what that allows, and what it never replaces (B9)."""

import msgspec

from shorthorn.core.lifecycle import law, nodes
from shorthorn.core.lifecycle.events import (
    DeathWithdrawn,
    DeclaredDead,
    NodeRegistered,
    Settled,
    SettleStarted,
)
from shorthorn.core.lifecycle.grounds import Grounds
from shorthorn.core.lifecycle.outcome import Accepted, RefusalKind, Refused
from shorthorn.core.model.ids import Epoch, NodeName, ReplicaId, TaskId
from shorthorn.core.model.node import Node
from shorthorn.core.model.volume import ReplicaPhase, Volume
from tests.core import examples as ex

DECLARED = DeclaredDead(who="ann", why="burnt")


def dead(name: NodeName) -> Node:
    return ex.accepted(nodes.apply_node(ex.node(name), DECLARED))


def grounds(*gone: NodeName) -> Grounds:
    return Grounds(
        nodes={n: dead(n) if n in gone else ex.node(n) for n in (ex.N1, ex.N2, ex.N3)}, grant_s=2.0
    )


def settling() -> Volume:
    volume = ex.after(ex.died(ex.serving(ex.formed())), ex.detach())
    settle = SettleStarted(epoch=Epoch(volume.epoch + 1), task=TaskId("s1"), place=ex.N2)
    return ex.after(volume, settle)


def settled(volume: Volume, sealed: tuple[ReplicaId, ...], removed: tuple[ReplicaId, ...]) -> Settled:
    return Settled(epoch=volume.epoch, sealed=sealed, removed=removed)


def test_dead_is_said_once_and_taken_back_once() -> None:
    node = dead(ex.N1)
    again = nodes.apply_node(node, DeclaredDead(who="bob", why="drowned"))
    assert again == Accepted(value=node, lines=(), changed=False)
    back = nodes.apply_node(node, DeathWithdrawn(who="bob"))
    assert isinstance(back, Accepted)
    assert back.value == ex.node(ex.N1)
    assert "bob took it back" in back.lines[0]
    repeated = nodes.apply_node(ex.node(ex.N1), DeathWithdrawn(who="bob"))
    assert repeated == Accepted(value=ex.node(ex.N1), lines=(), changed=False)
    for nobody in (DeathWithdrawn(who=""), DeclaredDead(who="", why="x"), DeclaredDead(who="x", why="a\nb")):
        outcome = nodes.apply_node(node, nobody)
        assert isinstance(outcome, Refused)
        assert outcome.kind is RefusalKind.INVALID


def test_a_dead_node_that_registers_again_stays_dead_until_that_is_taken_back() -> None:
    returns = NodeRegistered(name=ex.N1, machine_id="m-n1", boot_id="another", disks=dead(ex.N1).disks)
    node = ex.accepted(nodes.apply_node(dead(ex.N1), returns))
    assert node.dead is not None
    assert node.boot_id == "another"


def test_nothing_new_comes_to_a_dead_node() -> None:
    volume = ex.formed()
    why = ex.refused(law.attach(volume, dead(ex.N1), ex.attach()))
    assert why == "n1 was declared dead by ann; attach at another node"
    space = nodes.commit_space(dead(ex.N1), ex.disk_of(ex.N1), ex.R4, ex.GIB)
    assert "n1 was declared dead by ann" in ex.refused(space)


def test_no_session_starts_on_a_dead_node_nor_for_a_boot_that_is_over() -> None:
    volume = ex.after(ex.formed(), ex.attach())
    event = ex.start(volume)
    assert law.rests_on(volume, event) == (ex.N1,)
    assert "dead by ann; detach v1" in ex.refused(law.apply(volume, event, grounds(ex.N1)))
    old_boot = msgspec.structs.replace(event, boot_id="older")
    assert "booted again" in ex.refused(law.apply(volume, old_boot, grounds()))
    assert "no node n1" in ex.refused(law.apply(volume, event, Grounds(nodes={ex.N1: None})))
    assert isinstance(law.apply(volume, event, grounds()), Accepted)


def test_settling_goes_on_without_the_members_on_dead_nodes() -> None:
    volume = settling()
    event = settled(volume, (ex.R2, ex.R3), (ex.R1,))
    assert law.rests_on(volume, event) == (ex.N1,)
    outcome = law.apply(volume, event, grounds(ex.N1))
    after = ex.accepted(outcome)
    assert isinstance(outcome, Accepted)
    assert outcome.lines[0] == "replica r1 lost: n1 was declared dead"
    assert [r.id for r in after.in_sync] == [ex.R2, ex.R3]
    assert (after.settled, after.m, after.opened_epoch) == (True, volume.m + 1, volume.epoch)
    r1, before = after.replica(ex.R1), volume.replica(ex.R1)
    assert r1 is not None
    assert before is not None
    assert (r1.phase, r1.attempt, r1.synced_through) == (ReplicaPhase.SYNCING, before.attempt + 1, volume.m)
    again = law.apply(after, event, grounds(ex.N1))
    assert again == Accepted(value=after, lines=(), changed=False)


def test_a_member_that_is_merely_away_is_waited_for() -> None:
    volume = settling()
    event = settled(volume, (ex.R2, ex.R3), (ex.R1,))
    for known in (grounds(), grounds(ex.N2), Grounds()):
        assert "n1 was not declared dead" in ex.refused(law.apply(volume, event, known))
    partly = settled(volume, (ex.R2,), (ex.R1,))
    assert "r3 of v1 took no part" in ex.refused(law.apply(volume, partly, grounds(ex.N1)))


def test_settling_never_removes_the_last_nor_the_unsealed_rest() -> None:
    volume = settling()
    everyone = (ex.R1, ex.R2, ex.R3)
    all_dead = grounds(ex.N1, ex.N2, ex.N3)
    for sealed in ((), everyone, (ex.R4,)):
        assert "would be left" in ex.refused(law.apply(volume, settled(volume, sealed, everyone), all_dead))
    stranger = settled(volume, everyone, (ex.R4,))
    assert "r4 of v1 is not in-sync" in ex.refused(law.apply(volume, stranger, all_dead))


def test_a_settle_goes_without_in_sync_replicas_only_and_not_without_its_place() -> None:
    volume = ex.after(ex.died(ex.serving(ex.formed())), ex.detach())
    start = SettleStarted(epoch=Epoch(volume.epoch + 1), task=TaskId("s1"), place=ex.N2)
    for without in ((ex.R2,), (ReplicaId("r9"),), (ex.R1, ex.R1)):
        event = msgspec.structs.replace(start, without=without)
        assert "can't be settled at" in ex.refused(law.apply(volume, event))
    after = ex.after(volume, msgspec.structs.replace(start, without=(ex.R1,)))
    assert after.tasks[0].without == (ex.R1,)
