"""Connections: order, delay, cuts and losses."""

import asyncio
from typing import Any

import pytest

from shorthorn.sim.machine.connection import GIVE_UP_NS
from shorthorn.sim.machine.network import CONNECT_S, Endpoint
from shorthorn.sim.machine.process import Process
from tests.sim.machine.worlds import Pair, World, for_ever, is_end

FOR_SURE_S = 60.0
"""Longer than anything takes to be sent again."""


def test_messages_come_in_order_with_delays() -> None:
    with World() as world:
        pair = world.pair()
        began_ns = world.kernel.now_ns
        for number in range(200):
            pair.near.send(number)
        assert pair.near.unsent_bytes == 20_000
        world.kernel.run_until(lambda: len(pair.far_heard) == 200, bound_s=1, every_s=0)
        assert pair.far_heard == list(range(200))
        assert pair.near.unsent_bytes == 0
        assert world.kernel.now_ns - began_ns > 120_000
        assert pair.far.peer_machine == "n1"
        assert pair.far.peer_pid == pair.client.pid


def test_a_slow_link_takes_its_time() -> None:
    with World() as world:
        pair = world.pair()
        world.network.set_link("n1", "n2", delay_s=0.1, jitter_s=0, bytes_per_s=1000)
        pair.near.send("big", 2000)
        world.kernel.run_for(2.0)
        assert pair.far_heard == []
        world.kernel.run_for(0.11)
        assert pair.far_heard == ["big"]


def test_close_lets_what_was_sent_arrive_and_then_ends() -> None:
    with World() as world:
        pair = world.pair()
        pair.near.send("last")
        pair.near.close()
        pair.near.send("nothing")
        world.kernel.run_for(1)
        assert pair.far_heard == ["last", "end: closed by the other side"]
        assert pair.far.closed
        assert pair.near_heard == []
        pair.far.send("nothing")
        world.kernel.run_for(1)
        assert pair.near_heard == []


def test_an_abort_ends_the_other_side() -> None:
    with World() as world:
        pair = world.pair()
        pair.near.abort()
        world.kernel.run_for(1)
        assert pair.far_heard == ["end: reset by the other side"]


def test_receive_waits_and_tells_the_end() -> None:
    got: list[Any] = []

    async def serve(process: Process) -> None:
        def on_connect(endpoint: Endpoint) -> None:
            endpoint.send(1)
            endpoint.send(2)
            endpoint.close()

        world.network.listen(process, "x", on_connect)
        await asyncio.Event().wait()

    async def main(process: Process) -> None:
        endpoint = await world.network.connect(process, "n2/x")
        await asyncio.sleep(1)
        got.extend([await endpoint.receive() for _ in range(4)])
        with pytest.raises(ConnectionRefusedError):
            await world.network.connect(process, "n2/y")

    with World() as world:
        world.machines[1].spawn("s", serve)
        world.kernel.run_for(1)
        world.ends(world.n1.spawn("p", main))
    assert got == [1, 2, None, None]


def test_a_local_name_is_refused_to_other_machines_and_taken_once() -> None:
    errors: list[str] = []

    async def serve(process: Process) -> None:
        world.network.listen(process, "sock", lambda _: None, local=True)
        with pytest.raises(OSError, match="somebody listens"):
            world.network.listen(process, "sock", lambda _: None)
        await asyncio.Event().wait()

    async def dial(process: Process) -> None:
        try:
            await world.network.connect(process, "n2/sock")
        except OSError as error:
            errors.append(type(error).__name__)
        else:
            errors.append("connected")

    with World() as world:
        server = world.machines[1].spawn("s", serve)
        world.kernel.run_for(1)
        world.ends(world.n1.spawn("p", dial))
        world.ends(world.machines[1].spawn("p", dial))
        server.kill()
        world.ends(world.machines[1].spawn("p", dial))
        world.machines[1].spawn("s", serve)  # the name is free
        world.kernel.run_for(1)
    assert errors == ["ConnectionRefusedError", "connected", "ConnectionRefusedError"]


