"""Disks that are really full: small tmpfs mounts. No space is no damage: nobody loses a copy, and I/O goes on later.

See docs/protocol.md: No space, quota (A12). Needs root to mount; says so and is skipped otherwise.
"""

import errno
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.integration.volumes import Volumes, history, membership, reasons, state
from tests.support.apart import ApartCluster
from tests.support.nbd import BLOCK, NbdClient, NbdError, socket_of
from tests.support.register_clients import RegisterClients, slots

pytestmark = pytest.mark.serial

NODES = ("n1", "n2", "n3")
DISK_MIB = 136
SIZE = "32MiB"
ENOSPC = 28
RANGES = slots(blocks=500, stride=1 << 16)
"""Far apart, so that clients write where nothing was written, again and again."""


@contextmanager
def small_disk(path: Path) -> Iterator[None]:
    """A tmpfs at `path`. Skips the test where this user may not mount; any other failure is one."""
    path.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "none", str(path)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0 and ("permission denied" in done.stderr or "must be superuser" in done.stderr):
        pytest.skip(f"only root may mount a small disk: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    try:
        yield
    finally:
        subprocess.run(["umount", str(path)], check=True)


@pytest.fixture(scope="module")
def cluster(folder: Path) -> Iterator[ApartCluster]:
    with ExitStack() as stack:
        for node in NODES:
            stack.enter_context(small_disk(folder / "data" / "nodes" / node / "disks" / "d1"))
        cluster = ApartCluster(folder / "data", nodes=3, disk_size=f"{DISK_MIB}MiB")
        yield stack.enter_context(cluster)


@pytest.fixture(autouse=True)
def room(cluster: ApartCluster, volumes: Volumes) -> Iterator[None]:
    """Whatever became of a test, there is space after it."""
    yield
    empty(cluster, *NODES)


def ballast(cluster: ApartCluster, node: str) -> Path:
    return cluster.data / "nodes" / node / "disks" / "d1" / "ballast"


def fill(cluster: ApartCluster, *nodes: str) -> None:
    """Take what is left, to the last block."""
    for node in nodes:
        with ballast(cluster, node).open("wb", buffering=0) as file:
            for size in (1 << 20, BLOCK):
                while True:
                    try:
                        if file.write(bytes(size)) < size:
                            break
                    except OSError as error:
                        if error.errno != errno.ENOSPC:
                            raise
                        break


def empty(cluster: ApartCluster, *nodes: str) -> None:
    for node in nodes:
        ballast(cluster, node).unlink(missing_ok=True)


def paused_for_space(cluster: ApartCluster, name: str, clients: RegisterClients) -> None:
    clients.stands()
    cluster.wait(lambda: "space" in reasons(cluster, name), "it says that it waits for space", 10)


def test_io_pauses_while_disks_are_full_and_drops_no_copy(cluster: ApartCluster, volumes: Volumes) -> None:
    """One of three, which is not the engine's; then all; then there is space again."""
    name = volumes.attached(node="n1", size=SIZE)
    before = membership(cluster, name)
    with RegisterClients(socket_of(cluster.endpoint(name)), name, RANGES) as clients:
        clients.goes_on(100)
        for full in (("n2",), NODES):
            fill(cluster, *full)
            paused_for_space(cluster, name, clients)
            assert membership(cluster, name) == before
            empty(cluster, *full)
            clients.goes_on(100)
            cluster.wait(lambda: "space" not in reasons(cluster, name), "it no longer waits")
        assert state(cluster, name) == "attached healthy"
    assert membership(cluster, name) == before
    assert "replica_lost" not in history(cluster, name)
    assert clients.errors == {}
    assert clients.counts["reconnects"] == 0
    for node in NODES:
        clients.verify(socket_of(cluster.endpoint(name)), name)
        cluster.cli("volume", "detach", name)
        cluster.cli("volume", "attach", name, "--node", node)
    clients.verify(socket_of(cluster.endpoint(name)), name)


def test_what_has_its_space_is_read_and_written_while_others_wait(
    cluster: ApartCluster, volumes: Volumes
) -> None:
    name = volumes.attached(node="n1", size=SIZE)
    path = socket_of(cluster.endpoint(name))
    with NbdClient(path, name) as client:
        client.write(0, b"a" * BLOCK)
        fill(cluster, "n3")
        with RegisterClients(path, name, RANGES[16:]) as clients:
            paused_for_space(cluster, name, clients)
            client.write(0, b"b" * BLOCK)
            assert client.read(0, BLOCK) == b"b" * BLOCK
            empty(cluster, "n3")
            clients.goes_on(100)


def test_a_bounded_wait_fails_the_write_on_every_copy(cluster: ApartCluster, volumes: Volumes) -> None:
    """`space_wait_s` 0: no space is told at once, and no copy holds what the client was told is not written (A12)."""
    cluster.setting("space_wait_s", "0")
    try:
        name = volumes.attached(node="n1", size=SIZE)
    finally:
        cluster.setting("space_wait_s", "forever")
    before = membership(cluster, name)
    with NbdClient(socket_of(cluster.endpoint(name)), name) as client:
        client.write(0, b"a" * BLOCK)
        fill(cluster, "n2")
        refused = []
        for at in range(1 << 20, 32 << 20, 1 << 20):
            try:
                client.write(at, b"b" * BLOCK)
            except NbdError as error:
                if error.errno != ENOSPC:
                    raise
                refused.append(at)
        assert refused, "the disk was not full"
        assert client.read(0, BLOCK) == b"a" * BLOCK
        for at in refused:
            assert client.read(at, BLOCK) == bytes(BLOCK)
        empty(cluster, "n2")
        client.write(refused[0], b"c" * BLOCK)
        client.flush()
    assert membership(cluster, name) == before
    for node in NODES:
        cluster.cli("volume", "detach", name)
        cluster.cli("volume", "attach", name, "--node", node)
        with NbdClient(socket_of(cluster.endpoint(name)), name) as client:
            assert client.read(refused[0], BLOCK) == b"c" * BLOCK
            for at in refused[1:]:
                assert client.read(at, BLOCK) == bytes(BLOCK)
