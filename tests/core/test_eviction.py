"""Eviction moves replicas of detached volumes without any session, or says exactly what blocks it.

LH-9781: evicting a node attached a detached volume, again and again. LH-9857: its repair stopped the eviction of
detached volumes altogether. Both must pass with the same code.
"""

import msgspec

from shorthorn.core.lifecycle.events import (
    Cordoned,
    DeclaredDead,
    EvictCancelled,
    EvictRequested,
    SpecChanged,
    Uncordoned,
)
from shorthorn.core.lifecycle.state import State, state_of
from shorthorn.core.model.ids import Epoch, NodeName
from shorthorn.core.model.volume import Spec
from shorthorn.core.planning.eviction import eviction_report
from tests.core.cluster import GIB, Cluster


def used(nodes: int = 3, replicas: int = 3, **settings: int) -> Cluster:
    """v1, once attached, written and detached."""
    cluster = Cluster(nodes, **settings)
    cluster.create("v1", replicas)
    cluster.rest()
    assert not cluster.attach("v1", "n1")
    cluster.rest()
    assert cluster.line("v1").startswith("v1: attached healthy")
    assert not cluster.detach("v1")
    cluster.rest()
    assert state_of(cluster.volume("v1")) is State.DETACHED
    return cluster


def evict(cluster: Cluster, node: str) -> None:
    assert not cluster.node_event(node, Cordoned())
    assert not cluster.node_event(node, EvictRequested())


def report(cluster: Cluster, node: str) -> tuple[str, tuple[str, ...]]:
    found = eviction_report(cluster.world(), NodeName(node))
    return found.state, found.lines


def test_lh_9781_eviction_without_a_place_says_blocked_and_nothing_moves() -> None:
    cluster = used()
    sessions = cluster.sessions_started()
    evict(cluster, "n2")
    before = list(cluster.journal)
    cluster.rest()
    assert cluster.journal == before, "nothing flaps: the journal stops growing"
    assert cluster.line("v1") == "v1: detached healthy; replicas n1 n2 n3"
    assert report(cluster, "n2") == (
        "blocked",
        ("v1: no node left that holds no replica of it (n1, n3 do)",),
    )
    assert cluster.sessions_started() == sessions


def test_lh_9857_a_detached_volume_moves_when_there_is_a_place_and_stays_detached() -> None:
    cluster = used()
    evict(cluster, "n2")
    cluster.rest()
    sessions = cluster.sessions_started()
    cluster.add_node("n4")
    cluster.rest()
    assert cluster.line("v1") == "v1: detached healthy; replicas n1 n3 n4"
    assert report(cluster, "n2") == ("done", ())
    assert cluster.machines[NodeName("n2")].folders == {}
    assert cluster.nodes[NodeName("n2")].disks[0].commitments == ()
    assert cluster.sessions_started() == sessions, "no maintenance ever attaches"


def test_lh_11209_the_work_is_placed_by_the_data_not_by_who_reconciles() -> None:
    cluster = used(nodes=5)
    assert not cluster.node_event("n4", Cordoned())
    evict(cluster, "n2")
    cluster.rest()
    assert cluster.line("v1") == "v1: detached healthy; replicas n1 n3 n5"


def test_lh_3820_eviction_on_and_off_with_no_rebuilds_allowed_leaves_nothing() -> None:
    cluster = used(nodes=4, rebuilds_max=0)
    evict(cluster, "n2")
    cluster.rest()
    assert any("rebuilds" in w for w in cluster.waits())
    cluster.node_event("n2", EvictCancelled())
    cluster.node_event("n2", Uncordoned())
    cluster.rest()
    assert cluster.line("v1") == "v1: detached healthy; replicas n1 n2 n3"
    assert (cluster.volume("v1").tombstones, cluster.volume("v1").syncing) == ((), ())
    assert cluster.machines[NodeName("n4")].folders == {}


def test_lh_13058_cancelled_between_copied_and_removed_leaves_no_surplus() -> None:
    cluster = used(nodes=4)
    evict(cluster, "n2")
    for _ in range(60):
        if len(cluster.volume("v1").in_sync) == 4:
            break
        for name in sorted(cluster.machines):
            cluster.act(name)
        cluster.report_all()
        cluster.carry_out(cluster.plan(), limit=1)
    assert len(cluster.volume("v1").in_sync) == 4
    cluster.node_event("n2", EvictCancelled())
    cluster.node_event("n2", Uncordoned())
    cluster.rest()
    assert len(cluster.volume("v1").in_sync) == 3
    assert cluster.volume("v1").tombstones == ()


