"""Programs and nodes fail while clients go on: a lost replica is removed and resynced, a lost node's session is fenced.

See docs/protocol.md: Write (removal before acknowledge), Resync, Fence. Clients are judged by `tests.support.registers`.
"""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.volumes import Volumes, history, membership, nodes_of, reasons, sessions, state
from tests.support.apart import ApartCluster
from tests.support.cluster import lives
from tests.support.nbd import NbdClient, socket_of
from tests.support.register_clients import RegisterClients

pytestmark = pytest.mark.serial

SILENCE_S, SLACK_S = 3.0, 7.0
"""The setting, as short as it may be; and what a busy machine may add to what follows from it."""

LOST_S = 4 * SILENCE_S + SLACK_S
"""A replica that syncs its disk is given four times as long: clients flush now and then."""

FENCE_S = 10.0
SIZE = "32MiB"


@pytest.fixture(scope="module")
def cluster(folder: Path) -> Iterator[ApartCluster]:
    with ApartCluster(folder / "data", nodes=3, disk_size="512MiB") as cluster:
        cluster.setting("silence_s", f"{SILENCE_S:g}")
        yield cluster


@pytest.fixture(autouse=True)
def light(cluster: ApartCluster, volumes: Volumes) -> Iterator[None]:
    """Whatever became of a test, its volumes can be deleted after it."""
    yield
    cluster.start_dark()


def healthy(cluster: ApartCluster, name: str, what: str = "attached healthy") -> None:
    cluster.wait(lambda: state(cluster, name) == what, what)


def goes_on_without(cluster: ApartCluster, name: str, clients: RegisterClients, node: str) -> None:
    """Clients go on, and the volume says that it lacks a copy, though nobody was cut off."""
    clients.goes_on(100, LOST_S)
    cluster.wait(lambda: "replica_lost" in history(cluster, name), f"the replica on {node} is lost", SLACK_S)
    clients.goes_on(100, SLACK_S)
    assert clients.counts["reconnects"] == 0
    assert clients.errors == {}


def resynced(cluster: ApartCluster, name: str, times: int = 1) -> None:
    """In the session that there was."""
    healthy(cluster, name)
    events = history(cluster, name)
    assert events.count("replica_lost") == events.count("replica_synced") == times
    assert sessions(cluster, name) == 1
    assert nodes_of(cluster, name) == ["n1", "n2", "n3"]


@pytest.mark.parametrize("node", ["n1", "n3"])
def test_a_killed_replica_program_comes_back_by_resync(
    cluster: ApartCluster, volumes: Volumes, node: str
) -> None:
    """That of the engine's own node, which reads ask first, and another one."""
    name = volumes.attached(node="n1", size=SIZE)
    with volumes.clients(name) as clients:
        clients.goes_on(200)
        cluster.kill(rf"shorthorn-replica .*nodes/{node}/")
        goes_on_without(cluster, name, clients, node)
        resynced(cluster, name)
        clients.goes_on()
    clients.verify(clients.path, name)
    assert clients.longest_s < SLACK_S
    attempts = {r["node"]: r["attempt"] for r in cluster.volume(name)["replicas"]}
    assert attempts == {n: 2 if n == node else 1 for n in ("n1", "n2", "n3")}
    _all_copies_serve(cluster, name, clients)


def test_a_replica_program_that_stands_still_for_long_is_lost_and_returns(
    cluster: ApartCluster, volumes: Volumes
) -> None:
    name = volumes.attached(node="n1", size=SIZE)
    with volumes.clients(name) as clients:
        clients.goes_on(200)
        with cluster.stopped(lambda: cluster.pids("shorthorn-replica .*nodes/n3/")):
            goes_on_without(cluster, name, clients, "n3")
            assert state(cluster, name) == "attached degraded"
        resynced(cluster, name)
        clients.goes_on()
    clients.verify(clients.path, name)
    assert clients.longest_s < LOST_S
    _all_copies_serve(cluster, name, clients)


