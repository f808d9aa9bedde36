"""Replicas of a volume in use: resynced, replaced after the grace, moved, and what people are told of it."""

from typing import Any

import msgspec
import pytest

from shorthorn.core.lifecycle.events import (
    DeclaredDead,
    EvictCancelled,
    EvictRequested,
    ReplicaAbandoned,
    ReplicaLeaving,
    ReplicaPlaced,
    SpecChanged,
)
from shorthorn.core.model.ids import NodeName
from shorthorn.core.model.order import RunEngine
from shorthorn.core.model.sighting import ResyncSighting
from shorthorn.core.model.volume import Spec
from tests.core.cluster import GIB, Cluster

DEAD = DeclaredDead(who="operator", why="burnt")


def held(nodes: int = 4, replicas: int = 3, **settings: int) -> Cluster:
    """v1, attached at n1."""
    cluster = Cluster(nodes, **settings)
    cluster.create("v1", replicas)
    cluster.rest()
    assert not cluster.attach("v1", "n1")
    cluster.rest()
    return cluster


def planned(cluster: Cluster, kind: type) -> list[object]:
    return [i.event for i in cluster.plan().intents if isinstance(i.event, kind)]


def peers(cluster: Cluster) -> list[str]:
    [order] = [o for o in cluster.orders("n1").orders if isinstance(o, RunEngine)]
    return [p.replica for p in order.peers]


def engine_says(cluster: Cluster, **what: object) -> None:
    machine = cluster.machines[NodeName("n1")]
    [(key, engine)] = machine.engines.items()
    machine.engines[key] = msgspec.structs.replace(engine, **what)
    cluster.report("n1")


def test_a_replica_that_is_away_has_its_grace_and_control_looks_again_when_it_is_over() -> None:
    cluster = held()
    cluster.down("n3")
    cluster.rest()
    cluster.passes(42)
    plan = cluster.plan()
    assert plan.intents == ()
    assert plan.look_again_s == 558
    [wait] = plan.waits
    assert wait.reason == (
        "replica r3: n3 is away for 42 s; another replica is placed after 600 s (setting replace_after_s)"
    )
    assert wait.frees == "n3 comes back"
    assert cluster.explain("v1").reasons == (
        "replica r3 is not in-sync: n3 is unreachable",
        "2 of 3 wanted replicas are in-sync",
    )
    cluster.passes(557)
    assert cluster.plan().intents == ()
    cluster.passes(1)
    [place] = planned(cluster, ReplicaPlaced)
    assert isinstance(place, ReplicaPlaced)
    assert place.node == "n4"


def test_the_absent_one_is_given_up_only_when_enough_others_are_in_sync() -> None:
    cluster = held()
    cluster.down("n3")
    cluster.rest()
    cluster.passes(600)
    cluster.resyncs_take = True
    cluster.rest()
    assert [r.id for r in cluster.volume("v1").syncing] == ["r3", "r4"]
    assert planned(cluster, ReplicaAbandoned) == []
    cluster.resyncs_take = False
    cluster.rest()
    assert cluster.line("v1") == "v1: attached healthy; replicas n1 n2 n4"
    assert [t.replica for t in cluster.volume("v1").tombstones] == ["r3"]
    cluster.up("n3")
    cluster.rest()
    assert cluster.machines[NodeName("n3")].folders == {}
    assert cluster.volume("v1").tombstones == ()


def test_without_a_place_the_absent_one_is_kept_for_good() -> None:
    cluster = held(nodes=3)
    cluster.down("n3")
    cluster.rest()
    cluster.passes(6000)
    before = list(cluster.journal)
    cluster.rest()
    assert cluster.journal == before
    assert "no node" in cluster.waits()[0]
    cluster.up("n3")
    cluster.rest()
    assert cluster.line("v1") == "v1: attached healthy; replicas n1 n2 n3"


def test_who_returns_while_its_replacement_is_resynced_may_win() -> None:
    cluster = held()
    cluster.down("n3")
    cluster.rest()
    cluster.passes(600)
    cluster.resyncs_take = True
    cluster.rest()
    cluster.up("n3")
    cluster.rest()
    assert peers(cluster) == ["r1", "r2", "r3", "r4"], "both are resynced"
    cluster.resyncs_take = False
    cluster.rest()
    assert len(cluster.volume("v1").in_sync) == 3
    assert cluster.volume("v1").syncing == ()


def test_a_declared_dead_node_has_no_grace() -> None:
    cluster = held()
    cluster.down("n3")
    cluster.rest()
    cluster.node_event("n3", DEAD)
    cluster.rest()
    assert cluster.line("v1") == "v1: attached healthy; replicas n1 n2 n4"
    assert [t.node for t in cluster.volume("v1").tombstones] == ["n3"]
    assert cluster.waits() == [], "the dead are not waited for"


def test_a_folder_that_is_missing_for_sure_has_no_grace() -> None:
    cluster = held()
    cluster.down("n3")
    cluster.rest()
    cluster.machines[NodeName("n3")].folders.clear()
    cluster.up("n3")
    cluster.rest()
    assert cluster.line("v1") == "v1: attached healthy; replicas n1 n2 n4"


def test_an_in_sync_replica_that_only_control_does_not_hear_is_vouched_for_by_its_engine() -> None:
    cluster = held()
    cluster.cut("n3")
    cluster.passes(6000)
    assert cluster.plan().intents == ()


