"""The demo: what Shorthorn is for, in a few minutes, with real programs. Exit 0 only if every step held.

Each step prints one line with real times and amounts. The clients are foreign: nbdcopy, fio, QEMU's storage daemon,
e2fsck; they are told nothing but the NBD endpoint. Run by `make demo`.
"""

import filecmp
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.cluster import Cluster
from tests.support.programs import program, run

SIZE = "1GiB"
NAME = "demo"
FIO_WRITES, FIO_WRITES_PER_S = 24_576, 3_000
"""fio writes at this rate, so that programs are killed in the middle of it, then reads all back as fast as it can."""


class Steps:
    """Prints the steps, numbered, with the time that each took."""

    def __init__(self) -> None:
        self._number = 0

    @contextmanager
    def step(self, title: str) -> Iterator[list[str]]:
        """One step; what is appended to the list is its result."""
        self._number += 1
        began = time.monotonic()
        result: list[str] = []
        print(f"{self._number:>2}. {title} … ", end="", flush=True)
        try:
            yield result
        except BaseException:
            print("FAILED", flush=True)
            raise
        print(f"{'; '.join(result)} ({time.monotonic() - began:.1f} s)", flush=True)


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
        result.append(_state(cluster))
    with steps.step("copy an ext4 file system with a file tree into it with nbdcopy, detach") as result:
        image, tree = _file_system(folder)
        took = _timed(lambda: run("nbdcopy", "--flush", image, cluster.endpoint(NAME), timeout_s=120))
        cluster.cli("volume", "detach", NAME)
        files = sum(1 for path in tree.rglob("*") if path.is_file())
        result.append(f"{files} files, {_data(image):.0f} MiB of data in {took:.1f} s; {_state(cluster)}")
    _evict(cluster, steps)
    with steps.step("attach at n3, read everything back, check the file system, compare the files") as result:
        cluster.cli("volume", "attach", NAME, "--node", "n3")
        result.append(_read_back(cluster, folder, image, tree))
    _kill(cluster, folder, steps)
    with steps.step("detach; what is recorded against what runs") as result:
        cluster.cli("volume", "detach", NAME)
        cluster.rest()
        result.append(cluster.cli("check").stdout.strip())
        result.append(_state(cluster))


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
        _check(_state(cluster).startswith("detached"), f"the volume stays detached, not {_state(cluster)}")
        _check(_sessions(cluster) == sessions, "no session was started")
        result.append(f"blocked: {line}; {_state(cluster)}; journal at rest at {end}")
    with steps.step("add n4: the replica moves n2 → n4 without any session") as result:
        cluster.add_node("n4")
        took = cluster.wait(
            lambda: _nodes(cluster) == ["n1", "n3", "n4"] and not _replicas(cluster, "n2"), "n2 is empty", 60
        )
        cluster.rest()
        _check(_sessions(cluster) == sessions, "the history shows no new session")
        _check(_state(cluster) == "detached healthy", f"detached and healthy, not {_state(cluster)}")
        result.append(
            f"moved in {took:.1f} s; replicas on {', '.join(_nodes(cluster))}; sessions since: 0; n2 is empty"
        )