@pytest.mark.parametrize("cut", [("n1", "n2"), ("n2", "n1")])
def test_a_cut_lets_connects_time_out_also_one_way(cut: tuple[str, str]) -> None:
    answers: list[object] = []

    async def dial(process: Process) -> None:
        world.network.dial(process, "n2/x", answers.append)
        await asyncio.Event().wait()

    with World() as world:
        world.machines[1].spawn("s", for_ever)
        world.network.cut(*cut, one_way=True)
        assert world.network.is_cut(*cut)
        assert not world.network.is_cut(*reversed(cut))
        world.n1.spawn("p", dial)
        world.kernel.run_for(CONNECT_S - 1)
        assert answers == []
        world.kernel.run_for(2)
        assert isinstance(answers[0], TimeoutError)
        assert len(answers) == 1


def test_a_cut_one_way_lets_the_other_way_pass_and_silences_without_a_word() -> None:
    with World() as world:
        pair = world.pair()
        world.network.cut("n1", "n2", one_way=True)
        pair.near.send("there")
        pair.far.send("back")
        world.kernel.run_for(FOR_SURE_S)
        assert pair.near_heard == ["back"]
        assert pair.far_heard == []
        assert pair.near.unsent_bytes == 100


def after_cut(seed: int) -> tuple[list[Any], list[Any]]:
    with World(seed) as world:
        pair = world.pair()
        world.network.cut("n1", "n2")
        for number in range(5):
            pair.near.send(number)
        world.kernel.run_for(10)
        assert pair.far_heard == []
        world.network.join("n1", "n2")
        pair.near.send("after")
        world.kernel.run_for(0.1)
        assert "after" not in pair.far_heard
        world.kernel.run_for(FOR_SURE_S)
        return pair.near_heard, pair.far_heard


def test_after_a_cut_messages_come_late_and_in_order_or_the_connection_breaks() -> None:
    outcomes = [after_cut(seed) for seed in range(30)]
    late: tuple[list[Any], list[Any]] = ([], [0, 1, 2, 3, 4, "after"])
    broken = (["end: the connection broke"], ["end: the connection broke"])
    assert all(outcome in (late, broken) for outcome in outcomes)
    assert 0 < outcomes.count(late) < 30


def test_a_connection_under_a_long_cut_is_given_up_by_who_sends() -> None:
    with World() as world:
        pair = world.pair()
        world.network.cut("n1", "n2")
        pair.near.send("into the void")
        world.kernel.run_for(GIVE_UP_NS / 1e9 + 1)
        assert [is_end(m) for m in pair.near_heard] == [True]
        assert pair.far_heard == []  # half-open


def test_a_paused_receiver_keeps_messages_and_its_sender_sees_them_unsent() -> None:
    with World() as world:
        pair = world.pair()
        pair.server.pause()
        for number in range(10):
            pair.near.send(number, 1000)
        world.kernel.run_for(100)
        assert pair.far_heard == []
        assert pair.near.unsent_bytes == 10_000
        pair.server.resume()
        world.kernel.run_for(1)
        assert pair.far_heard == list(range(10))
        assert pair.near.unsent_bytes == 0


@pytest.mark.parametrize("seed", range(8))
def test_the_end_of_a_process_ends_its_connections_unless_they_are_cut(seed: int) -> None:
    with World(seed) as world:
        pair = world.pair()
        world.network.cut("n1", "n2")
        pair.server.kill()
        world.kernel.run_for(FOR_SURE_S)
        assert pair.near_heard == []
        assert not pair.near.closed
        world.network.join("n1", "n2")
        world.kernel.run_for(FOR_SURE_S)
        assert [is_end(m) for m in pair.near_heard] == [True]


def test_what_a_process_sent_before_it_was_killed_may_arrive() -> None:
    outcomes = set()
    for seed in range(20):
        with World(seed) as world:
            pair = world.pair()
            world.network.set_link("n1", "n2", delay_s=0.01, jitter_s=0.02, bytes_per_s=1e9)
            pair.far.send("word")
            pair.server.kill()
            world.kernel.run_for(1)
            assert is_end(pair.near_heard[-1])
            outcomes.add(len(pair.near_heard))
    assert outcomes == {1, 2}


