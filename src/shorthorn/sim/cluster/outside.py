"""Everything outside of an agent, simulated: its server, its programs' socket, processes and ids (`agent.outside`).

The agent is the one that ships; it can't tell the difference.
"""

from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from pathlib import PurePath
from random import Random
from typing import Any, Final

from shorthorn.core.model.ids import NodeName
from shorthorn.core.model.order import NodeOrders
from shorthorn.core.model.sighting import NodeSighting
from shorthorn.errors import Conflict, OutcomeUnknown, Unavailable
from shorthorn.links import program_lines as wire
from shorthorn.links.messages import Beat, EngineAnswer, EngineEvent, Registered, Registration
from shorthorn.sim.cluster.calls import Caller
from shorthorn.sim.machine.network import Endpoint, Network
from shorthorn.sim.machine.process import Process
from shorthorn.sim.machine.processes import MachineProcesses
from shorthorn.sim.programs import engine, replica
from shorthorn.sim.programs.surroundings import Log, Surroundings

ENGINE: Final = "/bin/engine"
REPLICA: Final = "/bin/replica"

UNSENT_BYTES_MAX: Final = 64 << 20
"""A program that leaves this much unread hangs."""

SimProgram = Callable[[Process, Surroundings, Log, Sequence[str]], Coroutine[Any, Any, int]]

PROGRAMS: Final[dict[str, SimProgram]] = {ENGINE: engine.run, REPLICA: replica.run}


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
        except OutcomeUnknown as error:  # 503, as `links.server_link` reads it
            self._next(at)
            raise Unavailable(error.message) from error

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


class LoggedProcesses(MachineProcesses):
    """The processes of a machine whose programs write their logs to `Surroundings`."""

    def __init__(self, process: Process, around: Surroundings) -> None:
        super().__init__(process)
        self._machine = process.machine.name
        self._around = around

    def last_words(self, log_file: PurePath) -> str:
        """See `Processes.last_words`."""
        lines = self._around.lines(self._machine, str(log_file))
        return next((" ".join(line.split())[:300] for line in reversed(lines) if line.strip()), "")
