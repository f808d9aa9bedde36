"""Machines with a replica program each, an engine by hand, and a stand-in for agent and record: no control plane.

`Rig.go(coroutine)` runs a client's code in a process of a machine and gives what it returns.
"""

from collections.abc import Awaitable, Callable
from pathlib import PurePosixPath
from typing import TypeVar

import msgspec

from shorthorn.links import program_lines as lines
from shorthorn.sim.machine.files import ProcessFiles
from shorthorn.sim.machine.kernel import Kernel
from shorthorn.sim.machine.machine import Machine
from shorthorn.sim.machine.network import Endpoint, Network
from shorthorn.sim.machine.process import Process
from shorthorn.sim.programs import engine, replica
from shorthorn.sim.programs.device import Device
from shorthorn.sim.programs.surroundings import Surroundings
from tests.native.record import CLUSTER, VOLUME, Record

SIZE = 4 << 20
T = TypeVar("T")


class Node:
    """A machine, the processes on it, and what its agent has heard."""

    def __init__(self, rig: "Rig", index: int) -> None:
        self.index = index
        self.machine = Machine(rig.kernel, rig.network, f"n{index}")
        self.drive = rig.around.add_drive(self.machine.name, "/disk")
        self.replica: Process | None = None
        self.agent: Process | None = None
        self.address = ""
        self.listens = False
        self.link: Endpoint | None = None
        self.held: dict[str, lines.Held] = {}
        self.results: dict[int, lines.Result] = {}
        self.tasks: list[lines.TaskReport] = []


