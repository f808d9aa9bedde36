"""Nodes declared dead block nobody (L7): settling, starting, leaving and deleting go on without them."""

from shorthorn.core.lifecycle.events import (
    DeathWithdrawn,
    DeclaredDead,
    DeleteRequested,
    EvictRequested,
    ReplicaPlaced,
    Settled,
    SettleStarted,
    SpecChanged,
    TaskEnded,
)
from shorthorn.core.model.ids import NodeName
from shorthorn.core.model.order import RunTask
from shorthorn.core.model.sighting import TaskSighting, TaskState
from shorthorn.core.model.volume import Spec
from shorthorn.core.planning.eviction import eviction_report
from tests.core.cluster import Cluster
from tests.core.test_plan import damage

DEAD = DeclaredDead(who="operator", why="burnt")


def unclean(nodes: int = 3) -> Cluster:
    """v1 on n1 n2 n3: detached, its session was ended by a fence; n1 and n2 are heard, n3 is not."""
    cluster = Cluster(nodes)
    cluster.create("v1")
    cluster.rest()
    assert not cluster.attach("v1", "n3")
    cluster.rest()
    cluster.down("n3")
    cluster.detach("v1")
    cluster.rest()
    volume = cluster.volume("v1")
    assert volume.session is None
    assert not volume.settled
    return cluster


def planned(cluster: Cluster, kind: type) -> list[object]:
    return [i.event for i in cluster.plan().intents if isinstance(i.event, kind)]


def step(cluster: Cluster) -> None:
    for name in sorted(cluster.machines):
        cluster.act(name)
    cluster.report_all()


def test_settling_waits_for_the_unreachable_and_not_for_the_dead() -> None:
    cluster = unclean()
    assert planned(cluster, SettleStarted) == []
    assert "n3 is unreachable" in cluster.waits()[0]
    cluster.node_event("n3", DEAD)
    [intent] = cluster.plan().intents
    assert isinstance(intent.event, SettleStarted)
    assert intent.unchanged == ("n3",)
    cluster.carry_out(cluster.plan())
    [order] = [o for n in ("n1", "n2") for o in cluster.orders(n).orders if isinstance(o, RunTask)]
    assert order.without == ("r3",)
    assert [p.replica for p in order.peers] == ["r1", "r2"]
    step(cluster)
    [intent] = cluster.plan().intents
    assert isinstance(intent.event, Settled)
    assert (intent.event.sealed, intent.event.removed) == (("r1", "r2"), ("r3",))
    assert intent.unchanged == ("n3",)
    cluster.rest()
    assert cluster.line("v1") == "v1: detached degraded; replicas n1 n2"


def test_a_death_that_is_taken_back_makes_a_settling_without_it_void() -> None:
    cluster = unclean()
    cluster.node_event("n3", DEAD)
    cluster.carry_out(cluster.plan())
    step(cluster)
    older, seen = cluster.plan(), cluster.world()
    cluster.node_event("n3", DeathWithdrawn(who="operator"))
    assert cluster.carry_out(older, world=seen) == ["a node changed"]
    [end] = planned(cluster, TaskEnded)
    assert isinstance(end, TaskEnded)
    assert end.why == "replica r3 on n3 took no part"
    cluster.rest()
    assert len(cluster.volume("v1").in_sync) == 3
    cluster.up("n3")
    cluster.rest()
    assert cluster.volume("v1").settled


def test_a_settling_that_waits_for_a_node_makes_way_when_that_is_declared_dead() -> None:
    """L7. Its copier was told whom it seals when it began, and waits for all of them."""
    cluster = unclean()
    cluster.up("n3")
    cluster.report_all()
    cluster.carry_out(cluster.plan())
    [task] = cluster.volume("v1").tasks
    assert task.without == ()
    cluster.down("n3")
    sealing = TaskSighting(
        task=task.id, volume=cluster.volume("v1").uid, epoch=task.epoch, state=TaskState.RUNNING
    )
    cluster.machines[task.place].tasks[task.id] = sealing
    cluster.report(task.place)
    assert planned(cluster, TaskEnded) == []
    cluster.node_event("n3", DEAD)
    [end] = planned(cluster, TaskEnded)
    assert isinstance(end, TaskEnded)
    assert end.why == "replica r3 is not waited for: n3 was declared dead"
    cluster.rest()
    assert cluster.line("v1") == "v1: detached degraded; replicas n1 n2"


def test_settling_without_the_dead_waits_when_all_the_others_lost_power() -> None:
    cluster = unclean()
    for name in ("n1", "n2"):
        damage(cluster, name, torn=True)
    cluster.node_event("n3", DEAD)
    assert planned(cluster, SettleStarted) == []
    assert "lost power while open" in cluster.waits()[0]
    damage(cluster, "n2", torn=False)
    assert planned(cluster, SettleStarted)


