"""Carries out a scenario file and compares, or rewrites, its answers.

After the last answer nothing more may happen: the cluster rests, and the journal must not have grown (L8).
"""

import difflib
from dataclasses import dataclass
from pathlib import Path

from shorthorn.sim.scenario import script
from shorthorn.sim.scenario.language import carry_out
from shorthorn.sim.scenario.scenario import MakeStage, Scenario

QUIET_S = 120.0
"""So long nothing may happen after the last answer of a scenario that ended at rest."""


WRONG = (script.BadScenario, AssertionError)
"""What a scenario may end with besides another answer: not understood, not reached, flapping, an invariant broken."""


class Flaps(AssertionError):
    """After the last rest something went on happening."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The file as it is, and as it would be with the answers that were given."""

    written: str
    answered: str

    @property
    def agrees(self) -> bool:
        return self.written == self.answered

    def difference(self, name: str) -> str:
        """What was expected and what came, as a diff."""
        lines = difflib.unified_diff(
            self.written.splitlines(),
            self.answered.splitlines(),
            f"{name} (expected)",
            f"{name} (answered)",
            lineterm="",
        )
        return "\n".join(lines)


def run(text: str, make: MakeStage) -> Outcome:
    """Raises `BadScenario`, `NotReached`, `Flaps`, and what the stage raises when something is wrong on the way."""
    blocks = script.parse(text)
    scenario = Scenario(make)
    try:
        answers = [_answer(scenario, block) for block in blocks]
        if _ends_at_rest(blocks[-1]):
            _check_rest(scenario)
    finally:
        if scenario.stage is not None:
            scenario.stage.end()
    return Outcome(text, script.render(blocks, answers))


def run_file(path: Path, make: MakeStage, *, rewrite: bool = False) -> Outcome:
    """As `run`; with `rewrite` the answers are written down instead: read the diff."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise script.BadScenario("it is not UTF-8 text") from None
    outcome = run(text, make)
    if rewrite and not outcome.agrees:
        path.write_text(outcome.answered, encoding="utf-8")
    return outcome


def _answer(scenario: Scenario, block: script.Block) -> str:
    for command in block.commands():
        carry_out(scenario, command)
    return scenario.answer()


def _ends_at_rest(block: script.Block) -> bool:
    verbs = [command.text.split()[0] for command in block.commands()]
    happening = [
        verb for verb in verbs if verb not in ("waits", "explain", "engines", "folders", "mark", "read")
    ]
    return bool(happening) and happening[-1] == "rest"


def _check_rest(scenario: Scenario) -> None:
    stage = scenario.on()
    before = list(stage.journal())
    stage.run_for(QUIET_S)
    after = list(stage.journal())
    if after != before:
        raise Flaps("L8: after the last rest it goes on: " + "; ".join(after[len(before) :][:8]))
