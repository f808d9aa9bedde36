"""Processes: time, turns, signals, and every way to end."""

import asyncio
import math
import signal
from collections.abc import AsyncIterator
from pathlib import PurePosixPath

import pytest

from shorthorn.sim.machine.files import ProcessFiles
from shorthorn.sim.machine.kernel import Crashed
from shorthorn.sim.machine.process import Process
from shorthorn.sim.machine.processes import MachineProcesses, print_line
from tests.sim.machine.worlds import World, for_ever


@pytest.mark.parametrize(("ppm", "true_s"), [(0, 10.0), (250_000, 8.0), (-200_000, 12.5)])
def test_sleep_follows_the_machine_s_clock(ppm: int, true_s: float) -> None:
    took: list[float] = []

    async def main(process: Process) -> None:
        began_s, loop = world.kernel.now_s, asyncio.get_running_loop()
        machine_s = loop.time()
        await asyncio.sleep(10)
        took.append(world.kernel.now_s - began_s)
        assert loop.time() - machine_s >= 10
        assert process.machine.clock.monotonic_s() == loop.time()

    with World() as world:
        world.n1.set_clock_rate(ppm)
        world.ends(world.n1.spawn("p", main))
    assert took[0] == pytest.approx(true_s, abs=0.001)


def test_a_timer_that_is_due_finds_its_time_come() -> None:
    """Else whoever waits for the rest of a time, and looks, waits again, for ever within one moment."""
    early: list[float] = []

    async def main(process: Process) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(200):
            await asyncio.sleep(0.37)
            when = math.nextafter(loop.time(), math.inf)
            due = loop.create_future()
            loop.call_at(when, due.set_result, None)
            await due
            if loop.time() < when:
                early.append(when)

    with World() as world:
        world.ends(world.n1.spawn("p", main), bound_s=100)
    assert early == []


def test_a_change_of_the_rate_moves_timers_that_wait() -> None:
    async def main(process: Process) -> None:
        await asyncio.sleep(10)

    with World() as world:
        process = world.n1.spawn("p", main)
        world.kernel.run_for(5)
        world.n1.set_clock_rate(500_000)
        world.ends(process)
        assert world.kernel.now_s == pytest.approx(5 + 5 / 1.5, abs=0.01)


def test_wall_jumps_are_not_seen_by_timers() -> None:
    async def main(process: Process) -> None:
        await asyncio.sleep(10)

    with World() as world:
        process = world.n1.spawn("p", main)
        before_s = world.n1.clock.wall_s()
        world.kernel.run_for(1)
        world.n1.jump_wall_clock(-3600)
        assert world.n1.clock.wall_s() == pytest.approx(before_s + 1 - 3600)
        world.ends(process)
        assert world.kernel.now_s == pytest.approx(10, abs=0.01)


def test_a_timeout_ends_a_wait() -> None:
    async def main(process: Process) -> int:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2):
                await asyncio.Event().wait()
        return 7

    with World() as world:
        assert world.ends(world.n1.spawn("p", main)) == 7
        assert world.kernel.now_s == pytest.approx(2, abs=0.01)


