"""Nodes lose power: all their programs die at once, they come back under another boot id, and the page cache is gone.

What the cache held is made to be gone by putting older files in its place: those of the last flush.
See docs/protocol.md: Marks, torn and broken; A1, A2.
"""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.volumes import Volumes, nodes_of, reasons, sessions, state
from tests.support.apart import ApartCluster
from tests.support.nbd import NbdClient, socket_of

pytestmark = pytest.mark.serial

FLUSHED, ACKNOWLEDGED = b"f" * 4096, b"a" * 4096


@pytest.fixture(scope="module")
def cluster(folder: Path) -> Iterator[ApartCluster]:
    with ApartCluster(folder / "data", nodes=3, disk_size="256MiB") as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def light(cluster: ApartCluster, volumes: Volumes) -> Iterator[None]:
    """Whatever became of a test, its volumes can be deleted after it."""
    yield
    cluster.start_dark()


class Written:
    """Block 0 was flushed, then overwritten; block 1 was written: both acknowledged and in page caches only."""

    def __init__(self, cluster: ApartCluster, name: str) -> None:
        self._cluster = cluster
        with NbdClient(socket_of(cluster.endpoint(name)), name) as client:
            client.write(0, FLUSHED, fua=True)
            client.flush()
            nodes = nodes_of(cluster, name)
            on_disk = {node: {p: p.read_bytes() for p in cluster.layers(node, name)} for node in nodes}
            client.write(0, ACKNOWLEDGED)
            client.write(4096, ACKNOWLEDGED)
        self._on_disk = on_disk

    def lose_power(self, *nodes: str) -> None:
        """Also what was not on their disks."""
        self._cluster.lose_power(*nodes)
        for node in self._on_disk.keys() & set(nodes):
            for path, content in self._on_disk[node].items():
                assert path.read_bytes() != content, f"{path} holds nothing that could be lost"
                path.write_bytes(content)


def test_a_torn_replica_is_made_equal_from_a_whole_one(cluster: ApartCluster, volumes: Volumes) -> None:
    """The session's own node loses power. Its replica is nearest and lacks acknowledged writes; it must not be the source."""
    name = volumes.attached(node="n1", replicas=2)
    other = next(node for node in nodes_of(cluster, name) if node != "n1")
    written = Written(cluster, name)
    epoch = cluster.volume(name)["epoch"]
    written.lose_power("n1")
    cluster.start_node("n1")
    cluster.wait(lambda: _opened_after(cluster, name, epoch), "a new session", 60)
    volume = cluster.volume(name)
    assert not volume["broken"]
    assert nodes_of(cluster, name) == sorted(["n1", other])
    with NbdClient(socket_of(volume["endpoint"]), name) as client:
        assert client.read(0, 8192) == ACKNOWLEDGED * 2
    cluster.cli("volume", "detach", name)
    for node in ("n1", other):
        data = next(p for p in cluster.layers(node, name) if p.suffix == ".data")
        assert data.read_bytes()[:8192] == ACKNOWLEDGED * 2


def test_a_torn_replica_is_seen_and_made_equal_without_a_session(
    cluster: ApartCluster, volumes: Volumes
) -> None:
    """Nobody holds the volume when the node comes back: it is settled from the whole replica, with no session (S10)."""
    name = volumes.attached(node="n1", replicas=2)
    other = next(node for node in nodes_of(cluster, name) if node != "n1")
    written = Written(cluster, name)
    written.lose_power("n1")
    cluster.cli("volume", "detach", name, "--no-wait")
    cluster.wait(lambda: "n1" in reasons(cluster, name), "the reason names the node", 30)
    assert cluster.volume(name)["state"] == "detaching"
    cluster.lose_power(other)
    cluster.start_node("n1")
    cluster.wait(
        lambda: cluster.volume(name)["state"] == "detached", "detached, confirmed by the other boot", 60
    )
    cluster.wait(lambda: _seen(cluster, name, "n1") == "torn", "it is seen that the replica is torn")
    assert not cluster.volume(name)["settled"]
    assert "not settled" in reasons(cluster, name)
    cluster.start_node(other, boot=cluster.boot(other) - 1)  # its programs had died, its power was never gone
    cluster.wait(lambda: bool(cluster.volume(name)["settled"]), "settled", 60)
    assert sessions(cluster, name) == 1
    cluster.wait(lambda: _seen(cluster, name, "n1") == "ok", "torn no more")
    cluster.cli("volume", "attach", name, "--node", "n1")
    with NbdClient(socket_of(cluster.endpoint(name)), name) as client:
        assert client.read(0, 8192) == ACKNOWLEDGED * 2


def test_a_volume_whose_replicas_all_lost_power_is_broken_and_serves_nobody(
    cluster: ApartCluster, volumes: Volumes
) -> None:
    """Unflushed writes may be gone, and the clients from before rely on them: they must let go first (A2)."""
    name = volumes.attached(node="n3", replicas=2)
    old = cluster.volume(name)
    written = Written(cluster, name)
    nodes = nodes_of(cluster, name)
    written.lose_power(*nodes)
    cluster.wait(lambda: cluster.volume(name)["health"] == "faulted", "faulted", 30)
    for node in nodes:
        cluster.start_node(node)
    cluster.wait(lambda: _opened_after(cluster, name, old["epoch"]), "a new session", 60)
    _check_broken(cluster, name, old)

    cluster.cli("volume", "detach", name)
    assert cluster.volume(name)["settled"]
    cluster.cli("volume", "attach", name, "--node", "n3")
    new = cluster.volume(name)
    assert not new["broken"]
    assert new["endpoint"] != old["endpoint"]
    with NbdClient(socket_of(new["endpoint"]), name) as client:
        assert client.read(0, 4096) == FLUSHED
        first, again = client.read(4096, 4096), client.read(4096, 4096)
        assert first == again == bytes(4096)
        client.write(4096, ACKNOWLEDGED, fua=True)


