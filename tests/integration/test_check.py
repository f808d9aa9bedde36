"""`shorthorn check` on a live cluster: quiet when all is as recorded, whatever is attached; it says what it can't see."""

import os
import signal

import pytest

from tests.integration.volumes import Volumes, state
from tests.support.cluster import Cluster

pytestmark = pytest.mark.serial


def test_what_runs_is_what_is_recorded(cluster: Cluster, volumes: Volumes) -> None:
    """Attached, detached, settled after a crash, evicted from: never a difference, and the exit code says so."""
    held, let_go = volumes.attached(node="n1"), volumes.create(replicas=2)
    cluster.cli("volume", "attach", let_go, "--node", "n2")
    os.kill(cluster.engine(let_go), signal.SIGKILL)
    cluster.wait(lambda: state(cluster, let_go) == "attached healthy", "a new session")
    cluster.cli("volume", "detach", let_go)
    cluster.cli("node", "evict", "n2")
    cluster.wait(lambda: "n2" not in {r["node"] for r in cluster.volume(let_go)["replicas"]}, "it has moved")
    cluster.cli("node", "evict", "n2", "--cancel")
    cluster.wait(lambda: state(cluster, held) == "attached healthy", "the other one, too")
    done = cluster.cli("check")
    assert done.stdout == "no difference between what is recorded and what runs\n"
    assert cluster.json("check") == {"findings": [], "unknown": []}


def test_a_node_that_is_not_heard_is_unknown_and_no_difference(cluster: Cluster, volumes: Volumes) -> None:
    name = volumes.create()
    with cluster.stopped(lambda: cluster.pids("shorthorn node .*--name n3 ")):
        cluster.wait(lambda: cluster.node("n3")["reach"] == "unreachable", "n3 is not heard")
        answer = cluster.json("check")
    assert answer["findings"] == []
    replica = next(r["id"] for r in cluster.volume(name)["replicas"] if r["node"] == "n3")
    assert "node n3 is not reachable" in answer["unknown"]
    assert f"{name}: replica {replica} on n3, which is not reachable" in answer["unknown"]


def test_a_difference_is_one_line_and_exit_code_1(cluster: Cluster, volumes: Volumes) -> None:
    """Its engine was killed while the agent stands still and can't say so; the record goes on until it can."""
    name = volumes.attached(node="n1")
    replica = next(r for r in cluster.volume(name)["replicas"] if r["node"] == "n2")
    program = cluster.pids("shorthorn-replica .*nodes/n2/")
    with cluster.stopped(lambda: cluster.pids("shorthorn node .*--name n1 ")):
        for pid in program:
            os.kill(pid, signal.SIGKILL)
        cluster.wait(
            lambda: cluster.pids("shorthorn-replica .*nodes/n2/") not in ([], program), "it runs again"
        )
        cluster.wait(
            lambda: bool(cluster.get("/v1/check")["findings"]), "in-sync by the record, open by nobody", 20
        )
        done = cluster.cli("check", check=False)
        answer = cluster.cli("check", "--output", "json", check=False)
    line = f"{name}: replica {replica['id']} on n2: it is in-sync in session"
    assert (done.returncode, answer.returncode) == (1, 1)
    assert f"differs: {line}" in done.stdout
    assert line in answer.stdout
    cluster.wait(lambda: state(cluster, name) == "attached healthy", "it comes back")
    cluster.wait(lambda: not cluster.get("/v1/check")["findings"], "no difference any more")