def cancel_order(seed: int) -> list[int]:
    order: list[int] = []

    async def member(number: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            order.append(number)

    async def main(process: Process) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(50):
                    group.create_task(member(number))
                await asyncio.sleep(1)
                raise ValueError
        except* ValueError:
            pass

    with World(seed) as world:
        world.ends(world.n1.spawn("p", main))
    return order


def test_a_task_group_cancels_in_the_same_order_each_time() -> None:
    litter = [object() for _ in range(1000)]  # other addresses for what comes
    first = cancel_order(1)
    del litter
    assert sorted(first) == list(range(50))
    assert cancel_order(1) == first == cancel_order(2)


def test_a_paused_process_stands_still_and_catches_up() -> None:
    times: list[float] = []

    async def main(process: Process) -> None:
        for _ in range(4):
            await asyncio.sleep(1)
            times.append(round(world.kernel.now_s, 2))

    with World() as world:
        process = world.n1.spawn("p", main)
        world.kernel.run_for(1.5)
        process.pause()
        assert process.paused
        world.kernel.run_for(10)
        assert times == [1.0]
        process.resume()
        world.ends(process)
        assert times == [1.0, 11.5, 12.5, 13.5]


def test_a_killed_process_runs_no_finally_and_is_silent_at_the_end(capfd: pytest.CaptureFixture[str]) -> None:
    deeds: list[str] = []
    late: list[str] = []

    async def inner(process: Process) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            deeds.append("inner")
            late.append("inner")
            ProcessFiles(process).write_durably(PurePosixPath("/deed"), b"x")
            await asyncio.sleep(1)

    async def stream() -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            deeds.append("stream")

    async def main(process: Process) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(inner(process))
            async for _ in stream():
                pass

    with World() as world:
        process = world.n1.spawn("p", main)
        world.kernel.run_for(1)
        process.kill()
        assert process.exit_code == -signal.SIGKILL
        world.kernel.run_for(100)
        assert deeds == []
        assert world.n1.processes() == ()
        world.kernel.close()
        # What is left of it is run out then, where it can do nothing.
        assert world.n1.files.find(PurePosixPath("/deed")) is None
    assert late == ["inner"]
    assert capfd.readouterr() == ("", "")


def test_a_process_that_kills_itself_ends_at_its_next_wait() -> None:
    deeds: list[str] = []

    async def main(process: Process) -> None:
        process.kill()
        with pytest.raises(OSError, match="has ended"):
            ProcessFiles(process).write_durably(PurePosixPath("/deed"), b"x")
        deeds.append("before")
        await asyncio.sleep(0)
        deeds.append("after")

    with World() as world:
        assert world.ends(world.n1.spawn("p", main)) == -9
        world.kernel.run_for(1)
    assert deeds == ["before"]


def test_signals_run_their_handlers_or_end_the_process() -> None:
    asked: list[str] = []

    async def main(process: Process) -> int:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        loop.add_signal_handler(signal.SIGUSR1, asked.append, "usr1")
        await stop.wait()
        assert loop.remove_signal_handler(signal.SIGTERM)
        assert not loop.remove_signal_handler(signal.SIGTERM)
        return 4

    with World() as world:
        first, second = world.n1.spawn("a", main), world.n1.spawn("b", main)
        world.kernel.run_for(1)
        first.signal(signal.SIGUSR1)
        first.signal(signal.SIGTERM)
        second.signal(signal.SIGHUP)
        assert world.ends(first) == 4
        assert world.ends(second) == -signal.SIGHUP
        assert asked == ["usr1"]
        first.signal(signal.SIGTERM)  # nobody is there
        world.kernel.run_for(1)


def test_a_paused_process_takes_signals_when_it_is_resumed_but_for_kill() -> None:
    with World() as world:
        first, second = world.n1.spawn("a", for_ever), world.n1.spawn("b", for_ever)
        world.kernel.run_for(1)
        for process in (first, second):
            process.signal(signal.SIGSTOP)
        world.kernel.run_for(1)
        first.signal(signal.SIGTERM)
        second.signal(signal.SIGKILL)
        world.kernel.run_for(1)
        assert not first.ended
        assert second.exit_code == -signal.SIGKILL
        first.signal(signal.SIGCONT)
        assert world.ends(first) == -signal.SIGTERM


def test_an_exception_that_nobody_caught_stops_the_run() -> None:
    async def main(process: Process) -> None:
        await asyncio.sleep(1)
        raise ValueError("what it was")

    with World() as world:
        process = world.n1.spawn("p", main)
        with pytest.raises(Crashed, match=r"n1 p\[1001\].*what it was") as told:
            world.kernel.run_for(5)
        assert isinstance(told.value.__cause__, ValueError)
        world.kernel.run_for(1)
        assert process.exit_code == 1
        forgiven = world.n1.spawn("q", main, may_crash=True)
        assert world.ends(forgiven) == 1
        assert isinstance(forgiven.error, ValueError)


def test_an_exception_of_a_callback_stops_the_run() -> None:
    async def main(process: Process) -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 // 0)
        await asyncio.Event().wait()

    with World() as world:
        world.n1.spawn("p", main)
        with pytest.raises(Crashed, match="division"):
            world.kernel.run_for(5)


def test_an_exit_in_a_task_ends_the_process_in_order() -> None:
    deeds: list[str] = []

    async def other() -> None:
        await asyncio.sleep(1)
        raise SystemExit(5)

    async def main(process: Process) -> None:
        keep = asyncio.create_task(other())
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(1)
            deeds.append(f"cleaned {keep.done()}")

    with World() as world:
        assert world.ends(world.n1.spawn("p", main)) == 5
    assert deeds == ["cleaned True"]


def test_tasks_that_are_left_are_cancelled_when_main_returns() -> None:
    deeds: list[str] = []

    async def other() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(1)
            deeds.append("cleaned")

    async def main(process: Process) -> int:
        keep = asyncio.create_task(other())
        await asyncio.sleep(1)
        return int(keep.done())

    with World() as world:
        assert world.ends(world.n1.spawn("p", main)) == 0
        assert world.kernel.now_s > 2
    assert deeds == ["cleaned"]


def test_a_generator_that_is_forgotten_is_closed() -> None:
    deeds: list[str] = []

    async def stream() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await asyncio.sleep(1)
            deeds.append("closed")

    async def main(process: Process) -> None:
        async for _ in stream():
            break
        await asyncio.sleep(2)

    with World() as world:
        world.ends(world.n1.spawn("p", main))
    assert deeds == ["closed"]


def test_work_aside_and_queues() -> None:
    async def main(process: Process) -> int:
        queue: asyncio.Queue[int] = asyncio.Queue(1)

        async def put() -> None:
            for number in range(3):
                await queue.put(number)

        async with asyncio.TaskGroup() as group:
            group.create_task(put())
            got = [await queue.get() for _ in range(3)]
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)
        return await asyncio.to_thread(sum, got)

    with World() as world:
        assert world.ends(world.n1.spawn("p", main)) == 3


