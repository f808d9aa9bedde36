"""An embedded cluster: one server and some agents on this machine, started, watched and ended together.

Server and agents run in sessions of their own, so that a terminal's Ctrl-C reaches only this process, which then ends
the cluster in order: agents close their engines through the server, end their replica programs and themselves, the
server goes last. If this process is killed, everything runs on; the next one ends the old server and agents, which
interrupts no I/O, and starts its own, which find the engines and replica programs again.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from shorthorn.agent.node_folder import check_path
from shorthorn.errors import Invalid, NotNow, Unavailable
from shorthorn.links.local_files import FileLock, who_holds
from shorthorn.links.local_processes import LocalProcess, last_words
from shorthorn.ports.processes import ended_within
from shorthorn.serve import ServerOptions, listen

log = logging.getLogger(__name__)

NODES_MAX = 64
"""More agents than this on one machine is a mistake in the command line."""

START_S = 20.0
"""Bound on the start of the server."""

STOP_S = 60.0
"""Bound on the end of an agent with all its programs: longer than a session's close may take."""

BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0)
"""Before a process that ended by itself is started again."""

STEADY_S = 30.0
"""A process that ran this long starts again without delay."""


Say = Callable[[str], None]


class ClusterOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`data`: the folder of everything. `port` 0 takes a free port. `disk_size`: bytes, None: the file system's."""

    data: Path
    nodes: int = 3
    host: str = "127.0.0.1"
    port: int = 7420
    disk_size: int | None = None


class Child:
    """A process of ours that is started again whenever it ends by itself."""

    def __init__(self, name: str, command: Sequence[str], log_file: Path) -> None:
        self.name = name
        self._command = tuple(command)
        self._log_file = log_file
        self._process: LocalProcess | None = None

    async def keep_running(self) -> None:
        """Until cancelled; cancelling leaves the process as it is."""
        failures = 0
        while True:
            began = asyncio.get_running_loop().time()
            self._process = LocalProcess.start(self._command, self._log_file)
            log.info("%s runs, pid %d", self.name, self._process.pid)
            await self._process.ended()
            if asyncio.get_running_loop().time() - began >= STEADY_S:
                failures = 0
            delay = BACKOFF_S[min(failures, len(BACKOFF_S) - 1)]
            failures += 1
            log.warning(
                "%s ended: %s; starting it again in %g s", self.name, last_words(self._log_file), delay
            )
            await asyncio.sleep(delay)

    async def end(self, number: signal.Signals, bound_s: float) -> None:
        """Signal it and wait for its end; after the bound, kill it and say so."""
        if self._process is None or not self._process.running:
            return
        self._process.signal(number)
        if not await ended_within(self._process, bound_s):
            log.error("%s did not end within %g s; killing it", self.name, bound_s)
            self._process.signal(signal.SIGKILL)
            await self._process.ended()


async def run_cluster(options: ClusterOptions, say: Say) -> None:
    """Run until SIGINT or SIGTERM, then end everything; `say` gets a line for people now and then.

    Raises `Invalid`, `NotNow` or `Unavailable` when it can't start.
    """
    if not 1 <= options.nodes <= NODES_MAX:
        raise Invalid(f"--nodes must be from 1 to {NODES_MAX}, not {options.nodes}")
    check_path(options.data.resolve() / "nodes" / f"n{options.nodes}")
    options.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _only_one(options.data):
        await _end_old(options.data)
        port = _free_port(options)
        server = _server(options, port)
        agents = [
            _agent(options, f"n{i}", f"http://{options.host}:{port}") for i in range(1, options.nodes + 1)
        ]
        stop = _stop_signal()
        keepers = [asyncio.create_task(server.keep_running(), name="server")]
        try:
            await _answers(options, port, keepers[0], stop)
            keepers += [asyncio.create_task(agent.keep_running(), name=agent.name) for agent in agents]
            say(
                f"cluster of {options.nodes} nodes at http://{options.host}:{port}, data in {options.data}; Ctrl-C ends it"
            )
            await _first(stop, *keepers)
        finally:
            for keeper in keepers:
                keeper.cancel()
            await asyncio.gather(*keepers, return_exceptions=True)
            say("closing sessions and ending all programs")
            await _end_nodes(options.data)
            await server.end(signal.SIGTERM, STOP_S)


async def end_cluster(data: Path, say: Say) -> None:
    """End the cluster of a data folder, whoever started it. Raises `NotNow` when something does not end."""
    for pid in _holders([data / "up.lock"]).values():
        await _end_process("shorthorn up", pid, signal.SIGINT, STOP_S + 10)
    await _end_nodes(data)
    for pid in _holders([data / "server.lock"]).values():
        await _end_process("server", pid, signal.SIGTERM, STOP_S)
    for pid in sorted(set(_holders(_program_locks(data)).values())):
        await _end_process("program without an agent", pid, signal.SIGTERM, STOP_S)
    say(f"nothing of the cluster in {data} runs any more")


