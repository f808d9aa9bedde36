"""Runs every scenario file on the simulator and compares the answers; after a change of the code that is meant,
`shorthorn scenario --rewrite FILE…` writes them down: read the diff.
"""

from pathlib import Path

import pytest

from shorthorn.sim.scenario import runner
from shorthorn.sim.scenario.simulated import Simulated

FOLDER = Path(__file__).parent
FILES = sorted(FOLDER.glob("*.txt"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_scenario(path: Path) -> None:
    outcome = runner.run_file(path, Simulated)
    assert outcome.agrees, "\n" + outcome.difference(path.name)
