"""A cluster whose server and nodes are processes of their own, so that one node alone can lose power.

A power loss is the death of all programs of a node at once, and another boot id when it comes back. What the page cache
held is still there then; a test that needs it gone puts older files in the place of the node's layers.
"""

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.support.cluster import START_S, Cluster, lives


class ApartCluster(Cluster):
    """`shorthorn server` and a `shorthorn node` each for n1, n2, …"""

    def __init__(
        self, data: Path, nodes: int = 3, disk_size: str | None = None, shorthorn: Sequence[str] = ()
    ) -> None:
        super().__init__(data, nodes, disk_size, shorthorn)
        self._server: subprocess.Popen[bytes] | None = None
        self._boots: dict[str, int] = {}

    def up(self) -> None:
        """Start the server and all nodes; wait until each is heard."""
        self.data.mkdir(parents=True, exist_ok=True)
        self.start_server()
        for i in range(1, self._nodes + 1):
            self.start_node(f"n{i}")
        self.wait(lambda: self._reachable() >= self._nodes, "every node is heard", START_S)

    def start_server(self) -> None:
        """Start it on a free port, later on the same, since the nodes know it by that."""
        known = self.data / "port"
        port = known.read_text() if known.exists() else "0"
        self._server = self._start(
            "server", "server", "--data", str(self.data), "--listen", f"127.0.0.1:{port}"
        )
        self.wait(lambda: bool(self.get("/v1/status")), "the server answers", START_S)
        known.write_text(self.url.rpartition(":")[2])

    def boot(self, name: str) -> int:
        """How often a node was started, by its boot id."""
        return self._boots[name]

    def kill_server(self) -> None:
        """kill -9; `start_server` starts it again."""
        assert self._server is not None
        self._server.kill()
        self._server.wait()

    def kill_agent(self, name: str) -> None:
        """kill -9 of a node's agent alone; `start_node` starts it again."""
        self._agents[name].kill()
        self._agents.pop(name).wait()

    def start_node(self, name: str, boot: int | None = None) -> None:
        """Start a node's agent; after `lose_power` under another boot id, unless `boot` says otherwise."""
        self._boots[name] = boot or self._boots.get(name, 1)
        arguments = ["node", "--join", self.url, "--name", name, "--data", str(self.data)]
        arguments += ["--boot-id", f"boot-{name}-{self._boots[name]}"]
        if self._disk_size is not None:
            arguments += ["--disk-size", self._disk_size]
        self._agents[name] = self._start(name, *arguments)

    def lose_power(self, *names: str) -> None:
        """Everything of these nodes dies at once."""
        victims = [pid for name in names for pid in self.of_node(name)]
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        for name in names:
            self._agents.pop(name).wait()
            self._boots[name] += 1
        self.wait(lambda: not any(lives(pid) for pid in victims), f"{', '.join(names)} are dark", 10)

    def start_dark(self) -> None:
        """Start every node that is dark, and wait until all are heard."""
        for name in sorted(self._boots):
            if name not in self._agents:
                self.start_node(name)
        self.wait(lambda: self._reachable() >= len(self._boots), "every node is heard", START_S)

    def end(self) -> None:
        """As for every cluster, and the server with it."""
        super().end()
        if self._server is not None:
            self._server.wait(START_S)

    def _start(self, log: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.data / f"{log}.log").open("ab") as file:
            return subprocess.Popen(
                [*self._shorthorn, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                process_group=0,
            )
