"""Clients of block devices: what they ask, on which blocks, and everything they are told goes to the judge.

Each machine has one process of clients. A stretch of work goes where the volume is held, connects, works until its time is
over or the engine lets go, and comes back as a real one would. What clients know, they know from their connection: a
client cut off with its engine goes on asking it.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from shorthorn.core.model.ids import NodeName
from shorthorn.core.model.volume import SessionPhase, Volume
from shorthorn.sim.cluster.node import session_of
from shorthorn.sim.judges.histories import BLOCK, Histories, Kind, Request, content_of
from shorthorn.sim.judges.registers import Violation
from shorthorn.sim.machine.kernel import NS, Kernel
from shorthorn.sim.machine.machine import Machine
from shorthorn.sim.machine.network import Network
from shorthorn.sim.machine.process import Process
from shorthorn.sim.programs.device import Device, Gone, Greeting, IoError

BLOCKS: Final = (0, 1, 2, 255, 256, 257, 600, 1023)
"""Neighbours, both sides of a border of regions, and the last one of a volume of 4 MiB."""

PAUSE_S: Final = (0.3, 1.5)
"""Before a client tries to connect again."""

CROWD_MAX: Final = 4
CROWDED_S: Final = 0.05

NOTHING: Final = b""


@dataclass(frozen=True, slots=True)
class Habit:
    """How a client works: so many workers, each a burst of requests and then a pause. Shares of kinds of requests."""

    workers: int
    burst: tuple[int, int]
    pause_s: tuple[float, float]
    writes: float
    reads: float
    flushes: float


HABITS: Final = {
    "mixed": Habit(3, (1, 5), (14.0, 32.0), 0.45, 0.40, 0.08),
    "writes": Habit(2, (2, 6), (12.0, 28.0), 0.80, 0.05, 0.10),
    "reads": Habit(3, (1, 6), (14.0, 32.0), 0.10, 0.85, 0.03),
    "rush": Habit(6, (3, 9), (1.0, 2.0), 0.65, 0.27, 0.04),
    "watch": Habit(3, (1, 2), (0.1, 0.4), 0.0, 1.0, 0.0),
    "burst": Habit(6, (2, 8), (25.0, 50.0), 0.55, 0.35, 0.05),
}


class Clients:
    """All clients of a world. `find`: the volume of a name by the record; `counted` hears what became of each request."""

    def __init__(
        self,
        kernel: Kernel,
        network: Network,
        histories: Histories,
        find: Callable[[str], Volume | None],
        counted: Callable[[str, str, str], None],
    ) -> None:
        self._kernel = kernel
        self._network = network
        self._histories = histories
        self._find = find
        self._counted = counted
        self._chance = kernel.chance("clients")
        self._machines: dict[str, Machine] = {}
        self._processes: dict[str, Process] = {}
        self._asked: dict[str, dict[int, tuple[Request, int]]] = {}

    def boot(self, machine: Machine) -> None:
        """The machine is on: its clients' process starts."""

        async def main(process: Process) -> None:
            await process.loop.create_future()

        self.lost(machine.name)
        self._machines[machine.name] = machine
        self._processes[machine.name] = machine.spawn("clients", main)
        self._asked[machine.name] = {}

    def lost(self, machine: str) -> None:
        """The machine is off: nobody there hears an answer."""
        for request, _ in self._asked.pop(machine, {}).values():
            self._histories.cut(request)

    def work(self, name: str, kind: str, for_s: float) -> None:
        """A stretch of work on a volume, wherever it is held."""
        chance = Random(self._chance.getrandbits(64))
        until_ns = self._kernel.now_ns + int(for_s * NS)
        self._hunt(_Stretch(name, HABITS[kind], until_ns, chance))

    def process(self, node: str) -> Process | None:
        """Where clients of a machine run, while it is on."""
        process = self._processes.get(node)
        return None if process is None or process.ended else process

    async def connect(self, process: Process, volume: Volume) -> "Client | None":
        """A connection to what serves the volume by the record; None when there is none. Raises `OSError`."""
        session = volume.session
        if session is None or session.phase is not SessionPhase.OPEN or session.node != process.machine.name:
            return None
        connected = await self._network.connect(process, f"{process.machine.name}/{session.endpoint}")
        greeting = await connected.receive()
        engine = process.machine.process(connected.peer_pid)
        if not isinstance(greeting, Greeting) or engine is None:
            return None
        return Client(self, process, volume.uid, session_of(engine)[1], Device(process, connected, greeting))

    def is_crowded(self, uid: str, blocks: tuple[int, ...]) -> bool:
        """Whether so many writes are unanswered that the judge could not keep every order of them in mind."""
        return any(self._histories.crowd(uid, block) >= CROWD_MAX for block in blocks)

    def call(
        self, client: "Client", kind: Kind, blocks: tuple[int, ...], *, fua: bool, value: int | None
    ) -> Request:
        """Tell the judge that a request is sent."""
        request = self._histories.call(client.uid, client.epoch, kind, blocks, fua=fua, value=value)
        self._asked[client.process.machine.name][request.op] = request, self._kernel.now_ns
        return request

    def ended(self, client: "Client", request: Request, data: bytes | None, error: str) -> None:
        """Tell the judge what became of it: an answer (`data` not None), an error, or nothing."""
        self._asked[client.process.machine.name].pop(request.op, None)
        try:
            if data is not None:
                self._counted(request.volume, request.kind.value, "")
                self._histories.done(request, data)
            elif error:
                self._counted(request.volume, request.kind.value, error)
                self._histories.failed(request)
            else:
                self._counted(request.volume, request.kind.value, "cut")
                self._histories.cut(request)
        except Violation as violation:
            # At once: the task that raises it may lose power before anybody waits for it.
            self._kernel.crash(str(violation), violation)
            raise

    def waiting(self, for_s: float) -> dict[str, str]:
        """Volumes by uid of which a client has waited so long for the end of a request: which one."""
        before_ns = self._kernel.now_ns - int(for_s * NS)
        late = [
            r for asked in self._asked.values() for r, since_ns in asked.values() if since_ns <= before_ns
        ]
        return {r.volume: f"{r.kind.value} {r.op} of session {r.epoch & 0xFFFFFFFF}" for r in late}

    def _hunt(self, stretch: "_Stretch") -> None:
        """Look where the volume is held; look again soon when it is not, until the time is over."""
        if self._kernel.now_ns >= stretch.until_ns:
            return
        volume = self._find(stretch.volume)
        node = volume.held_at if volume else None
        process = self.process(node) if node else None
        if volume is None or process is None:
            self._again(stretch)
        else:
            process.loop.create_task(
                self._attend(process, stretch, volume.uid, NodeName(process.machine.name))
            )

    def _again(self, stretch: "_Stretch") -> None:
        self._kernel.after(int(stretch.chance.uniform(*PAUSE_S) * NS), self._hunt, stretch)

    async def _attend(self, process: Process, stretch: "_Stretch", uid: str, node: NodeName) -> None:
        """Be a client of the volume on this node for as long as it is held here."""
        client = None
        volume = self._find(stretch.volume)
        if volume is not None and volume.uid == uid and volume.held_at == node:
            try:
                client = await self.connect(process, volume)
            except OSError:
                client = None
        if client is not None:
            await client.work(stretch, self._kernel)
        self._again(stretch)


