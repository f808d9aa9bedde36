"""A real server process on a free loopback port, for the tests of the faces."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


class Server:
    """`shorthorn server` in a folder of its own."""

    def __init__(self, data: Path) -> None:
        self.data = data
        command = [
            sys.executable,
            "-m",
            "shorthorn",
            "server",
            "--data",
            str(data),
            "--listen",
            "127.0.0.1:0",
        ]
        self._log = (data / "log").open("wb")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log)

    def wait(self) -> None:
        """Until it answers; fails with its log."""
        end = time.monotonic() + 30
        while not (self.data / "server.json").exists():
            assert self.process.poll() is None, (self.data / "log").read_text()
            assert time.monotonic() < end, (self.data / "log").read_text()
            time.sleep(0.02)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        host, port = (
            json.loads((self.data / "server.json").read_text())["url"].removeprefix("http://").split(":")
        )
        return host, int(port)

    def end(self) -> None:
        """As an operator ends it."""
        self.process.terminate()
        self.process.wait(30)
        self._log.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for a module's tests."""
    server = Server(tmp_path_factory.mktemp("server"))
    try:
        server.wait()
        yield server
    finally:
        server.end()


@pytest.fixture(scope="session")
def run_shorthorn() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run one command to its end, as a user would."""

    def run(*arguments: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "shorthorn", *arguments]
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s, check=False
        )

    return run
