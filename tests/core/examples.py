"""Small volumes and nodes for tests, made by the law itself: a world that could not exist is refused here."""

from typing import TypeVar

from shorthorn.core.lifecycle import law, nodes
from shorthorn.core.lifecycle.events import (
    Base,
    CopyStarted,
    Created,
    Formed,
    NodeRegistered,
    ReplicaPlaced,
    ReplicaSynced,
    SessionClosed,
    SessionOpened,
    SessionStarted,
)
from shorthorn.core.lifecycle.outcome import Accepted, Refused
from shorthorn.core.lifecycle.requests import AttachRequested, DetachRequested
from shorthorn.core.model.ids import (
    Attempt,
    DiskUid,
    Epoch,
    Holder,
    LayerId,
    NodeName,
    ReplicaId,
    TaskId,
    VolumeName,
    VolumeUid,
)
from shorthorn.core.model.node import Disk, Node
from shorthorn.core.model.volume import Spec, Volume

GIB = 1024**3
N1, N2, N3, N4 = (NodeName(f"n{i}") for i in (1, 2, 3, 4))
R1, R2, R3, R4 = (ReplicaId(f"r{i}") for i in (1, 2, 3, 4))
POD = Holder("pod")

T = TypeVar("T")


def accepted(outcome: Accepted[T] | Refused) -> T:
    """The new document; a refusal fails the test with its reason."""
    assert isinstance(outcome, Accepted), outcome
    assert outcome.value is not None
    return outcome.value


def refused(outcome: Accepted[T] | Refused) -> str:
    """The reason."""
    assert isinstance(outcome, Refused), outcome
    assert outcome.why
    assert "\n" not in outcome.why
    return outcome.why


def after(volume: Volume, *events: object) -> Volume:
    """Events in order, each accepted."""
    for event in events:
        volume = accepted(law.apply(volume, event))  # type: ignore[arg-type]  # any event; the table knows
    return volume


def disk_of(node: NodeName) -> DiskUid:
    return DiskUid(f"{node}-d1")


def created(replicas: int = 3, name: str = "v1", size: int = 10 * GIB, era: int = 0) -> Volume:
    return accepted(
        law.create(
            Created(
                name=VolumeName(name),
                uid=VolumeUid(f"{name}-uid"),
                size=size,
                spec=Spec(replicas=replicas),
                head=LayerId("l1"),
                era=era,
            )
        )
    )


def formed(replicas: int = 3, name: str = "v1", size: int = 10 * GIB) -> Volume:
    """Detached, never attached: r1 on n1, r2 on n2 …"""
    volume = created(replicas, name, size)
    ids = [ReplicaId(f"r{i}") for i in range(1, replicas + 1)]
    places = [
        ReplicaPlaced(replica=r, node=NodeName(f"n{r[1:]}"), disk=disk_of(NodeName(f"n{r[1:]}"))) for r in ids
    ]
    return after(volume, *places, Formed(members=tuple(ids)))


def attach(node: NodeName = N1, holder: Holder = POD) -> AttachRequested:
    return AttachRequested(holder=holder, node=node)


def detach(holder: Holder = POD) -> DetachRequested:
    return DetachRequested(holder=holder)


def start(volume: Volume, node: NodeName = N1) -> SessionStarted:
    return SessionStarted(
        epoch=Epoch(volume.epoch + 1), node=node, machine_id=f"m-{node}", boot_id=f"b-{node}"
    )


def opened(
    volume: Volume, members: tuple[ReplicaId, ...] | None = None, *, broken: bool = False
) -> SessionOpened:
    return SessionOpened(
        epoch=volume.epoch,
        members=members or tuple(r.id for r in volume.in_sync),
        broken=broken,
        endpoint=f"nbd+unix:///v1?socket=/run/{volume.epoch}",
    )


def closed(volume: Volume, *, clean: bool = True) -> SessionClosed:
    return SessionClosed(epoch=volume.epoch, clean=clean, evidence="own exit")


def serving(volume: Volume, node: NodeName = N1, holder: Holder = POD) -> Volume:
    """Attached and open."""
    volume = after(volume, attach(node, holder))
    volume = after(volume, start(volume, node))
    return after(volume, opened(volume))


def detached_clean(volume: Volume) -> Volume:
    """A serving volume, let go by its one holder."""
    volume = after(volume, detach())
    return after(volume, closed(volume))


def died(volume: Volume) -> Volume:
    """A serving volume whose engine died."""
    return after(volume, closed(volume, clean=False))


def copy_started(volume: Volume, source: ReplicaId, target: ReplicaId, task: str = "t1") -> CopyStarted:
    at = volume.replica(target)
    assert at is not None
    return CopyStarted(
        epoch=Epoch(volume.epoch + 1), task=TaskId(task), source=source, target=target, place=at.node
    )


def synced(
    volume: Volume, replica: ReplicaId, epoch: int | None = None, attempt: int | None = None
) -> ReplicaSynced:
    r = volume.replica(replica)
    return ReplicaSynced(
        epoch=Epoch(volume.epoch if epoch is None else epoch),
        replica=replica,
        attempt=Attempt(attempt or (r.attempt if r else 1)),
        base=Base(chain=volume.chain, size=volume.size),
    )


def node(name: NodeName, size: int = 100 * GIB) -> Node:
    return accepted(
        nodes.register(
            NodeRegistered(
                name=name,
                machine_id=f"m-{name}",
                boot_id=f"b-{name}",
                disks=(Disk(uid=disk_of(name), size=size),),
            )
        )
    )
