"""A node: a simulated disk with one replica's files, and the replica core while its program runs."""

import msgspec

from shorthorn.links import program_lines as lines
from shorthorn.native._native import Replica, ReplicaFiles, SimDisk
from tests.native.record import CLUSTER, VOLUME


class Node:
    """`life` grows with every start and end of the replica program: work of an earlier life is void."""

    def __init__(self, index: int, document: lines.Document) -> None:
        self.index = index
        self.name = f"n{index}"
        self.disk = SimDisk()
        self.life = 0
        self._boot = 1
        self._root = f"/r{index}"
        identity = {
            "cluster": CLUSTER,
            "volume": VOLUME,
            "replica": f"r{index}",
            "disk": f"d{index}",
            "era": document.era,
        }
        self.files = ReplicaFiles.create(
            self.disk,
            self._root,
            identity=msgspec.json.encode(identity),
            attempt=1,
            document=msgspec.json.encode(document),
            boot=self._boot_id(),
        )
        self.replica: Replica | None = Replica(self.files)

    def start(self) -> None:
        """The replica program starts and reads its folder."""
        assert self.replica is None
        self.life += 1
        self.files = ReplicaFiles.open(self.disk, self._root, boot=self._boot_id())
        self.replica = Replica(self.files)

    def crash(self) -> None:
        """The replica program dies; the page cache stays."""
        self._end()
        self.disk.crash_process()

    def lose_power(self, seed: int) -> None:
        """The machine is off, and is booted again without its programs."""
        self._end()
        self.disk.power_loss(seed)
        self._boot += 1

    def _end(self) -> None:
        self.replica = None
        self.life += 1

    def _boot_id(self) -> str:
        return f"boot-{self.name}-{self._boot}"
