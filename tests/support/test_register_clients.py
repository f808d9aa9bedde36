"""The clients go on against an honest server, come back to a new one, and tell of one that lies."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.nbd import BLOCK, NbdClient
from tests.support.programs import program
from tests.support.register_clients import RegisterClients, SawWrong, slots


@contextmanager
def serving(socket: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A foreign server at a socket."""
    command = [program("nbdkit"), "--foreground", "--unix", str(socket), *arguments]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            began = time.monotonic()
            while not socket.exists():
                assert time.monotonic() - began < 20, "nbdkit did not start"
                time.sleep(0.02)
            yield server
        finally:
            server.terminate()


def test_small_ranges_share_a_block_behind_the_whole_ones() -> None:
    assert slots(2, 8192, 2) == ((0, 4096), (8192, 4096), (16384, 512), (16896, 512))


def test_they_go_on_and_verify(tmp_path: Path) -> None:
    with serving(tmp_path / "s", "memory", "1M"):
        with RegisterClients(str(tmp_path / "s"), "", slots()) as clients:
            clients.goes_on(500)
        clients.verify(str(tmp_path / "s"), "")
    assert clients.errors == {}
    assert clients.counts["reconnects"] == 0
    assert all(clients.counts[kind] > 0 for kind in ("reads", "writes", "flushes", "trims"))


def test_they_come_back_to_a_server_that_kept_everything(tmp_path: Path) -> None:
    socket, disk = tmp_path / "s", tmp_path / "disk"
    disk.write_bytes(bytes(2**20))
    with serving(socket, "file", str(disk)) as server:
        clients = RegisterClients(str(socket), "", slots())
        with clients:
            clients.goes_on(100)
            server.kill()
            server.wait()
            socket.unlink()
            with serving(socket, "file", str(disk)):
                clients.goes_on(100)
        assert clients.counts["reconnects"] == 4


def test_they_tell_of_a_server_that_forgot(tmp_path: Path) -> None:
    """It was killed with everything that it held, and another one serves zeroes."""
    with pytest.raises(AssertionError, match="shows 0, allowed are"):
        _replace_a_server_by_an_empty_one(tmp_path / "s")


def _replace_a_server_by_an_empty_one(socket: Path) -> None:
    with (
        serving(socket, "memory", "1M") as server,
        RegisterClients(str(socket), "", slots()) as clients,
    ):
        clients.goes_on(200)
        server.kill()
        server.wait()
        socket.unlink()
        with serving(socket, "memory", "1M"):
            clients.goes_on(1000)


def test_they_tell_of_a_torn_block(tmp_path: Path) -> None:
    socket = tmp_path / "s"
    with serving(socket, "memory", "1M"):
        with RegisterClients(str(socket), "", slots()) as clients:
            clients.goes_on(100)
        with NbdClient(str(socket)) as client:
            client.write(0, b"x" * (BLOCK // 2))
        with pytest.raises(AssertionError, match="torn"):
            clients.verify(str(socket), "")


def test_errors_are_counted_and_no_acknowledgement(tmp_path: Path) -> None:
    """Every third write or so fails, and may have been done or not."""
    plugin = ("--filter=error", "memory", "1M", "error=EIO", "error-pwrite-rate=30%")
    with serving(tmp_path / "s", *plugin):
        with RegisterClients(str(tmp_path / "s"), "", slots()) as clients:
            clients.goes_on(400)
        clients.verify(str(tmp_path / "s"), "")
    assert list(clients.errors) == ["errors 5"]


def test_they_tell_when_nothing_goes_on(tmp_path: Path) -> None:
    with (
        serving(tmp_path / "s", "--filter=delay", "memory", "1M", "rdelay=3", "wdelay=3") as server,
        RegisterClients(str(tmp_path / "s"), "", slots()) as clients,
    ):
        clients.stands(still_s=0.5)
        with pytest.raises(AssertionError, match="did not go on"):
            clients.goes_on(timeout_s=0.5)
        server.kill()


def _moved(folder: Path, *, stay: int, ask: bool) -> None:
    """The old server goes on with a copy of its own, as an engine would that heard of no fence."""
    old, new = folder / "old", folder / "new"
    (folder / "a").write_bytes(bytes(2**20))
    with serving(old, "file", str(folder / "a")), RegisterClients(str(old), "", slots()) as clients:
        clients.goes_on(200)
        clients.move(str(folder / "nowhere"), stay=0)
        clients.all_cut()
        (folder / "b").write_bytes((folder / "a").read_bytes())
        with serving(new, "file", str(folder / "b")):
            if stay:
                clients.move(str(old))
                clients.goes_on(50)
            clients.move(str(new), stay=stay)
            clients.goes_on(400)
            if ask:
                clients.ask_old(str(old), 5)
            clients.leave_old_paths()
            clients.goes_on(100)


def test_they_move_all_together(tmp_path: Path) -> None:
    _moved(tmp_path, stay=0, ask=False)


def test_they_tell_of_an_old_server_that_shows_what_was_overwritten(tmp_path: Path) -> None:
    with pytest.raises(SawWrong, match="allowed are"):
        _moved(tmp_path, stay=0, ask=True)


def test_those_that_stay_tell_of_it_too(tmp_path: Path) -> None:
    with pytest.raises(SawWrong, match="allowed are"):
        _moved(tmp_path, stay=2, ask=False)
