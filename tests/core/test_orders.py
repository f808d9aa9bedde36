"""Orders follow the record: level, not edge."""

import msgspec

from shorthorn.core.lifecycle.events import (
    Cordoned,
    DeleteRequested,
    EvictRequested,
    ReplicaLeaving,
    SpecChanged,
)
from shorthorn.core.model.ids import NodeName, ReplicaId
from shorthorn.core.model.order import (
    CloseEngine,
    CreateReplica,
    DeleteReplica,
    NodeOrders,
    ProbeReplica,
    RunEngine,
    RunTask,
)
from shorthorn.core.model.volume import Spec
from tests.core.cluster import Cluster


def kinds(cluster: Cluster, node: str) -> list[type]:
    return [type(o) for o in cluster.orders(node).orders]


def one(orders: NodeOrders, kind: type) -> object:
    found = [o for o in orders.orders if isinstance(o, kind)]
    assert len(found) == 1, orders
    return found[0]


def placed() -> Cluster:
    cluster = Cluster(3)
    cluster.create("v1")
    cluster.carry_out(cluster.plan())
    return cluster


def test_a_folder_is_ordered_until_it_is_seen() -> None:
    cluster = placed()
    assert kinds(cluster, "n1") == [CreateReplica]
    assert kinds(cluster, "n1") == [CreateReplica]
    cluster.act("n1")
    assert kinds(cluster, "n1") == [CreateReplica], "done, but not seen"
    cluster.report("n1")
    assert kinds(cluster, "n1") == []


def test_an_unknown_node_has_no_orders() -> None:
    assert kinds(placed(), "n9") == []


def test_the_engine_runs_where_the_volume_is_held_and_is_told_where_replicas_are() -> None:
    cluster = placed()
    cluster.rest()
    cluster.attach("v1", "n2")
    cluster.carry_out(cluster.plan())
    assert kinds(cluster, "n1") == []
    order = one(cluster.orders("n2"), RunEngine)
    assert isinstance(order, RunEngine)
    assert [p.address for p in order.peers] == ["n1:9", "n2:9", "n3:9"]
    cluster.down("n3")
    order = one(cluster.orders("n2"), RunEngine)
    assert isinstance(order, RunEngine)
    assert [p.address for p in order.peers] == ["n1:9", "n2:9", "n3:9"], (
        "the engine may reach what we do not hear"
    )
    cluster.rest()
    cluster.detach("v1")
    assert kinds(cluster, "n2") == [CloseEngine]
    cluster.rest()
    assert kinds(cluster, "n2") == []


def test_a_leaving_replica_is_told_to_the_engine() -> None:
    cluster = placed()
    cluster.rest()
    cluster.attach("v1", "n2")
    cluster.rest()
    leaving = cluster.volume("v1").replicas[0].id
    cluster.apply("v1", ReplicaLeaving(replica=leaving, why="evicted"))
    order = one(cluster.orders("n2"), RunEngine)
    assert isinstance(order, RunEngine)
    assert order.leave == (leaving,)


def test_a_copy_is_ordered_at_its_target_and_a_probe_at_the_others() -> None:
    cluster = Cluster(4)
    cluster.create("v1")
    cluster.rest()
    for event in (Cordoned(), EvictRequested()):
        cluster.node_event("n2", event)
    ordered: list[tuple[str, type]] = []
    for _ in range(40):
        for name in sorted(cluster.machines):
            ordered += [(name, type(o)) for o in cluster.orders(name).orders]
            cluster.act(name)
        cluster.report_all()
        cluster.carry_out(cluster.plan())
    assert ("n4", RunTask) in ordered
    assert {n for n, kind in ordered if kind is RunTask} == {"n4"}
    assert {n for n, kind in ordered if kind is ProbeReplica} == {"n1", "n3", "n4"}
    assert {n for n, kind in ordered if kind is DeleteReplica} == {"n2"}


def test_a_deletion_is_ordered_until_the_agent_says_that_it_is_gone() -> None:
    cluster = placed()
    cluster.rest()
    cluster.apply("v1", DeleteRequested())
    cluster.down("n3")
    cluster.rest()
    assert [t.node for t in cluster.volume("v1").tombstones] == ["n3"]
    assert any("n3 is not heard" in w for w in cluster.waits())
    cluster.up("n3")
    order = one(cluster.orders("n3"), DeleteReplica)
    assert isinstance(order, DeleteReplica)
    cluster.rest()
    assert cluster.volumes == {}
    assert cluster.machines[NodeName("n3")].folders == {}


def test_a_complete_list_without_the_folder_is_no_proof_that_it_is_gone() -> None:
    """It may be older than the order that makes the folder: the record would be forgotten and the folder stay."""
    cluster = placed()  # no folder yet, and a list that says so
    late = cluster.orders("n1")
    cluster.apply("v1", DeleteRequested())
    cluster.carry_out(cluster.plan())
    assert "v1-uid" in cluster.volumes
    cluster.act("n1", late)
    cluster.rest()
    assert cluster.volumes == {}
    assert cluster.machines[NodeName("n1")].folders == {}


def test_probes_name_one_removal_at_a_time() -> None:
    cluster = Cluster(4)
    cluster.create("v1", 4)
    cluster.rest()
    for replica in ("r1", "r2"):
        cluster.apply("v1", ReplicaLeaving(replica=ReplicaId(replica), why="evicted"))
    volume = cluster.volume("v1")
    drops = {
        o.drop for n in cluster.machines for o in cluster.orders(n).orders if isinstance(o, ProbeReplica)
    }
    assert drops == {f"r1@{volume.epoch}.{volume.m}"}


def test_a_folder_that_stored_a_later_document_than_its_tombstones_is_still_deleted() -> None:
    """An engine resynced it, and had it store the document of another change, before it heard that it was given up."""
    cluster = placed()
    cluster.rest()
    cluster.apply("v1", SpecChanged(spec=Spec(replicas=2)))
    for _ in range(9):
        cluster.carry_out(cluster.plan())
        if cluster.volume("v1").tombstones:
            break
        for node in ("n1", "n2", "n3"):
            cluster.act(node)
            cluster.report(node)
    (stone,) = cluster.volume("v1").tombstones
    order = one(cluster.orders(stone.node), DeleteReplica)
    assert isinstance(order, DeleteReplica)
    assert order.version == stone.version
    cluster.apply("v1", SpecChanged(spec=Spec(replicas=2, domain_keys=("rack",))))
    folders = cluster.machines[stone.node].folders
    stored = msgspec.structs.replace(folders[stone.replica], document_version=stone.version + 1)
    folders[stone.replica] = stored
    cluster.report(stone.node)
    order = one(cluster.orders(stone.node), DeleteReplica)
    assert isinstance(order, DeleteReplica)
    assert stored.document_version <= order.version <= cluster.volume("v1").version
