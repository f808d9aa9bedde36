"""Forming, sessions, settling, patience: small world in, plan out; plan again, and there is nothing new."""

import msgspec

from shorthorn.core.lifecycle.events import (
    CopyStarted,
    Formed,
    ReplicaPlaced,
    SessionStarted,
    SettleStarted,
)
from shorthorn.core.lifecycle.state import Health
from shorthorn.core.model.ids import Epoch, NodeName
from shorthorn.core.model.sighting import NodeSighting, Reach, ReplicaSighting
from shorthorn.core.model.world import Seen
from shorthorn.core.planning.tasks import retry_after_s
from tests.core.cluster import GIB, Cluster


def damage(cluster: Cluster, node: str, **what: object) -> None:
    """Change what the only folder of a node says of itself."""
    folders = cluster.machines[NodeName(node)].folders
    for replica, folder in folders.items():
        folders[replica] = msgspec.structs.replace(folder, **what)
    cluster.report(node)


def formed(count: int = 3, replicas: int = 3) -> Cluster:
    cluster = Cluster(count)
    cluster.create("v1", replicas)
    cluster.rest()
    return cluster


def test_a_new_volume_is_placed_at_once_on_different_nodes() -> None:
    cluster = Cluster(4)
    cluster.create("v1")
    plan = cluster.plan()
    places = [i.event.node for i in plan.intents if isinstance(i.event, ReplicaPlaced)]
    assert places == ["n1", "n2", "n3"]
    assert all(i.space for i in plan.intents)
    cluster.carry_out(plan)
    assert cluster.plan().intents == (), "plan again: nothing new"
    cluster.rest()
    assert cluster.line("v1") == "v1: detached healthy; replicas n1 n2 n3"
    assert cluster.nodes[NodeName("n1")].disks[0].committed == 10 * GIB


def test_a_small_cluster_has_volumes_too_and_says_what_is_missing() -> None:
    cluster = formed(count=2)
    assert cluster.line("v1") == "v1: detached degraded; replicas n1 n2"
    [wait] = cluster.waits()
    assert wait.startswith("v1: no node left that holds no replica of it (n1, n2 do) (add a node")
    assert "2 of 3 wanted replicas are in-sync" in cluster.explain("v1").reasons
    cluster.add_node("n3")
    cluster.rest()
    assert cluster.line("v1") == "v1: detached healthy; replicas n1 n2 n3"


def test_auto_wants_one_replica_on_each_node_up_to_three() -> None:
    cluster = Cluster(2)
    cluster.create("v1", replicas=None)
    cluster.rest()
    assert cluster.line("v1") == "v1: detached healthy; replicas n1 n2"
    cluster.add_node("n3")
    cluster.add_node("n4")
    cluster.rest()
    assert len(cluster.volume("v1").in_sync) == 3


def test_no_node_means_creating_with_the_reason() -> None:
    cluster = Cluster()
    cluster.create("v1")
    cluster.rest()
    assert cluster.line("v1") == "v1: creating; replicas none"
    assert "no node left" in cluster.waits()[0]


def test_forming_waits_for_a_placed_folder_and_for_nodes_not_heard_yet() -> None:
    cluster = Cluster(3)
    cluster.create("v1")
    cluster.carry_out(cluster.plan())
    cluster.act("n1")
    cluster.act("n2")
    cluster.report_all()
    assert not [i for i in cluster.plan().intents if isinstance(i.event, Formed)]
    assert any("r3 is not ready" in w for w in cluster.waits())
    cluster.act("n3")
    cluster.report_all()
    assert [i.event.members for i in cluster.plan().intents if isinstance(i.event, Formed)] == [
        ("r1", "r2", "r3")
    ]


def test_a_folder_that_is_not_empty_forms_nothing() -> None:
    cluster = Cluster(1)
    cluster.create("v1", 1)
    cluster.carry_out(cluster.plan())
    cluster.act("n1")
    damage(cluster, "n1", empty=False)
    assert cluster.plan().intents == ()
    assert "not empty" in cluster.waits()[0]


def test_space_is_never_promised_twice_in_one_plan() -> None:
    cluster = Cluster(1, disk_bytes=15 * GIB)
    cluster.create("v1", 1)
    cluster.create("v2", 1)
    plan = cluster.plan()
    assert [i.name for i in plan.intents] == ["v1"]
    assert "goes to another replica first" in plan.waits[0].describe()
    cluster.rest()
    assert cluster.line("v1") == "v1: detached healthy; replicas n1"
    assert "10 GiB" in cluster.waits()[0]


def test_a_session_starts_where_the_volume_is_held_and_not_before_all_nodes_had_their_time() -> None:
    cluster = formed()
    cluster.attach("v1", "n2")
    cluster.forget_seen()
    cluster.report("n2")
    cluster.report("n1")
    assert cluster.plan().intents == ()
    assert "n3 not heard since" in cluster.waits()[0]
    cluster.seen[NodeName("n3")] = Seen(reach=Reach.UNREACHABLE)
    [intent] = cluster.plan().intents
    start = SessionStarted(epoch=Epoch(1), node=NodeName("n2"), machine_id="m-n2", boot_id="b1-n2")
    assert (intent.event, intent.unchanged) == (start, ("n2",))


def test_no_session_on_a_node_that_is_not_heard_or_without_any_copy() -> None:
    cluster = formed()
    cluster.attach("v1", "n1")
    cluster.down("n1")
    assert cluster.plan().intents == ()
    assert "n1 is not heard" in cluster.waits()[0]
    assert "waits for n1" in cluster.explain("v1").reasons[0]
    cluster.up("n1")
    for name in ("n1", "n2", "n3"):
        damage(cluster, name, damaged="header checksum")
    assert cluster.plan().intents == ()
    assert "no in-sync replica is reachable" in cluster.waits()[0]
    assert cluster.explain("v1").health is Health.FAULTED
    damage(cluster, "n3", damaged="")
    cluster.rest()
    assert cluster.line("v1").startswith("v1: attached"), "faulted heals by itself when a copy returns"


