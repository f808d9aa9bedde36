"""Files: what a loss of power leaves, and locks that live as long as their process."""

import asyncio
import errno
from collections.abc import Callable
from pathlib import PurePosixPath as Path

import pytest

from shorthorn.errors import Damaged
from shorthorn.sim.machine.files import ProcessFiles
from shorthorn.sim.machine.process import Process
from tests.sim.machine.worlds import World

DATA = Path("/data")


def do(world: World, work: Callable[[ProcessFiles], object]) -> None:
    """In a process of n1."""

    async def main(process: Process) -> None:
        work(ProcessFiles(process))

    world.ends(world.n1.spawn("p", main))


def test_files_are_what_was_put_there() -> None:
    def work(files: ProcessFiles) -> None:
        files.make_folder(DATA / "a" / "b")
        files.make_folder(DATA / "a")
        files.write_durably(DATA / "x", b"one")
        files.write_durably(DATA / "x", b"two")
        assert files.read(DATA / "x") == b"two"
        assert files.names(DATA) == ["a", "x"]
        assert files.exists(DATA / "x")
        assert not files.is_folder(DATA / "x")
        assert files.is_folder(DATA / "a")
        with pytest.raises(Damaged):
            files.read(DATA / "x", 2)
        files.rename(DATA / "x", DATA / "a" / "y")
        assert files.read(DATA / "a" / "y") == b"two"
        files.remove(DATA / "x")
        files.remove_tree(DATA / "a")
        assert files.names(DATA) == []
        with pytest.raises(FileNotFoundError):
            files.read(DATA / "x")
        with pytest.raises(FileNotFoundError):
            files.names(DATA / "a")
        with pytest.raises(FileNotFoundError):
            files.rename(DATA / "x", DATA / "y")
        files.make_folder_durably(DATA / "a")
        with pytest.raises(FileExistsError):
            files.make_folder_durably(DATA / "a")
        assert files.space(DATA).free > 0

    with World() as world:
        do(world, work)


def after_power_loss(seed: int) -> dict[str, bool]:
    def work(files: ProcessFiles) -> None:
        files.make_folder(DATA)
        files.write_durably(DATA / "sure", b"1")
        files.write_durably(DATA / "moved", b"2")
        files.make_folder(DATA / "soft")
        files.rename(DATA / "moved", DATA / "there")
        files.remove(DATA / "sure")

    found: dict[str, bool] = {}
    with World(seed) as world:
        do(world, work)
        world.n1.power_off()
        world.n1.power_on()
        do(
            world,
            lambda files: found.update(
                {n: files.exists(DATA / n) for n in ("sure", "moved", "there", "soft")}
            ),
        )
    return found


def test_a_power_loss_keeps_what_is_durable_and_some_of_the_rest_from_the_front() -> None:
    kept = [after_power_loss(seed) for seed in range(40)]
    for found in kept:
        assert found["moved"] != found["there"]  # a name moves whole
        assert found["soft"] or found["moved"]  # the folder was made before the move
        assert found["sure"] or found["there"]
    assert len({tuple(found.values()) for found in kept}) == 4


@pytest.mark.parametrize("seed", range(10))
def test_what_is_synced_stays(seed: int) -> None:
    def work(files: ProcessFiles) -> None:
        files.make_folder(DATA / "deep")
        files.write_durably(DATA / "deep" / "x", b"old")
        files.write_durably(DATA / "deep" / "x", b"new")
        files.rename(DATA / "deep", DATA / "renamed")
        files.sync_folder(DATA)

    def check(files: ProcessFiles) -> None:
        assert files.names(DATA) == ["renamed"]
        assert files.read(DATA / "renamed" / "x") == b"new"

    with World(seed) as world:
        do(world, work)
        for _ in range(2):
            world.n1.power_off()
            world.n1.power_on()
            do(world, check)


def test_a_lock_falls_with_its_process_and_no_sooner() -> None:
    lock = Path("/lock")

    async def hold(process: Process) -> None:
        assert ProcessFiles(process).take_lock(lock) is not None
        await asyncio.Event().wait()

    def held(files: ProcessFiles) -> None:
        assert files.take_lock(lock) is None
        assert files.who_holds([lock]) == {lock: holder.pid}

    def free(files: ProcessFiles) -> None:
        assert files.who_holds([lock]) == {}
        taken = files.take_lock(lock)
        assert taken is not None
        assert files.take_lock(lock) is None
        assert files.who_holds([lock]) == {}  # but this one
        taken.release()
        taken.release()
        assert files.take_lock(lock) is not None  # falls with this process

    with World() as world:
        holder = world.n1.spawn("holder", hold)
        world.kernel.run_for(1)
        do(world, held)
        holder.pause()
        do(world, held)
        holder.kill()
        do(world, free)
        holder = world.n1.spawn("holder", hold)
        world.kernel.run_for(1)
        do(world, held)
        world.n1.power_off()
        world.n1.power_on()
        do(world, lambda files: files.take_lock(lock) or pytest.fail("held by the dead"))


def test_a_lock_is_of_the_file_not_of_its_name() -> None:
    def work(files: ProcessFiles) -> None:
        first = files.take_lock(Path("/lock"))
        files.remove(Path("/lock"))
        assert files.take_lock(Path("/lock")) is not None
        assert first is not None
        first.release()
        assert files.take_lock(Path("/lock")) is None

    with World() as world:
        do(world, work)


def test_disks_may_be_full_or_fail() -> None:
    def work(files: ProcessFiles) -> None:
        files.make_folder(DATA / "d1")
        files.write_durably(DATA / "d1" / "x", b"1")
        trouble = world.n1.files.trouble(DATA / "d1")
        trouble.full = True
        with pytest.raises(OSError, match="No space") as told:
            files.write_durably(DATA / "d1" / "x", b"2")
        assert told.value.errno == errno.ENOSPC
        assert files.space(DATA / "d1").free == 0
        assert files.read(DATA / "d1" / "x") == b"1"
        files.write_durably(DATA / "y", b"other disk")
        trouble.full, trouble.error = False, errno.EIO
        with pytest.raises(OSError, match="Input/output"):
            files.read(DATA / "d1" / "x")
        assert not files.exists(DATA / "d1" / "x")

    with World() as world:
        do(world, work)
