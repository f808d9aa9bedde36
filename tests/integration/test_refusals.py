"""Bad input: exit 1 and one clear line on standard error (2 for a wrong command line), and nothing has changed."""

import json
import sqlite3
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.integration.volumes import Volumes, state
from tests.support.cluster import Cluster
from tests.support.crc32c import crc32c
from tests.support.nbd import NbdClient, socket_of

SLOT = 4096


@pytest.fixture(scope="module")
def held(cluster: Cluster) -> Iterator[str]:
    """A volume held at n1."""
    volumes = Volumes(cluster)
    yield volumes.attached(size="8MiB")
    volumes.delete()


def refused(cluster: Cluster, *arguments: str) -> str:
    """The one line; checks that nothing has changed: whatever does is in the journal before the answer."""
    before = cluster.rest(quiet_s=0.3)
    line = one_line(cluster.cli(*arguments, check=False))
    assert cluster.get("/v1/status")["journal_end"] == before, f"the journal grew: {line}"
    return line


def one_line(done: subprocess.CompletedProcess[str], code: int = 1) -> str:
    assert done.returncode == code, (done.stdout, done.stderr)
    assert done.stdout == ""
    assert done.stderr.startswith("shorthorn: ")
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    return done.stderr.removeprefix("shorthorn: ").strip()


@pytest.mark.parametrize(
    ("size", "why"),
    [
        ("0", "a volume of 0 bytes is not possible"),
        ("-4096", "is not a size"),
        ("5000", "not a multiple of 4 KiB"),
        ("1.5GiBs", "is not a size"),
        ("65TiB", "more than a volume may have"),
        ("8EiB", "is not a size"),
        ("", "is not a size"),
    ],
)
def test_bad_sizes(cluster: Cluster, size: str, why: str) -> None:
    assert why in refused(cluster, "volume", "create", "bad", f"--size={size}")


@pytest.mark.parametrize("name", ["Upper", "under_score", "dash-", "a" * 64, "a/b", "ü", " ", ""])
def test_bad_volume_names(cluster: Cluster, name: str) -> None:
    assert "is no name for a volume" in refused(cluster, "volume", "create", name, "--size", "8MiB")


@pytest.mark.parametrize("replicas", ["0", "-1", "17", "two"])
def test_bad_numbers_of_replicas(cluster: Cluster, replicas: str) -> None:
    said = refused(cluster, "volume", "create", "bad", "--size", "8MiB", f"--replicas={replicas}")
    assert "replicas" in said


def test_a_name_that_is_taken(cluster: Cluster, held: str) -> None:
    assert held in refused(cluster, "volume", "create", held, "--size", "8MiB")


def test_shrinking(cluster: Cluster, held: str) -> None:
    assert "never shrinks" in refused(cluster, "volume", "expand", held, "--size", "4MiB")


def test_a_data_folder_whose_path_is_too_long_for_sockets(tmp_path: Path) -> None:
    """`up` started its agents again and again, each with the reason in a log that nobody reads."""
    data = tmp_path / ("x" * 60)
    done = Cluster(data).cli("up", "--listen", "127.0.0.1:0", check=False)
    assert "choose a shorter data folder" in one_line(done)
    assert not data.exists()


def test_more_than_the_disks_may_commit(cluster: Cluster) -> None:
    assert "2 GiB left to commit" in refused(cluster, "volume", "create", "toolarge", "--size", "2GiB")


@pytest.mark.parametrize(
    "arguments",
    [
        ("volume", "show", "nosuch"),
        ("volume", "history", "nosuch"),
        ("volume", "explain", "nosuch"),
        ("volume", "delete", "nosuch"),
        ("volume", "expand", "nosuch", "--size", "8MiB"),
        ("volume", "attach", "nosuch", "--node", "n1"),
        ("volume", "detach", "nosuch"),
        ("node", "show", "nosuch"),
        ("node", "cordon", "nosuch"),
        ("node", "uncordon", "nosuch"),
        ("node", "evict", "nosuch"),
        ("node", "evict", "nosuch", "--cancel"),
    ],
    ids=" ".join,
)
def test_unknown_volumes_and_nodes(cluster: Cluster, arguments: tuple[str, ...]) -> None:
    said = refused(cluster, *arguments)
    assert "there is no" in said
    assert "nosuch" in said


def test_attaching_at_an_unknown_node(cluster: Cluster, volumes: Volumes) -> None:
    name = volumes.create(size="8MiB")
    assert "there is no node nosuch" in refused(cluster, "volume", "attach", name, "--node", "nosuch")


def test_attaching_at_a_second_node_names_the_first(cluster: Cluster, held: str) -> None:
    said = refused(cluster, "volume", "attach", held, "--node", "n2", "--holder", "other")
    assert "held at n1 by manual" in said
    assert "held at n1 by manual" in refused(cluster, "volume", "attach", held, "--node", "n2")


def test_deleting_a_held_volume_names_the_holder(cluster: Cluster, held: str) -> None:
    said = refused(cluster, "volume", "delete", held)
    assert "held" in said
    assert "manual" in said
    assert state(cluster, held) == "attached healthy"


@pytest.mark.parametrize("holder", ["", "two words", "x" * 254, "new\nline"])
def test_bad_holders(cluster: Cluster, volumes: Volumes, held: str, holder: str) -> None:
    refused(cluster, "volume", "attach", held, "--node", "n1", "--holder", holder)


def test_detaching_who_does_not_hold_is_no_error(cluster: Cluster, held: str) -> None:
    before = cluster.rest(quiet_s=0.5)
    cluster.cli("volume", "detach", held, "--holder", "nobody")
    assert cluster.rest(quiet_s=0.5) == before
    assert state(cluster, held) == "attached healthy"


