"""What the tests of a whole agent share: an agent with fake programs and a fake server, and how to look at them."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec

from shorthorn.agent import Agent, Programs
from shorthorn.core.model.order import Order
from shorthorn.core.model.sighting import EngineSighting, EngineState, NodeSighting
from shorthorn.links.local_files import who_holds
from shorthorn.links.messages import EngineAnswer, EngineEvent, EngineOutcome
from shorthorn.node import NodeOptions, local_agent
from tests.agent import records
from tests.agent.fake_server import FakeServer

HERE = Path(__file__).resolve().parent
PROGRAMS = Programs(
    engine=(sys.executable, str(HERE / "fake_engine.py")),
    replica=(sys.executable, str(HERE / "fake_replica.py")),
)
BOUND_S = 15.0


def commit(event: EngineEvent) -> EngineAnswer:
    epoch = event.event.epoch
    return EngineAnswer(outcome=EngineOutcome.COMMITTED, volume=records.volume(epoch=epoch, version=8))


def options(server: FakeServer, data: Path, **changes: object) -> NodeOptions:
    given = NodeOptions(
        server=server.url, node=records.NODE, data=data, machine_id="m", boot_id="b", programs=PROGRAMS
    )
    return msgspec.structs.replace(given, **changes)


@contextlib.asynccontextmanager
async def running(server: FakeServer, data: Path, **changes: object) -> AsyncIterator[Agent]:
    """An agent for a while; stopped in the end without ending its programs."""
    async with local_agent(options(server, data, **changes)) as agent:
        task = asyncio.create_task(agent.run())
        try:
            yield agent
        finally:
            agent.request_stop()
            await task


async def run(options: NodeOptions) -> None:
    """Run an agent to its end."""
    async with local_agent(options) as agent:
        await agent.run()


def engine(seen: NodeSighting, epoch: int) -> EngineSighting | None:
    return next((e for e in seen.engines if e.epoch == epoch), None)


def in_state(epoch: int, state: EngineState) -> Callable[[NodeSighting], bool]:
    return lambda seen: (e := engine(seen, epoch)) is not None and e.state is state


def listed(seen: NodeSighting) -> bool:
    return all(disk.complete for disk in seen.disks)


def without_free(seen: NodeSighting) -> NodeSighting:
    disks = tuple(msgspec.structs.replace(disk, free=0) for disk in seen.disks)
    return msgspec.structs.replace(seen, sequence=0, disks=disks)


def node_folder(data: Path) -> Path:
    return data / "nodes" / "n1"


def notes(folder: Path) -> list[str]:
    file = folder / "notes"
    return file.read_text().splitlines() if file.exists() else []


def engine_folder(data: Path, epoch: int) -> Path:
    return node_folder(data) / "engines" / f"v-1.{epoch}"


def disk_folder(data: Path) -> Path:
    return node_folder(data) / "disks" / "d1"


def programs(data: Path) -> dict[Path, int]:
    holders = who_holds([*data.glob("nodes/*/engines/*/lock"), *data.glob("**/replica.lock")])
    return {Path(path): pid for path, pid in holders.items()}


async def noted(folder: Path, line: str) -> None:
    async with asyncio.timeout(BOUND_S):
        while line not in notes(folder):
            await asyncio.sleep(0.01)


def starts(folder: Path) -> list[int]:
    return [int(line.split()[1]) for line in notes(folder) if line.startswith("start ")]


async def serving(server: FakeServer, epoch: int, *others: Order) -> int:
    """Order an engine and wait until it serves; its process."""
    await server.order(records.run_engine(epoch), *others)
    await server.until(in_state(epoch, EngineState.SERVING))
    return epoch
