"""What a cluster costs while nobody uses it, and what its programs keep in memory (docs/design.md, "idle-free").

Three nodes and ten attached volumes. The time is that of the processors, as /proc counts it for each process, so it
does not depend on how busy the machine is; the memory is PSS. SHORTHORN_LONG=1 measures for as long as the project's
claim says: rest 30 s, look for 60 s, fio for 10 minutes.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.volumes import Volumes, state
from tests.support.cluster import Cluster
from tests.support.programs import run

pytestmark = pytest.mark.serial

LONG = os.environ.get("SHORTHORN_LONG") == "1"
REST_S, LOOK_S, FIO_S = (30, 60, 600) if LONG else (10, 20, 20)
CPU_S_PER_MINUTE = 1.2
PSS_MAX = 40 * 2**20
VOLUMES = 10
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@pytest.fixture(scope="module")
def busy(cluster: Cluster) -> Iterator[list[str]]:
    """Ten attached volumes, spread over the nodes."""
    volumes = Volumes(cluster)
    yield [volumes.attached(node=f"n{1 + i % 3}", size="64MiB") for i in range(VOLUMES)]
    volumes.delete()


@pytest.mark.timeout(REST_S + LOOK_S + 240)
def test_a_cluster_at_rest_takes_next_to_no_processor_time(
    cluster: Cluster,
    busy: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    cluster.rest()
    time.sleep(REST_S)
    before, began = _cpu_s(cluster), time.monotonic()
    time.sleep(LOOK_S)
    after, took_s = _cpu_s(cluster), time.monotonic() - began
    assert after.keys() == before.keys(), "a process ended or began while nobody did anything"
    used = {pid: after[pid] - before[pid] for pid in after}
    a_minute = sum(used.values()) * 60 / took_s
    lines = [
        f"{used[pid]:6.2f} s  {_command(pid)}"
        for pid in sorted(used, key=lambda p: -used[p])
        if used[pid] > 0
    ]
    with capsys.disabled():
        print(f"\nidle: {a_minute:.2f} s of processor time a minute, {len(used)} processes", end="")
    assert a_minute < CPU_S_PER_MINUTE, "\n".join(lines)
    assert all(state(cluster, name) == "attached healthy" for name in busy)


@pytest.mark.timeout(FIO_S + 240)
def test_programs_stay_small(
    cluster: Cluster,
    busy: list[str],
    folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """At rest, and after fio at depth 32 with large and small blocks."""
    _check_pss(cluster)
    for name, sizes in ((busy[0], "4k-4k"), (busy[1], "512k-512k"), (busy[2], "512-64k")):
        job = ["--name=job", "--ioengine=nbd", f"--uri={cluster.endpoint(name)}", "--rw=randrw", "--size=48m"]
        job += [
            f"--bsrange={sizes}",
            "--iodepth=32",
            "--time_based",
            f"--runtime={FIO_S // 3}",
            "--fsync=256",
        ]
        run("fio", *job, "--thread", "--output-format=terse", f"--aux-path={folder}", timeout_s=FIO_S + 60)
    pss = _check_pss(cluster)
    largest = max(pss.values()) / 2**20
    with capsys.disabled():
        print(f"\nlargest PSS of an engine or replica program after fio: {largest:.1f} MiB", end="")


def _check_pss(cluster: Cluster) -> dict[str, int]:
    pss = {f"{pid} {_command(pid)}": _pss(pid) for pid in cluster.pids("shorthorn-(engine|replica) ")}
    assert len(pss) == VOLUMES + 3
    large = [f"{size / 2**20:.1f} MiB {who}" for who, size in pss.items() if size >= PSS_MAX]
    assert not large, "\n".join(large)
    return pss


def _pss(pid: int) -> int:
    """Proportional set size: bytes of memory, shared pages divided among those who share them."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"no Pss of process {pid}")


def _cpu_s(cluster: Cluster) -> dict[int, float]:
    """User and system time so far of every process of the cluster, its children that ended included."""
    times = {}
    for pid in cluster.pids("."):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        times[pid] = sum(int(field) for field in fields[11:15]) * TICK_S
    return times


def _command(pid: int) -> str:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    return " ".join(word.rpartition("/")[2] if word.startswith("/") else word for word in words)[:100]