def test_a_short_pause_of_a_replica_program_costs_no_copy(cluster: ApartCluster, volumes: Volumes) -> None:
    name = volumes.attached(node="n1", size=SIZE)
    before = membership(cluster, name)
    with volumes.clients(name) as clients:
        clients.goes_on(200)
        with cluster.stopped(lambda: cluster.pids("shorthorn-replica .*nodes/n3/")):
            clients.stands(still_s=0.8)  # each client's next write waits for it
        clients.goes_on(200)
    assert clients.counts["reconnects"] == 0
    assert membership(cluster, name) == before


def test_an_engine_that_stood_still_for_long_blames_nobody(cluster: ApartCluster, volumes: Volumes) -> None:
    """Its replicas were silent only to it: while it slept it asked nobody."""
    name = volumes.attached(node="n1", size=SIZE)
    before = membership(cluster, name)
    with volumes.clients(name) as clients:
        clients.goes_on(200)
        with cluster.stopped(lambda: [cluster.engine(name)]):
            clients.stands(still_s=SILENCE_S + 1)
        clients.goes_on(200)
    clients.verify(clients.path, name)
    assert clients.counts["reconnects"] == 0
    assert membership(cluster, name) == before


def test_an_engine_killed_during_a_resync_loses_nothing(cluster: ApartCluster, volumes: Volumes) -> None:
    name = volumes.attached(node="n1", size=SIZE)
    epoch = cluster.volume(name)["epoch"]
    with volumes.clients(name) as clients:
        clients.goes_on(200)
        cluster.kill("shorthorn-replica .*nodes/n3/")
        cluster.wait(lambda: "replica_lost" in history(cluster, name), "the replica is lost")
        os.kill(cluster.engine(name), signal.SIGKILL)
        cluster.wait(lambda: bool(cluster.volume(name)["epoch"] > epoch), "a new epoch")
        clients.goes_on(200)
        healthy(cluster, name)
        clients.goes_on()
    clients.verify(clients.path, name)
    assert not cluster.volume(name)["broken"]
    _all_copies_serve(cluster, name, clients)


@pytest.mark.parametrize("away", ["server", "agent"])
def test_a_removal_waits_for_the_control_plane(cluster: ApartCluster, volumes: Volumes, away: str) -> None:
    """Nothing is acknowledged without the removed replica before its removal is recorded (B1)."""
    name = volumes.attached(node="n1", size=SIZE)
    with volumes.clients(name) as clients:
        clients.goes_on(200)
        if away == "server":
            cluster.kill_server()
        else:
            cluster.kill_agent("n1")
        clients.goes_on(100, SLACK_S)
        cluster.kill("shorthorn-replica .*nodes/n3/")
        clients.stands()
        if away == "server":
            cluster.start_server()
        else:
            cluster.start_node("n1")
        clients.goes_on(100)
        resynced(cluster, name)
    clients.verify(clients.path, name)
    assert clients.counts["reconnects"] == 0
    assert clients.errors == {}


def test_a_node_that_stands_still_is_fenced_and_does_no_harm_when_it_goes_on(
    cluster: ApartCluster, volumes: Volumes
) -> None:
    name = volumes.attached(node="n3", size=SIZE)
    with volumes.clients(name) as clients:
        clients.goes_on(200)
        engine = cluster.engine(name)
        with cluster.stopped(lambda: cluster.of_node("n3")):
            clients.stands(still_s=0.5)
            answered = clients.answered
            cluster.cli("volume", "detach", name, "--timeout", f"{FENCE_S:g}")
            assert state(cluster, name).startswith("detached")
            assert "fence_held" in history(cluster, name)
            cluster.cli("volume", "attach", name, "--node", "n1")
            new = _go_on_elsewhere(cluster, name, clients)
        cluster.wait(lambda: not lives(engine), "the old engine has ended")
        clients.all_cut()
        clients.told_late(answered)
        clients.verify(new, name)
        healthy(cluster, name)
        assert nodes_of(cluster, name) == ["n1", "n2", "n3"]
    _all_copies_serve(cluster, name, clients)


