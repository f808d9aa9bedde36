"""The helper that starts outside programs refuses what a fresh machine would lack."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import programs
from tools.packages import LIST, listed


@pytest.fixture(autouse=True)
def forget() -> None:
    programs.program.cache_clear()


@pytest.mark.parametrize(
    "name", listed("qemu-img\nqemu-io\nfio\nnbdinfo\nnbdcopy\nnbdkit\nmkfs.ext4\ne2fsck\n")[0]
)
def test_the_programs_of_listed_packages_are_found(name: str) -> None:
    assert Path(programs.program(name)).is_file()


def test_a_program_of_every_debian_needs_no_listing() -> None:
    assert programs.run("ls", "/", timeout_s=10).stdout


def test_a_package_that_is_not_listed_is_refused_though_it_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(programs, "_listed", lambda: frozenset({"fio"}))
    with pytest.raises(
        programs.NotListed, match=r"qemu-img is of package qemu-utils, which debian-packages\.txt"
    ):
        programs.program("qemu-img")


def test_a_program_of_no_package_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "home-made"
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    monkeypatch.setattr(programs, "_SEARCH", str(tmp_path))
    with pytest.raises(programs.NotListed, match="belongs to no Debian package"):
        programs.program("home-made")


def test_a_missing_program_says_what_to_do() -> None:
    with pytest.raises(programs.NotListed, match="make packages"):
        programs.program("no-such-program")


def test_a_failing_program_shows_what_it_said() -> None:
    with pytest.raises(AssertionError, match="no-such-folder"):
        programs.run("ls", "/no-such-folder", timeout_s=10)
    assert programs.run("ls", "/no-such-folder", timeout_s=10, check=False).returncode != 0


def test_a_program_that_hangs_is_ended() -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        programs.run("sleep", "60", timeout_s=0.1)


def test_all_listed_packages_are_installed() -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "tools.packages"], cwd=LIST.parent, capture_output=True, text=True, check=False
    )
    assert (answer.returncode, answer.stdout) == (0, "")
