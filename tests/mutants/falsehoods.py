"""Messages that are certainly false about a volume as it stands: late, misdirected, garbled or sent by who may not.

None of them may change the record, whatever state it is in, and the law may never stumble over one: so each guard is asked
for in every state that a walk comes through. What is true, or true again, is no business of this module.
"""

from collections.abc import Iterator

import msgspec

from shorthorn.core.lifecycle.events import (
    Base,
    CopyStarted,
    DeleteRequested,
    Expanded,
    FenceHeld,
    FenceStarted,
    Formed,
    ReplicaAbandoned,
    ReplicaDropped,
    ReplicaGone,
    ReplicaLeaving,
    ReplicaLost,
    ReplicaPlaced,
    ReplicaSynced,
    SessionClosed,
    SessionOpened,
    SessionStarted,
    Settled,
    SettleStarted,
    SpecChanged,
)
from shorthorn.core.lifecycle.requests import AttachRequested, UseConfirmed, UseStarted
from shorthorn.core.model.ids import Attempt, DiskUid, Epoch, Holder, NodeName, ReplicaId, TaskId
from shorthorn.core.model.record import Record
from shorthorn.core.model.volume import (
    Attachment,
    Mode,
    Replica,
    ReplicaPhase,
    SessionPhase,
    Spec,
    TaskKind,
    Volume,
)

NOBODY = ReplicaId("r99")
NOWHERE = NodeName("n9")
TEXTS = ("", "two\nlines", "x" * 2000)
WRONG_EPOCHS = (-1, 1, 2, 1 << 32)

False_ = tuple[Volume, Record]
"""A document, mostly the one asked about, and what may not change it."""


def falsehoods(volume: Volume) -> Iterator[False_]:
    """All of them."""
    for event in _false_events(volume):
        yield volume, event
    yield from _crowded(volume)


def _false_events(volume: Volume) -> Iterator[Record]:
    yield from _of_people(volume)
    yield from _of_consumers(volume)
    yield from _of_sessions(volume)
    yield from _of_fences(volume)
    yield from _of_places(volume)
    yield from _of_members(volume)
    yield from _of_tasks(volume)


def _of_people(volume: Volume) -> Iterator[Record]:
    yield SpecChanged(spec=Spec(replicas=0))
    yield SpecChanged(spec=Spec(domain_keys=("rack", "rack")))
    yield Expanded(size=volume.size - 4096)
    yield Expanded(size=volume.size + 4096)
    if (volume.attachments or volume.session) and not volume.deleting:
        yield DeleteRequested()
    if volume.deleting:
        yield SpecChanged(spec=Spec(replicas=5))


def _of_consumers(volume: Volume) -> Iterator[Record]:
    node = volume.held_at or NodeName("n1")
    for text in TEXTS:
        yield AttachRequested(holder=Holder(text), node=node)
        yield UseStarted(holder=Holder("pod"), fs=text)
    yield UseStarted(holder=Holder("stranger"), fs="ext4")
    yield UseConfirmed(holder=Holder("stranger"), fs="ext4")
    yield UseConfirmed(holder=Holder("pod"), fs="zfs")
    if volume.use.fs:
        yield UseStarted(holder=Holder("pod"), fs="btrfs")
        # The right word of who does not hold it.
        yield UseConfirmed(holder=Holder("stranger"), fs=volume.use.fs)
    readers = all(a.mode is Mode.READ_ONLY for a in volume.attachments)
    serving = volume.session is not None and volume.session.phase in (SessionPhase.OPENING, SessionPhase.OPEN)
    fencing = volume.session is not None and volume.session.phase is SessionPhase.FENCING
    for held in volume.attachments:
        yield AttachRequested(holder=Holder("stranger"), node=NOWHERE)
        other = Mode.READ_ONLY if held.mode is Mode.READ_WRITE else Mode.READ_WRITE
        yield AttachRequested(holder=held.holder, node=held.node, mode=other)
    if (serving and readers) or fencing or volume.deleting:
        yield AttachRequested(holder=Holder("stranger"), node=node)
    if volume.deleting:
        yield UseStarted(holder=Holder("pod"), fs="xfs")