def test_an_error_is_a_json_value_for_programs(cluster: Cluster) -> None:
    done = cluster.cli("volume", "show", "nosuch", "--output", "json", check=False)
    assert done.returncode == 1
    assert json.loads(done.stdout) == {
        "error": {"code": "not_found", "message": "there is no volume named nosuch"}
    }


@pytest.mark.parametrize(
    "arguments",
    [
        ("nosuch",),
        ("volume", "nosuch"),
        ("volume", "create", "v"),
        ("volume", "create", "-dash", "--size", "8MiB"),
        ("volume", "create", "v", "--size", "8MiB", "--nosuch"),
        ("volume", "attach", "v"),
        ("volume", "show"),
        ("node", "evict"),
        ("up", "--nodes", "three"),
        ("status", "--output", "yaml"),
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_exits_with_2(cluster: Cluster, arguments: tuple[str, ...]) -> None:
    assert "--help" in one_line(cluster.cli(*arguments, check=False), code=2)


def test_a_second_up_on_the_same_folder(cluster: Cluster) -> None:
    assert "another `shorthorn up` runs on" in refused(cluster, "up", "--listen", "127.0.0.1:0")


def test_a_second_server_on_the_same_folder(cluster: Cluster) -> None:
    assert "another server runs on" in refused(cluster, "server", "--listen", "127.0.0.1:0")


def test_a_second_agent_of_a_node(cluster: Cluster) -> None:
    said = refused(cluster, "node", "--join", cluster.url, "--name", "n1")
    assert "an agent already runs in" in said


def test_a_port_in_use(cluster: Cluster, folder: Path) -> None:
    """Nothing is left of the cluster that could not start."""
    address = cluster.url.removeprefix("http://")
    for command in ("up", "server"):
        other = Cluster(folder / f"other-{command}")
        said = one_line(other.cli(command, "--listen", address, check=False))
        assert f"cannot listen on {address}" in said
        assert "--listen" in said
        assert other.pids(".") == []


@pytest.mark.parametrize("address", ["0.0.0.0:0", "nonsense", "127.0.0.1:65536", "127.0.0.1:-1"])
def test_addresses_that_are_not_taken(cluster: Cluster, address: str, tmp_path: Path) -> None:
    other = Cluster(tmp_path / "data")
    one_line(other.cli("server", f"--listen={address}", check=False))
    one_line(other.cli("node", "--join", cluster.url, "--name", "x", f"--listen={address}", check=False))


def test_commands_without_a_cluster(tmp_path: Path) -> None:
    other = Cluster(tmp_path / "data")
    assert "no server is known" in one_line(other.cli("status", check=False))
    assert "nothing of the cluster" in other.cli("down").stdout


def _newer_json(path: Path) -> None:
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"format": content["format"] + 1}))


def _newer_store(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        version = database.execute("PRAGMA user_version").fetchone()[0]
        assert version > 0
        database.execute(f"PRAGMA user_version = {version + 1}")


def _newer_header(path: Path) -> None:
    """Both slots as a newer program would leave them; see docs/formats/disk.md."""
    with path.open("r+b") as file:
        for at in (0, SLOT):
            file.seek(at)
            slot = bytearray(file.read(SLOT))
            struct.pack_into("<II", slot, 8, 2, 0)
            struct.pack_into("<I", slot, 12, crc32c(bytes(slot)))
            file.seek(at)
            file.write(slot)


@pytest.fixture(scope="module")
def stopped(folder: Path) -> Path:
    """The data folder of a cluster of one node with one volume, ended."""
    data = folder / "stopped"
    with Cluster(data, nodes=1, disk_size="64MiB") as cluster:
        name = Volumes(cluster).attached(size="8MiB", replicas=1)
        with NbdClient(socket_of(cluster.endpoint(name))) as client:
            client.write(0, b"x" * 4096)
    return data


@pytest.mark.parametrize(
    ("file", "newer"),
    [
        ("store.sqlite", _newer_store),
        ("nodes/n1/node.json", _newer_json),
        ("nodes/n1/disks/d1/disk.json", _newer_json),
    ],
    ids=["store", "node", "disk"],
)
def test_a_newer_format_is_refused_with_one_line_and_nothing_changes(
    stopped: Path, file: str, newer: Callable[[Path], None]
) -> None:
    path = stopped / file
    known = path.read_bytes()
    try:
        newer(path)
        before = _content(stopped)
        cluster = Cluster(stopped)
        agent = ("node", "--join", "http://127.0.0.1:1", "--name", "n1")
        said = one_line(
            cluster.cli(*(("server",) if newer is _newer_store else agent), check=False, timeout_s=30)
        )
        assert path.name in said
        assert "format" in said
        assert _content(stopped) == before
        assert cluster.pids(".") == []
    finally:
        path.write_bytes(known)


def _content(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_replica_of_a_newer_format_is_named_and_not_touched(stopped: Path) -> None:
    header = next(stopped.glob("nodes/n1/disks/d1/**/header"))
    known = header.read_bytes()
    _newer_header(header)
    newer = header.read_bytes()
    with Cluster(stopped, nodes=1, disk_size="64MiB") as cluster:
        name = cluster.get("/v1/volumes")["volumes"][0]["name"]
        cluster.wait(lambda: "format" in cluster.volume(name)["replicas"][0]["seen"], "the format is named")
        assert cluster.volume(name)["health"] == "faulted"
        cluster.rest()
        assert header.read_bytes() == newer
    header.write_bytes(known)
    with Cluster(stopped, nodes=1, disk_size="64MiB") as cluster:
        cluster.wait(lambda: state(cluster, name).endswith("healthy"), "the volume is whole again")
