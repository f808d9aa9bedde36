"""The thin slice: one node, one replica, in and out through all the real processes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.volumes import Volumes, history, state
from tests.support.cluster import Cluster
from tests.support.nbd import socket_of
from tests.support.programs import run


@pytest.fixture(scope="module")
def cluster(folder: Path) -> Iterator[Cluster]:
    with Cluster(folder / "data", nodes=1, disk_size="256MiB") as cluster:
        yield cluster


def test_what_is_copied_in_comes_out_again(cluster: Cluster, volumes: Volumes, tmp_path: Path) -> None:
    name = volumes.create(size="8MiB", replicas=1)
    assert state(cluster, name) == "detached healthy"
    there, back = tmp_path / "there", tmp_path / "back"
    there.write_bytes(bytes(range(256)) * (8 * 2**20 // 256))

    endpoint = cluster.cli("volume", "attach", name, "--node", "n1").stdout.strip()
    assert endpoint == cluster.endpoint(name)
    run("nbdcopy", "--flush", there, endpoint, timeout_s=30)
    run("nbdcopy", endpoint, back, timeout_s=30)
    assert back.read_bytes() == there.read_bytes()
    cluster.cli("volume", "detach", name)
    assert state(cluster, name) == "detached healthy"
    assert cluster.volume(name)["settled"]

    again = cluster.cli("volume", "attach", name, "--node", "n1").stdout.strip()
    run("nbdcopy", again, back, timeout_s=30)
    assert back.read_bytes() == there.read_bytes()


def test_the_history_shows_every_transition(cluster: Cluster, volumes: Volumes) -> None:
    name = volumes.attached(size="8MiB", replicas=1)
    cluster.cli("volume", "detach", name)
    assert (
        history(cluster, name)
        == [
            "created",
            "replica_placed",
            "formed",
            "attach_requested",
            "session_started",
            "session_opened",
            "detach_requested",
            "detach_requested",  # two lines of one commit: the holder goes, and with the last one the session closes
            "session_closed",
        ]
    )


def test_attaching_again_for_the_same_holder_changes_nothing(cluster: Cluster, volumes: Volumes) -> None:
    name = volumes.attached(size="8MiB", replicas=1)
    before = cluster.rest()
    again = cluster.cli("volume", "attach", name, "--node", "n1").stdout.strip()
    assert again == cluster.endpoint(name)
    assert cluster.rest() == before


def test_the_endpoint_is_gone_after_a_detach(cluster: Cluster, volumes: Volumes) -> None:
    name = volumes.attached(size="8MiB", replicas=1)
    path = Path(socket_of(cluster.endpoint(name)))
    assert path.is_socket()
    cluster.cli("volume", "detach", name)
    assert not path.exists()
    assert cluster.volume(name)["endpoint"] is None
    # Its own word that it closed is what was waited for; it exits once that word was heard.
    cluster.wait(lambda: cluster.pids("shorthorn-engine") == [], "the engine has exited", 10)


def test_a_second_holder_at_the_same_node_keeps_the_volume_attached(
    cluster: Cluster, volumes: Volumes
) -> None:
    name = volumes.attached(size="8MiB", replicas=1)
    cluster.cli("volume", "attach", name, "--node", "n1", "--holder", "second")
    said = cluster.cli("volume", "detach", name).stdout
    assert "still held by second" in said
    assert state(cluster, name) == "attached healthy"
    cluster.cli("volume", "detach", name, "--holder", "second")
    assert state(cluster, name) == "detached healthy"


def test_a_deleted_volume_leaves_no_folder(cluster: Cluster, volumes: Volumes) -> None:
    name = volumes.create(size="8MiB", replicas=1)
    replica = cluster.volume(name)["replicas"][0]["id"]
    disk = cluster.data / "nodes" / "n1" / "disks" / "d1"
    assert list(disk.rglob(replica))
    committed = cluster.node("n1")["disks"][0]["committed"]
    cluster.cli("volume", "delete", name, "--wait")
    assert not list(disk.rglob(f"{replica}*"))
    assert cluster.node("n1")["disks"][0]["committed"] == committed - 8 * 2**20
