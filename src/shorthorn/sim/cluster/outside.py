"""Everything outside of an agent, simulated: its server, its programs' socket, processes and ids (`agent.outside`).

The agent is the one that ships; it can't tell the difference.
"""

import asyncio
import signal
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from pathlib import PurePath
from random import Random
from typing import Any, Final

from shorthorn.core.model.ids import NodeName
from shorthorn.core.model.order import NodeOrders
from shorthorn.core.model.sighting import NodeSighting
from shorthorn.errors import Conflict, Unavailable
from shorthorn.links import program_lines as wire
from shorthorn.links.messages import Beat, EngineAnswer, EngineEvent, Registered, Registration
from shorthorn.sim.cluster.calls import Caller
from shorthorn.sim.machine.network import Endpoint, Network
from shorthorn.sim.machine.process import Process
from shorthorn.sim.programs import engine, replica
from shorthorn.sim.programs.surroundings import Log, Surroundings

ENGINE: Final = "/bin/shorthorn-engine"
REPLICA: Final = "/bin/shorthorn-replica"

UNSENT_BYTES_MAX: Final = 64 << 20
"""A program that leaves this much unread hangs."""

SimProgram = Callable[[Process, Surroundings, Log, Sequence[str]], Coroutine[Any, Any, int]]

PROGRAMS: Final[dict[str, tuple[str, SimProgram]]] = {
    ENGINE: ("engine", engine.run),
    REPLICA: ("replica", replica.run),
}


class SimIds:
    """Ids that no other of the same world has (S8), short so that people can tell them apart."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._used: set[str] = set()

    def new(self, kind: str) -> str:
        """A prefix and six hexadecimal digits."""
        while True:
            found = f"{kind}-{self._chance.getrandbits(24):06x}"
            if found not in self._used:
                self._used.add(found)
                return found


class Servers:
    """The servers as one node's agent calls them: one at a time, the next one after no answer (`agent.outside.Server`)."""

    def __init__(self, process: Process, network: Network, node: NodeName, addresses: Sequence[str]) -> None:
        self._node = node
        self._callers = [Caller(process, network, address) for address in addresses]
        self._at = 0

    async def register(self, registration: Registration) -> Registered:
        """See `Server.register`."""
        registered: Registered = await self._call("register", registration)
        return registered

    async def send_sighting(self, sighting: NodeSighting) -> None:
        """See `Server.send_sighting`."""
        await self._call("sighting", sighting)

    async def send_beat(self, beat: Beat) -> bool:
        """See `Server.send_beat`."""
        try:
            await self._call("beat", beat)
        except Conflict:
            return False
        return True

    async def ask(self, event: EngineEvent) -> EngineAnswer:
        """See `Server.ask`."""
        answer: EngineAnswer = await self._call("ask", self._node, event)
        return answer

    async def orders(self) -> AsyncGenerator[NodeOrders, None]:
        """See `Server.orders`."""
        at = self._at
        try:
            async for orders in self._callers[at].stream("orders", self._node):
                if orders is not None:
                    yield orders
        except Unavailable:
            self._next(at)
            raise

    async def _call(self, name: str, *arguments: object) -> Any:
        at = self._at
        try:
            return await self._callers[at].call(name, *arguments)
        except Unavailable:
            self._next(at)
            raise

    def _next(self, at: int) -> None:
        if self._at == at:
            self._at = (at + 1) % len(self._callers)


class SimLink:
    """One program's connection to the agent (`agent.outside.Link`)."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.pid: int = endpoint.peer_pid
        self._endpoint = endpoint

    async def hello(self) -> wire.Hello | None:
        """See `Link.hello`."""
        line = await self._endpoint.receive()
        return None if line is None else wire.decode_hello(line)

    async def line(self) -> wire.FromProgram | None:
        """See `Link.line`."""
        line = await self._endpoint.receive()
        return None if line is None else wire.decode(line)

    def send(self, message: wire.ToProgram) -> None:
        """See `Link.send`."""
        line = wire.encode(message)
        if self._endpoint.unsent_bytes > UNSENT_BYTES_MAX:
            self._endpoint.abort()
        else:
            self._endpoint.send(line, len(line))

    def drop(self, why: str) -> None:
        """See `Link.drop`."""
        del why
        self._endpoint.abort()

    async def close(self) -> None:
        """See `Link.close`."""
        self._endpoint.abort()


class SimSocket:
    """Where programs of a machine dial its agent (`agent.outside.ProgramSocket`)."""

    def __init__(self, process: Process, network: Network) -> None:
        self._process = process
        self._network = network
        self._address: str | None = None

    async def listen(self, path: PurePath, dialled: Callable[[SimLink], None]) -> None:
        """See `ProgramSocket.listen`."""
        self._address = self._network.listen(
            self._process, str(path), lambda endpoint: dialled(SimLink(endpoint)), local=True
        )

    async def close(self) -> None:
        """See `ProgramSocket.close`."""
        if self._address is not None:
            self._network.unlisten(self._address)


class WatchedProcess:
    """See `ports.processes.Process`. `parent`: only who started it learns how it ended."""

    def __init__(self, watcher: Process, process: Process, *, parent: bool) -> None:
        self.pid: int = process.pid
        self.how = ""
        self._watcher = watcher
        self._process = process
        self._parent = parent
        self._ended = asyncio.Event()
        process.when_ended(lambda _: watcher.deliver(self._on_end, None))

    @property
    def running(self) -> bool:
        """See `Process.running`."""
        return not self._ended.is_set()

    async def ended(self) -> None:
        """See `Process.ended`."""
        await self._ended.wait()

    def signal(self, number: signal.Signals) -> None:
        """See `Process.signal`."""
        if self.running:
            self._process.signal(number)

    def forget(self) -> None:
        """See `Process.forget`: it costs nothing to watch."""

    def _on_end(self, _: None) -> None:
        code = self._process.exit_code
        if self._parent and code is not None:
            self.how = f" (exit {code})" if code >= 0 else f" (signal {-code})"
        self._ended.set()


class SimProcesses:
    """The processes of a machine, as one of them starts and watches others (`ports.processes.Processes`)."""

    def __init__(self, process: Process, around: Surroundings) -> None:
        self._process = process
        self._around = around

    def start(self, command: Sequence[str], log_file: PurePath) -> WatchedProcess:
        """See `Processes.start`. Raises `FileNotFoundError` for what is no program."""
        if command[0] not in PROGRAMS:
            raise FileNotFoundError(f"no program {command[0]}")
        name, program = PROGRAMS[command[0]]
        machine, around = self._process.machine, self._around
        log = around.log(machine.name, str(log_file))

        def main(process: Process) -> Coroutine[Any, Any, int]:
            return program(process, around, log, tuple(command[1:]))

        started = machine.spawn(name, main, command=tuple(command), parent=self._process.pid)
        return WatchedProcess(self._process, started, parent=True)

    def watch(self, pid: int) -> WatchedProcess:
        """See `Processes.watch`."""
        process = self._process.machine.process(pid)
        if process is None:
            raise ProcessLookupError(f"no process {pid}")
        return WatchedProcess(self._process, process, parent=False)

    def last_words(self, log_file: PurePath) -> str:
        """See `Processes.last_words`."""
        lines = self._around.lines(self._process.machine.name, str(log_file))
        return next((" ".join(line.split())[:300] for line in reversed(lines) if line.strip()), "")
