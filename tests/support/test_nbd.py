"""The recorder goes on against an honest server, and tells when a read shows what nobody wrote."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.nbd import BLOCK, NbdClient, NbdError, Recorder, block_of, socket_of
from tests.support.programs import program


@contextmanager
def serving(path: Path, *plugin: str) -> Iterator[str]:
    """A foreign server at a socket."""
    socket = path / "s"
    command = [program("nbdkit"), "--foreground", "--unix", str(socket), *plugin]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as server:
        try:
            began = time.monotonic()
            while not socket.exists():
                assert time.monotonic() - began < 20, "nbdkit did not start"
                time.sleep(0.02)
            yield str(socket)
        finally:
            server.terminate()


def test_the_client_speaks_to_a_foreign_server(tmp_path: Path) -> None:
    with serving(tmp_path, "memory", "1M") as path, NbdClient(path) as client:
        assert client.size == 2**20
        client.write(4096, b"x" * 4096, fua=True)
        client.flush()
        assert client.read(4095, 2) == b"\0x"
        client.trim(4096, 4096)
        assert client.read(4096, 1) == b"\0"
        with pytest.raises(NbdError):
            client.read(2**20, 1)


def test_the_recorder_goes_on_and_verifies(tmp_path: Path) -> None:
    with serving(tmp_path, "memory", "1M") as path:
        with Recorder(path, "") as recorder:
            recorder.goes_on(100)
        recorder.verify(path, "")
    assert recorder.reconnects == 0


def test_the_recorder_tells_of_an_old_block(tmp_path: Path) -> None:
    with serving(tmp_path, "memory", "1M") as path:
        with Recorder(path, "") as recorder:
            recorder.goes_on(300)
        with NbdClient(path) as client:
            for block in range(Recorder.BLOCKS):
                client.write(block * BLOCK, block_of(0))
        with pytest.raises(AssertionError, match="shows 0, allowed are"):
            recorder.verify(path, "")


def test_the_recorder_tells_while_it_runs(tmp_path: Path) -> None:
    with (
        serving(tmp_path, "memory", "1M") as path,
        pytest.raises(AssertionError, match="shows 99999999, allowed are"),
        Recorder(path, "") as recorder,
    ):
        _overwrite_and_go_on(path, recorder)


def _overwrite_and_go_on(path: str, recorder: Recorder) -> None:
    with NbdClient(path) as client:
        for block in range(Recorder.BLOCKS):
            client.write(block * BLOCK, block_of(99999999))
    recorder.goes_on(1000)


def test_the_socket_of_an_endpoint_is_found() -> None:
    assert socket_of("nbd+unix:///v1?socket=/a%20b/c.sock") == "/a b/c.sock"
