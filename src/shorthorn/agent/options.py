"""What is set of an agent; everything else comes from its folder and its server."""

from pathlib import PurePath

import msgspec

from shorthorn.core.model.ids import NodeName


class DiskOption(msgspec.Struct, frozen=True, kw_only=True):
    """A folder for replicas; its path is absolute. `size` is what may be committed on it, in bytes; None: its file
    system's size.

    A disk that the node has already keeps its path and uid; its size may change.
    """

    name: str
    path: PurePath
    size: int | None = None


class Programs(msgspec.Struct, frozen=True, kw_only=True):
    """How the two programs are called: a path and its first arguments."""

    engine: tuple[str, ...]
    replica: tuple[str, ...]


class AgentOptions(msgspec.Struct, frozen=True, kw_only=True):
    """An agent: its node's name, where it keeps its files, the programs that it starts.

    `folder` is the node's own, an absolute path. Without `disks` a new node gets one, `d1`, in it. `listen` is where replica programs listen for engines; a port of 0 takes a free one each start.
    """

    node: NodeName
    folder: PurePath
    programs: Programs
    disks: tuple[DiskOption, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    listen: str = "127.0.0.1:0"
