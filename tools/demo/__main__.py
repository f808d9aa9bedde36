"""The demo: what Shorthorn is for, in a few minutes, with real programs. Exit 0 only if every step held.

Each step prints one line with real times and amounts. The clients are foreign: nbdcopy, fio, QEMU's storage daemon,
e2fsck; they are told nothing but the NBD endpoint. Run by `make demo`.
"""

import filecmp
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.support.cluster import Cluster
from tests.support.foreign import Fio, storage_daemon
from tests.support.programs import run
from tools.demo.failures import lose_a_node, lose_a_replica
from tools.demo.steps import Steps, check, state, timed

SIZE = "1GiB"
NAME = "demo"
FIO_WRITES, FIO_WRITES_PER_S = 24_576, 3_000
"""fio writes at this rate, so that programs are killed in the middle of it, then reads all back as fast as it can."""


def main() -> int:
    """All steps."""
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="shorthorn-demo-"))
    steps = Steps()
    try:
        with Cluster(folder / "data", nodes=3, disk_size="8GiB") as cluster:
            _play(cluster, folder, steps)
    finally:
        shutil.rmtree(folder)
    print(f"all steps held, in {time.monotonic() - began:.0f} s")
    return 0


def _play(cluster: Cluster, folder: Path, steps: Steps) -> None:
    with steps.step("a cluster of three nodes, a 1 GiB volume with three replicas, attached at n1") as result:
        cluster.cli("volume", "create", NAME, "--size", SIZE, "--replicas", "3", "--wait")
        cluster.cli("volume", "attach", NAME, "--node", "n1")
        result.append(state(cluster, NAME))
    with steps.step("copy an ext4 file system with a file tree into it with nbdcopy, detach") as result:
        image, tree = _file_system(folder)
        took = timed(lambda: run("nbdcopy", "--flush", image, cluster.endpoint(NAME), timeout_s=120))
        cluster.cli("volume", "detach", NAME)
        files = sum(1 for path in tree.rglob("*") if path.is_file())
        result.append(
            f"{files} files, {_data(image):.0f} MiB of data in {took:.1f} s; {state(cluster, NAME)}"
        )
    _evict(cluster, steps)
    with steps.step("attach at n3, read everything back, check the file system, compare the files") as result:
        cluster.cli("volume", "attach", NAME, "--node", "n3")
        result.append(_read_back(cluster, folder, image, tree))
    _kill(cluster, folder, steps)
    lose_a_replica(cluster, folder, steps, NAME)
    lose_a_node(cluster, steps, NAME)
    with steps.step("detach; what is recorded against what runs") as result:
        cluster.cli("volume", "detach", NAME)
        cluster.rest()
        result.append(cluster.cli("check").stdout.strip())
        result.append(state(cluster, NAME))


def _evict(cluster: Cluster, steps: Steps) -> None:
    sessions = _sessions(cluster)
    with steps.step("cordon and evict n2: no place is left") as result:
        cluster.cli("node", "cordon", "n2")
        cluster.cli("node", "evict", "n2")
        cluster.wait(
            lambda: bool(_eviction(cluster)["eviction"] == "blocked"), "the eviction says blocked", 20
        )
        line = next(line for line in _eviction(cluster)["eviction_lines"] if NAME in line)
        end = cluster.rest(quiet_s=3)
        check(
            state(cluster, NAME).startswith("detached"),
            f"the volume stays detached, not {state(cluster, NAME)}",
        )
        check(_sessions(cluster) == sessions, "no session was started")
        result.append(f"blocked: {line}; {state(cluster, NAME)}; journal at rest at {end}")
    with steps.step("add n4: the replica moves n2 → n4 without any session") as result:
        cluster.add_node("n4")
        took = cluster.wait(
            lambda: _nodes(cluster) == ["n1", "n3", "n4"] and not _replicas(cluster, "n2"), "n2 is empty", 60
        )
        cluster.rest()
        check(_sessions(cluster) == sessions, "the history shows no new session")
        check(state(cluster, NAME) == "detached healthy", f"detached and healthy, not {state(cluster, NAME)}")
        result.append(
            f"moved in {took:.1f} s; replicas on {', '.join(_nodes(cluster))}; sessions since: 0; n2 is empty"
        )


