"""The one way to change a record: what the store may do to a commit, the caller ends up with the truth."""

from collections.abc import AsyncIterator, Callable

import msgspec
import pytest

from shorthorn.control.commit import Committer, InvariantBroken, name_key
from shorthorn.control.records import NODES, VOLUMES, Records
from shorthorn.core.lifecycle import law
from shorthorn.core.lifecycle.events import (
    Cordoned,
    Created,
    DeclaredDead,
    DeleteRequested,
    FenceHeld,
    FenceStarted,
    Formed,
    NodeRegistered,
    ReplicaLeaving,
    ReplicaPlaced,
    SessionStarted,
)
from shorthorn.core.lifecycle.law import attach
from shorthorn.core.lifecycle.outcome import Accepted, RefusalKind, Refused
from shorthorn.core.lifecycle.requests import AttachRequested
from shorthorn.core.lifecycle.transition import Transition, on_no_node
from shorthorn.core.model.ids import ClusterUid, Epoch, Holder, LayerId, VolumeName, VolumeUid
from shorthorn.core.model.node import Disk
from shorthorn.core.model.volume import Spec, Volume
from shorthorn.core.model.world import Settings
from shorthorn.core.planning.plan import Claim
from shorthorn.errors import OutcomeUnknown, Unavailable
from shorthorn.ports.clock import SystemClock
from shorthorn.store import FaultyStore, MemoryStore
from shorthorn.store.faulty import Fault, in_order
from tests.core.examples import GIB, N1, R1, disk_of

UID = VolumeUid("v1-uid")
PLACED = ReplicaPlaced(replica=R1, node=N1, disk=disk_of(N1))
CLAIM = Claim(node=N1, disk=disk_of(N1), replica=R1, size=GIB)


class Bench:
    """A committer over a store whose commits can go wrong."""

    def __init__(self) -> None:
        self.store = FaultyStore(MemoryStore())
        self.records = Records(self.store)
        self.committer = Committer(self.store, self.records, SystemClock())
        self.records.note_settings(1, Settings(cluster=ClusterUid("c")))

    async def volume(self) -> Volume | None:
        document = await VOLUMES.get(self.store, UID)
        return None if document is None else document.value

    async def prepare(self) -> None:
        await self.committer.register_node(
            NodeRegistered(
                name=N1, machine_id="m", boot_id="b", disks=(Disk(uid=disk_of(N1), size=2 * GIB),)
            ),
            "test",
        )
        assert isinstance(await self.committer.create_volume(created("v1", UID), "test"), Accepted)


def created(name: str, uid: VolumeUid) -> Created:
    return Created(name=VolumeName(name), uid=uid, size=GIB, spec=Spec(replicas=1), head=LayerId("l1"))


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    await bench.prepare()
    yield bench
    await bench.store.close()


async def test_a_name_is_taken_once_and_free_again_after_the_deletion(bench: Bench) -> None:
    again = await bench.committer.create_volume(created("v1", VolumeUid("other")), "test")
    assert isinstance(again, Refused)
    assert again.kind is RefusalKind.ALREADY_EXISTS
    await bench.committer.change_volume(UID, DeleteRequested(), "test")
    assert await bench.store.get(name_key(VolumeName("v1"))) is None
    assert isinstance(
        await bench.committer.create_volume(created("v1", VolumeUid("other")), "test"), Accepted
    )


async def test_the_space_of_a_replica_is_promised_in_the_commit_that_places_it(bench: Bench) -> None:
    placed = await bench.committer.change_volume(UID, PLACED, "test", space=CLAIM)
    assert isinstance(placed, Accepted)
    node = await NODES.get(bench.store, N1)
    assert node is not None
    assert node.value.disks[0].committed == GIB
    volume = await VOLUMES.get(bench.store, UID)
    assert volume is not None
    assert volume.version == node.version, "one commit"


async def test_no_room_refuses_the_whole_commit(bench: Bench) -> None:
    before = await bench.volume()
    refused = await bench.committer.change_volume(
        UID, PLACED, "test", space=msgspec.structs.replace(CLAIM, size=3 * GIB)
    )
    assert isinstance(refused, Refused)
    assert refused.kind is RefusalKind.NO_CAPACITY
    assert await bench.volume() == before


async def test_after_a_conflict_the_law_is_asked_again(bench: Bench) -> None:
    bench.store.decide = in_order([Fault.RIVAL, Fault.RIVAL])
    assert isinstance(await bench.committer.change_volume(UID, PLACED, "test", space=CLAIM), Accepted)
    volume = await bench.volume()
    assert volume is not None
    assert [r.id for r in volume.replicas] == [R1]


async def test_a_store_that_always_conflicts_ends_in_try_again_not_in_a_loop(bench: Bench) -> None:
    bench.store.decide = lambda _writes: Fault.RIVAL
    with pytest.raises(Unavailable):
        await bench.committer.change_volume(UID, PLACED, "test")


@pytest.mark.parametrize(("fault", "happened"), [(Fault.REQUEST_LOST, False), (Fault.ANSWER_LOST, True)])
async def test_an_unknown_outcome_is_told_and_asking_again_tells_the_truth(
    bench: Bench, fault: Fault, happened: bool
) -> None:
    bench.store.decide = in_order([fault])
    with pytest.raises(OutcomeUnknown):
        await bench.committer.change_volume(UID, PLACED, "test", space=CLAIM)
    volume = await bench.volume()
    assert volume is not None
    assert bool(volume.replicas) == happened
    again = await bench.committer.change_volume(UID, PLACED, "test", space=CLAIM)
    assert isinstance(again, Accepted)
    after = await bench.volume()
    assert after is not None
    assert [r.id for r in after.replicas] == [R1]


