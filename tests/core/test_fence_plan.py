"""When a session is fenced, what the nodes are told meanwhile, and what ends it."""

import msgspec

from shorthorn.core.lifecycle.events import DeathWithdrawn, DeclaredDead, FenceHeld, FenceStarted
from shorthorn.core.lifecycle.requests import DetachRequested
from shorthorn.core.model.ids import Epoch, Holder, NodeName
from shorthorn.core.model.order import CloseEngine, FenceReplica, RunEngine
from shorthorn.core.model.sighting import EngineState
from shorthorn.core.model.volume import SessionPhase
from shorthorn.core.planning.orders import orders
from tests.core.cluster import Cluster

DEAD = DeclaredDead(who="operator", why="burnt")


def held(at: str = "n4", nodes: int = 4) -> Cluster:
    """v1 on n1 n2 n3, attached."""
    cluster = Cluster(nodes)
    cluster.create("v1")
    cluster.rest()
    assert not cluster.attach("v1", at)
    cluster.rest()
    return cluster


def planned(cluster: Cluster) -> list[object]:
    return [i.event for i in cluster.plan().intents]


def kinds(cluster: Cluster, node: str) -> list[type]:
    return [type(o) for o in cluster.orders(node).orders]


def test_a_held_session_on_an_unreachable_node_is_left_alone_and_says_what_would_help() -> None:
    cluster = held()
    cluster.cut("n4")
    assert planned(cluster) == []
    [wait] = cluster.plan().waits
    assert wait.reason == "n4 is unreachable, but its consumer may be alive there"
    assert wait.frees == "n4 comes back; else detach it, or declare the node dead"
    assert cluster.explain("v1").reasons == ("n4 is unreachable, so how it serves is not seen",)


def test_nobody_is_fenced_before_all_had_their_time_since_the_server_started() -> None:
    cluster = held()
    cluster.detach("v1")
    cluster.forget_seen()
    assert planned(cluster) == []
    assert "not heard since this server started" in cluster.waits()[0]


def test_a_detach_from_an_unreachable_node_is_fenced_by_the_first_replica_that_waited() -> None:
    cluster = held()
    cluster.cut("n4")
    cluster.detach("v1")
    plan = cluster.plan()
    [fence] = [i for i in plan.intents if isinstance(i.event, FenceStarted)]
    assert fence.unchanged == (), "the node's record has no part in it"
    cluster.carry_out(plan)
    volume = cluster.volume("v1")
    assert volume.session is not None
    assert volume.session.phase is SessionPhase.FENCING
    assert volume.epoch == volume.session.epoch + 1
    assert [kinds(cluster, n) for n in ("n1", "n2", "n3")] == [[FenceReplica]] * 3
    assert kinds(cluster, "n4") == [CloseEngine]
    assert cluster.explain("v1").reasons == (
        "n4 is unreachable: it is being fenced; waits for an in-sync replica to be sealed",
    )
    cluster.act("n2")
    cluster.report("n2")
    assert planned(cluster) == [], "sealed, but the wait runs"
    assert cluster.explain("v1").reasons == (
        "n4 is unreachable: it is being fenced; replica r2 on n2 sealed, its wait of 2.2 s runs",
    )
    cluster.act("n2")
    cluster.report("n2")
    [held_by] = planned(cluster)
    assert isinstance(held_by, FenceHeld)
    assert (held_by.replica, held_by.epoch) == ("r2", volume.epoch)
    cluster.carry_out(cluster.plan())
    assert cluster.volume("v1").session is None


def test_an_older_fence_is_no_answer_to_this_one() -> None:
    cluster = held()
    cluster.cut("n4")
    cluster.detach("v1")
    cluster.carry_out(cluster.plan())
    cluster.act("n1")
    cluster.act("n1")
    folders = cluster.machines[NodeName("n1")].folders
    [(replica, folder)] = folders.items()
    folders[replica] = type(folder)(
        replica=replica,
        volume=folder.volume,
        attempt=folder.attempt,
        empty=False,
        fenced=Epoch(cluster.volume("v1").epoch - 1),
    )
    cluster.report("n1")
    assert planned(cluster) == []


def test_a_confirmed_end_is_faster_than_the_fence() -> None:
    cluster = held()
    cluster.down("n4")
    cluster.detach("v1")
    cluster.carry_out(cluster.plan())
    cluster.up("n4")
    cluster.carry_out(cluster.plan())
    assert cluster.volume("v1").session is None
    assert "booted again" in cluster.journal[-1]


