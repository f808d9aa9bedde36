"""What a drive's next process finds: work that was cut off got to some point, and without power what was not synced may be gone."""

from collections.abc import Iterator
from contextlib import suppress

import pytest

from shorthorn.sim.machine.kernel import Kernel
from shorthorn.sim.programs.drive import Drive


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    made = Kernel(seed=1)
    yield made
    made.close()


def a_drive(kernel: Kernel, number: int) -> Drive:
    drive = Drive(kernel, kernel.chance(f"drive {number}"))
    drive.open_for("boot-1")
    return drive


def test_work_of_a_killed_process_happened_in_part_or_not(kernel: Kernel) -> None:
    found = set()
    for number in range(100):
        drive = a_drive(kernel, number)

        def work(drive: Drive = drive) -> None:
            with suppress(OSError):
                for name in "abcd":
                    drive.sim.create_dir(f"/{name}")

        drive.under_way("slot", work)
        drive.open_for("boot-1")
        found.add(tuple(drive.sim.names("/")))
    assert {(), ("a/",), ("a/", "b/"), ("a/", "b/", "c/", "d/")} <= found


def test_work_that_is_done_is_not_cut(kernel: Kernel) -> None:
    drive = a_drive(kernel, 0)
    drive.under_way("slot", lambda: drive.sim.create_dir("/a"))
    drive.done("slot")
    drive.open_for("boot-1")
    assert drive.sim.names("/") == []


def test_another_boot_finds_what_was_synced_and_some_of_the_rest(kernel: Kernel) -> None:
    found = set()
    for number in range(50):
        drive = a_drive(kernel, number)
        drive.sim.create_dir("/synced")
        drive.sim.sync_dir("/")
        drive.sim.create_dir("/unsynced")
        drive.open_for("boot-2")
        found.add(tuple(drive.sim.names("/")))
    assert found == {("synced/",), ("synced/", "unsynced/")}


def test_a_stalled_drive_takes_longer_until_the_stall_is_over(kernel: Kernel) -> None:
    drive = a_drive(kernel, 0)
    drive.stall(10)
    assert drive.wait_s(0.001) > 10
    kernel.run_for(11)
    assert drive.wait_s(0.001) < 1