def test_code_1_two_evictions_and_one_place_move_one_and_name_the_other() -> None:
    cluster = used(nodes=4)
    evict(cluster, "n1")
    evict(cluster, "n2")
    cluster.rest()
    states = sorted(report(cluster, n)[0] for n in ("n1", "n2"))
    assert states == ["blocked", "done"]
    assert len(cluster.volume("v1").in_sync) == 3
    assert state_of(cluster.volume("v1")) is State.DETACHED


def test_blk_114_the_only_copy_stays_when_there_is_nowhere_to_go() -> None:
    cluster = used(nodes=1, replicas=1)
    evict(cluster, "n1")
    cluster.rest()
    assert cluster.line("v1") == "v1: detached healthy; replicas n1"
    state, lines = report(cluster, "n1")
    assert state == "blocked"
    assert "no node left that holds no replica of it" in lines[0]


def test_lin_255_copies_missing_is_looked_at_again_when_a_node_comes() -> None:
    cluster = used(nodes=3)
    cluster.down("n3")
    cluster.node_event("n3", DeclaredDead(who="ann", why="burnt"))
    cluster.rest()
    assert "degraded" in cluster.line("v1")
    cluster.add_node("n4")
    cluster.rest()
    assert cluster.line("v1") == "v1: detached healthy; replicas n1 n2 n4"


def test_an_unreachable_node_is_not_a_lost_replica() -> None:
    """A detached volume does not change: what was in-sync still is when its node comes back."""
    cluster = used(nodes=4)
    cluster.down("n3")
    before = list(cluster.journal)
    cluster.rest()
    assert cluster.journal == before
    cluster.up("n3")
    cluster.rest()
    assert cluster.line("v1") == "v1: detached healthy; replicas n1 n2 n3"


def test_an_attached_volume_moves_without_a_pause_of_its_session() -> None:
    cluster = used(nodes=4)
    assert not cluster.attach("v1", "n1")
    cluster.rest()
    sessions = cluster.sessions_started()
    cluster.resyncs_take = True
    evict(cluster, "n2")
    cluster.rest()
    state, lines = report(cluster, "n2")
    assert state == "moving"
    assert lines == ("v1: replica r4 on n4 is being resynced: 50 % of 10 GiB",)
    assert cluster.line("v1") == "v1: attached healthy; replicas n1 n2 n3", "none leaves before one has come"
    cluster.resyncs_take = False
    cluster.rest()
    assert cluster.line("v1") == "v1: attached healthy; replicas n1 n3 n4"
    assert report(cluster, "n2") == ("done", ())
    assert cluster.machines[NodeName("n2")].folders == {}
    assert cluster.sessions_started() == sessions


def test_an_attached_volume_without_a_place_blocks_and_says_why() -> None:
    cluster = used(nodes=3)
    assert not cluster.attach("v1", "n1")
    cluster.rest()
    evict(cluster, "n2")
    before = list(cluster.journal)
    cluster.rest()
    assert cluster.journal == before
    assert report(cluster, "n2") == (
        "blocked",
        ("v1: no node left that holds no replica of it (n1, n3 do)",),
    )


def test_the_only_copy_blocks_the_eviction_while_attached() -> None:
    cluster = used(nodes=1, replicas=1)
    assert not cluster.attach("v1", "n1")
    cluster.rest()
    evict(cluster, "n1")
    cluster.rest()
    assert cluster.line("v1") == "v1: attached healthy; replicas n1"
    state, lines = report(cluster, "n1")
    assert state == "blocked"
    assert "no node left" in lines[0]


def test_a_mark_whose_reason_is_gone_is_no_order_to_the_engine() -> None:
    cluster = used(nodes=4)
    evict(cluster, "n2")
    while not any(r.leaving for r in cluster.volume("v1").replicas):
        for name in sorted(cluster.machines):
            cluster.act(name)
        cluster.report_all()
        assert cluster.plan().intents, "no end without a mark"
        cluster.carry_out(cluster.plan(), limit=1)
    assert not cluster.attach("v1", "n1")
    cluster.node_event("n2", EvictCancelled())
    cluster.apply("v1", SpecChanged(spec=Spec(replicas=4)))
    cluster.rest()
    assert cluster.volume("v1").session is not None
    assert not any(r.leaving for r in cluster.volume("v1").replicas)


def test_may_2043_scaling_up_a_detached_volume_fills_what_was_placed() -> None:
    cluster = used(nodes=3, replicas=2)
    cluster.apply("v1", SpecChanged(spec=Spec(replicas=3)))
    cluster.rest()
    assert cluster.line("v1") == "v1: detached healthy; replicas n1 n2 n3"


def test_lh_12511_scaling_down_keeps_whole_reachable_copies() -> None:
    cluster = used(nodes=3)
    cluster.down("n1")
    cluster.apply("v1", SpecChanged(spec=Spec(replicas=2)))
    cluster.rest()
    assert cluster.line("v1") == "v1: detached healthy; replicas n2 n3"


