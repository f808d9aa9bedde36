"""Maintenance never attaches: the stories of longhorn/longhorn#9781, #9857 and #11209, with real processes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.volumes import Volumes, history, nodes_of, sessions, state
from tests.support.cluster import Cluster
from tests.support.nbd import NbdClient, socket_of

SIZE = 16 * 2**20


@pytest.fixture(autouse=True)
def as_before(cluster: Cluster, volumes: Volumes) -> Iterator[None]:
    """No node is cordoned or evicting, and nothing is left of the test before."""
    yield
    for node in cluster.get("/v1/nodes")["nodes"]:
        if node["evicting"]:
            cluster.cli("node", "evict", node["name"], "--cancel")
        if node["cordoned"]:
            cluster.cli("node", "uncordon", node["name"])
    volumes.delete()
    cluster.rest()


def test_evicting_the_node_of_a_detached_volume_leaves_it_detached(
    cluster: Cluster, volumes: Volumes
) -> None:
    """#9781: it came back attached, and stayed so. Here there is no place: blocked, named, and nothing flaps (L4, L8)."""
    name = volumes.create()
    before = cluster.rest()
    cluster.cli("node", "cordon", "n2")
    cluster.cli("node", "evict", "n2")
    cluster.wait(lambda: cluster.node("n2")["eviction"] == "blocked", "it says blocked", 20)
    lines = cluster.node("n2")["eviction_lines"]
    assert len(lines) == 1
    assert lines[0].startswith(f"{name}: ")
    shown = cluster.cli("node", "show", "n2").stdout
    assert f"{name}: " in shown
    end = cluster.rest(quiet_s=3)
    assert end <= before + 2, "more was written than cordon and evict"
    assert cluster.rest(quiet_s=3) == end
    assert state(cluster, name) == "detached healthy"
    assert sessions(cluster, name) == 0
    assert nodes_of(cluster, name) == ["n1", "n2", "n3"]
    assert cluster.pids("shorthorn-engine") == []


def test_a_cancelled_eviction_leaves_nothing_behind(cluster: Cluster, volumes: Volumes) -> None:
    name = volumes.create()
    before = cluster.volume(name)
    cluster.cli("node", "evict", "n2")
    cluster.wait(lambda: cluster.node("n2")["eviction"] == "blocked", "it says blocked", 20)
    cluster.cli("node", "evict", "n2", "--cancel")
    cluster.rest()
    node = cluster.node("n2")
    assert (node["evicting"], node["eviction"], node["eviction_lines"]) == (False, "", [])
    after = cluster.volume(name)
    assert (after["replicas"], after["tasks"], after["m"]) == (before["replicas"], [], before["m"])
    assert cluster.get(f"/v1/volumes/{name}/explain")["waits"] == []
    assert state(cluster, name) == "detached healthy"


def test_a_detached_volume_moves_without_any_session(cluster: Cluster, volumes: Volumes) -> None:
    """#9857: the first repair no longer moved detached volumes. Here they move, and the old place is empty."""
    name = volumes.attached(node="n1", replicas=2)
    data = bytes(range(256)) * 16
    with NbdClient(socket_of(cluster.endpoint(name))) as client:
        for block in (0, 300, 2000):
            client.write(block * 4096, data)
    cluster.cli("volume", "detach", name)
    source = nodes_of(cluster, name)[0]
    free = next(n for n in ("n1", "n2", "n3") if n not in nodes_of(cluster, name))
    replica = next(r["id"] for r in cluster.volume(name)["replicas"] if r["node"] == source)
    before, committed = sessions(cluster, name), _committed(cluster, source)
    assert _folders(cluster, source, replica)

    cluster.cli("node", "evict", source)
    cluster.wait(lambda: cluster.node(source)["eviction"] == "done", "the node is empty", 60)
    assert free in nodes_of(cluster, name)
    assert source not in nodes_of(cluster, name)
    assert len(nodes_of(cluster, name)) == 2
    assert state(cluster, name) == "detached healthy"
    assert sessions(cluster, name) == before
    assert "copy_started" in history(cluster, name)
    assert _committed(cluster, source) == committed - SIZE
    assert not _folders(cluster, source, replica)
    cluster.rest()
    assert not cluster.get("/v1/check")["findings"]

    cluster.cli("node", "evict", source, "--cancel")
    cluster.cli("volume", "attach", name, "--node", free)
    with NbdClient(socket_of(cluster.endpoint(name))) as client:
        for block in (0, 300, 2000):
            assert client.read(block * 4096, 4096) == data
        assert client.read(4096, 4096) == bytes(4096)