@dataclass(slots=True)
class _Stretch:
    volume: str
    habit: Habit
    until_ns: int
    chance: Random


class Client:
    """One connection to one engine."""

    def __init__(self, clients: Clients, process: Process, uid: str, epoch: int, device: Device) -> None:
        self.process = process
        self.uid = uid
        self.epoch = epoch
        self.device = device
        self._clients = clients

    async def work(self, stretch: _Stretch, kernel: Kernel) -> None:
        """Until the time is over, or the connection."""
        loop = self.process.loop
        workers = [
            loop.create_task(self._worker(Random(stretch.chance.getrandbits(64)), stretch, kernel))
            for _ in range(stretch.habit.workers)
        ]
        for worker in workers:
            await worker
        if stretch.chance.random() < 0.8:
            self.device.close()

    async def _worker(self, chance: Random, stretch: _Stretch, kernel: Kernel) -> None:
        habit = stretch.habit
        while kernel.now_ns < stretch.until_ns and not self.device.gone:
            for _ in range(chance.randint(*habit.burst)):
                await self.ask(chance, habit)
            await asyncio.sleep(chance.uniform(*habit.pause_s))

    async def ask(self, chance: Random, habit: Habit) -> None:
        """One request, drawn; none while too many writes of that block have no answer."""
        drawn, at = chance.random(), chance.randrange(len(BLOCKS))
        blocks: tuple[int, ...] = (BLOCKS[at],)
        if chance.random() < 0.06 and at in (0, 1, 3, 4):
            blocks = (BLOCKS[at], BLOCKS[at] + 1)
        if self._clients.is_crowded(self.uid, blocks):
            await asyncio.sleep(CROWDED_S)
        elif drawn < habit.writes and not self.device.read_only:
            await self.write(blocks, fua=chance.random() < 0.1)
        elif drawn < habit.writes + habit.reads or self.device.read_only:
            await self.read(blocks)
        elif drawn < habit.writes + habit.reads + habit.flushes:
            await self.flush()
        else:
            await self.trim(blocks, fua=chance.random() < 0.1)

    async def write(self, blocks: tuple[int, ...], *, fua: bool = False, value: int | None = None) -> str:
        """Write the request's own number, or a value. Empty, or what went wrong."""
        request = self._clients.call(self, Kind.WRITE, blocks, fua=fua, value=value)
        data = content_of(request.value) * len(blocks)
        return await self._told(request, self.device.write(blocks[0] * BLOCK, data, fua=fua))

    async def trim(self, blocks: tuple[int, ...], *, fua: bool = False) -> str:
        """Make them zeroes."""
        request = self._clients.call(self, Kind.TRIM, blocks, fua=fua, value=None)
        work = self.device.zero(blocks[0] * BLOCK, len(blocks) * BLOCK, punch=True, fua=fua)
        return await self._told(request, work)

    async def flush(self) -> str:
        """Everything that was answered is to be on disk."""
        request = self._clients.call(self, Kind.FLUSH, (), fua=False, value=None)
        return await self._told(request, self.device.flush())

    async def read(self, blocks: tuple[int, ...]) -> bytes | str:
        """What they hold, or what went wrong."""
        request = self._clients.call(self, Kind.READ, blocks, fua=False, value=None)
        try:
            data = await self.device.read(blocks[0] * BLOCK, len(blocks) * BLOCK)
        except IoError as error:
            self._clients.ended(self, request, None, error.error)
            return error.error
        except Gone:
            self._clients.ended(self, request, None, "")
            return "cut"
        self._clients.ended(self, request, data, "")
        return data

    async def _told(self, request: Request, work: Any) -> str:
        try:
            await work
        except IoError as error:
            self._clients.ended(self, request, None, error.error)
            return error.error
        except Gone:
            self._clients.ended(self, request, None, "")
            return "cut"
        self._clients.ended(self, request, NOTHING, "")
        return ""