def _crowded(volume: Volume) -> Iterator[False_]:
    """As many holders as there may be, and one more."""
    held = tuple(Attachment(holder=Holder(f"h{i:03}"), node=NodeName("n1")) for i in range(128))
    full = msgspec.structs.replace(volume, attachments=held)
    if not volume.attachments and volume.session is None and not volume.deleting:
        yield full, AttachRequested(holder=Holder("one-more"), node=NodeName("n1"))


def _start(volume: Volume, **other: object) -> SessionStarted:
    node = volume.held_at or NodeName("n1")
    event = SessionStarted(
        epoch=Epoch(volume.epoch + 1), node=node, machine_id=f"m-{node}", boot_id=f"b-{node}"
    )
    return msgspec.structs.replace(event, **other)


def _of_sessions(volume: Volume) -> Iterator[Record]:
    session = volume.session
    for off in (*WRONG_EPOCHS[1:], -1):
        yield _start(volume, epoch=Epoch(volume.epoch + 1 + off))
    yield _start(volume, boot_id="an-older-boot")
    yield _start(volume, node=NodeName("n4"), machine_id="m-n4", boot_id="b-n4")
    if session is not None or not volume.attachments or not volume.in_sync or volume.deleting:
        yield _start(volume)
    members = tuple(r.id for r in volume.in_sync)
    base = session.epoch if session else volume.epoch
    opened = SessionOpened(epoch=base, members=members, broken=False, endpoint="nbd+unix:///elsewhere")
    for off in WRONG_EPOCHS:
        yield msgspec.structs.replace(opened, epoch=Epoch(base + off))
        yield SessionClosed(epoch=Epoch(base + off), clean=True, evidence="own exit")
    yield msgspec.structs.replace(opened, members=(*members, NOBODY))
    yield msgspec.structs.replace(opened, members=())
    for text in TEXTS:
        yield msgspec.structs.replace(opened, endpoint=text)
        yield SessionClosed(epoch=base, clean=False, evidence=text)
    for replica in volume.syncing:
        yield msgspec.structs.replace(opened, members=(*members, replica.id))
    if session is None or session.phase is not SessionPhase.OPENING:
        yield opened


def _of_fences(volume: Volume) -> Iterator[Record]:
    session = volume.session
    base = session.epoch if session else volume.epoch
    for off in WRONG_EPOCHS:
        yield FenceStarted(epoch=Epoch(base + off), why="unreachable")
    for text in TEXTS:
        if session is None or session.phase is not SessionPhase.FENCING:
            yield FenceStarted(epoch=base, why=text)
    held = bool(volume.attachments)
    if session and held and session.phase in (SessionPhase.OPENING, SessionPhase.OPEN):
        yield FenceStarted(epoch=base, why="unreachable")
    member = volume.in_sync[0].id if volume.in_sync else NOBODY
    fence = FenceHeld(epoch=volume.epoch, replica=member, waited_s=2.5)
    for off in WRONG_EPOCHS:
        yield msgspec.structs.replace(fence, epoch=Epoch(volume.epoch + off))
    if session is None or session.phase is not SessionPhase.FENCING:
        yield fence
    yield msgspec.structs.replace(fence, waited_s=2.1)
    for replica in (*(r.id for r in volume.syncing), NOBODY):
        yield msgspec.structs.replace(fence, replica=replica)


def _of_places(volume: Volume) -> Iterator[Record]:
    here = volume.replicas[0].node if volume.replicas else NOWHERE
    if volume.replicas:
        yield ReplicaPlaced(replica=ReplicaId("r98"), node=here, disk=DiskUid("d"))
    for used in (*(r.id for r in volume.replicas), *(t.replica for t in volume.tombstones)):
        yield ReplicaPlaced(replica=used, node=NOWHERE, disk=DiskUid("d"))
    if volume.deleting:
        yield ReplicaPlaced(replica=ReplicaId("r98"), node=NOWHERE, disk=DiskUid("d"))
    yield Formed(members=())
    yield Formed(members=(NOBODY,))
    for replica in volume.replicas:
        if volume.m > 0 or replica.attempt > 1 or replica.leaving:
            yield Formed(members=(replica.id,))
        yield ReplicaGone(replica=replica.id)
        yield from (ReplicaLeaving(replica=replica.id, why=text) for text in TEXTS[1:])
        if replica.phase is ReplicaPhase.IN_SYNC or _worked_on(volume, replica):
            yield ReplicaAbandoned(replica=replica.id, attempt=replica.attempt, why="too many")
        for off in (-1, 1):
            yield ReplicaAbandoned(replica=replica.id, attempt=Attempt(replica.attempt + off), why="too many")
    yield ReplicaLeaving(replica=NOBODY, why="evicted")
    yield ReplicaAbandoned(replica=NOBODY, attempt=Attempt(1), why="too many")


