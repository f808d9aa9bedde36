"""Foreign NBD clients against an attached volume with three replicas: they are told nothing but the endpoint."""

import filecmp
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.volumes import Volumes
from tests.support.cluster import Cluster
from tests.support.nbd import NbdClient, socket_of
from tests.support.programs import run

MIB = 2**20
SIZE = 32 * MIB


@pytest.fixture(scope="module")
def shared(cluster: Cluster) -> Iterator[str]:
    volumes = Volumes(cluster)
    yield cluster.endpoint(volumes.attached(size="32MiB"))
    volumes.delete()


@pytest.fixture
def uri(shared: str) -> str:
    """Of a volume that reads as zeroes."""
    with NbdClient(socket_of(shared)) as client:
        client.trim(0, SIZE)
    return shared


@pytest.fixture(scope="module")
def image(folder: Path) -> Path:
    """Data, holes and zeroes."""
    path = folder / "image"
    with path.open("wb") as file:
        file.write(random.Random(1).randbytes(3 * MIB + 512))
        file.seek(20 * MIB + 1000)
        file.write(random.Random(2).randbytes(MIB))
        file.truncate(SIZE)
    return path


def test_nbdinfo_shows_size_flags_and_block_sizes(uri: str) -> None:
    shown = json.loads(run("nbdinfo", "--json", uri, timeout_s=20).stdout)
    export = shown["exports"][0]
    assert (shown["protocol"], shown["structured"]) == ("newstyle-fixed", True)
    assert export["export-size"] == SIZE
    assert not export["is_read_only"]
    assert all(export[f"can_{what}"] for what in ("flush", "fua", "multi_conn", "trim", "zero"))
    assert export["contexts"] == ["base:allocation"]
    sizes = [export[f"block_size_{kind}"] for kind in ("minimum", "preferred", "maximum")]
    assert sizes == [1, 4096, 32 * MIB]


def test_nbdinfo_lists_the_one_export(uri: str) -> None:
    listed = json.loads(run("nbdinfo", "--list", "--json", uri, timeout_s=20).stdout)
    assert [export["export-name"] for export in listed["exports"]] == [
        uri.partition("///")[2].partition("?")[0]
    ]


def test_nbdinfo_maps_what_is_allocated(uri: str) -> None:
    assert _data_bytes(uri) == 0
    run("qemu-io", "-f", "raw", "-c", "write -P 7 1M 64k", uri, timeout_s=20)
    assert _data_bytes(uri) == 64 * 1024
    run("qemu-io", "-f", "raw", "-c", "discard 1M 32k", uri, timeout_s=20)
    assert _data_bytes(uri) == 32 * 1024


def test_nbdcopy_copies_in_and_out(uri: str, image: Path, tmp_path: Path) -> None:
    run("nbdcopy", "--flush", image, uri, timeout_s=60)
    run("nbdcopy", uri, tmp_path / "back", timeout_s=60)
    assert filecmp.cmp(image, tmp_path / "back", shallow=False)


def test_qemu_img_converts_compares_and_maps(uri: str, image: Path, tmp_path: Path) -> None:
    info = json.loads(run("qemu-img", "info", "--output=json", uri, timeout_s=20).stdout)
    assert info["virtual-size"] == SIZE
    run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", image, uri, timeout_s=60)
    run("qemu-img", "compare", "-f", "raw", "-F", "raw", image, uri, timeout_s=60)
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", uri, tmp_path / "back.qcow2", timeout_s=60)
    run("qemu-img", "compare", "-f", "raw", "-F", "qcow2", image, tmp_path / "back.qcow2", timeout_s=60)
    extents = json.loads(run("qemu-img", "map", "-f", "raw", "--output=json", uri, timeout_s=20).stdout)
    assert sum(e["length"] for e in extents) == SIZE
    data = [e for e in extents if e["data"]]
    assert 4 * MIB <= sum(e["length"] for e in data) < 5 * MIB
    changed = run("qemu-io", "-f", "raw", "-c", "write -P 1 16M 512", uri, timeout_s=20)
    assert "wrote 512/512" in changed.stdout
    differs = run("qemu-img", "compare", "-f", "raw", "-F", "raw", image, uri, timeout_s=60, check=False)
    assert differs.returncode == 1
    assert f"offset {16 * MIB}" in differs.stdout


def test_qemu_io_writes_reads_discards_and_zeroes(uri: str) -> None:
    said = _qemu_io(
        uri,
        "write -P 0x11 0 64k",
        "write -f -P 0x22 8k 4k",
        "write -z 16k 8k",
        "write -z -u 32k 8k",
        "discard 48k 8k",
        "flush",
        "read -P 0x11 0 8k",
        "read -P 0x22 8k 4k",
        "read -P 0x11 12k 4k",
        "read -P 0 16k 8k",
        "read -P 0x11 24k 8k",
        "read -P 0 32k 8k",
        "read -P 0x11 40k 8k",
        "read -P 0 48k 8k",
        "read -P 0x11 56k 8k",
    )
    assert "failed" not in said