def test_a_power_loss_is_not_heard_until_the_machine_is_back_and_asked() -> None:
    with World() as world:
        pair = world.pair()
        world.machines[1].power_off()
        pair.near.send("into the void")
        world.kernel.run_for(FOR_SURE_S)
        assert pair.near_heard == []
        assert pair.near.unsent_bytes == 100
        world.machines[1].power_on()
        world.kernel.run_for(FOR_SURE_S)
        assert [is_end(m) for m in pair.near_heard] == [True]


def test_a_half_open_connection_nobody_uses_stays_and_breaks_when_used() -> None:
    with World() as world:
        pair = world.pair()
        world.machines[1].power_off()
        world.kernel.run_for(1)
        world.machines[1].power_on()
        world.kernel.run_for(10_000)
        assert pair.near_heard == []
        pair.near.send("who is there?")
        world.kernel.run_for(1)
        assert [is_end(m) for m in pair.near_heard] == [True]


def test_broken_connections_end_at_both_sides() -> None:
    with World() as world:
        pair = world.pair()
        assert world.network.break_connections("n2", "n1") == 1
        world.kernel.run_for(1)
        assert pair.near_heard == pair.far_heard == ["end: the connection broke"]
        assert world.network.break_connections("n1", "n2") == 0


def test_one_machine_is_never_cut_from_itself() -> None:
    with World() as world:
        pair = Pair(world, local=True)
        with pytest.raises(ValueError, match="itself"):
            world.network.cut("n1", "n1")
        world.network.cut("n1", "n2")
        pair.near.send("here")
        world.kernel.run_for(1)
        assert pair.far_heard == ["here"]


def test_a_cancelled_connect_leaves_no_connection() -> None:
    accepted: list[Endpoint] = []

    async def serve(process: Process) -> None:
        world.network.listen(process, "x", accepted.append)
        await asyncio.Event().wait()

    async def main(process: Process) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.015):
                await world.network.connect(process, "n2/x")
        await asyncio.Event().wait()

    with World() as world:
        world.network.set_link("n1", "n2", delay_s=0.01, jitter_s=0, bytes_per_s=1e9)
        world.machines[1].spawn("s", serve)
        world.kernel.run_for(1)
        world.n1.spawn("p", main)
        world.kernel.run_for(1)
        assert len(accepted) == 1
        accepted[0].on_end = lambda why: accepted.clear()
        world.kernel.run_for(1)
        assert accepted == []


def test_messages_wait_until_somebody_takes_them_and_keep_their_order() -> None:
    heard: list[Any] = []

    async def serve(process: Process) -> None:
        def on_connect(endpoint: Endpoint) -> None:
            for number in range(5):
                endpoint.send(number)
            endpoint.close()

        world.network.listen(process, "x", on_connect)
        await asyncio.Event().wait()

    async def main(process: Process) -> None:
        endpoint = await world.network.connect(process, "n2/x")
        await asyncio.sleep(1)
        endpoint.on_end = heard.append
        await asyncio.sleep(1)
        assert heard == []
        endpoint.on_message = heard.append
        await asyncio.sleep(1)

    with World() as world:
        world.machines[1].spawn("s", serve)
        world.kernel.run_for(1)
        world.ends(world.n1.spawn("p", main))
    assert heard == [0, 1, 2, 3, 4, "closed by the other side"]


def test_what_stood_still_in_a_cut_is_lost_with_the_power_of_its_sender() -> None:
    for seed in range(10):
        with World(seed) as world:
            pair = world.pair()
            world.network.cut("n1", "n2")
            pair.near.send("never")
            world.kernel.run_for(1)
            world.n1.power_off()
            world.network.join("n1", "n2")
            world.kernel.run_for(FOR_SURE_S)
            assert pair.far_heard == []