def _worked_on(volume: Volume, replica: Replica) -> bool:
    return any(not t.committed and replica.id in (t.source, t.target) for t in volume.tasks)


def _of_members(volume: Volume) -> Iterator[Record]:
    yield from _losses(volume)
    yield from _joins(volume)
    yield from _drops(volume)


def _losses(volume: Volume) -> Iterator[Record]:
    session = volume.session
    base = session.epoch if session else volume.epoch
    members = volume.in_sync
    for replica in volume.replicas:
        witness = next((r.id for r in members if r.id != replica.id), NOBODY)
        lost = ReplicaLost(epoch=base, replica=replica.id, attempt=replica.attempt, witness=witness)
        for off in WRONG_EPOCHS:
            yield msgspec.structs.replace(lost, epoch=Epoch(base + off))
        yield msgspec.structs.replace(lost, attempt=Attempt(replica.attempt + 1))
        if session is None or session.phase is SessionPhase.FENCING:
            yield lost
        if replica in members:
            for nobody in (replica.id, NOBODY, ReplicaId(""), *(r.id for r in volume.syncing)):
                yield msgspec.structs.replace(lost, witness=nobody)
    yield ReplicaLost(epoch=base, replica=NOBODY, attempt=Attempt(1), witness=NOBODY)


def _joins(volume: Volume) -> Iterator[Record]:
    session = volume.session
    base = session.epoch if session else volume.epoch
    now = Base(chain=volume.chain, size=volume.size)
    copied = [t.target for t in volume.tasks if t.kind is TaskKind.COPY and not t.committed]
    for replica in volume.replicas:
        joined = ReplicaSynced(epoch=base, replica=replica.id, attempt=replica.attempt, base=now)
        for off in WRONG_EPOCHS:
            yield msgspec.structs.replace(joined, epoch=Epoch(base + off))
        for off in (-1, 1):
            yield msgspec.structs.replace(joined, attempt=Attempt(replica.attempt + off))
        yield msgspec.structs.replace(joined, base=Base(chain=volume.chain, size=volume.size + 4096))
        open_ = session is not None and session.phase is SessionPhase.OPEN
        fills = session is None and volume.settled and replica.id in copied
        if not (open_ or fills) or replica.phase is ReplicaPhase.IN_SYNC:
            yield joined
    yield ReplicaSynced(epoch=base, replica=NOBODY, attempt=Attempt(1), base=now)


def _drops(volume: Volume) -> Iterator[Record]:
    for replica in (*volume.replicas, None):
        name = replica.id if replica else NOBODY
        others = tuple(r.id for r in volume.in_sync if r.id != name)
        drop = ReplicaDropped(epoch=volume.epoch, replica=name, probes=others)
        for off in WRONG_EPOCHS:
            yield msgspec.structs.replace(drop, epoch=Epoch(volume.epoch + off))
        if others:
            yield msgspec.structs.replace(drop, probes=others[1:])
        may = replica and replica.phase is ReplicaPhase.IN_SYNC and replica.leaving and others
        free = volume.session is None and volume.settled
        if not may or not free or (replica and _worked_on(volume, replica)):
            yield drop


def _of_tasks(volume: Volume) -> Iterator[Record]:
    yield from _settles(volume)
    yield from _copies(volume)


