"""The simulated programs around the real cores: they serve, die, come back, fence, copy, fill up, and repeat by seed."""

import signal
from collections.abc import Awaitable, Callable, Iterator

import msgspec
import pytest

from shorthorn.links import program_lines as lines
from shorthorn.sim.machine.process import Process
from shorthorn.sim.programs.device import Device, Gone, IoError
from tests.sim.programs.rig import SIZE, Rig

BLOCK = 4096
REGION = 1 << 20


@pytest.fixture(params=[False, True], ids=["as they are", "in frames"])
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    made = Rig(seed=7, coded=request.param)
    yield made
    made.close()


def block(value: int) -> bytes:
    return bytes([value]) * BLOCK


async def write_read(device: Device) -> list[bytes]:
    await device.write(0, block(1))
    await device.write(REGION, block(2), fua=True)
    await device.flush()
    await device.zero(0, BLOCK // 2, punch=True)
    return [
        await device.read(0, BLOCK),
        await device.read(REGION, BLOCK),
        await device.read(2 * REGION, BLOCK),
    ]


def written(value: int, offset: int = 0) -> Callable[[Device], Awaitable[None]]:
    async def work(device: Device) -> None:
        await device.write(offset, block(value))
        await device.flush()

    return work


def read(offset: int = 0) -> Callable[[Device], Awaitable[bytes]]:
    async def work(device: Device) -> bytes:
        return await device.read(offset, BLOCK)

    return work


def test_a_session_serves_and_closes_clean(rig: Rig) -> None:
    process = rig.serve(0)
    halves = [bytes(BLOCK // 2) + block(1)[BLOCK // 2 :], block(2), bytes(BLOCK)]
    assert rig.go(0, write_read) == halves
    assert rig.statuses[-1].phase is lines.Phase.SERVING
    rig.tell_engine(lines.Close())
    rig.until(lambda: process.ended)
    assert process.exit_code == 0
    rig.kernel.run_for(2)
    contents = {node.index: node.held[f"r{node.index}"] for node in rig.nodes}
    assert all(held.standing is not None and not held.open and not held.empty for held in contents.values())


def test_sigterm_closes_the_session(rig: Rig) -> None:
    process = rig.serve(1)
    rig.go(1, written(5))
    process.signal(signal.SIGTERM)
    rig.until(lambda: process.ended)
    assert (process.exit_code, rig.record.settled) == (0, True)


def test_a_killed_engine_breaks_its_clients_and_the_next_session_reads_what_was_flushed(rig: Rig) -> None:
    process = rig.serve(0)
    ends: list[str] = []

    async def main(of: Process) -> int:
        device = await Device.open(of, rig.network, "/v1.sock")
        await device.write(0, block(3))
        await device.flush()
        try:
            while True:
                await device.write(REGION, block(4))
        except Gone:
            ends.append(device.gone)
        return 0

    client = rig.nodes[0].machine.spawn("client", main)
    rig.kernel.run_for(0.5)
    process.kill()
    rig.until(lambda: client.ended)
    assert ends
    rig.end_session()
    rig.serve(2)
    assert rig.go(2, read()) == block(3)


def test_a_killed_replica_program_is_lost_and_comes_back_by_resync(rig: Rig) -> None:
    rig.serve(0)
    rig.go(0, written(1))
    node = rig.nodes[2]
    assert node.replica is not None
    node.replica.kill()
    rig.go(0, written(2))
    assert rig.record.in_sync() == [0, 1]
    rig.start_replica(node)
    rig.until(lambda: node.address != "")
    rig.tell_engine(lines.Targets(targets=rig.targets(0), document=rig.record.document()))
    rig.until(lambda: rig.record.in_sync() == [0, 1, 2])
    rig.nodes[0].machine.power_off()
    rig.nodes[1].machine.power_off()
    rig.end_session()
    rig.serve(2)
    assert rig.go(2, read()) == block(2)


def test_flushed_writes_survive_a_loss_of_all_power(rig: Rig) -> None:
    rig.serve(0)
    rig.go(0, written(1))
    rig.go(0, written(2, REGION))
    for node in rig.nodes:
        node.machine.power_off()
    rig.end_session()
    for node in rig.nodes:
        node.machine.power_on()
        rig.start_agent(node)
        rig.start_replica(node)
    rig.until(lambda: all(node.address for node in rig.nodes))
    rig.start_engine(1)
    rig.until(lambda: rig.record.is_open)
    assert rig.record.broken
    rig.end_broken()
    rig.serve(1)
    assert [rig.go(1, read()), rig.go(1, read(REGION))] == [block(1), block(2)]


def fence(rig: Rig, node_index: int, wait_ms: int = 2200) -> lines.Fence:
    rig.record.epoch += 1
    rig.record.version += 1
    return lines.Fence(
        id=0,
        replica=f"r{node_index}",
        epoch=rig.record.epoch,
        attempt=1,
        opened_epoch=rig.record.opened_epoch,
        stored_m=0,
        document=rig.record.document(),
        wait_ms=wait_ms,
    )


def test_a_fence_is_held_after_its_wait_and_the_old_engine_can_do_nothing(rig: Rig) -> None:
    process = rig.serve(0)
    rig.go(0, written(1))
    begun, rig.record.session = (
        rig.kernel.now_s,
        None,
    )  # FenceStarted: no ask of its engine is granted any more
    result = rig.order(rig.nodes[1], fence(rig, 1))
    assert result.error is None
    assert rig.kernel.now_s - begun > 2.2
    assert result.replicas[0].standing is not None
    assert result.replicas[0].standing.sealed[0] == rig.record.epoch
    rig.until(lambda: process.ended)
    assert process.exit_code == 3


def test_a_fence_survives_its_program_and_waits_anew(rig: Rig) -> None:
    rig.serve(0)
    order, node = fence(rig, 1, wait_ms=5000), rig.nodes[1]
    rig.send(node, order)
    rig.kernel.run_for(3)
    assert node.replica is not None
    node.replica.kill()
    rig.start_replica(node)
    rig.until(lambda: node.address != "")
    begun = rig.kernel.now_s
    assert rig.order(node, order).error is None
    assert 4.5 < rig.kernel.now_s - begun < 6


def test_a_fence_of_a_replica_that_is_behind_is_refused(rig: Rig) -> None:
    order = msgspec.structs.replace(fence(rig, 1), stored_m=9)
    assert rig.order(rig.nodes[1], order).error is not None


def test_a_full_disk_refuses_and_then_takes() -> None:
    rig = Rig(seed=3)
    rig.serve(0)
    rig.go(0, written(1))
    drive = rig.nodes[1].drive
    drive.set_capacity(drive.used)

    async def refused(device: Device) -> str:
        with pytest.raises(IoError) as error:
            await device.write(3 * REGION, block(9))
        return error.value.error

    assert rig.go(0, refused) == "no_space"
    drive.set_capacity(None)
    rig.go(0, written(9, 3 * REGION))
    assert rig.record.in_sync() == [0, 1, 2]
    rig.close()


def test_a_move_copies_without_a_session() -> None:
    rig = Rig(seed=4, spare=1)
    process = rig.serve(0)
    rig.go(0, written(1))
    rig.tell_engine(lines.Close())
    rig.until(lambda: process.ended)
    work = lines.MoveWork(source="r0", target="r2")
    order = msgspec.structs.replace(rig.record.copy_order(0, work), targets=rig.targets(0))
    node = rig.nodes[0]
    rig.send(node, lines.Copy(order=order))
    rig.until(lambda: any(isinstance(report.state, lines.TaskReady) for report in node.tasks))
    document = rig.record.copied(order.epoch, 1, work)
    assert document is not None
    rig.send(node, lines.TaskCommitted(task=order.task, document=document))
    rig.until(lambda: isinstance(node.tasks[-1].state, lines.TaskFinished))
    rig.nodes[0].machine.power_off()
    rig.nodes[1].machine.power_off()
    rig.serve(2)
    assert rig.go(2, read()) == block(1)
    rig.close()


def test_a_deleted_replica_is_gone_and_an_older_tombstone_deletes_nothing(rig: Rig) -> None:
    node = rig.nodes[0]
    old = rig.order(node, lines.Delete(id=0, replica="r0", era=1, version=0))
    assert old.error is not None
    assert rig.order(node, lines.Delete(id=0, replica="r0", era=1, version=9)).error is None
    listed = rig.order(node, lines.List(id=0))
    assert listed.replicas == ()


def test_the_second_program_of_a_disk_does_not_start(rig: Rig) -> None:
    node = rig.nodes[0]
    rig.start_replica(node)
    second = node.replica
    assert second is not None
    rig.until(lambda: second.ended)
    assert second.exit_code == 1


def test_a_bit_that_rots_is_repaired_from_another_replica(rig: Rig) -> None:
    rig.serve(0)
    rig.go(0, written(7))
    assert rig.nodes[0].drive.rot("r0") != ""
    assert rig.go(0, read()) == block(7)


def story(seed: int) -> str:
    rig = Rig(seed)
    process = rig.serve(seed % 3)
    rig.go(seed % 3, write_read)
    rig.nodes[(seed + 1) % 3].machine.power_off()
    rig.go(seed % 3, written(3))
    process.kill()
    rig.kernel.run_for(5)
    digest = rig.kernel.digest + str(rig.kernel.now_ns)
    rig.close()
    return digest


def test_a_seed_repeats() -> None:
    digests = [story(seed) for seed in (1, 1, 2, 2)]
    assert digests[0] == digests[1] != digests[2] == digests[3]


def test_a_size_is_what_clients_are_greeted_with(rig: Rig) -> None:
    rig.serve(0)

    async def size(device: Device) -> int:
        return device.size

    assert rig.go(0, size) == SIZE


def test_an_idle_engine_notices_that_a_node_is_gone_without_a_word(rig: Rig) -> None:
    rig.serve(0)
    rig.nodes[2].machine.power_off()
    rig.until(lambda: rig.record.in_sync() == [0, 1], bound_s=70)


def test_an_idle_replica_notices_that_its_engine_is_gone_without_a_word(rig: Rig) -> None:
    rig.serve(0)
    rig.kernel.run_for(2)
    assert rig.nodes[1].held["r1"].open
    rig.nodes[0].machine.power_off()
    rig.until(lambda: not rig.nodes[1].held["r1"].open, bound_s=120)


def test_whoever_stands_still_keeps_its_connections(rig: Rig) -> None:
    process = rig.serve(0)
    process.pause()
    rig.kernel.run_for(200)
    assert rig.nodes[1].held["r1"].open
    process.resume()
    rig.go(0, written(1))
    assert rig.record.in_sync() == [0, 1, 2]
