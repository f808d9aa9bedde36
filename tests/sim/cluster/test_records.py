"""The judge of commits: what the store may never hold is noticed, whoever put it there."""

import asyncio
from collections.abc import Callable

import msgspec
import pytest

from shorthorn.control.records import NODES, SETTINGS, VOLUMES
from shorthorn.core.lifecycle.events import Created
from shorthorn.core.lifecycle.law import create
from shorthorn.core.lifecycle.outcome import Accepted
from shorthorn.core.model.ids import (
    Attempt,
    ClusterUid,
    DiskUid,
    Epoch,
    Holder,
    LayerId,
    Membership,
    NodeName,
    ReplicaId,
    VolumeName,
    VolumeUid,
)
from shorthorn.core.model.journal import JournalLine
from shorthorn.core.model.node import Commitment, Disk, Node
from shorthorn.core.model.volume import (
    Attachment,
    Replica,
    ReplicaPhase,
    Session,
    SessionPhase,
    Spec,
    Volume,
)
from shorthorn.core.model.world import Settings
from shorthorn.ports.store import Batch, Change, JournalEntry
from shorthorn.sim.judges.records import Records, Step
from shorthorn.sim.judges.registers import Violation

UID = VolumeUid("v-1")
HEAD = LayerId("l-1")


class Heard:
    """Takes what the judge tells."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def stepped(self, step: Step) -> None:
        self.steps.append(step)

    def told(self, line: JournalLine) -> None:
        pass


class Book:
    """Writes commits one after another; each may be wrong."""

    def __init__(self) -> None:
        self.heard = Heard()
        self.judge = Records(self.heard)
        self.revision = 0
        self.entries = 0
        self.commit({SETTINGS.key(""): SETTINGS.encode(Settings(cluster=ClusterUid("c-1")))})
        self.commit({NODES.key("n1"): NODES.encode(node())}, subject="n1")

    def commit(
        self, documents: dict[str, bytes | None], event: str = "", cause: str = "a test", subject: str = UID
    ) -> None:
        self.revision += 1
        entries: tuple[JournalEntry, ...] = ()
        if event:
            self.entries += 1
            line = JournalLine(
                at=0, subject=subject, name="v1", event=event, line=event, cause=cause, version=1
            )
            entries = (
                JournalEntry(self.entries, self.revision, f"volume/{subject}", msgspec.json.encode(line)),
            )
        changes = tuple(Change(key, value) for key, value in sorted(documents.items()))
        self.judge.take(Batch(revision=self.revision, changes=changes, journal=entries))

    def volume(self, volume: Volume, event: str = "something", cause: str = "a test") -> None:
        self.commit({VOLUMES.key(UID): VOLUMES.encode(volume)}, event, cause)


def node() -> Node:
    promised = (Commitment(replica=ReplicaId("r-1"), size=1 << 20),)
    disk = Disk(uid=DiskUid("d-1"), size=1 << 30, commitments=promised)
    return Node(name=NodeName("n1"), machine_id="m", boot_id="b", disks=(disk,))


def created() -> Volume:
    made = create(Created(name=VolumeName("v1"), uid=UID, size=1 << 20, spec=Spec(replicas=1), head=HEAD))
    assert isinstance(made, Accepted)
    assert made.value is not None
    return made.value


def formed() -> Volume:
    replica = Replica(
        id=ReplicaId("r-1"),
        node=NodeName("n1"),
        disk=DiskUid("d-1"),
        phase=ReplicaPhase.IN_SYNC,
        attempt=Attempt(1),
        synced_through=Membership(1),
    )
    return msgspec.structs.replace(created(), version=3, m=Membership(1), settled=True, replicas=(replica,))


def book_with(volume: Volume) -> Book:
    book = Book()
    before = msgspec.structs.replace(volume, version=volume.version - 1)
    book.judge.volumes[UID] = before
    for replica in volume.replicas:
        book.judge._replicas[replica.id] = UID
    book.volume(volume)
    return book


def next_of(volume: Volume, **changes: object) -> Volume:
    return msgspec.structs.replace(volume, version=volume.version + 1, **changes)


def session(phase: SessionPhase = SessionPhase.OPENING, epoch: int = 1) -> Session:
    return Session(epoch=Epoch(epoch), node=NodeName("n1"), machine_id="m", boot_id="b", phase=phase)


def attached(holder: str) -> tuple[Attachment, ...]:
    return (Attachment(holder=Holder(holder), node=NodeName("n1")),)


def test_a_right_history_is_told_step_by_step() -> None:
    book = book_with(formed())
    book.volume(next_of(formed(), attachments=attached("h")), "attach_requested", "holder h")
    assert [s.after.attachments[0].holder for s in book.heard.steps if s.after and s.after.attachments] == [
        "h"
    ]


def test_an_attachment_that_no_consumer_asked_for() -> None:
    book = book_with(formed())
    with pytest.raises(Violation, match="S10: v1 got attachment h"):
        book.volume(next_of(formed(), attachments=attached("h")), "replica_placed", "n1 is being evicted")


def test_an_attachment_that_another_consumer_asked_for() -> None:
    book = book_with(formed())
    with pytest.raises(Violation, match="S10"):
        book.volume(next_of(formed(), attachments=attached("h")), "attach_requested", "holder other")


def test_a_session_that_nobody_asked_for() -> None:
    book = book_with(formed())
    with pytest.raises(Violation, match="S10"):
        book.volume(next_of(formed(), epoch=Epoch(1), session=session()))


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        (lambda v: next_of(v, m=Membership(0)), "S8"),
        (lambda v: next_of(v, name=VolumeName("v2")), "S8"),
        (lambda v: next_of(v, size=v.size // 2), "S8"),
        (lambda v: next_of(v, replicas=()), "S5"),
        (lambda v: msgspec.structs.replace(v, version=v.version + 2), "S8"),
        (lambda v: next_of(v, epoch=Epoch(1), settled=False, replicas=v.replicas * 2), "S8"),
    ],
)
def test_wrong_steps(wrong: Callable[[Volume], Volume], rule: str) -> None:
    book = book_with(formed())
    with pytest.raises(Violation, match=rule):
        book.volume(wrong(formed()))


def test_a_change_without_a_line_in_the_journal() -> None:
    book = book_with(formed())
    with pytest.raises(Violation, match="without a line"):
        book.commit({VOLUMES.key(UID): VOLUMES.encode(next_of(formed()))})


def test_a_hole_in_the_journal() -> None:
    book = book_with(formed())
    book.entries += 1
    with pytest.raises(Violation, match="journal entry"):
        book.volume(next_of(formed()))


def test_a_hole_among_the_revisions() -> None:
    book = book_with(formed())
    book.revision += 1
    with pytest.raises(Violation, match="revision"):
        book.volume(next_of(formed()))


def test_a_replica_id_is_used_twice() -> None:
    book = book_with(formed())
    book.judge.volumes[UID] = msgspec.structs.replace(formed(), replicas=())
    with pytest.raises(Violation, match="S8"):
        book.volume(next_of(formed()))


def test_a_volume_comes_back() -> None:
    book = Book()
    book.volume(created())
    book.commit({VOLUMES.key(UID): None}, "deleted")
    with pytest.raises(Violation, match="came back"):
        book.volume(created())


def test_a_volume_is_gone_with_its_replicas() -> None:
    book = book_with(formed())
    with pytest.raises(Violation, match="L6"):
        book.commit({VOLUMES.key(UID): None}, "deleted")


def test_space_that_nobody_was_promised() -> None:
    book = book_with(formed())
    empty = msgspec.structs.replace(node(), disks=(Disk(uid=DiskUid("d-1"), size=1 << 30),))
    with pytest.raises(Violation, match="S9"):
        book.commit({NODES.key("n1"): NODES.encode(empty)}, "something", subject="n1")


def test_it_needs_no_loop() -> None:
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()
    Book()
