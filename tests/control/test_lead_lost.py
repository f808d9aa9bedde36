"""A leader that was paused: what it saw is void when it leads again, and what it planned goes no further."""

from collections.abc import AsyncIterator

import pytest

from shorthorn.control.agent_calls import AgentCalls
from shorthorn.control.control import Control
from shorthorn.control.lease import LeaseTimes
from shorthorn.core.model.ids import VolumeName
from shorthorn.core.model.node import Disk
from shorthorn.core.model.sighting import DiskSighting, NodeSighting, Reach
from shorthorn.core.model.volume import Spec
from shorthorn.core.planning.planner import plan
from shorthorn.links.messages import Registration
from shorthorn.ports.ids import RandomIds
from shorthorn.requests import Requests
from shorthorn.store import FaultyStore, MemoryStore
from shorthorn.store.faulty import Fault
from tests.control.clocks import HandClock
from tests.core.examples import GIB, N1, disk_of

TIMES = LeaseTimes()


class Bench:
    """A server that leads, driven by hand: it looks at its lease and plans only when the test says so."""

    def __init__(self, control: Control, clock: HandClock, store: FaultyStore) -> None:
        self.control = control
        self.clock = clock
        self.store = store

    async def look(self) -> None:
        lease = self.control._lease
        assert lease is not None
        await lease.look()

    async def hear(self) -> None:
        disk = DiskSighting(uid=disk_of(N1), size=8 * GIB, free=8 * GIB, address="h:1", complete=True)
        seen = NodeSighting(node=N1, machine_id="m", boot_id="b", sequence=1, disks=(disk,))
        AgentCalls(self.control).sighting(seen)

    async def settle(self) -> None:
        """Take in what the store holds now."""
        await self.control.records.load()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    clock, store = HandClock(), FaultyStore(MemoryStore())
    control = await Control.open(store, clock, RandomIds(), lease=TIMES)
    bench = Bench(control, clock, store)
    await bench.look()
    disks = (Disk(uid=disk_of(N1), size=8 * GIB),)
    await AgentCalls(control).register(Registration(node=N1, machine_id="m", boot_id="b", disks=disks))
    await bench.settle()
    await bench.hear()
    yield bench
    await store.close()


async def test_who_leads_again_has_seen_nothing(bench: Bench) -> None:
    assert bench.control.sightings.reach(N1) is Reach.REACHABLE
    bench.clock.now_s += 60
    await bench.look()
    assert bench.control.leading
    assert bench.control.sightings.reach(N1) is Reach.UNKNOWN
    bench.clock.now_s += bench.control.settings.unreachable_after_s
    assert bench.control.sightings.reach(N1) is Reach.UNREACHABLE


async def test_who_leads_again_counts_the_absence_of_a_disk_from_then(bench: Bench) -> None:
    """Its node may have come back meanwhile: another server would have seen it."""
    control, limit_s = bench.control, bench.control.settings.unreachable_after_s
    bench.clock.now_s += limit_s
    assert control.loop.world().away_s == {(N1, disk_of(N1)): limit_s}
    bench.clock.now_s += 3600
    await bench.look()
    assert control.loop.world().away_s == {}
    bench.clock.now_s += limit_s
    assert control.loop.world().away_s == {(N1, disk_of(N1)): limit_s}


async def test_a_plan_is_carried_out_no_further_than_the_lead_lasts(bench: Bench) -> None:
    volumes = Requests(bench.control).volumes
    for name in ("v1", "v2", "v3"):
        await volumes.create(VolumeName(name), GIB, Spec(replicas=1))
    await bench.settle()
    world = bench.control.loop.world()
    planned = plan(world, RandomIds().new)
    assert len(planned.intents) == 3
    commits = 0

    def pause(_writes: object) -> Fault | None:
        nonlocal commits
        commits += 1
        bench.clock.now_s += TIMES.hold_s if commits == 2 else 0
        return None

    bench.store.decide = pause
    await bench.control.loop._carry_out(planned, world)
    assert commits == 2