class Rig:
    """`record` says what control would. `engine_link`: the line to the engine under way."""

    def __init__(self, seed: int, *, nodes: int = 3, spare: int = 0, coded: bool | None = None) -> None:
        self.kernel = Kernel(seed)
        self.network = Network(self.kernel)
        self.around = Surroundings(self.kernel, self.network, coded=coded)
        self.record = Record(SIZE, [index < nodes - spare for index in range(nodes)])
        self.nodes = [Node(self, index) for index in range(nodes)]
        self.engine: Process | None = None
        self.engine_link: Endpoint | None = None
        self.statuses: list[lines.Status] = []
        self._last_id = 0
        for node in self.nodes:
            self.start_agent(node)
        for node in self.nodes:
            self.start_replica(node)
        self.until(lambda: all(node.address for node in self.nodes))
        for node in self.nodes:
            made = self.order(
                node,
                lines.Create(
                    id=0,
                    replica=f"r{node.index}",
                    cluster=CLUSTER,
                    volume=VOLUME,
                    attempt=1,
                    document=self.record.document(),
                ),
            )
            assert made.error is None

    def close(self) -> None:
        self.kernel.close()

    def until(self, condition: Callable[[], bool], bound_s: float = 60) -> None:
        self.kernel.run_until(condition, bound_s=bound_s)

    # Programs

    def start_replica(self, node: Node) -> None:
        name, boot = node.machine.name, node.machine.boot_id
        node.address = ""
        arguments = (
            *("--disk", "/disk", "--disk-uid", f"d{node.index}", "--cluster", CLUSTER),
            *("--boot-id", boot, "--agent", "/agent.sock"),
        )
        log = self.around.log(name, "/disk/replica.log")
        node.replica = node.machine.spawn(
            "replica", lambda process: replica.run(process, self.around, log, arguments)
        )

    def start_agent(self, node: Node) -> None:
        async def main(process: Process) -> int:
            ProcessFiles(process).make_folder(PurePosixPath("/disk"))
            self.network.listen(process, "/agent.sock", lambda end: self._dialled(node, end), local=True)
            node.listens = True
            await process.loop.create_future()
            return 0

        node.listens = False
        node.agent = node.machine.spawn("agent", main)
        self.until(lambda: node.listens)

    def start_engine(self, index: int) -> Process:
        """A session on a node, under a new epoch; its order is written by hand."""
        node = self.nodes[index]
        order = msgspec.structs.replace(self.record.session_order(index), targets=self.targets(index))
        content = msgspec.json.encode(order)
        log = self.around.log(node.machine.name, f"/e{order.epoch}/engine.log")

        async def main(process: Process) -> int:
            ProcessFiles(process).write_durably(PurePosixPath("/order.json"), content)
            arguments = ("--order", "/order.json", "--lock", f"/lock{order.epoch}")
            return await engine.run(process, self.around, log, arguments)

        self.engine = node.machine.spawn("engine", main)
        self.engine_link = None
        return self.engine

    def end_broken(self) -> None:
        """Everybody has let go of a broken session: its engine closes it."""
        self.tell_engine(lines.Close())
        self.end_session(clean=True)

    def targets(self, local: int) -> tuple[lines.Target, ...]:
        return tuple(
            msgspec.structs.replace(target, address=node.address or None)
            for target, node in zip(self.record._targets(local), self.nodes, strict=True)
        )

    def serve(self, index: int) -> Process:
        """A session that serves."""
        process = self.start_engine(index)
        self.until(lambda: self.record.is_open or process.ended)
        assert not process.ended, self.log()
        return process

    def end_session(self, *, clean: bool = False) -> None:
        """The engine is dead, and the record hears of it."""
        assert self.engine is not None
        engine_process = self.engine
        self.until(lambda: engine_process.ended)
        if self.record.session is not None:
            self.record.close(clean=clean)
            self.record.version += 1

    def log(self) -> str:
        """All logs, for failures."""
        return "\n".join(line for lines in self.around._logs.values() for line in lines)

    # Agents

    def order(self, node: Node, order: lines.ToProgram, *, bound_s: float = 60) -> lines.Result:
        """Give a replica program an order, and wait for its answer."""
        number = self.send(node, order)
        self.until(lambda: number in node.results, bound_s)
        return node.results[number]

    def send(self, node: Node, order: lines.ToProgram) -> int:
        self._last_id += 1
        if hasattr(order, "id"):
            order = msgspec.structs.replace(order, id=self._last_id)
        assert node.link is not None
        node.link.send(lines.encode(order))
        return self._last_id

    def tell_engine(self, line: lines.ToProgram) -> None:
        assert self.engine_link is not None
        self.engine_link.send(lines.encode(line))

    def _dialled(self, node: Node, endpoint: Endpoint) -> None:
        def hello(data: bytes) -> None:
            said = lines.decode_hello(data)
            if isinstance(said, lines.ReplicaHello):
                node.address, node.link = said.address, endpoint
                endpoint.on_message = lambda line: self._from_replica(node, lines.decode(line))
                self.send(node, lines.List(id=0))
            else:
                self.engine_link = endpoint
                endpoint.on_message = lambda line: self._from_engine(endpoint, lines.decode(line))

        endpoint.on_message = hello

    def _from_replica(self, node: Node, line: lines.FromProgram) -> None:
        if isinstance(line, lines.TaskReport):
            node.tasks.append(line)
        else:
            assert isinstance(line, lines.Result)
            node.results[line.id] = line
            for held in line.replicas:
                node.held[held.replica] = held

    def _from_engine(self, endpoint: Endpoint, line: lines.FromProgram) -> None:
        if isinstance(line, lines.Status):
            self.statuses.append(line)
        else:
            assert isinstance(line, lines.Ask)
            answer = self.record.ask(line.ask)
            endpoint.send(lines.encode(lines.Answer(id=line.id, answer=answer)))

    # Clients

    def go(self, index: int, work: Callable[[Device], Awaitable[T]]) -> T:
        """Run a client's work on a device of its own, to its end."""
        results: list[T] = []

        async def main(process: Process) -> int:
            device = await Device.open(process, self.network, "/v1.sock")
            results.append(await work(device))
            device.close()
            return 0

        client = self.nodes[index].machine.spawn("client", main)
        self.until(lambda: client.ended)
        return results[0]
