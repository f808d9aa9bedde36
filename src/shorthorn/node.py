"""Puts one agent together: files, processes, sockets and clocks of this machine, one process. Decides nothing."""

import asyncio
import resource
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from shorthorn.agent import Agent, AgentOptions, DiskOption, Outside, Programs
from shorthorn.core.model.ids import NodeName
from shorthorn.links.local_files import LocalFiles
from shorthorn.links.local_processes import LocalProcesses
from shorthorn.links.program_socket import UnixSocket
from shorthorn.links.server_link import ServerLink
from shorthorn.native import program_path
from shorthorn.ports.clock import SystemClock
from shorthorn.ports.ids import RandomIds
from shorthorn.ports.machine import LinuxIdentity


class NodeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a person sets of a node: its name, its server, where it keeps its files. See `AgentOptions`.

    `data` is the data folder; the node's own is `data/nodes/<node>`. `server` is a URL. `machine_id` and `boot_id` stand for those of the machine, so that a power loss can be tested on
    one machine. `programs` None: the installed ones.
    """

    server: str
    node: NodeName
    data: Path
    disks: tuple[DiskOption, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    machine_id: str | None = None
    boot_id: str | None = None
    listen: str = "127.0.0.1:0"
    programs: Programs | None = None


@asynccontextmanager
async def local_agent(options: NodeOptions) -> AsyncIterator[Agent]:
    """An agent on this machine, not running yet; its link to the server ends with the block.

    Raises `FileNotFoundError`, with what to do, when the programs are not installed.
    """
    async with ServerLink(options.server, options.node) as server:
        outside = Outside(
            files=LocalFiles(),
            processes=LocalProcesses(),
            socket=UnixSocket(),
            server=server,
            identity=LinuxIdentity(options.node, options.machine_id, options.boot_id),
            clock=SystemClock(),
            ids=RandomIds(),
        )
        yield Agent(_agent_options(options), outside)


async def run_node(options: NodeOptions) -> None:
    """Run an agent until SIGTERM or SIGINT, which end it and leave every program running.

    SIGUSR1 closes the engines and starts no more; SIGUSR2 does so, then ends the replica programs and the agent: a
    whole cluster is ended by the first for every node, then, when no engine is left anywhere, by the second.

    Raises a `ShorthornError` or `OSError`, with one clear line for the user, when it can't run.
    """
    _raise_file_limit()
    async with local_agent(options) as agent:
        loop = asyncio.get_running_loop()
        handlers = {
            signal.SIGTERM: agent.request_stop,
            signal.SIGINT: agent.request_stop,
            signal.SIGUSR1: agent.request_end_engines,
            signal.SIGUSR2: agent.request_stop_all,
        }
        for number, handler in handlers.items():
            loop.add_signal_handler(number, handler)
        try:
            await agent.run()
        finally:
            for number in handlers:
                loop.remove_signal_handler(number)


def installed_programs() -> Programs:
    """Those of this installation. Raises `FileNotFoundError` with what to do."""
    return Programs(
        engine=(str(program_path("shorthorn-engine")),),
        replica=(str(program_path("shorthorn-replica")),),
    )


def _agent_options(options: NodeOptions) -> AgentOptions:
    """Paths are made absolute: an agent knows no others."""
    return AgentOptions(
        node=options.node,
        folder=(options.data / "nodes" / options.node).resolve(),
        programs=options.programs or installed_programs(),
        disks=tuple(msgspec.structs.replace(disk, path=Path(disk.path).resolve()) for disk in options.disks),
        labels=options.labels,
        listen=options.listen,
    )


def _raise_file_limit() -> None:
    """Two open files an engine: the usual soft limit of 1024 would end at 500 volumes on a node."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