def _kill(cluster: Cluster, folder: Path, steps: Steps) -> None:
    epoch = cluster.volume(NAME)["epoch"]
    with (
        steps.step(
            "fio writes and verifies; kill -9 of the engine: the hold goes on under a new epoch"
        ) as result,
        storage_daemon(cluster.endpoint(NAME), NAME, folder / "qsd.sock") as uri,
        _fio(folder, uri, seed=1) as fio,
    ):
        fio.goes_on(FIO_WRITES // 4)  # it is to be in the middle of its writes
        os.kill(cluster.engine(NAME), signal.SIGKILL)
        took = cluster.wait(lambda: _serves(cluster, epoch), "a session with a new epoch is open", 60)
        result.append(f"epoch {epoch} → {cluster.volume(NAME)['epoch']} in {took:.1f} s; {_finish(fio)}")
    epoch = cluster.volume(NAME)["epoch"]
    with (
        steps.step("fio again; kill -9 of server and agents: I/O goes on, they find it again") as result,
        _fio(folder, cluster.endpoint(NAME), seed=2) as fio,
    ):
        victims = cluster.kill(r"shorthorn (server|node) ")
        cluster.start_node("n4")  # `up` starts its own again
        took = cluster.wait(
            lambda: state(cluster, NAME).startswith("attached healthy"), "attached and healthy again", 60
        )
        check(fio.runs, "fio still writes")
        result.append(f"{len(victims)} processes killed, back after {took:.1f} s; {_finish(fio)}")
        check(cluster.volume(NAME)["epoch"] == epoch, "the session is the same")


def _file_system(folder: Path) -> tuple[Path, Path]:
    """An ext4 image that holds a copy of the Python library's folders of modules: some thousand files."""
    tree, image = folder / "tree", folder / "image"
    source = Path(os.__file__).parent
    shutil.copytree(
        source, tree, ignore=shutil.ignore_patterns("site-packages", "__pycache__", "test", "config-*", "*.a")
    )
    with image.open("wb") as file:
        file.truncate(2**30)
    run("mkfs.ext4", "-q", "-d", tree, image, timeout_s=60)
    return image, tree


def _read_back(cluster: Cluster, folder: Path, image: Path, tree: Path) -> str:
    back, files = folder / "back", folder / "files"
    took = timed(lambda: run("nbdcopy", cluster.endpoint(NAME), back, timeout_s=120))
    run("e2fsck", "-fn", back, timeout_s=60)
    check(filecmp.cmp(image, back, shallow=False), "the image is the same, byte for byte")
    files.mkdir()
    run("debugfs", "-R", f"rdump / {files}", back, timeout_s=60)
    count = 0
    for path in tree.rglob("*"):
        if path.is_file() and not path.is_symlink():
            check(
                filecmp.cmp(path, files / path.relative_to(tree), shallow=False), f"{path.name} is the same"
            )
            count += 1
    return f"{_data(back):.0f} MiB of data in {took:.1f} s, e2fsck clean, {count} files identical"


def _fio(folder: Path, uri: str, seed: int) -> Fio:
    return Fio(folder, uri, writes=FIO_WRITES, writes_per_s=FIO_WRITES_PER_S, seed=seed)


def _finish(fio: Fio) -> str:
    end = fio.finish()
    return f"{end.written} writes, {end.verified} blocks verified, no error"


def _serves(cluster: Cluster, epoch: int) -> bool:
    volume = cluster.volume(NAME)
    return bool(volume["epoch"] > epoch and volume["state"] == "attached")


def _nodes(cluster: Cluster) -> list[str]:
    return sorted(r["node"] for r in cluster.volume(NAME)["replicas"])


def _replicas(cluster: Cluster, node: str) -> int:
    return sum(int(disk["replicas"]) for disk in cluster.json("node", "show", node)["disks"])


def _eviction(cluster: Cluster) -> dict[str, Any]:
    shown: dict[str, Any] = cluster.json("node", "show", "n2")
    return shown


def _sessions(cluster: Cluster) -> int:
    return sum(
        1
        for event in cluster.json("volume", "history", NAME)["events"]
        if event["event"] == "session_started"
    )


def _data(image: Path) -> float:
    """MiB that the file really holds; the rest of it is holes."""
    return image.stat().st_blocks * 512 / 2**20


if __name__ == "__main__":
    sys.exit(main())
