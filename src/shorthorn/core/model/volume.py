"""The volume document: everything that is recorded of one volume.

Changed only by `shorthorn.core.lifecycle`; states such as attached or degraded are derived there and stored nowhere.
Source: docs/design.md section 3; docs/protocol.md section 2.
"""

from enum import StrEnum

from shorthorn.core.model.ids import (
    Attempt,
    DiskUid,
    Epoch,
    Holder,
    LayerId,
    Membership,
    NodeName,
    ReplicaId,
    TaskId,
    VolumeName,
    VolumeUid,
)
from shorthorn.core.model.record import Record


class Reads(StrEnum):
    """When a read may complete (docs/protocol.md, Read).

    Granted: each needed replica has answered something within the last T. Strict: each has answered something that was
    sent after the read came, so that even a hypervisor that stops every clock can't make a read stale.
    """

    GRANTED = "granted"
    STRICT = "strict"


class Spec(Record):
    """What a person wants of a volume.

    `replicas` None means auto: min(3, nodes). `domain_keys` are node label keys whose values must differ between
    replicas, besides the node itself, which always must.
    """

    replicas: int | None = 3
    domain_keys: tuple[str, ...] = ()
    node_selector: tuple[tuple[str, str], ...] = ()
    reads: Reads = Reads.GRANTED


class Mode(StrEnum):
    """How a consumer may use a volume."""

    READ_WRITE = "rw"
    READ_ONLY = "ro"


class Attachment(Record):
    """A consumer's recorded wish to use the volume on a node. Only a consumer's request makes or removes one.

    `stale`: it was there when the volume was opened as broken, so its client must let go before anything is served
    (docs/protocol.md, A2).
    """

    holder: Holder
    node: NodeName
    mode: Mode = Mode.READ_WRITE
    stale: bool = False


class SessionPhase(StrEnum):
    """Moves right only."""

    OPENING = "opening"
    OPEN = "open"
    CLOSING = "closing"
    FENCING = "fencing"


class Session(Record):
    """One period in which an engine runs for the volume.

    `machine_id` and `boot_id` are those of the node when the session started: another boot id of that machine is
    evidence of the engine's death. `endpoint` is the path of the NBD socket, empty until open. `broken`: unflushed
    writes may be gone and a client from before still holds on (a stale attachment), so the session serves nobody.
    """

    epoch: Epoch
    node: NodeName
    machine_id: str
    boot_id: str
    phase: SessionPhase = SessionPhase.OPENING
    endpoint: str = ""
    broken: bool = False


class UseState(StrEnum):
    """What the record says of the file system; only it may say that a volume was never used."""

    NONE = "none"
    FORMATTING = "formatting"
    USED = "used"


class Use(Record):
    """Whether a file system was ever made on the volume."""

    state: UseState = UseState.NONE
    fs: str = ""


class ReplicaPhase(StrEnum):
    """In-sync: holds every acknowledged write. Syncing: being made equal, a source of nothing."""

    SYNCING = "syncing"
    IN_SYNC = "in_sync"


class Replica(Record):
    """One full copy of the volume, in a folder on one disk of one node.

    `synced_through` is the m it was last in-sync in, None when never. `stored_m` is the least m that it must have
    stored to count as a source. `leaving` is the reason of its going, empty when it stays; a leaving replica stays
    in-sync until its removal commits (B4).
    """

    id: ReplicaId
    node: NodeName
    disk: DiskUid
    phase: ReplicaPhase = ReplicaPhase.SYNCING
    attempt: Attempt = Attempt(1)
    synced_through: Membership | None = None
    stored_m: Membership = Membership(0)
    leaving: str = ""


class TaskKind(StrEnum):
    """Work without a session."""

    SETTLE = "settle"
    COPY = "copy"


class Task(Record):
    """Maintenance under way on a detached volume: one at a time, void when the volume's epoch moves on.

    `place` is the node whose replica program does the work. For a copy, `target` is the syncing replica and `source`
    an in-sync one. `tries` counts the starts of this kind of work without success, for backing off. `without`: in-sync
    replicas that a settle goes without, because their nodes were declared dead when it began.
    """

    id: TaskId
    kind: TaskKind
    epoch: Epoch
    place: NodeName
    source: ReplicaId | None = None
    target: ReplicaId | None = None
    tries: int = 1
    committed: bool = False
    without: tuple[ReplicaId, ...] = ()


class Tombstone(Record):
    """Proof that a replica's folder may be deleted; kept until its agent says that it is gone.

    `version` is the version of the document that first held it.
    """

    replica: ReplicaId
    node: NodeName
    disk: DiskUid
    version: int


class Snapshot(Record):
    """A frozen layer with a name. Comes with a later issue; the field is in the format from the start."""

    name: str
    layer: LayerId


class Volume(Record):
    """The document. `version` grows by one with every accepted event; with `era` it orders documents (A15).

    `m` is 0 until the volume was formed. `size` is in bytes, a multiple of 4096. `chain` lists layer ids, the oldest
    first, `head` is its last. `replicas` are sorted by id, `attachments` by holder.
    """

    name: VolumeName
    uid: VolumeUid
    size: int
    spec: Spec
    head: LayerId
    chain: tuple[LayerId, ...]
    version: int = 1
    era: int = 0
    epoch: Epoch = Epoch(0)
    m: Membership = Membership(0)
    settled: bool = False
    opened_epoch: Epoch = Epoch(0)
    held_since: Epoch = Epoch(0)
    attachments: tuple[Attachment, ...] = ()
    session: Session | None = None
    use: Use = Use()
    replicas: tuple[Replica, ...] = ()
    snapshots: tuple[Snapshot, ...] = ()
    tasks: tuple[Task, ...] = ()
    tombstones: tuple[Tombstone, ...] = ()
    deleting: bool = False

    def replica(self, replica_id: ReplicaId) -> Replica | None:
        """The replica of this id, if the record has it."""
        return next((r for r in self.replicas if r.id == replica_id), None)

    @property
    def in_sync(self) -> tuple[Replica, ...]:
        """The in-sync set, by id."""
        return tuple(r for r in self.replicas if r.phase is ReplicaPhase.IN_SYNC)

    @property
    def syncing(self) -> tuple[Replica, ...]:
        """The replicas that are not in-sync, by id."""
        return tuple(r for r in self.replicas if r.phase is ReplicaPhase.SYNCING)

    @property
    def held_at(self) -> NodeName | None:
        """The node of all attachments, if there is one."""
        return self.attachments[0].node if self.attachments else None
