"""The node document: a machine that runs an agent, with the disks on it.

Changed only by `shorthorn.core.lifecycle.nodes`. Whether a node is reachable is seen, not recorded.
"""

from shorthorn.core.model.ids import DiskUid, NodeName, ReplicaId
from shorthorn.core.model.record import Record


class Commitment(Record):
    """Bytes of a disk promised to one replica; made in the commit that places it, ended when it is gone."""

    replica: ReplicaId
    size: int


class Disk(Record):
    """A folder that holds replicas. `size` is what may be committed on it, in bytes."""

    uid: DiskUid
    size: int
    commitments: tuple[Commitment, ...] = ()
    disabled: bool = False

    @property
    def committed(self) -> int:
        """Bytes promised to replicas."""
        return sum(c.size for c in self.commitments)

    @property
    def free(self) -> int:
        """Bytes that may still be committed."""
        return self.size - self.committed


class Dead(Record):
    """A person's word that a node will not come back."""

    who: str
    why: str


class Node(Record):
    """What is recorded of a node. `boot_id` is that of its agent's last registration."""

    name: NodeName
    machine_id: str
    boot_id: str
    labels: tuple[tuple[str, str], ...] = ()
    disks: tuple[Disk, ...] = ()
    cordoned: bool = False
    evicting: bool = False
    dead: Dead | None = None

    def disk(self, uid: DiskUid) -> Disk | None:
        """The disk of this uid, if the node has it."""
        return next((d for d in self.disks if d.uid == uid), None)

    def label(self, key: str) -> str | None:
        """The value of a label, if set."""
        return next((v for k, v in self.labels if k == key), None)
