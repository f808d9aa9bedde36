"""What waits for fio says how far it is, and what it found."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.foreign import Fio
from tests.support.programs import program


@pytest.fixture
def uri(tmp_path: Path) -> Iterator[str]:
    """A foreign server of 64 MiB; every block of it changes after a while in the server's file."""
    socket, disk = tmp_path / "s", tmp_path / "disk"
    with disk.open("wb") as file:
        file.truncate(64 << 20)
    with subprocess.Popen([program("nbdkit"), "-f", "-U", str(socket), "file", str(disk)]) as server:
        began = time.monotonic()
        while not socket.exists():
            assert time.monotonic() - began < 20
            time.sleep(0.02)
        yield f"nbd+unix:///?socket={socket}"
        server.terminate()


def test_a_job_is_followed_and_ends(uri: str, tmp_path: Path) -> None:
    with Fio(tmp_path, uri, writes=2000, writes_per_s=2000) as fio:
        assert fio.goes_on(200, 20) > 0
        assert fio.runs
        assert 0 < fio.figures().written < 2000
        assert fio.finish() == (2000, 2000)
    with Fio(tmp_path, uri, writes=2000, writes_per_s=2000, only_verify=True) as fio:
        assert fio.finish() == (0, 2000)


def test_damage_is_told(uri: str, tmp_path: Path) -> None:
    with Fio(tmp_path, uri, writes=1000, writes_per_s=1000) as fio:
        fio.goes_on(300, 20)
        with (tmp_path / "disk").open("r+b") as disk:
            disk.truncate(0)
            disk.truncate(64 << 20)
        with pytest.raises(AssertionError, match="verify"):
            fio.finish()
    with (
        Fio(tmp_path, uri, writes=1000, writes_per_s=1000, only_verify=True) as fio,
        pytest.raises(AssertionError, match="verify"),
    ):
        fio.finish()