def test_an_attached_volume_stays_attached_and_its_eviction_waits(cluster: Cluster, volumes: Volumes) -> None:
    name = volumes.attached(node="n1", replicas=2)
    source = (
        next(node for node in nodes_of(cluster, name) if node != "n1")
        if "n1" in nodes_of(cluster, name)
        else "n2"
    )
    epoch = cluster.volume(name)["epoch"]
    with volumes.recorder(name) as recorder:
        recorder.goes_on()
        cluster.cli("node", "evict", source)
        cluster.wait(
            lambda: any(name in line for line in cluster.node(source)["eviction_lines"]), "it says so", 20
        )
        recorder.goes_on()
    assert recorder.reconnects == 0
    assert cluster.node(source)["eviction"] in ("blocked", "moving")
    assert state(cluster, name) == "attached healthy"
    assert cluster.volume(name)["epoch"] == epoch
    cluster.rest(quiet_s=2)

    cluster.cli("volume", "detach", name)
    cluster.wait(lambda: cluster.node(source)["eviction"] == "done", "it moves once it may", 60)
    assert cluster.volume(name)["state"] == "detached"
    assert source not in nodes_of(cluster, name)
    cluster.cli("volume", "attach", name, "--node", "n1")
    recorder.verify(socket_of(cluster.endpoint(name)), name)


def test_a_cordoned_node_takes_no_new_session(cluster: Cluster, volumes: Volumes) -> None:
    """#11209: a volume was attached to a disabled node. What is attached there already stays."""
    held, name = volumes.attached(node="n2"), volumes.create()
    cluster.cli("node", "cordon", "n2")
    before = cluster.rest()
    done = cluster.cli("volume", "attach", name, "--node", "n2", check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "n2" in done.stderr
    assert "cordoned" in done.stderr
    assert cluster.rest() == before
    assert state(cluster, held) == "attached healthy"
    cluster.cli("volume", "attach", held, "--node", "n2")  # a repetition is no new attachment
    cluster.cli("node", "uncordon", "n2")
    cluster.cli("volume", "attach", name, "--node", "n2")
    assert state(cluster, name) == "attached healthy"


def test_a_cordoned_node_takes_no_new_replica(cluster: Cluster, volumes: Volumes) -> None:
    cluster.cli("node", "cordon", "n3")
    name = volumes.create(replicas=2)
    assert nodes_of(cluster, name) == ["n1", "n2"]


def test_a_new_node_unblocks_an_eviction(cluster: Cluster, volumes: Volumes) -> None:
    """Last: the cluster has four nodes from here on."""
    name = volumes.create()
    cluster.cli("node", "evict", "n3")
    cluster.wait(lambda: cluster.node("n3")["eviction"] == "blocked", "it says blocked", 20)
    cluster.add_node("n4")
    cluster.wait(lambda: cluster.node("n3")["eviction"] == "done", "the node is empty", 60)
    assert nodes_of(cluster, name) == ["n1", "n2", "n4"]
    assert state(cluster, name) == "detached healthy"
    assert sessions(cluster, name) == 0


def _committed(cluster: Cluster, node: str) -> int:
    return sum(int(disk["committed"]) for disk in cluster.node(node)["disks"])


def _folders(cluster: Cluster, node: str, replica: str) -> list[Path]:
    return [p for p in (cluster.data / "nodes" / node).rglob(f"{replica}*") if p.is_dir()]
