"""Which machine this is and which boot of it: evidence for torn replicas and dead engines."""

from pathlib import Path
from typing import Protocol

from shorthorn.core.model.record import Record


class Machine(Record):
    """`machine_id` stays for the machine's life; `boot_id` is new with each boot."""

    machine_id: str
    boot_id: str


class MachineIdentity(Protocol):
    """Tells the identity; may be read again at any time."""

    def read(self) -> Machine:
        """The machine and its boot, now. Raises OSError when it can't be told."""
        ...


class LinuxIdentity:
    """The kernel's boot id and the machine id of the operating system.

    `node` is added to the machine id: embedded nodes of one machine count as machines of their own. Either may be set
    by hand, so that a power loss can be tested with real programs on one machine.
    """

    def __init__(self, node: str, machine_id: str | None = None, boot_id: str | None = None) -> None:
        """Set values win over the machine's."""
        self._node = node
        self._machine_id = machine_id
        self._boot_id = boot_id

    def read(self) -> Machine:
        """The machine and its boot, now."""
        machine = self._machine_id or f"{Path('/etc/machine-id').read_text('ascii').strip()}/{self._node}"
        boot = self._boot_id or Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return Machine(machine_id=machine, boot_id=boot)