def test_lh_13571_one_target_that_never_starts_does_not_stop_the_others() -> None:
    cluster = used(nodes=3)
    evict(cluster, "n3")
    cluster.add_node("n4")
    cluster.carry_out(cluster.plan())
    assert any(r.node == "n4" for r in cluster.volume("v1").syncing)
    cluster.down("n4")
    cluster.add_node("n5")
    cluster.rest()
    assert any("n4 is away for 0 s; another replica is placed after 600 s" in w for w in cluster.waits())
    cluster.passes(600)
    cluster.rest()
    assert cluster.line("v1") == "v1: detached healthy; replicas n1 n2 n5"
    cluster.up("n4")
    cluster.rest()
    assert cluster.machines[NodeName("n4")].folders == {}


def test_a_full_disk_is_no_place_and_is_named() -> None:
    cluster = used()
    cluster.add_node("n4", disk_bytes=5 * GIB)
    evict(cluster, "n2")
    cluster.rest()
    state, lines = report(cluster, "n2")
    assert state == "blocked"
    assert "n4-d1 of n4 has 5 GiB left for 10 GiB" in lines[0]
    assert "n1, n3 hold a replica" in lines[0]


def test_failure_domains_are_kept_while_moving() -> None:
    cluster = Cluster()
    for name, zone in (("n1", "a"), ("n2", "b"), ("n3", "b"), ("n4", "a")):
        cluster.add_node(name, zone=zone)
    cluster.create("v1", spec=Spec(replicas=2, domain_keys=("zone",)))
    cluster.rest()
    nodes = {r.node for r in cluster.volume("v1").in_sync}
    assert nodes == {"n1", "n2"}
    evict(cluster, "n2")
    cluster.rest()
    assert {r.node for r in cluster.volume("v1").in_sync} == {"n1", "n3"}


def test_many_volumes_move_under_the_budgets() -> None:
    cluster = Cluster(5)
    for i in range(6):
        cluster.create(f"v{i}", 3, size=GIB)
    cluster.rest()
    evict(cluster, "n1")
    for _ in range(200):
        running = [t for v in cluster.volumes.values() for t in v.tasks if not t.committed]
        assert len(running) <= cluster.settings.rebuilds_max
        for name in cluster.machines:
            busy = [
                v for v in cluster.volumes.values() for t in v.tasks
                if not t.committed and name in {r.node for r in v.replicas if r.id in (t.source, t.target)}
            ]  # fmt: skip
            assert len(busy) <= cluster.settings.rebuilds_per_node_max
        for name in sorted(cluster.machines):
            cluster.act(name)
        cluster.report_all()
        if not cluster.plan().intents and report(cluster, "n1")[0] == "done":
            break
        cluster.carry_out(cluster.plan())
    assert report(cluster, "n1")[0] == "done"


def test_nothing_is_dropped_for_the_sake_of_a_copy_that_went_back_in_time() -> None:
    """It answers its probe, and no session would take it for a source (docs/protocol.md, A17)."""
    cluster = used()
    volume = cluster.volume("v1")
    old = next(r for r in volume.in_sync if r.node == "n3")
    folders = cluster.machines[old.node].folders
    now = folders[old.id]
    before = msgspec.structs.replace(now, sealed=(Epoch(volume.opened_epoch - 1), old.attempt))
    folders[old.id] = before
    cluster.report("n3")
    assert not cluster.apply("v1", SpecChanged(spec=Spec(replicas=2)))
    cluster.rest()
    assert cluster.line("v1").endswith("replicas n1 n2 n3")
    waits = cluster.waits()
    assert any("stays, though it is to go" in wait and "went back in time" in wait for wait in waits), waits
    folders[old.id] = msgspec.structs.replace(now, probe=folders[old.id].probe)
    cluster.rest()
    assert len(cluster.volume("v1").in_sync) == 2


def test_a_damaged_folder_is_named_as_what_the_eviction_waits_for() -> None:
    """Its program deletes it for nobody, so that nothing goes on by itself (L4)."""
    cluster = used(4)
    folders = cluster.machines[NodeName("n2")].folders
    for replica, folder in folders.items():
        folders[replica] = msgspec.structs.replace(folder, damaged="both slots of the header are unreadable")
    evict(cluster, "n2")
    cluster.rest()
    report = eviction_report(cluster.world(), NodeName("n2"))
    assert report.state == "blocked"
    assert "on n2 is left alone, as it can't be read: both slots" in report.lines[0]
    folders.clear()
    cluster.rest()
    assert eviction_report(cluster.world(), NodeName("n2")).state == "done"
