"""A real cluster of real processes on this machine, driven as a user would: through the command line.

For integration tests and the demo. Ends what it started and nothing else.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

START_S = 60.0
STOP_S = 120.0


class Cluster:
    """`shorthorn up` in `data`, and more nodes beside it. A context manager: everything ends with the block."""

    def __init__(
        self, data: Path, nodes: int = 3, disk_size: str | None = None, shorthorn: Sequence[str] = ()
    ) -> None:
        """`shorthorn` is how the command is called, by default that of this interpreter."""
        self.data = data
        self._nodes = nodes
        self._disk_size = disk_size
        self._shorthorn = tuple(shorthorn) or (sys.executable, "-m", "shorthorn")
        self._up: subprocess.Popen[bytes] | None = None
        self._agents: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        """Start it and wait until every node is heard."""
        try:
            self.up()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        """End everything."""
        self.end()

    def up(self) -> None:
        """Start `shorthorn up`, on a free port, and wait until every node is heard."""
        self.data.mkdir(parents=True, exist_ok=True)
        command = [*self._shorthorn, "up", "--nodes", str(self._nodes), "--listen", "127.0.0.1:0"]
        command += ["--data", str(self.data)]
        if self._disk_size is not None:
            command += ["--disk-size", self._disk_size]
        with (self.data / "up.log").open("ab") as log:
            self._up = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0
            )
        self.wait(lambda: self._serves() and self._reachable() >= self._nodes, "every node is heard", START_S)

    def end(self) -> None:
        """End everything cleanly, as Ctrl-C does, then what `down` still finds, which is also what runs beside `up`.

        Raises `AssertionError` when something is left; it is killed then.
        """
        if self._up is not None:
            _stop(self._up, signal.SIGINT)
        down = self.cli("down", check=False, timeout_s=2 * STOP_S)
        for process in self._agents.values():
            _stop(process, signal.SIGINT)
        left = self.pids(".")
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert not left, f"{len(left)} processes were left: {down.stdout}{down.stderr}\n{self.logs()}"

    def interrupt(self) -> None:
        """Ctrl-C on `shorthorn up`, and wait for its end. Raises `AssertionError` unless it ended with 0."""
        assert self._up is not None
        _stop(self._up, signal.SIGINT)
        assert self._up.returncode == 0, f"`shorthorn up` ended with {self._up.returncode}\n{self.logs()}"

    def kill_up(self) -> None:
        """kill -9 of `shorthorn up` itself; the cluster runs on."""
        assert self._up is not None
        self._up.kill()
        self._up.wait()

    def add_node(self, name: str) -> None:
        """Run one more node beside those of `up`, and wait until it is heard."""
        before = self._reachable()
        self.start_node(name)
        self.wait(lambda: self._reachable() > before, f"node {name} is heard", START_S)

    def start_node(self, name: str) -> None:
        """Start a node's agent beside those of `up`: a new node's, or again after it was killed."""
        command = [*self._shorthorn, "node", "--join", self.url, "--name", name, "--data", str(self.data)]
        if self._disk_size is not None:
            command += ["--disk-size", self._disk_size]
        with (self.data / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0
            )
        if (old := self._agents.get(name)) is not None:
            old.wait(STOP_S)
        self._agents[name] = process

    @property
    def url(self) -> str:
        """Of the API."""
        return str(json.loads((self.data / "server.json").read_text())["url"])

    def cli(
        self, *arguments: str, check: bool = True, timeout_s: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run one command as a user would. Raises `AssertionError` with its output when it fails."""
        env = {key: value for key, value in os.environ.items() if not key.startswith("SHORTHORN_")}
        done = subprocess.run(
            [*self._shorthorn, *arguments, "--data", str(self.data)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            env=env,
        )
        if check and done.returncode != 0:
            raise AssertionError(
                f"shorthorn {' '.join(arguments)}: exit {done.returncode}\n{done.stdout}{done.stderr}"
            )
        return done

    def json(self, *arguments: str) -> Any:
        """The answer of a command with `--output json`."""
        return json.loads(self.cli(*arguments, "--output", "json").stdout)

    def get(self, path: str) -> Any:
        """The API's answer. For looking often: a command takes a second on a busy machine."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=30) as answer:
                return json.load(answer)
        except OSError as error:
            raise AssertionError(f"GET {path}: {error}") from error

    def volume(self, name: str) -> dict[str, Any]:
        """What is shown of a volume."""
        shown: dict[str, Any] = self.get(f"/v1/volumes/{name}")
        return shown

    def node(self, name: str) -> dict[str, Any]:
        """What is shown of a node."""
        shown: dict[str, Any] = self.get(f"/v1/nodes/{name}")
        return shown

    def endpoint(self, name: str) -> str:
        """The NBD URI of an attached volume."""
        endpoint = self.volume(name)["endpoint"]
        assert isinstance(endpoint, str)
        return endpoint

    def wait(self, condition: Callable[[], bool], what: str, timeout_s: float = 60) -> float:
        """Ask again until it holds; returns the seconds that it took. Raises `AssertionError` after the bound."""
        began = time.monotonic()
        while time.monotonic() - began < timeout_s:
            if self._up is not None and self._up.poll() is not None and self._up.returncode not in (0, -9):
                raise AssertionError(f"`shorthorn up` ended with {self._up.returncode}\n{self.logs()}")
            try:
                if condition():
                    return time.monotonic() - began
            except (AssertionError, FileNotFoundError, KeyError):
                pass  # not there yet, or the server is just away: the bound tells
            time.sleep(0.1)
        raise AssertionError(f"not within {timeout_s:g} s: {what}\n{self.logs()}")

    def rest(self, quiet_s: float = 1.5, timeout_s: float = 60) -> int:
        """Wait until the journal has not grown for `quiet_s`; returns its end."""
        began = quiet_since = time.monotonic()
        end = -1
        while time.monotonic() - quiet_since < quiet_s:
            assert time.monotonic() - began < timeout_s, f"the journal still grows after {timeout_s:g} s"
            now = int(self.get("/v1/status")["journal_end"])
            if now != end:
                end, quiet_since = now, time.monotonic()
            time.sleep(0.1)
        return end

    def pids(self, pattern: str) -> list[int]:
        """Processes of this cluster whose command line matches: it must also name the data folder."""
        found = []
        for process in Path("/proc").iterdir():
            if not process.name.isdecimal() or int(process.name) == os.getpid():
                continue
            try:
                line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(self.data) in line and re.search(pattern, line):
                found.append(int(process.name))
        return sorted(found)

    def of_node(self, name: str) -> list[int]:
        """Every program of a node: agent, engines, replica programs. Not its clients, whose paths name it, too."""
        return self.pids(rf"shorthorn node .*--name {name} |shorthorn-(engine|replica) .*nodes/{name}/")

    def kill(self, pattern: str, number: signal.Signals = signal.SIGKILL) -> list[int]:
        """Signal every process of this cluster whose command line matches; there must be one. Their pids."""
        victims = self.pids(pattern)
        assert victims, f"no process of this cluster matches {pattern}"
        for pid in victims:
            os.kill(pid, number)
        return victims

    @contextlib.contextmanager
    def stopped(self, which: Callable[[], Sequence[int]]) -> Iterator[list[int]]:
        """SIGSTOP these processes, and what they have started by then; SIGCONT them at the block's end, however it ends."""
        stopped: list[int] = []
        try:
            while new := [pid for pid in which() if pid not in stopped]:
                stopped += new
                for pid in new:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGSTOP)
            yield stopped
        finally:
            for pid in stopped:
                with contextlib.suppress(ProcessLookupError):  # it was killed while it stood
                    os.kill(pid, signal.SIGCONT)

    def setting(self, name: str, value: str) -> None:
        """Change a setting of the cluster; a session keeps those that it started with."""
        self.cli("setting", "set", name, value)

    def engine(self, name: str) -> int:
        """The pid of a volume's engine."""
        volume = self.volume(name)
        pids = self.pids(rf"shorthorn-engine .*{volume['uid']}\.{volume['epoch']}/")
        assert len(pids) == 1, f"engines of {name} in epoch {volume['epoch']}: {pids}"
        return pids[0]

    def layers(self, node: str, volume: str) -> list[Path]:
        """The data and checksum files of a volume's replica on a node."""
        replica = next(r["id"] for r in self.volume(volume)["replicas"] if r["node"] == node)
        return sorted((self.data / "nodes" / node / "disks" / "d1").glob(f"**/{replica}/layers/*"))

    def logs(self, lines: int = 15) -> str:
        """The ends of all logs, for a failure's message."""
        parts = []
        for path in sorted([*self.data.glob("*.log"), *self.data.glob("nodes/*/**/*log")]):
            text = path.read_text(errors="replace").splitlines()
            parts.append(f"--- {path.relative_to(self.data)}\n" + "\n".join(text[-lines:]))
        return "\n".join(parts)

    def _serves(self) -> bool:
        """Whether the server is that of our `shorthorn up`, not one that it is about to end."""
        assert self._up is not None
        pid = json.loads((self.data / "server.json").read_text())["pid"]
        return f"\nPPid:\t{self._up.pid}\n" in Path(f"/proc/{pid}/status").read_text()

    def _reachable(self) -> int:
        return int(self.get("/v1/status")["nodes"].get("reachable", 0))


def lives(pid: int) -> bool:
    """Not even as a zombie that waits for its parent."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def _stop(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    if process.poll() is None:
        process.send_signal(number)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise AssertionError(
            f"{process.args!r} did not end within {STOP_S:g} s after {number.name}"
        ) from None
