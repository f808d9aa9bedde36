"""A run with a bit of everything; prints its digest. Leaves processes alive: the interpreter's end must be silent."""

import asyncio
import sys
from pathlib import PurePosixPath

from shorthorn.sim.machine.files import ProcessFiles
from shorthorn.sim.machine.network import Endpoint
from shorthorn.sim.machine.process import Process
from tests.sim.machine.worlds import World


def run(seed: int) -> str:
    world = World(seed, machines=3)
    count = 0

    def on_connect(endpoint: Endpoint) -> None:
        def on_message(message: object) -> None:
            nonlocal count
            count += 1
            world.kernel.note(str(message))
            endpoint.send(message, 500)

        endpoint.on_message = on_message

    async def serve(process: Process) -> None:
        world.network.listen(process, "door", on_connect)
        ProcessFiles(process).make_folder(PurePosixPath("/data"))
        await asyncio.Event().wait()

    async def talk(process: Process, other: str, number: int) -> None:
        while True:
            try:
                async with asyncio.timeout(2):
                    endpoint = await world.network.connect(process, f"{other}/door")
                    for turn in range(5):
                        endpoint.send((process.machine.name, other, number, turn))
                        if await endpoint.receive() is None:
                            break
                    endpoint.close()
            except OSError as error:
                world.kernel.note(type(error).__name__)
            await asyncio.sleep(0.2)

    async def client(process: Process) -> None:
        while True:
            try:
                async with asyncio.timeout(3), asyncio.TaskGroup() as group:
                    for number in range(3):
                        for other in ("n1", "n2", "n3"):
                            group.create_task(talk(process, other, number))
            except TimeoutError:
                world.kernel.note("again")

    for machine in world.machines:
        machine.spawn("server", serve)
        machine.spawn("client", client)
    world.kernel.run_for(2)
    world.network.cut("n1", "n2")
    world.machines[2].set_clock_rate(20_000)
    world.kernel.run_for(3)
    world.network.join("n1", "n2")
    world.machines[1].power_off()
    world.kernel.run_for(1)
    world.machines[1].power_on()
    world.machines[1].spawn("server", serve)
    world.machines[0].processes()[1].kill()
    world.kernel.run_for(2)
    return f"{world.kernel.digest} {world.kernel.events} {count}"


if __name__ == "__main__":
    print(run(int(sys.argv[1])))