def test_requests_need_no_alignment(uri: str) -> None:
    """Bytes around them stay, in every combination of edges."""
    rand = random.Random(3)
    expected = bytearray(64 * 1024)
    with NbdClient(socket_of(uri)) as client:
        for _ in range(150):
            offset = rand.randrange(len(expected))
            length = rand.randrange(1, min(20_000, len(expected) - offset) + 1)
            if rand.random() < 0.2:
                client.trim(offset, length)
                expected[offset : offset + length] = bytes(length)
            else:
                data = rand.randbytes(length)
                client.write(offset, data, fua=rand.random() < 0.2)
                expected[offset : offset + length] = data
            at = rand.randrange(len(expected))
            assert client.read(at, len(expected) - at) == expected[at:]


def test_the_last_bytes_can_be_written_and_nothing_beyond(uri: str) -> None:
    said = _qemu_io(uri, f"write -P 5 {SIZE - 512} 512", f"read -P 5 {SIZE - 512} 512")
    assert "failed" not in said
    beyond = run(
        "qemu-io", "-f", "raw", "-c", f"write -P 5 {SIZE - 512} 1024", uri, timeout_s=20, check=False
    )
    assert beyond.returncode != 0


@pytest.mark.parametrize("depth", [1, 32])
def test_fio_writes_and_verifies(uri: str, depth: int, tmp_path: Path) -> None:
    job = _fio(uri, tmp_path, "--rw=randwrite", "--bs=4k", f"--iodepth={depth}", "--size=8m", "--fsync=128")
    assert job["write"]["total_ios"] == job["read"]["total_ios"] == 2048


def test_fio_mixes_sizes_that_are_no_blocks(uri: str, tmp_path: Path) -> None:
    mixed = ("--rw=randrw", "--bsrange=512-16k", "--bs_unaligned=0", "--blockalign=512", "--iodepth=32")
    job = _fio(uri, tmp_path, *mixed, "--size=6m", "--fsync=64")
    assert job["write"]["total_ios"] > 0
    assert job["read"]["total_ios"] > job["write"]["total_ios"]


def test_fio_verifies_what_another_run_wrote(uri: str, tmp_path: Path) -> None:
    write = ("--rw=write", "--bs=512", "--iodepth=32", "--size=1m")
    _fio(uri, tmp_path, *write, "--do_verify=0", "--end_fsync=1")
    job = _fio(uri, tmp_path, *write, "--verify_only")
    assert job["read"]["total_ios"] == 2048


def test_two_clients_see_each_others_writes_at_once(uri: str) -> None:
    """Multi-conn: what one has been told is written, the other reads, and a flush of either covers both."""
    with NbdClient(socket_of(uri)) as one, NbdClient(socket_of(uri)) as other:
        for number in range(50):
            data = bytes([number + 1]) * 4096
            writer, reader = (one, other) if number % 2 else (other, one)
            writer.write(number % 7 * 4096, data)
            reader.flush()
            assert reader.read(number % 7 * 4096, 4096) == data


def test_a_read_only_holder_reads_and_cannot_write(cluster: Cluster, volumes: Volumes) -> None:
    name = volumes.attached(size="8MiB")
    run("qemu-io", "-f", "raw", "-c", "write -P 9 0 4k", cluster.endpoint(name), timeout_s=20)
    cluster.cli("volume", "detach", name)
    cluster.cli("volume", "attach", name, "--node", "n2", "--read-only")
    uri = cluster.endpoint(name)
    assert json.loads(run("nbdinfo", "--json", uri, timeout_s=20).stdout)["exports"][0]["is_read_only"]
    assert "failed" not in run("qemu-io", "-r", "-f", "raw", "-c", "read -P 9 0 4k", uri, timeout_s=20).stdout
    with NbdClient(socket_of(uri)) as client, pytest.raises(Exception, match=r"NBD error 1$"):
        client.write(0, bytes(4096))


def _data_bytes(uri: str) -> int:
    """How many bytes block status calls data."""
    extents = json.loads(run("nbdinfo", "--map", "--json", uri, timeout_s=20).stdout)
    assert sum(e["length"] for e in extents) == SIZE
    return sum(e["length"] for e in extents if e["type"] == 0)


def _qemu_io(uri: str, *commands: str) -> str:
    arguments = [argument for command in commands for argument in ("-c", command)]
    done = run("qemu-io", "-f", "raw", *arguments, uri, timeout_s=30)
    return done.stdout + done.stderr


def _fio(uri: str, folder: Path, *arguments: str) -> dict[str, Any]:
    """One job that verifies with crc32c; its figures."""
    common = ("--name=job", "--ioengine=nbd", f"--uri={uri}", "--thread", f"--aux-path={folder}")
    verify = ("--verify=crc32c", "--verify_fatal=1", "--do_verify=1", "--output-format=json", "--randseed=1")
    output = run("fio", *common, *verify, *arguments, timeout_s=120).stdout
    job: dict[str, Any] = json.loads(output[output.index("{") :])["jobs"][0]
    assert job["error"] == 0
    return job