def test_many_cancelled_timers_are_forgotten() -> None:
    async def main(process: Process) -> int:
        for _ in range(5000):
            async with asyncio.timeout(1000):
                await asyncio.sleep(0.001)
        return len(process.loop._timers)

    with World() as world:
        assert world.ends(world.n1.spawn("p", main)) < 1000


def test_a_process_that_spins_does_not_stop_time() -> None:
    async def main(process: Process) -> None:
        while process.machine.clock.monotonic_s() < 0.01:
            await asyncio.sleep(0)

    with World() as world:
        world.ends(world.n1.spawn("p", main), bound_s=1)


def test_programs_are_started_watched_and_signalled_by_number() -> None:
    log = PurePosixPath("/log")
    seen: list[str] = []

    def program(command: list[str]) -> object:
        async def run(process: Process) -> int:
            print_line(process, f"error it was {command[1]}")
            await asyncio.Event().wait()
            return 0

        return run

    async def other(process: Process) -> None:
        processes = MachineProcesses(process)
        watched = processes.watch(1002)
        await watched.ended()
        seen.append(watched.how)

    async def main(process: Process) -> None:
        processes = MachineProcesses(process)
        with pytest.raises(FileNotFoundError):
            processes.start(["/bin/none"], log)
        started = processes.start(["/bin/it", "7"], log)
        seen.append(str(started.pid))
        process.machine.spawn("other", other)
        await asyncio.sleep(1)
        seen.append(processes.last_words(log))
        started.signal(signal.SIGTERM)
        await started.ended()
        assert not started.running
        seen.append(started.how)
        with pytest.raises(ProcessLookupError):
            processes.watch(started.pid)
        await asyncio.sleep(1)

    with World() as world:
        world.n1.programs["/bin/it"] = program  # type: ignore[assignment]
        world.ends(world.n1.spawn("parent", main))
        world.kernel.run_for(1)
    assert sorted(seen) == sorted(["1002", "error it was 7", " (signal 15)", ""])


def test_power_loss_ends_all_and_a_boot_begins_anew() -> None:
    with World() as world:
        process = world.n1.spawn("p", for_ever)
        world.kernel.run_for(5)
        before = world.n1.read()
        world.n1.power_off()
        assert process.ended
        assert world.n1.processes() == ()
        with pytest.raises(RuntimeError, match="powered off"):
            world.n1.spawn("q", for_ever)
        world.n1.power_on()
        assert world.n1.clock.monotonic_s() == 0
        assert world.n1.read().machine_id == before.machine_id
        assert world.n1.read().boot_id != before.boot_id
        assert world.n1.spawn("q", for_ever).pid > process.pid


def test_a_loss_of_power_takes_all_at_once_also_who_waits_for_another() -> None:
    deeds: list[str] = []

    async def main(process: Process) -> None:
        await process.wait(first)
        deeds.append(f"saw {first.exit_code}")

    with World() as world:
        first = world.n1.spawn("first", for_ever)
        second = world.n1.spawn("second", main)
        world.kernel.run_for(1)
        world.n1.power_off()
        world.kernel.run_for(1)
        assert second.exit_code == -9
        assert deeds == []
        world.n1.power_on()
        first = world.n1.spawn("first", for_ever)
        second = world.n1.spawn("second", main)
        world.kernel.run_for(1)
        first.kill()
        assert deeds == []
        assert world.ends(second) == 0
        assert deeds == ["saw -9"]
        assert first.exit_code == -9


def test_the_end_of_the_world_is_no_turn_for_anybody() -> None:
    deeds: list[str] = []

    async def main(process: Process) -> None:
        await MachineProcesses(process).watch(first.pid).ended()
        deeds.append("saw")

    world = World()
    first = world.n1.spawn("first", for_ever)
    world.n1.spawn("second", main)
    world.kernel.run_for(1)
    first.when_ended(lambda _: deeds.append("told"))
    world.kernel.close()
    assert deeds == []