def _kill(cluster: Cluster, folder: Path, steps: Steps) -> None:
    with (
        steps.step(
            "fio writes and verifies; kill -9 of the engine: the hold goes on under a new epoch"
        ) as result,
        _storage_daemon(cluster, folder) as uri,
    ):
        fio = _fio(folder, uri)
        epoch = cluster.volume(NAME)["epoch"]
        time.sleep(FIO_WRITES / FIO_WRITES_PER_S / 4)  # fio is to be in the middle of its writes
        os.kill(cluster.engine(NAME), signal.SIGKILL)
        took = cluster.wait(lambda: _serves(cluster, epoch), "a session with a new epoch is open", 60)
        result.append(f"epoch {epoch} → {cluster.volume(NAME)['epoch']} in {took:.1f} s; {_finish(fio)}")
    with steps.step("fio again; kill -9 of server and agents: I/O goes on, they find it again") as result:
        epoch = cluster.volume(NAME)["epoch"]
        fio = _fio(folder, cluster.endpoint(NAME))
        victims = cluster.pids(r"shorthorn (server|node) ")
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        cluster.start_node("n4")  # `up` starts its own again
        took = cluster.wait(
            lambda: _state(cluster).startswith("attached healthy"), "attached and healthy again", 60
        )
        _check(fio.poll() is None, "fio still writes")
        result.append(f"{len(victims)} processes killed, back after {took:.1f} s; {_finish(fio)}")
        _check(cluster.volume(NAME)["epoch"] == epoch, "the session is the same")


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
    took = _timed(lambda: run("nbdcopy", cluster.endpoint(NAME), back, timeout_s=120))
    run("e2fsck", "-fn", back, timeout_s=60)
    _check(filecmp.cmp(image, back, shallow=False), "the image is the same, byte for byte")
    files.mkdir()
    run("debugfs", "-R", f"rdump / {files}", back, timeout_s=60)
    count = 0
    for path in tree.rglob("*"):
        if path.is_file() and not path.is_symlink():
            _check(
                filecmp.cmp(path, files / path.relative_to(tree), shallow=False), f"{path.name} is the same"
            )
            count += 1
    return f"{_data(back):.0f} MiB of data in {took:.1f} s, e2fsck clean, {count} files identical"


@contextmanager
def _storage_daemon(cluster: Cluster, folder: Path) -> Iterator[str]:
    """QEMU's NBD client with reconnection between fio and the volume, as a virtual machine would use it."""
    path = cluster.endpoint(NAME).partition("socket=")[2]
    socket = folder / "qsd.sock"
    command = [
        program("qemu-storage-daemon"),
        "--blockdev",
        f"driver=nbd,node-name=volume,server.type=unix,server.path={path},export={NAME},reconnect-delay=60",
        "--nbd-server",
        f"addr.type=unix,addr.path={socket}",
        "--export",
        "type=nbd,id=export,node-name=volume,name=volume,writable=on",
    ]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as daemon:
        try:
            cluster.wait(socket.exists, "QEMU's storage daemon serves", 20)
            yield f"nbd+unix:///volume?socket={socket}"
        finally:
            daemon.terminate()


def _fio(folder: Path, uri: str) -> subprocess.Popen[str]:
    """Fio writes 4 KiB blocks at depth 16, flushing now and then, then verifies all that it wrote."""
    job = [
        "--name=demo",
        "--ioengine=nbd",
        f"--uri={uri}",
        "--rw=randwrite",
        "--bs=4k",
        "--iodepth=16",
        f"--size={FIO_WRITES * 4}k",
    ]
    job += [
        "--fsync=256",
        "--verify=crc32c",
        "--verify_fatal=1",
        "--do_verify=1",
        f"--rate_iops=1000000,{FIO_WRITES_PER_S}",
    ]
    job += ["--thread", "--output-format=json", f"--aux-path={folder}"]
    return subprocess.Popen(
        [program("fio"), *job],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _finish(fio: subprocess.Popen[str]) -> str:
    output, _ = fio.communicate(timeout=90)
    _check(fio.returncode == 0, f"fio ends without an error:\n{output}")
    job = json.loads(output[output.index("{") :])["jobs"][0]
    written, read = job["write"]["total_ios"], job["read"]["total_ios"]
    _check(job["error"] == 0 and written > 0 and read > 0, f"fio wrote and verified:\n{output}")
    return f"{written} writes, {read} blocks verified, no error"


def _serves(cluster: Cluster, epoch: int) -> bool:
    volume = cluster.volume(NAME)
    return bool(volume["epoch"] > epoch and volume["state"] == "attached")


def _state(cluster: Cluster) -> str:
    volume = cluster.volume(NAME)
    return f"{volume['state']} {volume['health']}"


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


def _timed(action: Callable[[], object]) -> float:
    began = time.monotonic()
    action()
    return max(time.monotonic() - began, 0.001)


def _check(holds: bool, what: str) -> None:
    """A step's claim. Raises `AssertionError` when it does not hold."""
    if not holds:
        raise AssertionError(f"the demo expected: {what}")


if __name__ == "__main__":
    sys.exit(main())
