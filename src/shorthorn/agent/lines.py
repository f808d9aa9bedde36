"""Orders of the server in the words of the programs' lines. Pure."""

import math

import msgspec

from shorthorn.core.lifecycle.fencing import fence_wait_s
from shorthorn.core.model.ids import ClusterUid, NodeName
from shorthorn.core.model.order import (
    CreateReplica,
    DeleteReplica,
    FenceReplica,
    Peer,
    ProbeReplica,
    RunEngine,
    RunTask,
)
from shorthorn.core.model.volume import Mode, Reads, Replica, ReplicaPhase, TaskKind, Volume
from shorthorn.core.model.world import Settings
from shorthorn.links import program_lines as wire


def document_of(volume: Volume) -> wire.Document:
    """A volume's document as replicas obey and keep it."""
    return wire.Document(
        era=volume.era,
        version=volume.version,
        m=volume.m,
        size=volume.size,
        chain=volume.chain,
        head=volume.head,
        body=msgspec.json.encode(volume).decode(),
    )


def targets_of(node: NodeName, volume: Volume, peers: tuple[Peer, ...]) -> tuple[wire.Target, ...]:
    """The replicas of the record that the order names, as an engine or copier on `node` needs to know them."""
    by_id = {peer.replica: peer for peer in peers}
    return tuple(
        _target(node, replica, by_id[replica.id]) for replica in volume.replicas if replica.id in by_id
    )


def session_order(
    cluster: ClusterUid, settings: Settings, node: NodeName, order: RunEngine, endpoint: str, agent: str
) -> wire.SessionOrder:
    """The order file of an engine. The volume has a session."""
    volume = order.volume
    if volume.session is None:
        raise AssertionError(f"no session in the order for {volume.uid}")
    return wire.SessionOrder(
        cluster=cluster,
        volume=volume.uid,
        name=volume.name,
        epoch=volume.session.epoch,
        opened_epoch=volume.opened_epoch,
        settled=volume.settled,
        read_only=bool(volume.attachments) and all(a.mode is Mode.READ_ONLY for a in volume.attachments),
        targets=targets_of(node, volume, order.peers),
        document=document_of(volume),
        endpoint=endpoint,
        agent=agent,
        open_grace_ms=_ms(settings.open_grace_s),
        open_grace_torn_ms=_ms(settings.open_grace_torn_s),
        grant_ms=_ms(settings.grant_s),
        silence_ms=_ms(settings.silence_s),
        close_ms=_ms(settings.close_s),
        space_wait_ms=None if settings.space_wait_s is None else _ms(settings.space_wait_s),
        strict_reads=volume.spec.reads is Reads.STRICT,
    )


def copy_order(cluster: ClusterUid, node: NodeName, order: RunTask) -> wire.CopyOrder:
    """The order of a task without a session."""
    task, volume = order.task, order.volume
    work: wire.SettleWork | wire.MoveWork = wire.SettleWork()
    if task.kind is TaskKind.COPY:
        if task.source is None or task.target is None:
            raise AssertionError(f"copy {task.id} without source or target")
        work = wire.MoveWork(source=task.source, target=task.target)
    return wire.CopyOrder(
        task=task.id,
        cluster=cluster,
        volume=volume.uid,
        epoch=task.epoch,
        opened_epoch=volume.opened_epoch,
        work=work,
        targets=targets_of(node, volume, order.peers),
        without=order.without,
        document=document_of(volume),
    )


def create_of(cluster: ClusterUid, order: CreateReplica, replica: Replica) -> wire.Create:
    """The line for a placed replica; its id is given when it is sent."""
    return wire.Create(
        id=0,
        replica=order.replica,
        cluster=cluster,
        volume=order.volume.uid,
        attempt=replica.attempt,
        document=document_of(order.volume),
    )


def delete_of(order: DeleteReplica) -> wire.Delete:
    """The line for a tombstone; its id is given when it is sent."""
    return wire.Delete(id=0, replica=order.replica, era=order.era, version=order.version)


def probe_of(order: ProbeReplica) -> wire.Probe:
    """The line for a probe; its id is given when it is sent."""
    return wire.Probe(id=0, replica=order.replica, drop=order.drop)


def fence_of(order: FenceReplica, replica: Replica, grant_s: float) -> wire.Fence:
    """The line for a fence, at the epoch of the record; its id is given when it is sent."""
    return wire.Fence(
        id=0,
        replica=order.replica,
        epoch=order.volume.epoch,
        attempt=replica.attempt,
        opened_epoch=order.volume.opened_epoch,
        stored_m=replica.stored_m,
        document=document_of(order.volume),
        wait_ms=math.ceil(fence_wait_s(grant_s) * 1000),
    )


def _target(node: NodeName, replica: Replica, peer: Peer) -> wire.Target:
    return wire.Target(
        replica=replica.id,
        node=replica.node,
        address=peer.address or None,
        attempt=replica.attempt,
        in_sync=replica.phase is ReplicaPhase.IN_SYNC,
        stored_m=replica.stored_m,
        local=replica.node == node,
    )


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
