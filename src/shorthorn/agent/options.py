"""What a person sets of an agent; everything else comes from its folder and its server."""

from pathlib import Path

import msgspec

from shorthorn.core.model.ids import NodeName
from shorthorn.native import program_path


class DiskOption(msgspec.Struct, frozen=True, kw_only=True):
    """A folder for replicas. `size` is what may be committed on it, in bytes; None: its file system's size.

    A disk that the node has already keeps its path and uid; its size may change.
    """

    name: str
    path: Path
    size: int | None = None


class Programs(msgspec.Struct, frozen=True, kw_only=True):
    """How the two programs are called: a path and its first arguments."""

    engine: tuple[str, ...]
    replica: tuple[str, ...]

    @classmethod
    def installed(cls) -> "Programs":
        """Those of this installation. Raises `FileNotFoundError` with what to do."""
        return cls(
            engine=(str(program_path("shorthorn-engine")),),
            replica=(str(program_path("shorthorn-replica")),),
        )


class AgentOptions(msgspec.Struct, frozen=True, kw_only=True):
    """An agent: its node's name, its server, where it keeps its files.

    `data` is the data folder; the node's own is `data/nodes/<node>`. Without `disks` a new node gets one, `d1`, in it.
    `machine_id` and `boot_id` stand for those of the machine, so that a power loss can be tested on one machine.
    `listen` is where replica programs listen for engines; a port of 0 takes a free one each start.
    `programs` None: the installed ones.
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

    @property
    def folder(self) -> Path:
        """The node's own folder."""
        return self.data / "nodes" / self.node