def test_a_held_volume_of_a_node_declared_dead_is_fenced(cluster: ApartCluster, volumes: Volumes) -> None:
    """Its holder can't be asked, so nothing happens until a person says so; and then there is a seal (B9)."""
    name = volumes.attached(node="n3", size=SIZE)
    with volumes.clients(name) as clients:
        clients.goes_on(200)
        engine = cluster.engine(name)
        with cluster.stopped(lambda: cluster.of_node("n3")):
            cluster.wait(lambda: cluster.node("n3")["reach"] == "unreachable", "n3 is unreachable", 20)
            answered = clients.answered
            end = cluster.rest()
            assert "fence_started" not in history(cluster, name)
            assert "declare the node dead" in reasons(cluster, name)
            assert cluster.rest() == end
            cluster.cli("node", "declare-dead", "n3", "--why", "it does not answer")
            cluster.wait(lambda: "fence_held" in history(cluster, name), "the fence holds", FENCE_S)
            cluster.cli("volume", "detach", name, "--timeout", f"{FENCE_S:g}")
            cluster.cli("volume", "attach", name, "--node", "n1")
            new = _go_on_elsewhere(cluster, name, clients)
        cluster.wait(lambda: not lives(engine), "the old engine has ended")
        clients.all_cut()
        clients.told_late(answered)
        clients.verify(new, name)
    cluster.cli("node", "declare-dead", "n3", "--cancel")
    healthy(cluster, name)
    assert nodes_of(cluster, name) == ["n1", "n2", "n3"]
    _all_copies_serve(cluster, name, clients)


def test_bad_requests_about_dead_nodes_change_nothing(cluster: ApartCluster, volumes: Volumes) -> None:
    name = volumes.create(size=SIZE)
    said = _refused(cluster, name, "node", "declare-dead", "nosuch", "--why", "x")
    assert "there is no node" in said
    said = _refused(cluster, name, "node", "declare-dead", "n3", "--why", "x")
    assert "n3 is reachable" in said
    assert "--force" in said
    assert cluster.node("n3")["dead"] == ""
    _refused(cluster, name, "node", "declare-dead", "n3")
    _refused(cluster, name, "node", "declare-dead", "n3", "--why", "")


def test_detaching_twice_changes_nothing_the_second_time(cluster: ApartCluster, volumes: Volumes) -> None:
    name = volumes.attached(size=SIZE)
    cluster.cli("volume", "detach", name)
    cluster.rest()
    before = cluster.json("volume", "show", name)
    cluster.cli("volume", "detach", name)
    assert cluster.json("volume", "show", name) == before


def test_attaching_while_fencing_is_refused(cluster: ApartCluster, volumes: Volumes) -> None:
    """The replica programs stand still, too, so that the fence can't end before it was looked at."""
    name = volumes.attached(node="n3", size=SIZE)
    with cluster.stopped(lambda: [*cluster.of_node("n3"), *cluster.pids("shorthorn-replica ")]):
        cluster.cli("volume", "detach", name, "--no-wait")
        cluster.wait(lambda: "fence_started" in history(cluster, name), "it is being fenced", 20)
        for node in ("n1", "n3"):
            assert "fenced at n3" in _refused(cluster, name, "volume", "attach", name, "--node", node)
        assert cluster.volume(name)["state"] == "detaching"
    cluster.wait(lambda: cluster.volume(name)["state"] == "detached", "detached")


