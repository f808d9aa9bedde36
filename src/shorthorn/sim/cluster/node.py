"""A node: a machine with an agent, which starts the programs, and one disk for replicas."""

from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import Final

from shorthorn.agent import Agent, AgentOptions, DiskOption, Outside, Programs
from shorthorn.core.model.ids import NodeName
from shorthorn.errors import ShorthornError
from shorthorn.native._native import DiskError
from shorthorn.ports.ids import Ids
from shorthorn.sim.cluster.outside import (
    ENGINE,
    PROGRAMS,
    REPLICA,
    LoggedProcesses,
    Servers,
    SimProgram,
    SimSocket,
)
from shorthorn.sim.machine.files import ProcessFiles
from shorthorn.sim.machine.machine import Machine, Program
from shorthorn.sim.machine.process import Main, Process
from shorthorn.sim.programs.drive import FOLDER as REPLICAS
from shorthorn.sim.programs.drive import Drive
from shorthorn.sim.programs.surroundings import Surroundings

FOLDER: Final = PurePosixPath("/node")
DISK: Final = PurePosixPath("/disk")

AGAIN_NS: Final = 1_000_000_000


class NodeHost:
    """A node's machine. `servers`: addresses at which its agent looks for a server."""

    def __init__(
        self,
        machine: Machine,
        around: Surroundings,
        ids: Ids,
        servers: tuple[str, ...],
        *,
        disk_bytes: int,
        labels: tuple[tuple[str, str], ...] = (),
        began: Callable[[Process], object] = lambda _process: None,
    ) -> None:
        """`began` hears of each program that begins to run; what it raises is a finding of the run."""
        self.machine = machine
        self.name = NodeName(machine.name)
        self.agent: Process | None = None
        self.drive: Drive = around.add_drive(machine.name, str(DISK))
        self._around = around
        self._ids = ids
        self._servers = servers
        self._options = AgentOptions(
            node=self.name,
            folder=FOLDER,
            programs=Programs(engine=(ENGINE,), replica=(REPLICA,)),
            disks=(DiskOption(name="d1", path=DISK, size=disk_bytes),),
            labels=labels,
            listen="0.0.0.0:0",
        )
        for path, program in PROGRAMS.items():
            machine.programs[path] = program_of(program, around, began)

    def start_agent(self) -> None:
        """Start the agent; nothing happens while one runs, or without power."""
        if self.machine.powered and (self.agent is None or self.agent.ended):
            self.agent = self.machine.spawn("agent", self._main, parent=1)
            self.agent.when_ended(self._ended)

    def _ended(self, agent: Process) -> None:
        """One that ends by itself is started again, as a supervisor would; one that was killed, by who killed it."""
        if agent.exit_code is not None and agent.exit_code >= 0:
            self.machine.kernel.after(AGAIN_NS, lambda _: self.start_agent(), None)

    def engines(self) -> list[Process]:
        """The engines' processes that live here, the oldest first."""
        return [process for process in self.machine.processes() if process.name == "engine"]

    def replica_programs(self) -> list[Process]:
        """The replica programs that live here."""
        return [process for process in self.machine.processes() if process.name == "replica"]

    def folders(self) -> list[str]:
        """The replica folders on its disk, by name."""
        try:
            return self.drive.sim.replicas(REPLICAS)
        except DiskError:
            return []

    async def _main(self, process: Process) -> int:
        outside = Outside(
            files=ProcessFiles(process),
            processes=LoggedProcesses(process, self._around),
            socket=SimSocket(process, self._around.network),
            server=Servers(process, self._around.network, self.name, self._servers),
            identity=self.machine,
            clock=self.machine.clock,
            ids=self._ids,
        )
        try:
            await Agent(self._options, outside).run()
        except (ShorthornError, OSError) as error:
            # No fault of a schedule or scenario is one that an agent may give up for.
            self._around.write(self.machine.name, "/node/agent.log", f"error the agent ends: {error}")
            raise
        return 0


def program_of(program: SimProgram, around: Surroundings, began: Callable[[Process], object]) -> Program:
    """A program as a machine has it among those that can be started; its lines go where its starter said."""

    def of(command: Sequence[str]) -> Main:
        async def main(process: Process) -> int:
            began(process)
            log = around.log(process.machine.name, str(process.log_file or command[0]))
            return await program(process, around, log, tuple(command[1:]))

        return main

    return of


def session_of(engine: Process) -> tuple[str, int]:
    """The volume's uid and the epoch of the session that an engine's process was started for."""
    order = PurePosixPath(engine.command[engine.command.index("--order") + 1])
    volume, _, epoch = order.parent.name.rpartition(".")
    return volume, int(epoch)
