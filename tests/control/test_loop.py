"""The control loop between two plans."""

import asyncio

import pytest

from shorthorn.control import loop as control_loop
from shorthorn.control.control import Control
from shorthorn.core.model.world import World
from shorthorn.core.planning.plan import Plan
from shorthorn.ports.clock import SystemClock
from shorthorn.ports.ids import RandomIds
from shorthorn.store.memory import MemoryStore


@pytest.mark.parametrize("left_s", [0.0, 1e-16, 1e-9])
def test_a_plan_that_wants_another_look_at_once_leaves_others_time(
    monkeypatch: pytest.MonkeyPatch, left_s: float
) -> None:
    """A pause by an old sighting may have next to nothing left for as long as no newer one is taken in."""
    plans = 0

    def plan(_world: World, _new_id: object) -> Plan:
        nonlocal plans
        plans += 1
        if plans > 500:
            raise AssertionError("it plans without a pause")
        return Plan(look_again_s=left_s)

    monkeypatch.setattr(control_loop, "plan", plan)

    async def run() -> None:
        control = await Control.open(MemoryStore(), SystemClock(), RandomIds())
        running = asyncio.create_task(control.run())
        await asyncio.sleep(0.1)
        assert not running.done()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(run())
    assert 1 < plans < 50
