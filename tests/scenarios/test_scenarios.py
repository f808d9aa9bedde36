"""Runs every scenario file and compares the answer; with REWRITE=1 writes the answer down instead: read the diff.

Every change on the way is checked against the invariants, and after the last `rest` nothing more may happen (L8).
"""

import os
from pathlib import Path

import pytest

from tests.scenarios.language import BadScenario, Scenario

LINE = "----"
FILES = sorted(Path(__file__).parent.glob("*.txt"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_scenario(path: Path) -> None:
    said, commands, answers = [], [], path.read_text().split("\n\n")
    scenario = Scenario()
    for block in answers:
        if LINE not in block.splitlines():
            commands.append(block)
            said.append(block.rstrip())
            continue
        asked, expected = (part.strip("\n") for part in block.split(f"{LINE}\n", 1))
        answer = scenario.run("\n".join([*commands, asked]))
        commands = []
        said.append(f"{asked}\n{LINE}\n{answer}")
        if not os.environ.get("REWRITE"):
            assert answer == expected.rstrip("\n"), path.name
    if os.environ.get("REWRITE"):
        path.write_text("\n\n".join(said) + "\n")
    before = list(scenario.cluster.journal)
    scenario.cluster.rest()
    assert scenario.cluster.journal == before, "L8: it flaps"


def test_there_are_scenarios_and_each_has_an_answer() -> None:
    assert len(FILES) >= 10
    assert [p.name for p in FILES if f"\n{LINE}\n" not in p.read_text()] == []


def test_a_line_that_is_not_understood_is_said() -> None:
    with pytest.raises(BadScenario, match="fly n1"):
        Scenario().run("fly n1")
