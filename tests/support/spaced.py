"""A cluster whose server and nodes are hosts of their own network: partitions are real, and a program that dies stays dead until it is started.

Disks are small file systems in memory where this user may mount, so that they can be full.
"""

import contextlib
import errno
import http.client
import json
import os
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support.apart import ApartCluster
from tests.support.cluster import START_S
from tests.support.namespaces import Network

SERVER = "server"
CALL_S = 30.0


class CallRefused(AssertionError):
    """The API has answered, and it was no."""

    def __init__(self, what: str, status: int) -> None:
        super().__init__(what)
        self.status = status


class SpacedCluster(ApartCluster):
    """Hosts are `server`, n1, n2, …; `environment` is added to that of every program."""

    def __init__(
        self,
        data: Path,
        network: Network,
        nodes: int,
        disk_size: str,
        shorthorn: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(data, nodes, disk_size, shorthorn)
        self.dark: set[str] = set()
        self._network = network
        self._environment = environment or {}
        self._port = _free_port(network.address(SERVER)) if not network.cuts else 7420

    @property
    def names(self) -> tuple[str, ...]:
        """Of the nodes."""
        return tuple(f"n{i}" for i in range(1, self._nodes + 1))

    @property
    def url(self) -> str:
        """Of the API, whether or not it answers."""
        return f"http://{self._network.address(SERVER)}:{self._port}"

    def start_server(self) -> None:
        """Start it and wait until it answers."""
        listen = f"{self._network.address(SERVER)}:{self._port}"
        self._server = self._start(
            SERVER, "server", "--data", str(self.data), "--listen", listen, "--insecure-network"
        )
        self.wait(lambda: bool(self.get("/v1/status")), "the server answers", START_S)

    def start_node(self, name: str, boot: int | None = None) -> None:
        """Start a node's agent."""
        self._boots[name] = boot or self._boots.get(name, 1)
        listen = f"{self._network.address(name)}:0"
        arguments = ["node", "--join", self.url, "--name", name, "--data", str(self.data)]
        arguments += ["--boot-id", f"boot-{name}-{self._boots[name]}", "--disk-size", str(self._disk_size)]
        self._agents[name] = self._start(name, *arguments, "--listen", listen, "--insecure-network")

    def lose_power(self, *names: str) -> None:
        """As for every cluster; an agent that had died by itself just before is no less dark."""
        for name in names:
            self._agents.setdefault(name, _ended())
        super().lose_power(*names)

    def revive(self) -> None:
        """Start what has ended, the server first, but for what is to be dark."""
        assert self._server is not None
        if SERVER not in self.dark and self._server.poll() is not None:
            self.start_server()
        for name in self.names:
            process = self._agents.get(name)
            if name not in self.dark and (process is None or process.poll() is not None):
                self.start_node(name)

    def agent(self, name: str) -> list[int]:
        """The pid of a node's agent, if it runs."""
        process = self._agents.get(name)
        return [process.pid] if process is not None and process.poll() is None else []

    def server(self) -> list[int]:
        """The pid of the server, if it runs."""
        return [self._server.pid] if self._server is not None and self._server.poll() is None else []

    def of_node(self, name: str) -> list[int]:
        return [*self.agent(name), *self.pids(rf"shorthorn-(engine|replica) .*nodes/{name}/")]

    def cli(
        self, *arguments: str, check: bool = True, timeout_s: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run one command where the server is."""
        own, self._shorthorn = self._shorthorn, (*self._network.command(SERVER), *self._shorthorn)
        try:
            return super().cli(*arguments, check=check, timeout_s=timeout_s)
        finally:
            self._shorthorn = own

    def get(self, path: str) -> Any:
        """The API's answer."""
        return self.call("GET", path)

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Any call of the API, from where the server is. Raises `CallRefused`, or `AssertionError` when nobody answers."""
        where = self._network.address(SERVER), self._port
        connection = http.client.HTTPConnection(*where, timeout=CALL_S)
        try:
            connection.sock = self._network.connect(SERVER, where, CALL_S)
            connection.request(method, path, None if body is None else json.dumps(body).encode())
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise AssertionError(f"{method} {path}: {error!r}") from error
        finally:
            connection.close()
        if answer.status >= 400:
            why = f"{method} {path}: {answer.status} {text.decode(errors='replace')}"
            raise CallRefused(why, answer.status)
        return json.loads(text) if text else None

    def end(self) -> None:
        """As for every cluster; a server that is not there would leave the agents nobody to close their sessions."""
        self.dark.clear()
        if self._server is not None:
            with contextlib.suppress(AssertionError):  # told by what is left
                self.revive()
        super().end()

    def disk(self, node: str) -> Path:
        """A node's disk."""
        return self.data / "nodes" / node / "disks" / "d1"

    def _start(self, log: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.data / f"{log}.log").open("ab") as file:
            return subprocess.Popen(
                [*self._network.command(log), *self._shorthorn, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                process_group=0,
                env={**os.environ, **self._environment},
            )


def why_no_small_disks(folder: Path) -> str:
    """Why this user may not mount one; empty when it may. Mounts one to see."""
    try:
        with small_disk(folder / "probe", 1):
            return ""
    except subprocess.CalledProcessError as error:
        return str(error.stderr).strip()


@contextlib.contextmanager
def small_disk(path: Path, mib: int) -> Iterator[None]:
    """A file system in memory. Raises `CalledProcessError` where this user may not mount."""
    path.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "none", str(path)]
    subprocess.run(mount, check=True, capture_output=True, text=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def fill(disk: Path) -> None:
    """Take all space that a disk has left."""
    with (disk / "ballast").open("wb", buffering=0) as file:
        for size in (1 << 20, 4096):
            with contextlib.suppress(_NoSpace):
                while True:
                    _write(file.fileno(), size)


def empty(disk: Path) -> None:
    """Give it back."""
    (disk / "ballast").unlink(missing_ok=True)


class _NoSpace(Exception):
    """Not an error here: the aim."""


def _write(file: int, size: int) -> None:
    try:
        if os.write(file, bytes(size)) < size:
            raise _NoSpace
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise _NoSpace from error


def _ended() -> subprocess.Popen[bytes]:
    """A process that has ended, to stand for one that was waited for."""
    process = subprocess.Popen(["true"], stdin=subprocess.DEVNULL)
    process.wait()
    return process


def _free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])