def test_a_broken_volume_stays_broken_when_its_engine_dies(cluster: ApartCluster, volumes: Volumes) -> None:
    """Another session does not make the loss good: as long as a client from before holds on, nobody is served."""
    name = volumes.attached(node="n3", replicas=2)
    old = cluster.volume(name)
    written = Written(cluster, name)
    nodes = nodes_of(cluster, name)
    written.lose_power(*nodes)
    for node in nodes:
        cluster.start_node(node)
    cluster.wait(lambda: _opened_after(cluster, name, old["epoch"]), "a new session", 60)
    epoch = cluster.volume(name)["epoch"]
    os.kill(cluster.engine(name), signal.SIGKILL)
    cluster.wait(lambda: _opened_after(cluster, name, epoch), "one more session", 60)
    _check_broken(cluster, name, old)


def test_who_attaches_after_a_loss_is_served(cluster: ApartCluster, volumes: Volumes) -> None:
    """The one who held the volume has let go while all was dark: nobody from before is left to be deceived."""
    name = volumes.attached(node="n3", replicas=2)
    written = Written(cluster, name)
    nodes = nodes_of(cluster, name)
    written.lose_power(*nodes, *(("n3",) if "n3" not in nodes else ()))
    cluster.cli("volume", "detach", name, "--no-wait")
    cluster.cli("volume", "attach", name, "--node", "n3", "--holder", "other", "--no-wait")
    cluster.start_dark()
    cluster.wait(lambda: cluster.volume(name)["state"] == "attached", "attached", 60)
    assert not cluster.volume(name)["broken"]
    with NbdClient(socket_of(cluster.endpoint(name)), name) as client:
        assert client.read(0, 4096) == FLUSHED


def test_flushed_data_survives_the_loss_of_all_power(cluster: ApartCluster, volumes: Volumes) -> None:
    """All of it was flushed and nothing written since: nothing is marked for long, nothing is lost."""
    name = volumes.attached(node="n2", size="8MiB")
    with NbdClient(socket_of(cluster.endpoint(name)), name) as client:
        for block in range(64):
            client.write(block * 4096, bytes([block + 1]) * 4096)
        client.flush()
    epoch = cluster.volume(name)["epoch"]
    cluster.lose_power("n1", "n2", "n3")
    for node in ("n1", "n2", "n3"):
        cluster.start_node(node)
    cluster.wait(lambda: _opened_after(cluster, name, epoch), "a new session", 60)
    if cluster.volume(name)[
        "broken"
    ]:  # marks were not cleared before: it may say so, it may not lose anything
        cluster.cli("volume", "detach", name)
        cluster.cli("volume", "attach", name, "--node", "n2")
    with NbdClient(socket_of(cluster.endpoint(name)), name) as client:
        for block in range(64):
            assert client.read(block * 4096, 4096) == bytes([block + 1]) * 4096
    cluster.wait(lambda: state(cluster, name) == "attached healthy", "healthy")


def test_a_detached_volume_survives_the_loss_of_all_power(cluster: ApartCluster, volumes: Volumes) -> None:
    name = volumes.attached(node="n2", size="8MiB")
    with NbdClient(socket_of(cluster.endpoint(name)), name) as client:
        client.write(0, ACKNOWLEDGED)
    cluster.cli("volume", "detach", name)
    before = sessions(cluster, name)
    cluster.lose_power("n1", "n2", "n3")
    for node in ("n1", "n2", "n3"):
        cluster.start_node(node)
    cluster.wait(
        lambda: {r["seen"] for r in cluster.volume(name)["replicas"]} == {"ok"}, "all are seen whole"
    )
    assert state(cluster, name) == "detached healthy"
    assert sessions(cluster, name) == before
    cluster.cli("volume", "attach", name, "--node", "n1")
    assert not cluster.volume(name)["broken"]
    with NbdClient(socket_of(cluster.endpoint(name)), name) as client:
        assert client.read(0, 4096) == ACKNOWLEDGED


def _check_broken(cluster: ApartCluster, name: str, old: dict[str, object]) -> None:
    """Attached, says so, and no path leads to it."""
    volume = cluster.volume(name)
    assert volume["state"] == "attached"
    assert volume["broken"]
    assert "serves nobody" in reasons(cluster, name)
    shown = cluster.cli("volume", "show", name).stdout
    assert "broken" in shown
    for endpoint in {str(old["endpoint"]), str(volume["endpoint"])}:
        with pytest.raises((OSError, EOFError)):
            NbdClient(socket_of(endpoint), name, timeout_s=2).close()


def _opened_after(cluster: ApartCluster, name: str, epoch: int) -> bool:
    volume = cluster.volume(name)
    return bool(volume["epoch"] > epoch and volume["state"] == "attached")


def _seen(cluster: ApartCluster, name: str, node: str) -> str:
    return str(next(r["seen"] for r in cluster.volume(name)["replicas"] if r["node"] == node))
