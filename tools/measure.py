"""The figures of README.md: fio against an attached volume and against `nbdkit file`, side by side in one run.

Everything (clients, servers, all programs of the cluster) on one CPU, data on tmpfs, three rounds interleaved, medians:
on a shared machine ratios are what can be trusted. Run by `make measure`; asserts nothing.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from tests.support.cluster import Cluster
from tests.support.programs import program, run

ROUNDS = 3
SECONDS = 2
SIZE = 512 * 2**20
JOBS = (
    ("4k write, depth 1", "randwrite", "4k", 1),
    ("4k write, depth 32", "randwrite", "4k", 32),
    ("4k read, depth 1", "randread", "4k", 1),
    ("4k read, depth 32", "randread", "4k", 32),
    ("1 MiB write, depth 8", "write", "1m", 8),
    ("1 MiB read, depth 8", "read", "1m", 8),
)


def main() -> int:
    """Measure and print a table in Markdown."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    folder = Path(tempfile.mkdtemp(prefix="shorthorn-measure-", dir="/dev/shm"))
    try:
        with ExitStack() as stack:
            cluster = stack.enter_context(Cluster(folder / "data", nodes=3, disk_size="4GiB"))
            targets = {
                "nbdkit file, one copy": stack.enter_context(_nbdkit(folder)),
                "one replica": _volume(cluster, "one", 1),
                "three replicas": _volume(cluster, "three", 3),
            }
            for uri in targets.values():
                _fill(uri)
            _report(targets, _measure(targets, folder))
    finally:
        shutil.rmtree(folder)
    return 0


def _measure(
    targets: dict[str, str], folder: Path
) -> dict[tuple[str, str], list[tuple[float, float, float]]]:
    """(job, target) → of each round: operations a second, median latency in µs, CPU µs an operation of all processes."""
    rows: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    for _ in range(ROUNDS):
        for name, kind, size, depth in JOBS:
            for target, uri in targets.items():
                rows.setdefault((name, target), []).append(_job(uri, kind, size, depth, folder))
    return rows


def _job(uri: str, kind: str, size: str, depth: int, folder: Path) -> tuple[float, float, float]:
    before = _busy_s()
    done = run(
        "fio",
        "--name=job",
        "--ioengine=nbd",
        f"--uri={uri}",
        f"--rw={kind}",
        f"--bs={size}",
        f"--iodepth={depth}",
        f"--size={SIZE}",
        "--norandommap",
        "--randrepeat=0",
        "--thread",
        "--time_based",
        f"--runtime={SECONDS}",
        "--output-format=json",
        f"--aux-path={folder}",
        timeout_s=60,
    )
    busy = _busy_s() - before
    job = json.loads(done.stdout[done.stdout.index("{") :])["jobs"][0]
    side = job["read" if "read" in kind else "write"]
    return (
        side["iops"],
        side["clat_ns"]["percentile"]["50.000000"] / 1000,
        busy / max(side["total_ios"], 1) * 1e6,
    )


def _busy_s() -> float:
    """CPU seconds that the pinned CPU has been busy, whoever with."""
    cpu = min(os.sched_getaffinity(0))
    for line in Path("/proc/stat").read_text().splitlines():
        fields = line.split()
        if fields[0] == f"cpu{cpu}":
            user, nice, system, _idle, _iowait, irq, softirq = map(int, fields[1:8])
            return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
    raise AssertionError("/proc/stat does not name the CPU")


def _report(targets: dict[str, str], rows: dict[tuple[str, str], list[tuple[float, float, float]]]) -> None:
    machine = next(
        (line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), ""
    )
    print(
        f"Measured {datetime.now(UTC):%Y-%m-%d}, {machine.partition(': ')[2]}, {ROUNDS} rounds of {SECONDS} s, medians.\n"
    )
    print("| job | " + " | ".join(targets) + " |")
    print("| --- |" + " --- |" * len(targets))
    for name, _kind, size, _depth in JOBS:
        cells = []
        for target in targets:
            rounds = rows[name, target]
            iops, p50, cpu = (statistics.median(column) for column in zip(*rounds, strict=True))
            speed = f"{iops:.0f} MiB/s" if size == "1m" else f"{iops / 1000:.1f}k/s"
            cells.append(f"{speed}, p50 {p50:.0f} µs, CPU {cpu:.0f} µs")
        print(f"| {name} | " + " | ".join(cells) + " |")


def _volume(cluster: Cluster, name: str, replicas: int) -> str:
    cluster.cli("volume", "create", name, "--size", f"{SIZE}B", "--replicas", str(replicas), "--wait")
    node = cluster.volume(name)["replicas"][0]["node"]
    cluster.cli("volume", "attach", name, "--node", node)
    return cluster.endpoint(name)


@contextmanager
def _nbdkit(folder: Path) -> Iterator[str]:
    """`nbdkit file` on a file of the same size."""
    path, socket = folder / "file", folder / "nbdkit.sock"
    with path.open("wb") as file:
        file.truncate(SIZE)
    with subprocess.Popen([program("nbdkit"), "-f", "-U", str(socket), "file", str(path)]) as server:
        try:
            _until(socket.exists, "nbdkit serves")
            yield f"nbd+unix:///?socket={socket}"
        finally:
            server.terminate()


def _fill(uri: str) -> None:
    """Write everything once: what is measured is no first touch."""
    run(
        "fio",
        "--name=fill",
        "--ioengine=nbd",
        f"--uri={uri}",
        "--rw=write",
        "--bs=1m",
        "--iodepth=4",
        f"--size={SIZE}",
        timeout_s=120,
    )


def _until(condition: Callable[[], bool], what: str, bound_s: float = 10) -> None:
    end = time.monotonic() + bound_s
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


if __name__ == "__main__":
    sys.exit(main())