def _settles(volume: Volume) -> Iterator[Record]:
    members = volume.in_sync
    place = members[0].node if members else NOWHERE
    start = SettleStarted(epoch=Epoch(volume.epoch + 1), task=TaskId("t99"), place=place)
    for off in WRONG_EPOCHS:
        yield msgspec.structs.replace(start, epoch=Epoch(volume.epoch + 1 + off))
    yield msgspec.structs.replace(start, place=NOWHERE)
    yield msgspec.structs.replace(start, without=(NOBODY,))
    yield msgspec.structs.replace(start, without=tuple(r.id for r in members))
    for task in volume.tasks:
        yield msgspec.structs.replace(start, task=task.id)
    if volume.session or volume.settled or volume.deleting:
        yield start
    sealed = tuple(r.id for r in members)
    settled = Settled(epoch=volume.epoch, sealed=sealed)
    for off in WRONG_EPOCHS:
        yield msgspec.structs.replace(settled, epoch=Epoch(volume.epoch + off))
    yield msgspec.structs.replace(settled, sealed=sealed[1:])
    yield msgspec.structs.replace(settled, removed=(NOBODY,))
    yield msgspec.structs.replace(settled, sealed=(), removed=sealed)
    if members:
        yield msgspec.structs.replace(settled, sealed=sealed[1:], removed=sealed[:1])
    for replica in volume.syncing:
        yield msgspec.structs.replace(settled, removed=(replica.id,))
    under_way = any(t.kind is TaskKind.SETTLE and t.epoch == volume.epoch for t in volume.tasks)
    if not under_way or volume.session:
        yield settled


def _copies(volume: Volume) -> Iterator[Record]:
    source = volume.in_sync[0] if volume.in_sync else None
    for target in volume.syncing:
        if source is None:
            continue
        copy = CopyStarted(
            epoch=Epoch(volume.epoch + 1),
            task=TaskId("t99"),
            source=source.id,
            target=target.id,
            place=target.node,
        )
        for off in WRONG_EPOCHS:
            yield msgspec.structs.replace(copy, epoch=Epoch(volume.epoch + 1 + off))
        yield msgspec.structs.replace(copy, source=target.id)
        yield msgspec.structs.replace(copy, source=NOBODY)
        yield msgspec.structs.replace(copy, target=source.id, place=source.node)
        yield msgspec.structs.replace(copy, target=NOBODY, place=source.node)
        yield msgspec.structs.replace(copy, place=NOWHERE)
        for task in volume.tasks:
            yield msgspec.structs.replace(copy, task=task.id)
        if volume.session or not volume.settled or volume.deleting:
            yield copy


Answer = tuple[Record, str]
"""What is asked in vain, and words of the reason that whoever asked has to be told."""


def answers(volume: Volume) -> Iterator[Answer]:
    """Where one refusal stands before another, who asks is told the one that helps."""
    smaller = volume.size - 4096
    if volume.deleting:
        yield from ((event, "is being deleted") for event in _after_the_end(volume))
        return
    if smaller > 0:
        yield Expanded(size=smaller), "never shrinks"
    session = volume.session
    settled = Settled(epoch=volume.epoch, sealed=tuple(r.id for r in volume.in_sync))
    if session is not None:
        yield settled, "has session"
    else:
        yield msgspec.structs.replace(settled, epoch=Epoch(volume.epoch + 1)), "is over"
        if volume.settled and not volume.tasks:
            yield settled, "is settled already"
    now = Base(chain=volume.chain, size=volume.size)
    for replica in volume.in_sync:
        if session is None and not volume.tasks:
            joined = ReplicaSynced(epoch=volume.epoch, replica=replica.id, attempt=replica.attempt, base=now)
            yield joined, "is in-sync already"
        if session is not None and session.phase is SessionPhase.OPEN and len(volume.in_sync) == 1:
            yield (
                ReplicaLost(epoch=session.epoch, replica=replica.id, attempt=replica.attempt, witness=NOBODY),
                "is the last in-sync one",
            )


def _after_the_end(volume: Volume) -> Iterator[Record]:
    """All that could be asked of a volume that is being deleted."""
    r1, n1, task, then = ReplicaId("r1"), NodeName("n1"), TaskId("t99"), Epoch(volume.epoch + 1)
    yield SpecChanged(spec=Spec(replicas=5))
    yield Expanded(size=volume.size + 4096)
    yield AttachRequested(holder=Holder("pod"), node=n1)
    yield UseStarted(holder=Holder("pod"), fs="xfs")
    yield UseConfirmed(holder=Holder("pod"), fs="xfs")
    yield _start(volume)
    yield ReplicaPlaced(replica=ReplicaId("r98"), node=NOWHERE, disk=DiskUid("d"))
    yield Formed(members=(NOBODY,))
    base = Base(chain=volume.chain, size=volume.size)
    yield ReplicaSynced(epoch=volume.epoch, replica=r1, attempt=Attempt(1), base=base)
    yield SettleStarted(epoch=then, task=task, place=n1)
    yield CopyStarted(epoch=then, task=task, source=r1, target=NOBODY, place=n1)
