"""Programs are killed under a client that writes, reads and judges what it reads. What is acknowledged stays."""

import os
import signal
from pathlib import Path

import pytest

from tests.integration.volumes import Volumes, history, sessions, state
from tests.support.cluster import Cluster
from tests.support.foreign import storage_daemon
from tests.support.nbd import socket_of
from tests.support.programs import run

pytestmark = pytest.mark.serial

STALL_S = 5.0
"""Longest time a request may take while nothing that it needs is away. Generous: the machine may be busy."""


def test_a_killed_engine_comes_back_at_the_same_endpoint(cluster: Cluster, volumes: Volumes) -> None:
    name = volumes.attached()
    before = cluster.volume(name)
    with volumes.recorder(name) as recorder:
        recorder.goes_on()
        os.kill(cluster.engine(name), signal.SIGKILL)
        _await_epoch_after(cluster, name, before["epoch"])
        recorder.goes_on(50)
    after = cluster.volume(name)
    assert recorder.reconnects >= 1
    assert after["endpoint"] == before["endpoint"]
    assert state(cluster, name) == "attached healthy"
    assert not after["broken"]
    recorder.verify(socket_of(after["endpoint"]), name)
    assert history(cluster, name).count("attach_requested") == 1


def test_an_engine_that_is_killed_again_and_again_loses_nothing(cluster: Cluster, volumes: Volumes) -> None:
    name = volumes.attached(node="n2")
    with volumes.recorder(name) as recorder:
        for _ in range(4):
            epoch = cluster.volume(name)["epoch"]
            recorder.goes_on(15)
            os.kill(cluster.engine(name), signal.SIGKILL)
            _await_epoch_after(cluster, name, epoch)
            recorder.goes_on(5)
    recorder.verify(recorder.path, name)
    assert state(cluster, name) == "attached healthy"


def test_qemu_reconnects_over_a_killed_engine(cluster: Cluster, volumes: Volumes, folder: Path) -> None:
    name = volumes.attached()
    epoch = cluster.volume(name)["epoch"]
    with storage_daemon(cluster.endpoint(name), name, folder / "qsd.sock") as uri:
        written = run("qemu-io", "-f", "raw", "-c", "write -f -P 0x51 0 1M", uri, timeout_s=30)
        assert "wrote" in written.stdout
        os.kill(cluster.engine(name), signal.SIGKILL)
        said = run(
            "qemu-io", "-f", "raw", "-c", "read -P 0x51 0 1M", "-c", "write -P 0x52 1M 64k", uri, timeout_s=60
        )
        assert "failed" not in said.stdout + said.stderr
        _await_epoch_after(cluster, name, epoch)


@pytest.mark.parametrize(
    "victim", [r"shorthorn server ", r"--name n1 ", r"shorthorn node ", r"shorthorn (server|node) "]
)
def test_io_goes_on_without_the_control_plane(cluster: Cluster, volumes: Volumes, victim: str) -> None:
    """The server, the agent of the session's node, all agents, all of them: no request fails or waits for long."""
    name = volumes.attached()
    epoch, programs = cluster.volume(name)["epoch"], _programs(cluster)
    with volumes.recorder(name) as recorder:
        recorder.goes_on()
        victims = cluster.pids(victim)
        assert victims
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        recorder.goes_on(100)
        cluster.wait(lambda: len(cluster.pids(victim)) == len(victims), "they are started again")
        cluster.wait(lambda: state(cluster, name) == "attached healthy", "they find what runs")
        recorder.goes_on()
    assert recorder.reconnects == 0
    assert recorder.longest_s < STALL_S
    assert cluster.volume(name)["epoch"] == epoch
    assert _programs(cluster) == programs
    cluster.wait(lambda: not cluster.get("/v1/check")["findings"], "what runs is what is recorded")


