"""A minute of random faults; `make chaos` runs longer, and with other seeds."""

from pathlib import Path

import pytest

from tools.chaos.run import Options, run

pytestmark = [pytest.mark.serial, pytest.mark.timeout(600)]


def test_a_minute_of_random_faults_loses_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    try:
        summary = run(Options(minutes=1, nodes=3, seed=1, folder=folder), said.append)
    except AssertionError as error:
        raise AssertionError("\n".join([*said, str(error)])) from error
    with capsys.disabled():
        print(f"\n{summary}", end="")
