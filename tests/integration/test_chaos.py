"""A minute of random faults; `make chaos` runs longer, with other seeds."""

from pathlib import Path

import pytest

from tools.chaos.run import Bounds, Options, run, summary

pytestmark = [pytest.mark.serial, pytest.mark.timeout(900)]


def test_a_minute_of_random_faults_loses_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    options = Options(minutes=1, nodes=4, seed=1, folder=folder, bounds=Bounds(10, 5, 5_000))
    try:
        outcome = run(options, said.append)
    except AssertionError as error:
        raise AssertionError("\n".join([*said, str(error)])) from error
    with capsys.disabled():
        print(f"\n{summary(outcome)}", end="")
    assert not outcome.wrong, "\n".join([*said, outcome.wrong])