def test_nobody_to_be_sealed_is_said_with_each_replicas_reason() -> None:
    cluster = held()
    for name in ("n1", "n2", "n3", "n4"):
        cluster.cut(name)
    cluster.detach("v1")
    cluster.rest()
    assert cluster.line("v1") == "v1: detaching faulted; replicas n1 n2 n3"
    [wait] = cluster.plan().waits
    assert wait.reason == (
        "n4 is being fenced, but no in-sync replica can be reached: "
        "r1: n1 is unreachable; r2: n2 is unreachable; r3: n3 is unreachable"
    )
    assert wait.frees == "detaching goes on when one returns"
    assert "detaching goes on when one returns" in cluster.explain("v1").reasons[0]
    cluster.join("n3")
    cluster.rest()
    assert cluster.line("v1").startswith("v1: detached")


def test_a_replica_that_went_back_in_time_holds_no_fence_and_is_said() -> None:
    """Its program refuses (docs/protocol.md, A17)."""
    cluster = held()
    for name in ("n1", "n2", "n4"):
        cluster.cut(name)
    folders = cluster.machines[NodeName("n3")].folders
    [replica] = folders
    folders[replica] = msgspec.structs.replace(folders[replica], sealed=(Epoch(0), folders[replica].attempt))
    cluster.report("n3")
    cluster.detach("v1")
    cluster.carry_out(cluster.plan())
    [wait] = cluster.plan().waits
    assert "r3: it was last sealed before epoch 1: its disk went back in time" in wait.reason


def test_declaring_dead_allows_the_fence_of_a_held_session_and_the_consumer_keeps_its_attachment() -> None:
    cluster = held()
    cluster.down("n4")
    assert not cluster.node_event("n4", DEAD)
    [fence] = [i for i in cluster.plan().intents if isinstance(i.event, FenceStarted)]
    assert fence.unchanged == ("n4",), "void if it is taken back meanwhile"
    assert "declared dead by operator" in fence.cause
    before = cluster.world()
    cluster.node_event("n4", DeathWithdrawn(who="operator"))
    assert cluster.carry_out(cluster.plan(), world=before) == []
    assert planned(cluster) == []
    assert not cluster.node_event("n4", DEAD)
    cluster.rest()
    volume = cluster.volume("v1")
    assert volume.session is None
    assert [a.node for a in volume.attachments] == ["n4"], "only a consumer lets go"
    assert cluster.explain("v1").state == "attaching"
    assert cluster.apply("v1", DetachRequested(holder=Holder("pod"))) == ""
    assert not cluster.attach("v1", "n1")
    cluster.rest()
    assert cluster.line("v1") == "v1: attached healthy; replicas n1 n2 n3"


def test_a_replica_on_a_dead_node_that_is_heard_may_still_be_sealed() -> None:
    """L1: every in-sync replica is on nodes declared dead, until one returns."""
    cluster = held()
    for name in ("n1", "n2", "n3", "n4"):
        cluster.down(name)
    cluster.detach("v1")
    for name in ("n1", "n2", "n3"):
        cluster.node_event(name, DEAD)
    cluster.rest()
    assert "detaching" in cluster.line("v1")
    cluster.up("n2")
    cluster.rest()
    assert "detached" in cluster.line("v1")


def test_an_engine_that_comes_back_after_its_fence_is_told_to_end() -> None:
    cluster = held()
    cluster.cut("n4")
    cluster.detach("v1")
    cluster.rest()
    assert cluster.volume("v1").session is None
    [engine] = cluster.machines[NodeName("n4")].engines.values()
    assert engine.state is EngineState.SERVING, "nobody has told it"
    cluster.join("n4")
    assert [o for o in cluster.orders("n4").orders if isinstance(o, CloseEngine)] == [
        CloseEngine(volume=engine.volume, epoch=engine.epoch)
    ]
    cluster.rest()
    assert kinds(cluster, "n4") == [], "ended is ended"


def test_an_engine_of_a_volume_that_is_gone_is_told_to_end() -> None:
    cluster = held()
    world = cluster.world()
    world.volumes.clear()  # type: ignore[attr-defined]  # a plain dict in tests
    assert [type(o) for o in orders(world, NodeName("n4")).orders] == [CloseEngine]


def test_an_engine_newer_than_this_view_of_the_records_is_left_alone() -> None:
    cluster = held()
    old = cluster.world()
    cluster.kill_engines("n4")
    cluster.rest()
    seen = cluster.world()
    mixed = type(old)(settings=old.settings, volumes=old.volumes, nodes=old.nodes, seen=seen.seen)
    told = orders(mixed, NodeName("n4")).orders
    assert [(type(o), getattr(o, "epoch", 1)) for o in told] == [(RunEngine, 1)]
