"""What a node must run or do now. Computed from the records, never stored; sent whole each time it changes.

An agent makes reality match. An order that is gone from the list is no longer wanted, but its absence alone never
destroys anything: folders are deleted for a `DeleteReplica` only, engines are ended for a `CloseEngine` or a newer epoch.
Everything here may arrive late or twice.
"""

from shorthorn.core.model.ids import ClusterUid, DiskUid, Epoch, NodeName, ReplicaId, VolumeUid
from shorthorn.core.model.record import Record
from shorthorn.core.model.volume import Task, Volume
from shorthorn.core.model.world import Settings


class Peer(Record):
    """Where a replica of a volume is to be found. `address` is `host:port`, empty while unknown."""

    replica: ReplicaId
    node: NodeName
    address: str = ""


class CreateReplica(Record, tag="create_replica"):
    """Make an empty folder for a placed replica; the same again changes nothing."""

    disk: DiskUid
    replica: ReplicaId
    volume: Volume


class DeleteReplica(Record, tag="delete_replica"):
    """Delete a folder for a tombstone of the record; refused by its program if sealed or stored newer.

    `version` is that of a document that holds the tombstone.
    """

    disk: DiskUid
    replica: ReplicaId
    volume: VolumeUid
    era: int
    version: int


class ProbeReplica(Record, tag="probe_replica"):
    """Ask a replica for its standing now, for the removal `drop` of another one (docs/protocol.md, Leave)."""

    disk: DiskUid
    replica: ReplicaId
    drop: str


class FenceReplica(Record, tag="fence_replica"):
    """Seal a replica at the epoch of this document, which is fencing, and say when 1.1 T have passed since."""

    disk: DiskUid
    replica: ReplicaId
    volume: Volume


class RunEngine(Record, tag="run_engine"):
    """Run the engine of the session of this document, once per epoch; while the session is opening or open."""

    volume: Volume
    peers: tuple[Peer, ...]
    leave: tuple[ReplicaId, ...] = ()


class CloseEngine(Record, tag="close_engine"):
    """End the engine of this epoch cleanly and report how it ended."""

    volume: VolumeUid
    epoch: Epoch


class RunTask(Record, tag="run_task"):
    """Do the task of this document in the replica program of `disk`. `committed`: the record has its effect already.

    `without`: in-sync replicas that a settle goes without, because their nodes were declared dead.
    """

    disk: DiskUid
    task: Task
    volume: Volume
    peers: tuple[Peer, ...]
    without: tuple[ReplicaId, ...] = ()


Order = CreateReplica | DeleteReplica | ProbeReplica | FenceReplica | RunEngine | CloseEngine | RunTask


class NodeOrders(Record):
    """All orders of one node."""

    cluster: ClusterUid
    node: NodeName
    settings: Settings
    orders: tuple[
        CreateReplica | DeleteReplica | ProbeReplica | FenceReplica | RunEngine | CloseEngine | RunTask, ...
    ] = ()
