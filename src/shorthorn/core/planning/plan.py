"""What planning answers: intents, waits, and when it is worth looking again."""

from shorthorn.core.lifecycle.events import (
    CopyStarted,
    FenceHeld,
    FenceStarted,
    Formed,
    ReplicaAbandoned,
    ReplicaDropped,
    ReplicaGone,
    ReplicaLeaving,
    ReplicaPlaced,
    ReplicaSynced,
    SessionClosed,
    SessionStarted,
    Settled,
    SettleStarted,
    TaskEnded,
)
from shorthorn.core.model.ids import DiskUid, NodeName, ReplicaId, VolumeName, VolumeUid
from shorthorn.core.model.record import Record

PlannedEvent = (
    ReplicaPlaced
    | Formed
    | ReplicaLeaving
    | ReplicaAbandoned
    | ReplicaGone
    | SessionStarted
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
"""All that planning may propose. None of them adds or removes an attachment."""


class Claim(Record):
    """Bytes of a disk to be promised to a replica, in the commit of the intent."""

    node: NodeName
    disk: DiskUid
    replica: ReplicaId
    size: int


class Release(Record):
    """The promise to a replica that ends in the commit of the intent."""

    node: NodeName
    disk: DiskUid
    replica: ReplicaId


class Intent(Record):
    """One proposed step: an event for the law to judge again, about the newest document.

    `space` changes in the same commit. `unchanged` names the nodes whose records the decision rests on. `cause` says
    why, for the journal.
    """

    volume: VolumeUid
    name: VolumeName
    event: PlannedEvent
    cause: str
    space: Claim | Release | None = None
    unchanged: tuple[NodeName, ...] = ()

    def describe(self) -> str:
        """In plain words, for people."""
        return f"{_step(self.event)}: {self.cause}"


class Wait(Record):
    """Something held back: the reason, and what would free it. About a volume, a node, or a volume because of a node."""

    reason: str
    frees: str
    volume: VolumeUid | None = None
    name: str = ""
    node: NodeName | None = None

    def describe(self) -> str:
        """In plain words, for people."""
        subject = f"{self.name}: " if self.name else f"{self.node}: " if self.node else ""
        return f"{subject}{self.reason}" + (f" ({self.frees})" if self.frees else "")


class Plan(Record):
    """Any prefix of `intents` is safe, and any of them may be repeated. `look_again_s`: None: only after a change."""

    intents: tuple[Intent, ...] = ()
    waits: tuple[Wait, ...] = ()
    look_again_s: float | None = None

    def __add__(self, other: "Plan") -> "Plan":
        times = [s for s in (self.look_again_s, other.look_again_s) if s is not None]
        return Plan(
            intents=self.intents + other.intents,
            waits=self.waits + other.waits,
            look_again_s=min(times, default=None),
        )


NOTHING = Plan()


def _step(event: PlannedEvent) -> str:
    match event:
        case ReplicaPlaced():
            return f"place replica {event.replica} on {event.node}"
        case Formed():
            return f"form the volume of {', '.join(event.members)}"
        case ReplicaLeaving():
            return (
                f"mark replica {event.replica} as leaving" if event.why else f"keep replica {event.replica}"
            )
        case ReplicaAbandoned():
            return f"give up replica {event.replica}"
        case ReplicaGone():
            return f"forget the folder of replica {event.replica}"
        case SessionStarted() | SessionClosed() | FenceStarted() | FenceHeld():
            return _session_step(event)
        case SettleStarted():
            return f"make the replicas equal at {event.place}"
        case Settled():
            return "record that the replicas are equal"
        case CopyStarted():
            return f"copy {event.source} to {event.target} at {event.place}"
        case TaskEnded():
            return f"end task {event.task}"
        case ReplicaSynced():
            return f"record replica {event.replica} as in-sync"
        case ReplicaDropped():
            return f"drop replica {event.replica}"


def _session_step(event: SessionStarted | SessionClosed | FenceStarted | FenceHeld) -> str:
    match event:
        case SessionStarted():
            return f"start session {event.epoch & 0xFFFFFFFF} at {event.node}"
        case SessionClosed():
            return f"end session {event.epoch & 0xFFFFFFFF}"
        case FenceStarted():
            return f"fence session {event.epoch & 0xFFFFFFFF}"
        case FenceHeld():
            return f"end the fenced session by replica {event.replica}"