def test_a_leaving_replica_is_no_peer_once_it_is_out_and_another_never_leaves_too_early() -> None:
    cluster = held()
    cluster.resyncs_take = True
    cluster.node_event("n2", EvictRequested())
    cluster.rest()
    assert planned(cluster, ReplicaLeaving) == []
    assert peers(cluster) == ["r1", "r2", "r3", "r4"], "in-sync until it is removed"
    cluster.resyncs_take = False
    cluster.act("n1")
    cluster.report_all()
    [mark] = planned(cluster, ReplicaLeaving)
    assert isinstance(mark, ReplicaLeaving)
    assert (mark.replica, mark.why) == ("r2", "n2 is being evicted")
    cluster.carry_out(cluster.plan())
    [order] = [o for o in cluster.orders("n1").orders if isinstance(o, RunEngine)]
    assert order.leave == ("r2",)
    assert any("the engine removes it" in w for w in cluster.waits())
    cluster.act("n1")
    assert [r.id for r in cluster.volume("v1").syncing] == ["r2"]
    assert peers(cluster) == ["r1", "r3", "r4"]
    [gone] = planned(cluster, ReplicaAbandoned)
    assert isinstance(gone, ReplicaAbandoned)
    assert gone.replica == "r2"


def test_a_mark_on_one_that_is_needed_again_is_taken_away_also_when_it_is_out_already() -> None:
    cluster = held()
    cluster.node_event("n2", EvictRequested())
    for _ in range(20):
        cluster.act("n1")
        cluster.act("n4")
        if any(r.leaving for r in cluster.volume("v1").syncing):
            break
        cluster.report_all()
        cluster.carry_out(cluster.plan())
    assert [r.id for r in cluster.volume("v1").syncing if r.leaving] == ["r2"]
    cluster.node_event("n2", EvictCancelled())
    cluster.apply("v1", SpecChanged(spec=Spec(replicas=4)))
    cluster.rest()
    assert cluster.line("v1") == "v1: attached healthy; replicas n1 n2 n3 n4"
    assert not any(r.leaving for r in cluster.volume("v1").replicas)


def test_scaling_an_attached_volume_needs_no_pause() -> None:
    cluster = held(replicas=2)
    sessions = cluster.sessions_started()
    for count in (3, 1, 2):
        cluster.apply("v1", SpecChanged(spec=Spec(replicas=count)))
        cluster.rest()
        assert len(cluster.volume("v1").in_sync) == count
        assert cluster.volume("v1").tombstones == ()
    assert cluster.sessions_started() == sessions


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            {"done": 42 * GIB // 10 + 1, "total": 10 * GIB},
            "replica r3 on n3 is being resynced: 42 % of 10 GiB",
        ),
        ({}, "replica r3 on n3 is being resynced"),
        (
            {"waits_for": "next attempt in 8 s: connection refused"},
            "replica r3 on n3 is not being resynced now: next attempt in 8 s: connection refused",
        ),
        (None, "replica r3 on n3 is to be resynced by the engine"),
    ],
)
def test_how_a_resync_goes_is_said(said: dict[str, Any] | None, reason: str) -> None:
    cluster = held(nodes=3)
    cluster.down("n3")
    cluster.rest()
    cluster.up("n3")
    replica = cluster.volume("v1").syncing[0]
    seen = () if said is None else (ResyncSighting(replica=replica.id, attempt=replica.attempt, **said),)
    engine_says(cluster, resyncs=seen)
    assert cluster.explain("v1").reasons[0] == reason
    assert f"v1: {reason}" in cluster.waits()


def test_what_a_serving_engine_waits_for_is_said() -> None:
    cluster = held()
    assert cluster.explain("v1").reasons == ()
    engine_says(cluster, waits_for="space on n2")
    assert cluster.explain("v1").reasons == ("the engine at n1 waits for space on n2",)


def test_a_word_about_an_older_attempt_is_not_shown() -> None:
    cluster = held(nodes=3)
    cluster.down("n3")
    cluster.rest()
    cluster.up("n3")
    replica = cluster.volume("v1").syncing[0]
    old = ResyncSighting(replica=replica.id, attempt=replica.attempt - 1, done=1, total=2)  # type: ignore[arg-type]
    engine_says(cluster, resyncs=(old,))
    assert "is to be resynced" in cluster.explain("v1").reasons[0]


def test_new_replicas_in_sessions_have_the_clusters_budget() -> None:
    cluster = Cluster(4, rebuilds_per_node_max=1)
    for name in ("v1", "v2"):
        cluster.create(name, 2)
    cluster.rest()
    for name in ("v1", "v2"):
        assert not cluster.attach(name, "n1")
    cluster.rest()
    cluster.resyncs_take = True
    for name in ("v1", "v2"):
        cluster.apply(name, SpecChanged(spec=Spec(replicas=3)))
    cluster.rest()
    assert [len(cluster.volume(v).syncing) for v in ("v1", "v2")] == [1, 0]
    assert any("1 rebuilds are under way on n1" in w for w in cluster.waits())
    cluster.resyncs_take = False
    cluster.rest()
    assert [len(cluster.volume(v).in_sync) for v in ("v1", "v2")] == [3, 3]


def test_nothing_is_placed_while_a_session_closes() -> None:
    cluster = held()
    cluster.apply("v1", SpecChanged(spec=Spec(replicas=4)))
    assert planned(cluster, ReplicaPlaced)
    cluster.detach("v1")
    assert cluster.plan().intents == ()
