"""Machines: power, boots, clocks; they own processes and files."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from shorthorn.ports import machine as identity
from shorthorn.sim.machine.clock import MachineClock
from shorthorn.sim.machine.filesystem import FileSystem
from shorthorn.sim.machine.kernel import Kernel
from shorthorn.sim.machine.process import Main, Process

if TYPE_CHECKING:
    from shorthorn.sim.machine.network import Network

Program = Callable[[Sequence[str]], Main]
"""Makes what a process does of its command line."""


class Machine:
    """A machine; powered on when made. Implements the port `MachineIdentity` by `read`; `clock` is the port `Clock`."""

    def __init__(self, kernel: Kernel, network: "Network", name: str) -> None:
        self.kernel = kernel
        self.network = network
        self.name = name
        self.machine_id = f"machine-{name}"
        self.boot_id = ""
        self.clock = MachineClock(kernel)
        self.files = FileSystem(kernel.chance(f"files of {name}"))
        """What is on its disks; a process sees it through `ProcessFiles`."""
        self.powered = False
        self.programs: dict[str, Program] = {}
        """What can be started here, by path."""
        self._boots = 0
        self._last_pid = 1000
        self._processes: dict[int, Process] = {}
        self._dead: list[Process] = []
        network.add(self)
        kernel.add_witness(self._waits)
        kernel.when_closed(self._bury)
        self.power_on()

    def read(self) -> identity.Machine:
        """Its identity and that of this boot."""
        return identity.Machine(machine_id=self.machine_id, boot_id=self.boot_id)

    # ---- processes

    def spawn(
        self,
        name: str,
        main: Main,
        *,
        may_crash: bool = False,
        command: tuple[str, ...] = (),
        parent: int = 0,
    ) -> Process:
        """`process.spawn` here."""
        return self.start_process(name, main, may_crash=may_crash, command=command, parent=parent)

    def start_process(
        self, name: str, main: Main, *, may_crash: bool, command: tuple[str, ...], parent: int
    ) -> Process:
        """Of which `spawn` tells."""
        if not self.powered:
            raise RuntimeError(f"machine {self.name} is powered off")
        self._last_pid += 1
        process = Process(self, self._last_pid, name, command, parent)
        process.may_crash = may_crash
        self._processes[process.pid] = process
        process.begin(main)
        return process

    def processes(self) -> Sequence[Process]:
        """Those that live, by pid."""
        return tuple(self._processes.values())

    def process(self, pid: int) -> Process | None:
        """The living process of this number."""
        return self._processes.get(pid)

    def process_ended(self, process: Process) -> None:
        """For the process."""
        del self._processes[process.pid]
        if process.leaves_tasks:
            self._dead.append(process)

    # ---- power and clocks

    def power_off(self) -> None:
        """Power loss: every process is gone, nobody is told, and what was not written durably may be lost.

        Nothing happens while it is off.
        """
        if self.powered:
            self.powered = False
            for process in self.processes():
                process.lose_power()
            self.files.lose_power()

    def power_on(self) -> None:
        """Boot: a new boot id, a monotonic clock that begins anew, no process. Files as `power_off` left them.

        Nothing happens while it is on.
        """
        if not self.powered:
            self.powered = True
            self._boots += 1
            self.boot_id = f"boot-{self.name}-{self._boots}"
            self.clock.restart()
            self.network.power_back(self)

    def set_clock_rate(self, ppm: int) -> None:
        """From now on its clock runs this much faster (or slower, below 0) than true time, in parts per million."""
        self.clock.set_rate(ppm)
        for process in self.processes():
            process.clock_changed()

    def jump_wall_clock(self, seconds: float) -> None:
        """Somebody sets the clock; monotonic time does not see it."""
        self.clock.jump_wall(seconds)

    # ---- for the kernel

    def _waits(self) -> Iterator[str]:
        yield f"{self.name}{'' if self.powered else ' (powered off)'}"
        for process in self.processes():
            yield from process.waits()

    def _bury(self) -> None:
        for process in self.processes():
            process.lose_power()
        for process in self._dead:
            process.bury()
