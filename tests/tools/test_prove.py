"""The page of proofs says what the results say: what failed, what did not run, what was found."""

from pathlib import Path
from typing import Any

import pytest

from tools.prove import steps
from tools.prove.page import render
from tools.prove.results import PAGE, Found, Result, findings, load, save

WORLD = {
    "world": "w1",
    "states": 1000,
    "transitions": 2000,
    "depth": 9,
    "seconds": 1.5,
    "waiting": 0,
    "broken": "",
}
RUN = {
    "seed": 1, "ok": True, "mutant": "", "seconds": 600.0, "faults": {"kill -9 engine": 100}, "requests": {}, "sessions": 30,
    "writes": 50_000, "heals": 5, "longest_s": 2.0, "figures": {}, "wrong": "",
}  # fmt: skip
FOUND = Found(1, "a lost wake-up", "explorer w1", "control/loop.py", "woken again", "test_x")


def results(**figures: dict[str, Any]) -> dict[str, Result]:
    return {name.replace("_", "-"): Result(True, 1.0, "cmd", fields) for name, fields in figures.items()}


def test_the_page_is_what_the_results_and_findings_say() -> None:
    """Whoever changes one of the three runs `python -m tools.prove --render`."""
    assert PAGE.read_text() == render(load(), findings())


def test_what_did_not_run_is_said() -> None:
    page = render({}, ())
    assert page.count("| not run |") == len(steps.STEPS)
    assert page.count("Not run.") == 5


def test_a_world_that_was_not_searched_whole_is_told_apart() -> None:
    page = render(results(explorer={"worlds": [WORLD, {**WORLD, "world": "w2", "waiting": 7}]}), ())
    assert "| w1 |  | 1,000 | 2,000 | 9 | 2 | complete |" in page
    assert "stopped at its limit, 7 waiting" in page
    broken = render(results(explorer={"worlds": [{**WORLD, "broken": "S5 | last"}]}), ())
    assert "**S5 \\| last**" in broken


def test_a_failed_step_a_surviving_mutant_and_a_seed_that_sees_nothing_stand_out() -> None:
    shown = results(
        mutants={
            "mutants": [
                {"name": "m1", "ok": True, "by": "explorer"},
                {"name": "m2", "ok": False},
                {"name": "m3", "ok": True, "by": "nothing, as it should be: why"},
            ]
        },
        chaos={"runs": [RUN, {"seed": 2, "ok": False}]},
        chaos_mutant={"runs": [{**RUN, "mutant": "m", "wrong": "a read"}, {**RUN, "mutant": "m"}]},
    )
    shown["chaos"] = shown["chaos"]._replace(ok=False)
    page = render(shown, (FOUND, FOUND._replace(number=2, repaired="open")))
    for line in (
        "| chaos | **no** |",
        "1 of 2 are caught; 1 need not be",
        "**survives**",
        "| 2 |  |  |  |  |  |  | **failed** |",
        "1 of 2 seeds see it",
        "**not found**",
        "2 faults in the code; 1 are repaired, 1 are open",
    ):
        assert line in page, line


def test_results_are_kept_and_numbers_of_findings_are_unique(tmp_path: Path) -> None:
    save(results(sim={"hours_counted": 200}), tmp_path / "r.json")
    assert load(tmp_path / "r.json") == results(sim={"hours_counted": 200})
    assert load(tmp_path / "none.json") == {}
    fields = "\n".join(f'{name} = "x"' for name in Found._fields[1:])
    twice = tmp_path / "f.toml"
    twice.write_text(f"[[finding]]\nnumber = 1\n{fields}\n" * 2)
    with pytest.raises(ValueError, match="twice"):
        findings(twice)


def said(monkeypatch: pytest.MonkeyPatch, code: int, out: str) -> None:
    monkeypatch.setattr(steps, "_run", lambda _say, _command: (code, out, 1.0))


def sim_says(hours: int, verdict: str = "ok") -> str:
    lines = [
        f"seed {i}: 1/1 h, 14 faults, 6652 I/Os, 6.0 CPU s, c5f8: {verdict}" for i in range(1, hours + 1)
    ]
    return (
        "\n".join([*lines, f"{hours} runs, {hours} virtual hours that count, {6 * hours} CPU seconds"]) + "\n"
    )


@pytest.mark.parametrize(
    ("code", "out", "ok"),
    [
        (0, sim_says(100), True),
        (0, sim_says(99), False),
        (1, sim_says(100), False),
        (0, sim_says(100, "FAILED at 00:10:00.000: a read shows 1"), False),
    ],
)
def test_too_few_hours_or_a_failed_seed_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, code: int, out: str, *, ok: bool
) -> None:
    said(monkeypatch, code, out)
    result = steps.sim(print)
    assert result.ok is ok
    assert result.figures["memory"]["ios"] == 6652 * result.figures["memory"]["seeds"]


def test_a_simulator_that_ended_early_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    said(monkeypatch, 0, sim_says(100).replace("100 runs", "101 runs"))
    with pytest.raises(steps.NothingSaid):
        steps.sim(print)


def test_a_world_left_unsearched_or_none_at_all_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = '{"worlds": [{"waiting": 0, "broken": ""}]}'
    for out, ok, deep_ok in (
        (whole, True, True),
        (whole.replace("0", "3"), False, True),
        (whole.replace('""', '"S1"'), False, False),
        ('{"worlds": []}', False, False),
    ):
        said(monkeypatch, 0, out)
        assert (steps.explorer(print).ok, steps.explorer_deep(print).ok) == (ok, deep_ok), out


def test_silence_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    said(monkeypatch, 0, "all well")
    with pytest.raises(steps.NothingSaid):
        steps.mutants(print)


def test_a_surviving_mutant_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    said(monkeypatch, 0, '{"mutants": [{"name": "a", "ok": true}, {"name": "b", "ok": false}]}')
    assert not steps.mutants(print).ok
    said(monkeypatch, 0, '{"mutants": []}')
    assert not steps.mutants(print).ok