def test_all_copies_on_dead_nodes_are_waited_for_and_that_is_said() -> None:
    cluster = unclean()
    for name in ("n1", "n2"):
        cluster.down(name)
    for name in ("n1", "n2", "n3"):
        cluster.node_event(name, DEAD)
    before = list(cluster.journal)
    cluster.rest()
    assert cluster.journal == before
    assert cluster.waits() == [
        "v1: its last session ended unclean and every in-sync replica is on a node declared dead: n1, n2, n3 (one of them returns)"
    ]
    assert "was declared dead" in cluster.explain("v1").reasons[0]


def test_a_session_starts_without_waiting_for_a_dead_node_that_was_never_heard() -> None:
    cluster = Cluster(3)
    cluster.create("v1")
    cluster.rest()
    cluster.down("n3")
    cluster.node_event("n3", DEAD)
    cluster.forget_seen()
    cluster.report("n1")
    cluster.report("n2")
    cluster.attach("v1", "n1")
    assert [type(i.event).__name__ for i in cluster.plan().intents] == ["SessionStarted"]


def test_nothing_is_placed_on_a_dead_node_that_is_heard() -> None:
    cluster = Cluster(3)
    cluster.node_event("n2", DEAD)
    cluster.create("v1", 2)
    places = planned(cluster, ReplicaPlaced)
    assert [p.node for p in places if isinstance(p, ReplicaPlaced)] == ["n1", "n3"]


def test_two_that_are_to_go_and_one_is_away_the_absent_one_goes_first() -> None:
    """The removal of the present one waits for the answer of all others, so it would never end."""
    cluster = Cluster(3)
    cluster.create("v1")
    cluster.rest()
    cluster.down("n3")
    cluster.passes(600)
    cluster.node_event("n2", EvictRequested())
    cluster.add_node("n4")
    cluster.add_node("n5")
    cluster.rest()
    assert cluster.line("v1") == "v1: detached healthy; replicas n1 n4 n5"
    assert eviction_report(cluster.world(), NodeName("n2")).state == "done"


def test_an_evicted_node_that_is_dead_is_done_when_only_folders_are_left_on_it() -> None:
    cluster = Cluster(4)
    cluster.create("v1")
    cluster.rest()
    cluster.down("n3")
    cluster.node_event("n3", DEAD)
    cluster.node_event("n3", EvictRequested())
    cluster.rest()
    assert [t.node for t in cluster.volume("v1").tombstones] == ["n3"]
    assert eviction_report(cluster.world(), NodeName("n3")).state == "done"
    assert cluster.waits() == []


def test_a_deletion_says_what_a_dead_node_still_holds() -> None:
    cluster = Cluster(3)
    cluster.create("v1")
    cluster.rest()
    cluster.down("n3")
    cluster.node_event("n3", DEAD)
    cluster.apply("v1", DeleteRequested())
    cluster.rest()
    [reason] = cluster.explain("v1").reasons
    assert reason == (
        "waits for the folder of replica r3 on n3 to go: n3 was declared dead; "
        "the record goes when it returns or is removed, the name is free already"
    )


def test_a_copy_from_a_node_that_was_declared_dead_meanwhile_begins_again_from_another() -> None:
    cluster = Cluster(4)
    cluster.create("v1", 2)
    cluster.rest()
    cluster.apply("v1", SpecChanged(spec=Spec(replicas=3)))
    for _ in range(5):
        if cluster.volume("v1").tasks:
            break
        step(cluster)
        cluster.carry_out(cluster.plan())
    [task] = cluster.volume("v1").tasks
    assert task.source == "r1"
    cluster.down("n1")
    cluster.node_event("n1", DEAD)
    [end] = planned(cluster, TaskEnded)
    assert isinstance(end, TaskEnded)
    assert end.why == "n1 was declared dead"
    cluster.rest()
    assert cluster.line("v1") == "v1: detached healthy; replicas n2 n3 n4"
    assert cluster.waits() == []


def test_a_consumer_on_a_dead_node_holds_up_no_maintenance() -> None:
    """Found by the property: an eviction waited for ever for a copy of a volume that was held by the dead."""
    cluster = Cluster(5)
    cluster.create("v1")
    cluster.rest()
    cluster.down("n5")
    assert not cluster.attach("v1", "n5")
    cluster.node_event("n5", DEAD)
    cluster.node_event("n2", EvictRequested())
    cluster.rest()
    assert cluster.line("v1") == "v1: attaching healthy; replicas n1 n3 n4"
    assert eviction_report(cluster.world(), NodeName("n2")).state == "done"
    assert cluster.waits() == ["v1: its consumer is at n5, which was declared dead (detach it)"]
    assert cluster.explain("v1").reasons == ("its consumer is at n5, which was declared dead; detach it",)
