"""The wheel alone, without compiler or checkout, serves a volume that a foreign client writes and reads.

The story of README.md, "A first volume by hand", told to an installation.
"""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.packaging.conftest import Installation
from tests.support.programs import run

pytestmark = [pytest.mark.serial, pytest.mark.timeout(180)]

UP_S_MAX = 60.0
DOWN_S_MAX = 30.0
COMMAND_S_MAX = 60.0
MIB = 1 << 20


class Cluster:
    """`shorthorn up` of the installation, and its command line."""

    def __init__(self, installation: Installation, folder: Path) -> None:
        self._installation = installation
        self._data = folder / "data"
        self._environment = {**installation.environment, "SHORTHORN_MUTANT": "no-epoch-check"}
        self._log = folder / "up.log"
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [self._program, "up", "--nodes", "1", "--data", self._data, "--listen", "127.0.0.1:0"],
                env=self._environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def _program(self) -> Path:
        return self._installation.folder / "bin" / "shorthorn"

    def try_command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._program, *arguments, "--data", self._data, "--output", "json"],
            env=self._environment,
            cwd=self._data.parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_S_MAX,
            check=False,
        )

    def command(self, *arguments: str) -> Any:
        done = self.try_command(*arguments)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}\n{self._log.read_text()}"
        return json.loads(done.stdout)

    def wait_until_up(self) -> None:
        end = time.monotonic() + UP_S_MAX
        while '"reachable"' not in (last := self.try_command("node", "list")).stdout:
            assert self.process.poll() is None, self._log.read_text()
            assert time.monotonic() < end, f"{last.stderr}\n{self._log.read_text()}"
            time.sleep(0.2)

    def end(self) -> int:
        """Ctrl-C, as a person ends it."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(DOWN_S_MAX)


@pytest.fixture
def cluster(installation: Installation) -> Iterator[Cluster]:
    with TemporaryDirectory(prefix="shorthorn-") as folder:  # short, for the paths of its sockets
        cluster = Cluster(installation, Path(folder))
        try:
            cluster.wait_until_up()
            yield cluster
        finally:
            if cluster.process.poll() is None:
                cluster.end()


def test_no_compiler_and_no_checkout_can_be_reached(installation: Installation) -> None:
    path = installation.environment["PATH"]
    assert [
        name for name in ("gcc", "cc", "cargo", "rustc", "maturin", "git") if shutil.which(name, path=path)
    ] == []


def test_a_volume_is_written_and_read_back(cluster: Cluster, tmp_path: Path) -> None:
    wrote, read = tmp_path / "wrote", tmp_path / "read"
    wrote.write_bytes(os.urandom(8 * MIB))
    cluster.command("volume", "create", "v1", "--size", "8MiB", "--replicas", "1")
    endpoint = cluster.command("volume", "attach", "v1", "--node", "n1", "--wait")["endpoint"]
    run("nbdcopy", "--flush", wrote, endpoint, timeout_s=60)
    run("nbdcopy", endpoint, read, timeout_s=60)
    assert read.read_bytes() == wrote.read_bytes()
    cluster.command("volume", "detach", "v1", "--wait")
    assert cluster.command("volume", "show", "v1")["state"] == "detached"
    assert cluster.end() == 0
