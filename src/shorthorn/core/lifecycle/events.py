"""The events of a volume and of a node, but for those of consumers (`requests`).

An event says what is wanted or what happened; whether it is accepted is the law's to say (`law`, `nodes`). Each names
the epoch, attempt or identity that it is about, so that a late or repeated one is refused or changes nothing.
Source: docs/design.md section 3 (Events); docs/protocol.md section 3.
"""

from shorthorn.core.model.ids import (
    Attempt,
    DiskUid,
    Epoch,
    LayerId,
    NodeName,
    ReplicaId,
    TaskId,
    VolumeName,
    VolumeUid,
)
from shorthorn.core.model.node import Disk
from shorthorn.core.model.record import Record
from shorthorn.core.model.volume import Spec


class Created(Record, tag="created"):
    """A person or program wants a new volume of `size` bytes."""

    name: VolumeName
    uid: VolumeUid
    size: int
    spec: Spec
    head: LayerId
    era: int = 0


class SpecChanged(Record, tag="spec_changed"):
    """A person or program changes what is wanted."""

    spec: Spec


class Expanded(Record, tag="expanded"):
    """A person or program wants a greater size. Never smaller; carried out with a later issue."""

    size: int


class DeleteRequested(Record, tag="delete_requested"):
    """A person or program wants the volume gone. Refused while it is held or has a session."""


class ReplicaPlaced(Record, tag="replica_placed"):
    """Planning chose a disk for a new replica: syncing, attempt 1. The node's commitment is in the same commit."""

    replica: ReplicaId
    node: NodeName
    disk: DiskUid


class Formed(Record, tag="formed"):
    """Agents have reported the durable empty folders of `members`: they become in-sync, once in a volume's life."""

    members: tuple[ReplicaId, ...]


class ReplicaLeaving(Record, tag="replica_leaving"):
    """Planning marks a replica to go, with the reason; an empty reason takes the mark away."""

    replica: ReplicaId
    why: str


class ReplicaAbandoned(Record, tag="replica_abandoned"):
    """Planning gives up a syncing replica that nothing needs any more: a tombstone takes its place."""

    replica: ReplicaId
    attempt: Attempt
    why: str


class ReplicaGone(Record, tag="replica_gone"):
    """The agent deleted the folder of a tombstone, or its program proved that it holds none. The commitment ends in the same commit."""

    replica: ReplicaId


class SessionStarted(Record, tag="session_started"):
    """Planning starts a session for the attachments on `node`. `epoch` is the record's plus one."""

    epoch: Epoch
    node: NodeName
    machine_id: str
    boot_id: str


class SessionOpened(Record, tag="session_opened"):
    """The engine sealed and equalised `members`; those in-sync ones that are missing leave the set in this commit."""

    epoch: Epoch
    members: tuple[ReplicaId, ...]
    broken: bool
    endpoint: str


class ReplicaLost(Record, tag="replica_lost"):
    """The engine can't count on a replica any more; `witness` answered something sent after the failure."""

    epoch: Epoch
    replica: ReplicaId
    attempt: Attempt
    witness: ReplicaId
    why: str = ""


class SessionClosed(Record, tag="session_closed"):
    """The session ended: by the engine's own word, its lock taken over, or another boot of its machine (`evidence`)."""

    epoch: Epoch
    clean: bool
    evidence: str


class FenceStarted(Record, tag="fence_started"):
    """Planning ends a session whose node can't be asked: unheard and nobody holds it there, or declared dead.

    `epoch` is the session's. The record's grows by one: the epoch of the fence.
    """

    epoch: Epoch
    why: str


class FenceHeld(Record, tag="fence_held"):
    """An in-sync replica was sealed at `epoch`, the fence's, and `waited_s` seconds have passed since: 1.1 T at least."""

    epoch: Epoch
    replica: ReplicaId
    waited_s: float


class SettleStarted(Record, tag="settle_started"):
    """Planning has the replicas of a detached, unsettled volume made equal. `epoch` is the record's plus one.

    `without`: in-sync ones that it goes without, on nodes declared dead.
    """

    epoch: Epoch
    task: TaskId
    place: NodeName
    without: tuple[ReplicaId, ...] = ()


class Settled(Record, tag="settled"):
    """All in-sync replicas, sealed at `epoch`, are equal and durable, but those on nodes declared dead (`removed`)."""

    epoch: Epoch
    sealed: tuple[ReplicaId, ...]
    removed: tuple[ReplicaId, ...] = ()


class CopyStarted(Record, tag="copy_started"):
    """Planning has a syncing replica of a detached, settled volume copied. `epoch` is the record's plus one."""

    epoch: Epoch
    task: TaskId
    source: ReplicaId
    target: ReplicaId
    place: NodeName


class TaskEnded(Record, tag="task_ended"):
    """A task failed or is no longer wanted; nothing of it is left (L5)."""

    task: TaskId
    epoch: Epoch
    why: str


class Base(Record):
    """What a copy was made of: another chain or size makes its end void."""

    chain: tuple[LayerId, ...]
    size: int


class ReplicaSynced(Record, tag="replica_synced"):
    """A syncing replica has everything, durably. In a session its epoch; without one the copy's."""

    epoch: Epoch
    replica: ReplicaId
    attempt: Attempt
    base: Base


class ReplicaDropped(Record, tag="replica_dropped"):
    """A leaving replica of a detached, settled volume goes; every other in-sync one answered a probe for it."""

    epoch: Epoch
    replica: ReplicaId
    probes: tuple[ReplicaId, ...]


VolumeEvent = (
    SpecChanged
    | Expanded
    | DeleteRequested
    | ReplicaPlaced
    | Formed
    | ReplicaLeaving
    | ReplicaAbandoned
    | ReplicaGone
    | SessionStarted
    | SessionOpened
    | ReplicaLost
    | SessionClosed
    | FenceStarted
    | FenceHeld
    | SettleStarted
    | Settled
    | CopyStarted
    | TaskEnded
    | ReplicaSynced
    | ReplicaDropped
)


class NodeRegistered(Record, tag="node_registered"):
    """An agent registers its node: new, or again with another boot id or more disks."""

    name: NodeName
    machine_id: str
    boot_id: str
    disks: tuple[Disk, ...]
    labels: tuple[tuple[str, str], ...] = ()


class Cordoned(Record, tag="cordoned"):
    """A person or program wants no new replica and no new session on the node."""


class Uncordoned(Record, tag="uncordoned"):
    """The opposite of cordoned."""


class EvictRequested(Record, tag="evict_requested"):
    """A person or program wants all replicas off the node."""


class EvictCancelled(Record, tag="evict_cancelled"):
    """The opposite of evict requested."""


class DeclaredDead(Record, tag="declared_dead"):
    """A person says that the node will not come back."""

    who: str
    why: str


class DeathWithdrawn(Record, tag="death_withdrawn"):
    """A person takes back that the node will not come back. What was done on that ground stays done."""

    who: str


NodeEvent = (
    NodeRegistered | Cordoned | Uncordoned | EvictRequested | EvictCancelled | DeclaredDead | DeathWithdrawn
)
