"""Several servers over one store: one plans and answers, the others refuse, and the next begins knowing nothing."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from shorthorn.control.agent_calls import AgentCalls
from shorthorn.control.control import Control
from shorthorn.control.lease import LeaseTimes
from shorthorn.core.lifecycle.events import SessionClosed
from shorthorn.core.model.ids import Epoch, Holder, NodeName, VolumeName, VolumeUid
from shorthorn.core.model.node import Disk
from shorthorn.core.model.order import NodeOrders
from shorthorn.core.model.sighting import DiskSighting, NodeSighting, Reach
from shorthorn.core.model.volume import Spec
from shorthorn.errors import Conflict, NotFound, ShorthornError, Unavailable
from shorthorn.links.messages import Beat, EngineEvent, Registration
from shorthorn.ports.clock import SystemClock
from shorthorn.ports.ids import RandomIds
from shorthorn.requests import Requests
from shorthorn.store import MemoryStore
from tests.core.examples import GIB, N1, disk_of

TIMES = LeaseTimes(renew_every_s=0.05, hold_s=0.4, take_after_s=0.6)
BOUND_S = 10.0
V1, POD = VolumeName("v1"), Holder("pod")
REGISTRATION = Registration(
    node=N1, machine_id="m", boot_id="b", disks=(Disk(uid=disk_of(N1), size=8 * GIB),)
)
ASK = EngineEvent(volume=VolumeUid("v"), event=SessionClosed(epoch=Epoch(1), clean=True, evidence="a test"))
DISK = DiskSighting(uid=disk_of(N1), size=8 * GIB, free=8 * GIB, address="127.0.0.1:9", complete=True)
SIGHTING = NodeSighting(node=N1, machine_id="m", boot_id="b", sequence=1, disks=(DISK,))


@asynccontextmanager
async def running(store: MemoryStore, lease: LeaseTimes | None = TIMES) -> AsyncIterator[Control]:
    """A server until the block ends, which is its death: it resigns nothing."""
    control = await Control.open(store, SystemClock(), RandomIds(), lease=lease)
    task = asyncio.create_task(control.run())
    try:
        await control.ready()
        yield control
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def leads(control: Control) -> None:
    async with asyncio.timeout(BOUND_S):
        while not control.leading:
            await asyncio.sleep(0.01)


@pytest.fixture
async def store() -> AsyncIterator[MemoryStore]:
    store = MemoryStore()
    yield store
    await store.close()


async def test_only_the_leader_answers_and_the_other_names_it(store: MemoryStore) -> None:
    async with running(store) as a:
        await leads(a)
        async with running(store) as b:
            calls, requests = AgentCalls(b), Requests(b)
            await asyncio.sleep(2 * TIMES.renew_every_s)  # it has looked
            answers = [
                calls.register(REGISTRATION),
                calls.ask(N1, ASK),
                anext(calls.orders(N1)),
                requests.volumes.create(V1, GIB, Spec(replicas=1)),
                requests.volumes.change(V1, size=GIB),
                requests.volumes.delete(V1),
                requests.volumes.attach(V1, POD, N1),
                requests.volumes.detach(V1, POD),
                requests.nodes.cordon(N1),
                requests.nodes.declare_dead(N1, "me", "gone"),
                requests.change_setting("rebuilds_max", 3),
            ]
            refusals = await asyncio.gather(*answers, return_exceptions=True)
            for refusal in refusals:
                assert isinstance(refusal, Unavailable), refusal
                assert "is not the leader: s-" in refusal.message
            with pytest.raises(Unavailable, match="is not the leader"):
                calls.sighting(SIGHTING)
            with pytest.raises(Unavailable, match="is not the leader"):
                calls.beat(_beat())
            registered = await AgentCalls(a).register(REGISTRATION)
            assert registered.cluster == a.settings.cluster


async def test_the_next_leader_knows_of_no_node_until_it_hears_it(store: MemoryStore) -> None:
    async with AsyncExitStack() as stack:
        b = await _handed_over(store, stack)
        assert b.sightings.reach(N1) is Reach.UNKNOWN
        calls = AgentCalls(b)
        with pytest.raises(Conflict, match="send it whole"):
            calls.beat(_beat())
        calls.sighting(SIGHTING)
        assert b.sightings.reach(N1) is Reach.REACHABLE
        assert (await Requests(b).volumes.create(V1, GIB, Spec(replicas=1))).name == V1


async def test_only_the_leader_plans(store: MemoryStore) -> None:
    async with AsyncExitStack() as stack:
        leader = await _handed_over(store, stack)
        other = await stack.enter_async_context(running(store))
        await Requests(leader).volumes.create(V1, 4 * GIB, Spec(replicas=2))
        AgentCalls(leader).sighting(SIGHTING)

        def placed() -> bool:
            volume = leader.records.named(V1)
            return volume is not None and len(volume.replicas) == 1 and leader.loop.plan.waits != ()

        assert await leader.changes.until(placed, BOUND_S)
        assert not other.leading
        assert (other.loop.plan.intents, other.loop.plan.waits) == ((), ())


async def test_a_stream_of_orders_ends_with_the_lead(store: MemoryStore) -> None:
    async with running(store) as a:
        await leads(a)
        calls = AgentCalls(a)
        await calls.register(REGISTRATION)
        stream = calls.orders(N1)
        assert await anext(stream) is not None
        a._lease._store = _Away()  # type: ignore[union-attr]
        with pytest.raises(Unavailable, match="is not the leader"):
            await asyncio.wait_for(_read_on(stream), BOUND_S)


async def test_a_single_server_leads_at_once_and_writes_nothing_while_idle(store: MemoryStore) -> None:
    async with running(store, lease=None) as control:
        assert control.leading
        revision = (await store.list("")).revision
        await asyncio.sleep(0.3)
        listing = await store.list("")
        assert listing.revision == revision
        assert [stored.key for stored in listing.items] == ["cluster"]


async def test_renewals_wake_nobody(store: MemoryStore) -> None:
    async with running(store) as a:
        await leads(a)
        await asyncio.sleep(2 * TIMES.renew_every_s)  # what it began with is over
        count, revision = a.changes.count, (await store.list("")).revision
        async with asyncio.timeout(BOUND_S):
            while (await store.list("")).revision < revision + 3:
                await asyncio.sleep(0.01)
        assert a.changes.count == count


async def test_orders_of_a_node_that_is_not_registered(store: MemoryStore) -> None:
    async with running(store, lease=None) as control:
        with pytest.raises(NotFound, match="n1 is not registered"):
            await anext(AgentCalls(control).orders(N1))


async def test_orders_come_whole_on_change_and_a_heartbeat_otherwise(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shorthorn.control.agent_calls.HEARTBEAT_S", 0.1)
    async with running(store, lease=None) as control:
        calls = AgentCalls(control)
        await calls.register(REGISTRATION)
        stream = calls.orders(N1)
        first = await anext(stream)
        assert first is not None
        assert first.node == N1
        assert await anext(stream) is None
        await Requests(control).change_setting("rebuilds_max", 3)
        changed = await anext(stream)
        assert changed is not None
        assert changed.settings.rebuilds_max == 3


async def test_requests_return_what_is_recorded_and_refusals_are_errors(store: MemoryStore) -> None:
    async with running(store, lease=None) as control:
        requests = Requests(control)
        await AgentCalls(control).register(REGISTRATION)
        AgentCalls(control).sighting(SIGHTING)
        created = await requests.volumes.create(V1, GIB, Spec(replicas=1))
        assert (created.name, created.size) == (V1, GIB)
        attached = await requests.volumes.attach(V1, POD, N1)
        assert [a.holder for a in attached.attachments] == [POD]
        assert (await requests.volumes.detach(V1, POD)).attachments == ()
        assert (await requests.nodes.cordon(N1)).cordoned
        assert not (await requests.nodes.uncordon(N1)).cordoned
        refused = [
            requests.volumes.create(V1, GIB, Spec(replicas=1)),
            requests.volumes.attach(V1, Holder("two words"), N1),
            requests.volumes.attach(V1, POD, NodeName("n9")),
            requests.volumes.delete(VolumeName("v2")),
            requests.nodes.declare_dead(N1, "me", "gone"),
        ]
        for error in await asyncio.gather(*refused, return_exceptions=True):
            assert isinstance(error, ShorthornError), error
        (volume,) = control.records.volumes.values()
        assert volume.attachments == ()
        assert not volume.deleting
        assert control.records.nodes[N1].dead is None


class _Away:
    """A store that can't be reached."""

    async def get(self, key: str) -> None:
        raise Unavailable("the test has taken the store away")


async def _read_on(stream: AsyncGenerator[NodeOrders | None, None]) -> None:
    async for _ in stream:
        pass


async def _handed_over(store: MemoryStore, stack: AsyncExitStack) -> Control:
    """A server that leads after the death of the one that n1 had joined."""
    async with running(store) as first:
        await leads(first)
        await AgentCalls(first).register(REGISTRATION)
        AgentCalls(first).sighting(SIGHTING)
    second = await stack.enter_async_context(running(store))
    assert not second.leading
    await leads(second)
    return second


def _beat() -> Beat:
    return Beat(node=N1, boot_id="b", sequence=1)
