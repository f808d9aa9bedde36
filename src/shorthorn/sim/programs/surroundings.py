"""What a simulated program needs beside its machine: the network, the disks of all machines, chance, a log.

One `Surroundings` for a whole world. The disks in it outlive programs and power.
"""

from collections import deque
from collections.abc import Callable
from random import Random
from typing import Final

from shorthorn.sim.machine.kernel import Kernel
from shorthorn.sim.machine.network import Network
from shorthorn.sim.programs.drive import Drive

LOG_LINES_KEPT: Final = 200
"""Of one program's log file: enough to see why it ended."""

CODED_SHARE: Final = 0.25
"""Of all runs, by seed: those in which data-path messages are written as frames and read again."""


class Surroundings:
    """Shared by all programs of a world."""

    def __init__(
        self,
        kernel: Kernel,
        network: Network,
        *,
        coded: bool | None = None,
        told: Callable[[str], object] | None = None,
    ) -> None:
        """`coded`: whether data-path messages go through the real frames; None: the seed decides.

        `told`: gets each line of every log, with time and place, when somebody wants to read along.
        """
        self.kernel = kernel
        self.network = network
        self.coded = self.chance("wire").random() < CODED_SHARE if coded is None else coded
        self._told = told
        self._drives: dict[tuple[str, str], Drive] = {}
        self._logs: dict[tuple[str, str], deque[str]] = {}

    def chance(self, name: str) -> Random:
        """A stream of chance of the programs."""
        return self.kernel.chance(f"programs {name}")

    def add_drive(self, machine: str, path: str, *, capacity_bytes: int | None = None) -> Drive:
        """A new, empty disk, mounted at a folder of a machine."""
        drive = Drive(self.kernel, self.chance(f"drive {machine}:{path}"), capacity_bytes=capacity_bytes)
        self._drives[machine, path] = drive
        return drive

    def drive(self, machine: str, path: str) -> Drive:
        """The disk that is mounted there. Raises `FileNotFoundError`."""
        drive = self._drives.get((machine, path))
        if drive is None:
            raise FileNotFoundError(f"{machine} has no disk at {path}")
        return drive

    def log(self, machine: str, path: str) -> "Log":
        """The end of a log file."""
        return Log(self, machine, path)

    def lines(self, machine: str, path: str) -> tuple[str, ...]:
        """The last lines of a log file."""
        return tuple(self._logs.get((machine, path), ()))

    def write(self, machine: str, path: str, line: str) -> None:
        """Add a line to a log file."""
        self._logs.setdefault((machine, path), deque(maxlen=LOG_LINES_KEPT)).append(line)
        if self._told is not None:
            self._told(f"{self.kernel.now_s:10.3f} {machine} {path.rsplit('/', 2)[-2]}: {line}")


class Log:
    """Where one program writes its lines: `level message key=value`, as the real ones do."""

    def __init__(self, around: Surroundings, machine: str, path: str) -> None:
        self._around = around
        self._place = (machine, path)

    def info(self, message: str, **fields: object) -> None:
        """Part of the program's life."""
        self._line("info", message, fields)

    def warn(self, message: str, **fields: object) -> None:
        """Somebody did something unexpected, and it is handled."""
        self._line("warn", message, fields)

    def fault(self, message: str, **fields: object) -> None:
        """The program or a part of it ends for it."""
        self._line("error", message, fields)

    def _line(self, level: str, message: str, fields: dict[str, object]) -> None:
        parts = [level, message, *(f"{key}={_value(value)}" for key, value in fields.items())]
        self._around.write(*self._place, " ".join(parts))


def _value(value: object) -> str:
    text = str(value)
    return f'"{text}"' if not text or " " in text else text
