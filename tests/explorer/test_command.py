"""`shorthorn explore`: what it prints, and when it fails."""

import json

import pytest

from shorthorn.faces.cli import app
from shorthorn.sim.explorer.worlds import QUICK, WORLDS


def test_the_quick_worlds_are_searched_completely(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["explore", "--quick", "--output", "json"]) == app.DONE
    whole = json.loads(capsys.readouterr().out)
    assert whole["passed"]
    assert [world["world"] for world in whole["worlds"]] == list(QUICK)
    assert all(world["complete"] and world["states"] > 1000 for world in whole["worlds"])


def test_a_limit_fails_the_run_and_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        app.run(["explore", "--world", "n3r2-evict", "--seconds", "0"])
    assert ended.value.code == 1
    assert "stopped at its limit" in capsys.readouterr().out


def test_a_counterexample_is_told_step_by_step(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        app.run(["explore", "--world", "n3r2-crash", "--without", "read-in-flight"])
    told = capsys.readouterr().out
    assert "BROKEN: S3/S4: a read returned" in told
    assert "1. pod attaches at n1\n       volume: attaching" in told


def test_unknown_worlds_and_rules_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["explore", "--world", "n9"]) == app.USAGE
    assert app.run(["explore", "--without", "gravity"]) == app.USAGE
    assert "there is no rule 'gravity'" in capsys.readouterr().err


def test_names_are_different() -> None:
    assert len({world.name for world in WORLDS}) == len(WORLDS)
