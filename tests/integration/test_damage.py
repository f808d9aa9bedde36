"""Files of a replica are damaged. What can't be proven right is not served as if it were."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.volumes import Volumes, nodes_of, reasons, state
from tests.support.apart import ApartCluster
from tests.support.nbd import EIO, NbdClient, NbdError, socket_of

DATA = bytes(range(1, 256)) * 16 + b"the end of it..."
SLOT = 4096


@pytest.fixture(scope="module")
def cluster(folder: Path) -> Iterator[ApartCluster]:
    with ApartCluster(folder / "data", nodes=3, disk_size="256MiB") as cluster:
        yield cluster


def written(cluster: ApartCluster, volumes: Volumes, replicas: int = 3) -> str:
    """A volume with `DATA` in blocks 0 to 63, closed clean."""
    name = volumes.attached(size="8MiB", replicas=replicas)
    with NbdClient(socket_of(cluster.endpoint(name))) as client:
        for block in range(64):
            client.write(block * 4096, DATA)
    cluster.cli("volume", "detach", name)
    return name


def while_dark(cluster: ApartCluster, node: str, path: Path, at: int) -> None:
    """Flip a byte of a file while nothing of its node runs. No reboot, so that nothing is torn."""
    boot = cluster.boot(node)
    cluster.lose_power(node)
    flip(path, at)
    cluster.start_node(node, boot=boot)
    cluster.wait(lambda: cluster.node(node)["reach"] == "reachable", f"{node} is heard")


def flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 0x40]))


def header(cluster: ApartCluster, name: str, node: str) -> Path:
    return cluster.layers(node, name)[0].parent.parent / "header"


def test_a_damaged_header_is_named_and_the_volume_opens_with_the_others(
    cluster: ApartCluster, volumes: Volumes
) -> None:
    name = written(cluster, volumes)
    path = header(cluster, name, "n2")
    flip(path, SLOT + 100)  # the second slot first; the program still runs, and reads it no more
    while_dark(cluster, "n2", path, 100)
    content = path.read_bytes()
    cluster.wait(lambda: "damaged" in _seen(cluster, name, "n2"), "it is seen")
    assert state(cluster, name) == "detached degraded"
    assert "n2" in reasons(cluster, name)
    assert "damaged" in cluster.cli("volume", "show", name).stdout
    check = cluster.cli("check", check=False)
    assert check.returncode == 1
    assert name in check.stdout
    assert "damaged" in check.stdout

    cluster.cli("volume", "attach", name, "--node", "n1")
    with NbdClient(socket_of(cluster.endpoint(name))) as client:
        assert client.read(0, 4096) == DATA
        client.write(0, bytes(4096), fua=True)
    assert nodes_of(cluster, name) == ["n1", "n3"]
    assert path.read_bytes() == content
    cluster.cli("volume", "detach", name)


@pytest.mark.parametrize("slot", [0, 1])
def test_one_damaged_slot_of_a_header_costs_nothing(
    cluster: ApartCluster, volumes: Volumes, slot: int
) -> None:
    name = written(cluster, volumes)
    while_dark(cluster, "n2", header(cluster, name, "n2"), slot * SLOT + 100)
    cluster.wait(lambda: _seen(cluster, name, "n2") == "ok", "the replica is whole")
    cluster.cli("volume", "attach", name, "--node", "n2")
    cluster.wait(lambda: state(cluster, name) == "attached healthy", "healthy")
    with NbdClient(socket_of(cluster.endpoint(name))) as client:
        assert client.read(0, 4096) == DATA


def test_a_rotten_block_is_read_from_another_replica(cluster: ApartCluster, volumes: Volumes) -> None:
    """At the node that has the rot, whose own replica is asked first."""
    name = written(cluster, volumes)
    data = next(p for p in cluster.layers("n2", name) if p.suffix == ".data")
    flip(data, 5 * 4096 + 17)
    flip(data, 40 * 4096)
    cluster.cli("volume", "attach", name, "--node", "n2")
    with NbdClient(socket_of(cluster.endpoint(name))) as client:
        for block in range(64):
            assert client.read(block * 4096, 4096) == DATA
        assert client.read(0, 64 * 4096) == DATA * 64
    assert state(cluster, name) == "attached healthy"


def test_a_rotten_block_of_the_only_replica_is_an_error_and_never_wrong_data(
    cluster: ApartCluster, volumes: Volumes
) -> None:
    name = written(cluster, volumes, replicas=1)
    node = nodes_of(cluster, name)[0]
    flip(next(p for p in cluster.layers(node, name) if p.suffix == ".data"), 5 * 4096 + 17)
    cluster.cli("volume", "attach", name, "--node", node)
    with NbdClient(socket_of(cluster.endpoint(name))) as client:
        for offset, length in ((5 * 4096, 4096), (4 * 4096, 3 * 4096), (5 * 4096 + 100, 1)):
            with pytest.raises(NbdError) as refused:
                client.read(offset, length)
            assert refused.value.errno == EIO
        assert client.read(4 * 4096, 4096) == DATA
        assert client.read(6 * 4096, 4096) == DATA
        client.write(5 * 4096, DATA)  # a whole block anew is right again
        assert client.read(5 * 4096, 4096) == DATA
    assert cluster.volume(name)["state"] == "attached"


def test_rotten_checksums_are_no_license(cluster: ApartCluster, volumes: Volumes) -> None:
    """The data is right and its checksum is not: nothing can tell, so the other copies are read."""
    name = written(cluster, volumes)
    flip(next(p for p in cluster.layers("n2", name) if p.suffix == ".sums"), 7 * 8)
    cluster.cli("volume", "attach", name, "--node", "n2")
    with NbdClient(socket_of(cluster.endpoint(name))) as client:
        assert client.read(7 * 4096, 4096) == DATA


def _seen(cluster: ApartCluster, name: str, node: str) -> str:
    return str(next(r["seen"] for r in cluster.volume(name)["replicas"] if r["node"] == node))