async def _end_nodes(data: Path) -> None:
    """End all agents with their programs: every engine first, since a close needs the replicas of other nodes."""
    agents = _holders(_agent_locks(data))
    for pid in agents.values():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGUSR1)
    await _engines_ended(data, frozenset(agents.values()))
    await asyncio.gather(
        *(
            _end_process(f"agent of {path.parent.name}", pid, signal.SIGUSR2, STOP_S)
            for path, pid in agents.items()
        )
    )


async def _engines_ended(data: Path, agents: frozenset[int]) -> None:
    """Until no engine lives; bounded, since its agent kills what takes too long.

    An agent that holds an engine's lock has taken it over: that engine is dead.
    """
    end_s = asyncio.get_running_loop().time() + STOP_S
    while live := {p: pid for p, pid in _holders(_engine_locks(data)).items() if pid not in agents}:
        for path, pid in live.items():
            engine = _watch(pid)
            left_s = end_s - asyncio.get_running_loop().time()
            if engine is not None and not await ended_within(engine, max(left_s, 0)):
                log.error("engine of %s did not end within %g s", path.parent.name, STOP_S)
                return


def _watch(pid: int) -> LocalProcess | None:
    try:
        return LocalProcess(pid)
    except ProcessLookupError:
        return None


async def _end_old(data: Path) -> None:
    """End a server and agents that run on without their `up`; engines and replica programs are left to run."""
    for path, pid in _holders([*_agent_locks(data), data / "server.lock"]).items():
        log.info("taking over: ending pid %d, which holds %s", pid, path.name)
        await _end_process(f"holder of {path}", pid, signal.SIGTERM, STOP_S)


async def _end_process(what: str, pid: int, number: signal.Signals, bound_s: float) -> None:
    process = _watch(pid)
    if process is None:
        return
    process.signal(number)
    if not await ended_within(process, bound_s):
        raise NotNow(f"{what}, pid {pid}, did not end within {bound_s:g} s; look at its log, or kill it")


def _agent_locks(data: Path) -> list[Path]:
    return sorted(data.glob("nodes/*/agent.lock"))


def _engine_locks(data: Path) -> list[Path]:
    return sorted(data.glob("nodes/*/engines/*/lock"))


def _program_locks(data: Path) -> list[Path]:
    return [*_engine_locks(data), *sorted(data.glob("nodes/*/disks/*/replica.lock"))]


def _holders(locks: Iterable[Path]) -> dict[Path, int]:
    """The processes that hold lock files; one that is free or not there has none."""
    return {Path(path): pid for path, pid in who_holds(path for path in locks if path.exists()).items()}


@contextlib.contextmanager
def _only_one(data: Path) -> Iterator[None]:
    lock = FileLock.take(data / "up.lock")
    if lock is None:
        raise NotNow(
            f"another `shorthorn up` runs on {data}; end it first, or choose another folder with --data"
        )
    try:
        yield
    finally:
        lock.release()


def _free_port(options: ClusterOptions) -> int:
    """The API's port, found free before anything starts: a port in use is one clear line, not a restart loop."""
    with listen(ServerOptions(data=options.data, host=options.host, port=options.port)) as listener:
        return int(listener.getsockname()[1])


def _server(options: ClusterOptions, port: int) -> Child:
    command = [sys.executable, "-m", "shorthorn", "server"]
    command += ["--data", str(options.data), "--listen", f"{options.host}:{port}"]
    return Child("server", command, options.data / "server.log")


def _agent(options: ClusterOptions, name: str, url: str) -> Child:
    folder = options.data / "nodes" / name
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    command = [sys.executable, "-m", "shorthorn", "node"]
    command += ["--join", url, "--name", name, "--data", str(options.data)]
    if options.disk_size is not None:
        command += ["--disk-size", f"{options.disk_size}B"]
    return Child(f"agent of {name}", command, folder / "agent.log")


def _stop_signal() -> asyncio.Task[None]:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)

    async def wait() -> None:
        await stop.wait()

    return loop.create_task(wait(), name="stop signal")


async def _first(*tasks: asyncio.Task[None]) -> None:
    """Until one ends; what ended with an error raises it."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


async def _answers(
    options: ClusterOptions, port: int, keeper: asyncio.Task[None], stop: asyncio.Task[None]
) -> None:
    """Wait until the server accepts connections, or it is clear that it won't."""
    probe = asyncio.create_task(_connects(options.host, port), name="server answers")
    try:
        await asyncio.wait({probe, keeper, stop}, timeout=START_S, return_when=asyncio.FIRST_COMPLETED)
        if not probe.done() and not stop.done():
            raise Unavailable(
                f"the server did not start within {START_S:g} s: {last_words(options.data / 'server.log')}"
            )
    finally:
        probe.cancel()


async def _connects(host: str, port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError:
            await asyncio.sleep(0.05)  # nothing tells when a port begins to listen
        else:
            writer.close()
            return
