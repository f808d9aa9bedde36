"""What the ghost world keeps of an engine: a program that runs on whatever the record says of its session."""

from dataclasses import dataclass, field

from shorthorn.core.model.ids import Epoch, ReplicaId


@dataclass
class Engine:
    """A program that knows nothing but what it was told: the epoch, its own set, when it last sent what was answered."""

    epoch: Epoch
    needs: set[ReplicaId] = field(default_factory=set)
    sent_s: dict[ReplicaId, float] = field(default_factory=dict)
    serving: bool = False
    undecided: bool = False
    """A write reached some of its replicas only."""