def test_a_dead_engine_is_followed_by_a_new_session_for_the_same_hold() -> None:
    cluster = formed()
    cluster.attach("v1", "n1")
    cluster.rest()
    cluster.kill_engines("n1")
    cluster.rest()
    volume = cluster.volume("v1")
    assert (volume.epoch, volume.held_since) == (2, 1)
    assert cluster.line("v1") == "v1: attached healthy; replicas n1 n2 n3"


def test_a_boot_is_evidence_and_silence_is_not() -> None:
    cluster = formed()
    cluster.attach("v1", "n1")
    cluster.rest()
    cluster.down("n1")
    before = list(cluster.journal)
    cluster.rest()
    assert cluster.journal == before
    assert "its consumer may be alive there" in cluster.waits()[0]
    assert "attached" in cluster.line("v1")
    cluster.up("n1")
    cluster.detach("v1")
    cluster.carry_out(cluster.plan())
    cluster.rest()
    assert cluster.line("v1") == "v1: detached healthy; replicas n1 n2 n3"
    assert any("booted again" in line for line in cluster.journal)
    assert any("settled:" in line for line in cluster.journal), "an unclean end is made equal first"


def test_a_late_sighting_of_an_older_boot_ends_no_session() -> None:
    cluster = formed()
    cluster.down("n1")
    old = cluster.machines[NodeName("n1")].sighting()
    cluster.up("n1")
    cluster.attach("v1", "n1")
    cluster.rest()
    cluster.seen[NodeName("n1")] = Seen(reach=Reach.REACHABLE, sighting=old)
    assert cluster.plan().intents == ()


def test_an_unsettled_volume_waits_for_every_copy() -> None:
    cluster = formed(count=4)
    cluster.attach("v1", "n4")
    cluster.rest()
    cluster.down("n3")
    cluster.detach("v1")
    cluster.kill_engines("n4")
    cluster.report("n4")
    cluster.carry_out(cluster.plan())
    assert cluster.volume("v1").session is None
    assert not cluster.volume("v1").settled
    assert cluster.plan().intents == ()
    assert "n3 is unreachable" in cluster.waits()[0]
    assert "not settled" in cluster.explain("v1").reasons[0]
    cluster.up("n3")
    assert [type(i.event) for i in cluster.plan().intents] == [SettleStarted]
    cluster.rest()
    assert cluster.volume("v1").settled


def test_settling_is_placed_at_a_copy_that_kept_its_power() -> None:
    cluster = formed(count=4)
    cluster.attach("v1", "n4")
    cluster.rest()
    damage(cluster, "n1", torn=True)
    cluster.detach("v1")
    cluster.kill_engines("n4")
    cluster.report("n4")
    cluster.carry_out(cluster.plan())
    places = [i.event.place for i in cluster.plan().intents if isinstance(i.event, SettleStarted)]
    assert places == ["n2"]


def test_a_failed_copy_is_tried_again_with_growing_patience() -> None:
    assert [retry_after_s(n) for n in (1, 2, 3, 7, 50)] == [1, 2, 4, 60, 60]
    cluster = formed(count=2)
    cluster.copies_fail = True
    cluster.add_node("n3")
    cluster.rest()
    task = cluster.volume("v1").tasks[0]
    assert task.tries == 1
    plan = cluster.plan()
    assert plan.look_again_s == 1.0
    assert "failed: a replica does not answer" in plan.waits[0].describe()
    world = cluster.world()
    sighting = world.heard(task.place)
    assert isinstance(sighting, NodeSighting)
    waited = msgspec.structs.replace(
        sighting, tasks=tuple(msgspec.structs.replace(t, for_s=1.5) for t in sighting.tasks)
    )
    cluster.seen[task.place] = Seen(reach=Reach.REACHABLE, sighting=waited)
    plan = cluster.plan()
    assert [type(i.event) for i in plan.intents] == [CopyStarted]
    cluster.carry_out(plan)
    again = cluster.volume("v1").tasks[0]
    assert (again.tries, again.source == task.source) == (2, False), "from the next source"


def test_a_damaged_copy_is_replaced_while_the_volume_is_detached() -> None:
    cluster = formed(count=4)
    damage(cluster, "n2", damaged="header checksum")
    assert cluster.explain("v1").health is Health.DEGRADED
    cluster.rest()
    assert cluster.line("v1") == "v1: detached healthy; replicas n1 n3 n4"


def test_health_is_unknown_until_every_node_had_its_time() -> None:
    cluster = formed()
    cluster.forget_seen()
    assert cluster.explain("v1").health is Health.UNKNOWN
    cluster.report("n1")
    assert cluster.explain("v1").health is Health.UNKNOWN
    cluster.report_all()
    assert cluster.explain("v1").health is Health.HEALTHY


def test_a_folder_seen_under_another_id_is_not_this_replica() -> None:
    """LH-9216: an address or a place is no identity."""
    cluster = formed()
    machine = cluster.machines[NodeName("n2")]
    [old] = machine.folders.values()
    machine.folders = {}
    other = ReplicaSighting(
        replica=cluster.volume("v1").replicas[0].id, volume=old.volume, attempt=old.attempt, empty=False
    )
    machine.folders[other.replica] = other
    cluster.report("n2")
    assert cluster.explain("v1").health is Health.DEGRADED
