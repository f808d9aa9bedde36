"""The language itself: what is not understood is said with its line, and a wrong answer, a missing one and flapping are seen."""

from pathlib import Path

import pytest

from shorthorn.sim.scenario import runner, script
from shorthorn.sim.scenario.language import CHAPTERS
from shorthorn.sim.scenario.runner import Flaps
from shorthorn.sim.scenario.scenario import NotReached
from shorthorn.sim.scenario.script import BadScenario
from shorthorn.sim.scenario.simulated import Simulated
from shorthorn.sim.scenario.stage import Plan

STORY = """cluster nodes=3
volume v1 size=8MiB replicas=3; rest
----
v1: detached healthy; replicas n1 n2 n3

# and on
attach v1 n1
rest
----
v1: attached healthy; replicas n1 n2 n3
"""


class Flapping(Simulated):
    """Something is journaled each time somebody lets time pass."""

    def run_for(self, seconds: float) -> None:
        super().run_for(seconds)
        self._journal.append("v1: again")


def test_a_story_with_the_right_answers_agrees() -> None:
    assert runner.run(STORY, Simulated).agrees


def test_a_wrong_answer_is_shown_as_a_difference() -> None:
    outcome = runner.run(STORY.replace("attached", "detached"), Simulated)
    assert not outcome.agrees
    assert "+v1: attached healthy; replicas n1 n2 n3" in outcome.difference("story.txt")


def test_rewriting_writes_the_answers_that_came_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "story.txt"
    file.write_text(STORY.replace("; replicas n1 n2 n3", "; replicas n9"))
    assert not runner.run_file(file, Simulated, rewrite=True).agrees
    assert file.read_text() == STORY


def test_answers_that_are_missing_are_written(tmp_path: Path) -> None:
    file = tmp_path / "story.txt"
    file.write_text("\n".join(line for line in STORY.splitlines() if not line.startswith("v1:")) + "\n")
    runner.run_file(file, Simulated, rewrite=True)
    assert file.read_text() == STORY


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cluster nodes=3\nfly n1\n----\n", "line 2: fly n1: no such command"),
        ("cluster nodes=3\n\nfor 3\n----\n", "line 3: for 3: 3 is no duration"),
        ("cluster nodes=3; power-off n9\n----\n", "line 1: power-off n9: n9; usage: power-off n2"),
        ("cluster nodes=3\nkill engine\n----\n", "line 2: kill engine: which engine"),
        ("cluster nodes=3\nwrite v1 7 b0\n----\n", "line 2: write v1 7 b0"),
        ("cluster nodes=3\nuntil v1\n----\n", "line 2: until v1: too few words"),
        ("cluster nodes=3; cluster nodes=3\n----\n", "there is a cluster already"),
        ("cluster nodes=3\n----\n\n\nattach v1 n1\n", "line 3: commands without an answer"),
        ("cluster nodes=3\n", "line 1: commands without an answer"),
        ("# only a story\n", "no command in it"),
        ("cluster nodes=3\nattach v1\n----\n", "line 2: attach v1: too few words; usage: attach v1 n1"),
        ("cluster nodes=3\ndelete v1 v2\n----\n", "line 2: delete v1 v2: too many words"),
        ("cluster nodes=3\nvolume v1\n----\n", "line 2: volume v1: size= is missing"),
        (
            "cluster nodes=3\nwrite v1 b0 7 fau=yes\n----\n",
            "line 2: write v1 b0 7 fau=yes: there is no option fau=",
        ),
        ("cluster nodes=3\nwrite v1 b0 seven\n----\n", "seven is no whole number"),
        ("cluster nodes=3\nwrite v1 b0 7 fua=true\n----\n", "fua is yes or no, not true"),
        ("cluster nodes=3\nuntil v1 gone whithin=3s\n----\n", "there is no option whithin="),
    ],
)
def test_what_is_not_understood_is_said_with_its_line(text: str, said: str) -> None:
    with pytest.raises(BadScenario, match=said.replace("(", r"\(")):
        runner.run(text, Simulated)


def test_what_does_not_come_within_its_bound_is_said_with_what_is() -> None:
    text = STORY.replace("attach v1 n1", "until v1 attached")
    with pytest.raises(NotReached, match="v1 attached; it is: v1: detached healthy; replicas n1 n2 n3"):
        runner.run(text, Simulated)


def test_what_goes_on_after_the_last_rest_is_said() -> None:
    with pytest.raises(Flaps, match=r"L8.*v1: again"):
        runner.run(STORY, Flapping)


def test_a_story_that_does_not_end_at_rest_may_go_on() -> None:
    assert runner.run(STORY.replace("\nrest\n", "\nuntil v1 attached healthy\n"), Flapping).agrees


def test_the_stage_ends_whatever_happens() -> None:
    ended = []

    class Ending(Simulated):
        def end(self) -> None:
            super().end()
            ended.append(self)

    def make(plan: Plan) -> Simulated:
        return Ending(plan)

    runner.run(STORY, make)
    with pytest.raises(BadScenario):
        runner.run(STORY + "\nfly n1\n----\n", make)
    assert len(ended) == 2


def test_a_story_is_the_comment_that_the_file_opens_with() -> None:
    assert script.story("# one\n#two\ncluster nodes=1 # three\n# four\n") == ["one", "two"]


def test_every_command_is_named_once() -> None:
    names = [verb.name for chapter in CHAPTERS for verb in chapter.verbs]
    assert sorted(set(names)) == sorted(names)
