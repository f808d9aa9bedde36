"""Records for the agent's tests."""

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
from shorthorn.core.model.order import CreateReplica, Peer, RunEngine, RunTask
from shorthorn.core.model.volume import (
    Attachment,
    Replica,
    ReplicaPhase,
    Session,
    Spec,
    Task,
    TaskKind,
    Volume,
)

NODE = NodeName("n1")
VOLUME = VolumeUid("v-1")
R1 = ReplicaId("r-1")
R2 = ReplicaId("r-2")


def volume(disk: str = "d-1", epoch: int = 0, held_since: int = 0, version: int = 7) -> Volume:
    """A volume with an in-sync replica on this node's disk and one on n2; with a session if there is an epoch."""
    session = Session(epoch=Epoch(epoch), node=NODE, machine_id="m", boot_id="b") if epoch else None
    return Volume(
        name=VolumeName("data"),
        uid=VOLUME,
        size=1 << 30,
        spec=Spec(),
        head=LayerId("l-1"),
        chain=(LayerId("l-1"),),
        version=version,
        epoch=Epoch(epoch),
        m=Membership(1),
        held_since=Epoch(held_since or epoch),
        attachments=(Attachment(holder=Holder("manual"), node=NODE),) if epoch else (),
        session=session,
        replicas=(
            Replica(id=R1, node=NODE, disk=DiskUid(disk), phase=ReplicaPhase.IN_SYNC, attempt=Attempt(1)),
            Replica(id=R2, node=NodeName("n2"), disk=DiskUid("d-2"), phase=ReplicaPhase.IN_SYNC),
        ),
    )


def peers(address: str = "127.0.0.1:9", other: str = "127.0.0.1:10") -> tuple[Peer, ...]:
    return (
        Peer(replica=R1, node=NODE, address=address),
        Peer(replica=R2, node=NodeName("n2"), address=other),
    )


def run_engine(epoch: int, held_since: int = 0, **changes: object) -> RunEngine:
    order = RunEngine(volume=volume(epoch=epoch, held_since=held_since), peers=peers())
    return RunEngine(**{"volume": order.volume, "peers": order.peers, **changes})  # type: ignore[arg-type]


def create(disk: str = "d-1") -> CreateReplica:
    return CreateReplica(disk=DiskUid(disk), replica=R1, volume=volume(disk))


def settle(disk: str = "d-1", *, task: str = "t-1", committed: bool = False) -> RunTask:
    work = Task(id=TaskId(task), kind=TaskKind.SETTLE, epoch=Epoch(4), place=NODE, committed=committed)
    return RunTask(disk=DiskUid(disk), task=work, volume=volume(disk), peers=peers())
