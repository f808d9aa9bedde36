"""What an agent has seen, with the identity and epoch it is about.

A sighting may be old, late or repeated and must then be harmless. "Not seen" is never "not there": only `complete`
lists of a program that answered after its start say what a disk does not hold, and even then nothing is destroyed on
that ground (idea 5 of docs/design.md).
"""

from enum import StrEnum

from shorthorn.core.model.ids import (
    Attempt,
    DiskUid,
    Epoch,
    Membership,
    NodeName,
    ReplicaId,
    TaskId,
    VolumeUid,
)
from shorthorn.core.model.record import Record


class ReplicaRole(StrEnum):
    """What a replica was last told to be to its volume; not told, or not known, is empty."""

    UNKNOWN = ""
    MEMBER = "member"
    SYNCING = "syncing"


class ReplicaSighting(Record):
    """A replica folder as its program last reported it.

    `empty`: durable, never sealed, never held data. `damaged`: why it can't be read, empty when it can.
    `sealed` is (epoch, attempt). `probe` is the id of the last removal that it answered a probe for, with what it said
    then. `fenced` is the greatest epoch at which it was sealed for a fence and 1.1 T have passed since.
    """

    replica: ReplicaId
    volume: VolumeUid
    attempt: Attempt
    empty: bool
    open: bool = False
    sealed: tuple[Epoch, Attempt] = (Epoch(0), Attempt(0))
    m: Membership = Membership(0)
    torn: bool = False
    failed: str = ""
    damaged: str = ""
    document_version: int = 0
    used: int = 0
    probe: str = ""
    fenced: Epoch = Epoch(0)
    role: ReplicaRole = ReplicaRole.UNKNOWN


class DiskSighting(Record):
    """A disk as seen by the agent; `address` is where its replica program listens, empty while it does not run.

    `complete`: the program has listed every folder since it started; `replicas` is then exact at that moment.
    `free` is what the file system has left, in bytes. `trouble` says why the program does not run. `gone`: replicas of
    the delete orders that the agent has now whose folders are not there and can't come any more: no older order to make
    one is unanswered.
    """

    uid: DiskUid
    size: int
    free: int = 0
    address: str = ""
    complete: bool = False
    replicas: tuple[ReplicaSighting, ...] = ()
    gone: tuple[ReplicaId, ...] = ()
    trouble: str = ""


class EngineState(StrEnum):
    """An engine as its agent sees it."""

    STARTING = "starting"
    SEALING = "sealing"
    EQUALISING = "equalising"
    OPENING = "opening"
    SERVING = "serving"
    BROKEN = "broken"
    CLOSING = "closing"
    ENDED = "ended"


class ResyncSighting(Record):
    """The resync of a replica in a session, in bytes looked at. `waits_for`: why it does not go on, empty while it does."""

    replica: ReplicaId
    attempt: Attempt
    done: int = 0
    total: int = 0
    waits_for: str = ""


class EngineSighting(Record):
    """An engine program of this node. `ended` is confirmed by its lock, taken over by the agent, or by its own word.

    `evidence` then says which; the agent never starts an engine of an epoch that it has reported as ended (B2).
    """

    volume: VolumeUid
    epoch: Epoch
    state: EngineState
    waits_for: str = ""
    evidence: str = ""
    clients: int = 0
    resyncs: tuple[ResyncSighting, ...] = ()


class TaskState(StrEnum):
    """A task without a session as the replica program that does it reports it."""

    RUNNING = "running"
    READY = "ready"
    FINISHED = "finished"
    FAILED = "failed"


class TaskSighting(Record):
    """Progress of a task, in bytes looked at. `for_s` is how long it has been in this state, in seconds."""

    task: TaskId
    volume: VolumeUid
    epoch: Epoch
    state: TaskState
    done: int = 0
    total: int = 0
    sealed: tuple[ReplicaId, ...] = ()
    why: str = ""
    for_s: float = 0.0


class NodeSighting(Record):
    """All that an agent has seen, whole each time (level, not edge)."""

    node: NodeName
    machine_id: str
    boot_id: str
    sequence: int = 0
    disks: tuple[DiskSighting, ...] = ()
    engines: tuple[EngineSighting, ...] = ()
    tasks: tuple[TaskSighting, ...] = ()


class Reach(StrEnum):
    """Whether a node is heard: unknown until the time-out has passed since this server started."""

    REACHABLE = "reachable"
    UNREACHABLE = "unreachable"
    UNKNOWN = "unknown"
