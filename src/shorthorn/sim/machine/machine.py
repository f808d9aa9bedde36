"""Machines: power, boots, clocks; they own processes and files."""

from collections.abc import Sequence

from shorthorn.ports import machine as identity
from shorthorn.sim.machine.kernel import Kernel
from shorthorn.sim.machine.network import Network
from shorthorn.sim.machine.process import Main, Process


class MachineClock:
    """Port `Clock`: monotonic from boot at the machine's rate; wall time with jumps that monotonic does not see."""

    def monotonic_s(self) -> float:
        """Seconds since this boot, as this machine counts them."""
        raise NotImplementedError

    def wall_s(self) -> float:
        """Seconds since 1970, as this machine believes."""
        raise NotImplementedError


class Machine:
    """A machine; powered on when made. Implements the port `MachineIdentity` by `read`."""

    def __init__(self, kernel: Kernel, network: Network, name: str) -> None:
        self.kernel = kernel
        self.network = network
        self.name = name
        self.machine_id = f"machine-{name}"
        self.boot_id = ""
        self.clock = MachineClock()

    @property
    def powered(self) -> bool:
        """Whether it is on."""
        raise NotImplementedError

    def read(self) -> identity.Machine:
        """Its identity and that of this boot."""
        raise NotImplementedError

    def spawn(self, name: str, main: Main, *, may_crash: bool = False, command: tuple[str, ...] = ()) -> Process:
        """`process.spawn` here."""
        raise NotImplementedError

    def processes(self) -> Sequence[Process]:
        """Those that live, by pid."""
        raise NotImplementedError

    def process(self, pid: int) -> Process | None:
        """The living process of this number."""
        raise NotImplementedError

    def power_off(self) -> None:
        """Power loss: every process is gone, nobody is told, and what was not written durably may be lost."""
        raise NotImplementedError

    def power_on(self) -> None:
        """Boot: a new boot id, a monotonic clock that begins anew, no process. Files as `power_off` left them."""
        raise NotImplementedError

    def set_clock_rate(self, ppm: int) -> None:
        """From now on its clock runs this much faster (or slower, below 0) than true time, in parts per million."""
        raise NotImplementedError

    def jump_wall_clock(self, seconds: float) -> None:
        """Somebody sets the clock; monotonic time does not see it."""
        raise NotImplementedError