def test_evicting_the_only_copy_without_a_place_says_so_and_keeps_it(
    cluster: ApartCluster, volumes: Volumes
) -> None:
    name = volumes.create(size=SIZE, replicas=1)
    node = nodes_of(cluster, name)[0]
    others = [n for n in ("n1", "n2", "n3") if n != node]
    for other in others:
        cluster.cli("node", "cordon", other)
    cluster.rest()
    before = _record(cluster, name)
    cluster.cli("node", "evict", node)
    cluster.wait(lambda: cluster.node(node)["eviction"] == "blocked", "the eviction says blocked", 20)
    lines = cluster.node(node)["eviction_lines"]
    assert [line.partition(":")[0] for line in lines] == [name]
    cluster.rest()
    assert _record(cluster, name) == before
    cluster.cli("node", "evict", node, "--cancel")
    for other in others:
        cluster.cli("node", "uncordon", other)


def test_a_node_that_stays_away_is_replaced_and_cleaned_up_when_it_returns(
    cluster: ApartCluster, volumes: Volumes
) -> None:
    """Last: the cluster has four nodes from here on."""
    name = volumes.attached(node="n1", size=SIZE)
    lost = next(r for r in cluster.volume(name)["replicas"] if r["node"] == "n3")
    cluster.start_node("n4")
    cluster.wait(lambda: cluster.node("n4")["reach"] == "reachable", "n4 is heard")
    with volumes.clients(name) as clients:
        clients.goes_on(200)
        cluster.lose_power("n3")
        goes_on_without(cluster, name, clients, "n3")
        cluster.wait(lambda: "setting replace_after_s" in reasons(cluster, name), "it says what it waits for")
        assert [r["node"] for r in cluster.volume(name)["replicas"]].count("n4") == 0
        cluster.setting("replace_after_s", "3")
        try:
            cluster.wait(lambda: nodes_of(cluster, name) == ["n1", "n2", "n4"], "a new replica on n4")
        finally:
            cluster.setting("replace_after_s", "600")
        healthy(cluster, name)
        clients.goes_on()
        assert _folders(cluster, "n3", lost["id"]), "nothing is deleted where nobody runs"
        cluster.start_dark()
        cluster.wait(lambda: not _folders(cluster, "n3", lost["id"]), "the old folder is deleted")
        clients.goes_on()
    clients.verify(clients.path, name)
    cluster.rest()
    assert lost["id"] not in {r["id"] for r in cluster.volume(name)["replicas"]}
    assert not cluster.get("/v1/check")["findings"]
    assert clients.counts["reconnects"] == 0


def _go_on_elsewhere(cluster: ApartCluster, name: str, clients: RegisterClients) -> str:
    """All that was acknowledged is there; what was not is decided by now. The new path."""
    clients.another_session_serves()
    path = socket_of(cluster.endpoint(name))
    clients.verify(path, name)
    with NbdClient(path, name) as client:
        client.write(30 << 20, b"new" * 100)
        client.flush()
    return path


def _all_copies_serve(cluster: ApartCluster, name: str, clients: RegisterClients) -> None:
    """Each node's own copy, which it asks first, holds what clients were told."""
    for node in ("n1", "n2", "n3"):
        cluster.cli("volume", "detach", name)
        cluster.cli("volume", "attach", name, "--node", node)
        clients.verify(socket_of(cluster.endpoint(name)), name)


def _refused(cluster: ApartCluster, name: str, *arguments: str) -> str:
    """The one line; the volume's record is what it was."""
    before = _record(cluster, name)
    done = cluster.cli(*arguments, check=False)
    assert done.returncode == 1, (done.stdout, done.stderr)
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert _record(cluster, name) == before
    return done.stderr


def _record(cluster: ApartCluster, name: str) -> dict[str, Any]:
    """What `volume show` says, but for reasons, which tell how long something lasts."""
    shown: dict[str, Any] = cluster.json("volume", "show", name)
    return {key: value for key, value in shown.items() if key != "reasons"}


def _folders(cluster: ApartCluster, node: str, replica: str) -> list[Path]:
    return [p for p in (cluster.data / "nodes" / node).rglob(f"{replica}*") if p.is_dir()]