def test_all_replica_programs_killed_at_once_lose_nothing(cluster: Cluster, volumes: Volumes) -> None:
    """Their memory is gone, the machine's is not: no power was lost, so the volume is not broken."""
    name = volumes.attached(node="n1")
    epoch = cluster.volume(name)["epoch"]
    with volumes.recorder(name) as recorder:
        recorder.goes_on()
        for pid in cluster.pids("shorthorn-replica "):
            os.kill(pid, signal.SIGKILL)
        _await_epoch_after(cluster, name, epoch)
        recorder.goes_on(50)
    recorder.verify(recorder.path, name)
    assert not cluster.volume(name)["broken"]
    cluster.wait(lambda: state(cluster, name) == "attached healthy", "healthy")


def test_an_engine_killed_as_it_closes_is_detached_and_settled(cluster: Cluster, volumes: Volumes) -> None:
    """Nobody holds it, so no new session comes; its replicas are made equal without one (L1, S10)."""
    name = volumes.attached()
    with volumes.recorder(name) as recorder:
        recorder.goes_on(50)
    engine = cluster.engine(name)
    os.kill(engine, signal.SIGSTOP)
    cluster.cli("volume", "detach", name, "--no-wait")
    assert state(cluster, name) == "detaching healthy"
    os.kill(engine, signal.SIGKILL)
    cluster.wait(lambda: cluster.volume(name)["state"] == "detached", "detached")
    cluster.wait(lambda: bool(cluster.volume(name)["settled"]), "settled")
    cluster.rest()
    assert state(cluster, name) == "detached healthy"
    assert sessions(cluster, name) == 1
    cluster.cli("volume", "attach", name, "--node", "n3")
    recorder.verify(socket_of(cluster.endpoint(name)), name)


def test_a_killed_up_leaves_everything_running_and_the_next_takes_over(
    cluster: Cluster, volumes: Volumes
) -> None:
    name = volumes.attached()
    epoch, programs = cluster.volume(name)["epoch"], _programs(cluster)
    with volumes.recorder(name) as recorder:
        recorder.goes_on()
        cluster.kill_up()
        recorder.goes_on(50)
        cluster.cli("status")
        cluster.up()
        cluster.wait(lambda: state(cluster, name) == "attached healthy", "attached and healthy")
        recorder.goes_on()
    assert recorder.reconnects == 0
    assert recorder.longest_s < STALL_S
    assert cluster.volume(name)["epoch"] == epoch
    assert _programs(cluster) == programs


def test_ctrl_c_closes_sessions_cleanly_and_leaves_nothing(folder: Path) -> None:
    data = folder / "interrupted"
    with Cluster(data, nodes=3, disk_size="64MiB") as cluster:
        name = Volumes(cluster).attached(size="8MiB")
        with Volumes(cluster).recorder(name) as recorder:
            recorder.goes_on()
        cluster.interrupt()
        assert cluster.pids(".") == []
        assert not (data / "server.json").exists()
        assert not (data / "store.sqlite-wal").exists()
        assert not list(data.glob("nodes/*/nbd/*"))
        cluster.up()
        lines = [e["line"] for e in cluster.get(f"/v1/volumes/{name}/history")["events"]]
        assert any("closed clean" in line for line in lines)
        cluster.wait(lambda: state(cluster, name) == "attached healthy", "held again, as it was")
        recorder.verify(socket_of(cluster.endpoint(name)), name)


def test_down_ends_what_a_killed_up_left(folder: Path) -> None:
    data = folder / "killed"
    with Cluster(data, nodes=3, disk_size="64MiB") as cluster:
        name = Volumes(cluster).attached(size="8MiB")
        cluster.kill_up()
        assert cluster.pids("shorthorn-engine")
        said = cluster.cli("down").stdout
        assert "nothing of the cluster" in said
        assert cluster.pids(".") == []
        cluster.up()
        lines = [e["line"] for e in cluster.get(f"/v1/volumes/{name}/history")["events"]]
        assert any("closed clean" in line for line in lines)
        assert not any("unclean" in line for line in lines)


def _await_epoch_after(cluster: Cluster, name: str, epoch: int) -> None:
    cluster.wait(lambda: bool(cluster.volume(name)["epoch"] > epoch), "a new epoch")


def _programs(cluster: Cluster) -> list[int]:
    return cluster.pids("shorthorn-(engine|replica) ")