async def test_an_attachment_rests_on_the_node_as_it_is_at_the_commit(bench: Bench) -> None:
    event = AttachRequested(holder=Holder("pod"), node=N1)
    seen: list[int] = []

    def cordon_meanwhile(found: Volume, nodes: object) -> Accepted[Volume] | Refused:
        seen.append(found.version)
        return attach(found, nodes[0], event)  # type: ignore[index]

    bench.store.decide = in_order([Fault.RIVAL])
    answer = await bench.committer.change_volume(UID, event, "test", rests_on=(N1,), decide=cordon_meanwhile)
    assert isinstance(answer, Accepted)
    assert len(seen) == 2, "decided again on the documents after the conflict"


async def test_a_choice_is_void_when_a_node_that_it_rests_on_has_changed_since(bench: Bench) -> None:
    """The commit guards the nodes as they are then; the choice was made on those of an older view."""
    node = await NODES.get(bench.store, N1)
    assert node is not None
    view = {N1: node.value}
    await bench.committer.change_node(N1, Cordoned(), "test")
    change = bench.committer.change_volume
    for answer in (
        await change(UID, PLACED, "test", rests_on=(N1,), view=view),
        await change(UID, PLACED, "test", space=CLAIM, view=view),
    ):
        assert isinstance(answer, Refused)
        assert answer.why == "n1 has changed since this was decided"


async def test_space_promised_to_others_meanwhile_voids_no_choice(bench: Bench) -> None:
    node = await NODES.get(bench.store, N1)
    assert node is not None
    view = {N1: node.value}
    placed = await bench.committer.change_volume(UID, PLACED, "test", space=CLAIM, view=view)
    assert isinstance(placed, Accepted)
    mark = ReplicaLeaving(replica=R1, why="evicted")
    marked = await bench.committer.change_volume(UID, mark, "test", rests_on=(N1,), view=view)
    assert isinstance(marked, Accepted)


async def fencing_session(bench: Bench, *, dead: bool) -> Accepted[Volume] | Refused:
    """A served volume whose fence is asked for, without a `decide`: the committer finds the grounds by itself."""
    change = bench.committer.change_volume
    await change(UID, PLACED, "test", space=CLAIM)
    await change(UID, Formed(members=(R1,)), "test")
    await change(UID, AttachRequested(holder=Holder("pod"), node=N1), "test")
    start = SessionStarted(epoch=Epoch(1), node=N1, machine_id="m", boot_id="b")
    assert isinstance(await change(UID, start, "test"), Accepted)
    if dead:
        await bench.committer.change_node(N1, DeclaredDead(who="ann", why="burnt"), "test")
    return await change(UID, FenceStarted(epoch=Epoch(1), why="dead"), "test")


async def test_a_fence_rests_on_the_nodes_record_and_on_t(bench: Bench) -> None:
    assert isinstance(await fencing_session(bench, dead=True), Accepted)
    held = FenceHeld(epoch=Epoch(2), replica=R1, waited_s=2.1)
    early = await bench.committer.change_volume(UID, held, "test")
    assert isinstance(early, Refused)
    assert "2.1 s of 2.2 s" in early.why
    held = msgspec.structs.replace(held, waited_s=2.2)
    assert isinstance(await bench.committer.change_volume(UID, held, "test"), Accepted)
    volume = await bench.volume()
    assert volume is not None
    assert volume.session is None


async def test_a_fence_of_a_living_consumer_is_refused_at_the_commit(bench: Bench) -> None:
    answer = await fencing_session(bench, dead=False)
    assert isinstance(answer, Refused)
    assert "held at n1 by pod" in answer.why


async def test_a_session_is_not_started_for_a_boot_that_is_over(bench: Bench) -> None:
    change = bench.committer.change_volume
    await change(UID, PLACED, "test", space=CLAIM)
    await change(UID, Formed(members=(R1,)), "test")
    await change(UID, AttachRequested(holder=Holder("pod"), node=N1), "test")
    late = SessionStarted(epoch=Epoch(1), node=N1, machine_id="m", boot_id="before")
    answer = await change(UID, late, "test")
    assert isinstance(answer, Refused)
    assert "booted again" in answer.why


async def test_a_refused_request_leaves_no_journal_entry(bench: Bench) -> None:
    before = await bench.store.journal()
    assert isinstance(
        await bench.committer.change_volume(UID, ReplicaLeaving(replica=R1, why="x"), "test"), Refused
    )
    assert await bench.store.journal() == before


async def test_what_the_law_lets_pass_by_mistake_is_not_recorded(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forgets_its_epoch(volume: Volume, _event: object, _grounds: object) -> Accepted[Volume]:
        worse = msgspec.structs.replace(volume, version=volume.version + 1, m=volume.m - 1)
        return Accepted(value=worse, lines=("worse",))

    class Row:
        rests_on = staticmethod(on_no_node)
        apply: Callable[[Volume, object, object], Accepted[Volume]] = staticmethod(forgets_its_epoch)

    rows: dict[type, Transition] = law.TABLE
    monkeypatch.setitem(rows, ReplicaLeaving, Row())
    before = await bench.volume()
    with pytest.raises(InvariantBroken):
        await bench.committer.change_volume(UID, ReplicaLeaving(replica=R1, why="x"), "test")
    assert await bench.volume() == before
