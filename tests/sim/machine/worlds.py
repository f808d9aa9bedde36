"""A few machines on one network, for tests."""

import asyncio
from typing import Any, Self

from shorthorn.sim.machine.kernel import Kernel
from shorthorn.sim.machine.machine import Machine
from shorthorn.sim.machine.network import Endpoint, Network
from shorthorn.sim.machine.process import Process


class World:
    """Machines n1, n2, …"""

    def __init__(self, seed: int = 7, machines: int = 2) -> None:
        self.kernel = Kernel(seed)
        self.network = Network(self.kernel)
        self.machines = [Machine(self.kernel, self.network, f"n{n}") for n in range(1, machines + 1)]
        self.n1 = self.machines[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kernel.close()

    def ends(self, process: Process, bound_s: float = 60) -> int:
        """Run to the process's end; its exit code."""
        self.kernel.run_until(lambda: process.ended, bound_s)
        assert process.exit_code is not None
        return process.exit_code

    def pair(self) -> "Pair":
        """A connection from n1 to n2."""
        return Pair(self)


class Pair:
    """An established connection: `near` on n1 asked, `far` on n2 was asked. Both sides keep what they hear."""

    def __init__(self, world: World, *, local: bool = False) -> None:
        self.near_heard: list[Any] = []
        self.far_heard: list[Any] = []
        ends: list[Endpoint] = []

        def on_connect(endpoint: Endpoint) -> None:
            ends.append(endpoint)
            _keep(endpoint, self.far_heard)

        async def listen(process: Process) -> None:
            world.network.listen(process, "door", on_connect)
            await asyncio.Event().wait()

        async def ask(process: Process) -> None:
            await asyncio.sleep(0.1)  # of virtual time: the server listens by then
            endpoint = await world.network.connect(process, f"{self.server.machine.name}/door")
            ends.append(endpoint)
            _keep(endpoint, self.near_heard)
            await asyncio.Event().wait()

        self.server = world.machines[0 if local else 1].spawn("server", listen)
        self.client = world.n1.spawn("client", ask)
        world.kernel.run_until(lambda: len(ends) == 2, bound_s=1, every_s=0)
        self.near = next(e for e in ends if e.process is self.client)
        self.far = next(e for e in ends if e.process is self.server)


def _keep(endpoint: Endpoint, heard: list[Any]) -> None:
    endpoint.on_message = heard.append
    endpoint.on_end = lambda why: heard.append(f"end: {why}")


def is_end(message: Any) -> bool:
    return isinstance(message, str) and message.startswith("end: ")


async def for_ever(process: Process) -> None:
    await asyncio.Event().wait()
