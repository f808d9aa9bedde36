"""Runs every scenario file and compares the answers; `shorthorn scenario --rewrite FILE` writes them down: read the diff."""

from pathlib import Path

import pytest

from shorthorn.sim.scenario import runner
from shorthorn.sim.scenario.script import BadScenario
from shorthorn.sim.scenario.stage import NotHere
from tests.scenarios.naive import Naive

FOLDER = Path(__file__).parent
FILES = sorted(FOLDER.glob("*.txt"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_scenario(path: Path) -> None:
    try:
        outcome = runner.run_file(path, Naive)
    except BadScenario as error:
        if isinstance(error.__cause__, NotHere):
            pytest.skip("needs the simulator")
        raise
    assert outcome.agrees, "\n" + outcome.difference(path.name)
