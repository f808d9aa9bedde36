"""Virtual time, chance, and what is said when nothing happens any more."""

import asyncio
import contextlib
import gc
import subprocess
import sys
from pathlib import Path

import pytest

from shorthorn.sim.machine.kernel import Kernel, NothingToDo, NotReached
from shorthorn.sim.machine.process import Process
from tests.sim.machine.worlds import World, for_ever

PROBE = Path(__file__).with_name("probe.py")


def test_what_is_asked_for_one_moment_happens_in_the_order_of_asking() -> None:
    kernel, seen = Kernel(1), list[str]()
    for moment, name in ((20, "c"), (10, "a"), (10, "b"), (5, "first")):
        kernel.at(moment, seen.append, name)
    kernel.run_for(1)
    assert seen == ["first", "a", "b", "c"]
    assert kernel.now_s == 1
    kernel.at(3, seen.append, "late")  # that moment has passed
    kernel.run_for(0)
    assert seen[-1] == "late"
    assert kernel.now_s == 1


def test_streams_of_chance_depend_on_seed_and_name_only() -> None:
    first, second = Kernel(3), Kernel(3)
    second.chance("other").random()
    assert first.chance("x").random() == second.chance("x").random()
    assert first.chance("x") is first.chance("x")
    assert Kernel(4).chance("x").random() != Kernel(3).chance("x").random()


def test_a_deadlock_is_an_error_that_says_who_waits() -> None:
    with World() as world:
        world.n1.spawn("sleeper", for_ever)
        with pytest.raises(NothingToDo) as told:
            world.kernel.run_until(lambda: False, bound_s=5)
    text = str(told.value)
    assert "n1 sleeper[1001]" in text
    assert "for_ever (worlds.py:" in text
    assert "wait (locks.py:" in text
    assert "seed 7" in text


def test_a_condition_that_is_not_reached_in_time_is_an_error() -> None:
    async def main(process: Process) -> None:
        while True:
            await asyncio.sleep(1)

    with World() as world:
        world.n1.spawn("busy", main)
        with pytest.raises(NotReached, match=r"after 5 s.*\n(.*\n)*.*busy"):
            world.kernel.run_until(lambda: False, bound_s=5)
        assert world.kernel.now_s == 5
        world.kernel.run_until(lambda: world.kernel.now_s >= 7, bound_s=5)
        assert world.kernel.now_s < 8.01


def test_running_leaves_the_loop_of_the_caller_and_the_collector_alone() -> None:
    async def outer() -> None:
        with World() as world:
            process = world.n1.spawn("p", lambda p: asyncio.sleep(1, 5))
            assert world.ends(process) == 5
        await asyncio.sleep(0)

    assert gc.isenabled()
    asyncio.run(outer())
    assert gc.isenabled()


def test_a_closed_kernel_runs_no_more() -> None:
    world = World()
    world.kernel.close()
    world.kernel.close()
    with pytest.raises(RuntimeError, match="closed"):
        world.kernel.run_for(1)


def probe(seed: int, hash_seed: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(PROBE), str(seed)],
        env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": "src:."},
        cwd=PROBE.parents[3],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stderr == ""
    return done.stdout


def test_a_seed_repeats_exactly_under_any_hash_seed() -> None:
    first = probe(1, "1")
    assert len(first.split()) == 3
    assert probe(1, "2") == first
    assert probe(1, "0") == first
    assert probe(2, "1") != first


def test_the_digest_sees_what_is_noted() -> None:
    kernel, other = Kernel(1), Kernel(1)
    kernel.note("a")
    other.note("b")
    assert kernel.digest != other.digest


def test_a_world_that_is_only_dropped_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    async def main(process: Process) -> None:
        with contextlib.suppress(ValueError):
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(1)

    world = World()
    world.n1.spawn("p", main)
    world.kernel.run_for(1)
    world.kernel.close()
    del world
    gc.collect()
    assert capfd.readouterr() == ("", "")
