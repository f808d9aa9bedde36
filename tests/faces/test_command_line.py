"""The command line of what needs no server: what it refuses, with which exit code, and what programs read of it."""

import json
from pathlib import Path

import pytest

from shorthorn.faces.cli import app

Said = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("group", "some"), [((), ("volume", "sim", "explore")), (("volume",), ("show", "expand"))]
)
def test_an_unknown_command_is_answered_with_all_there_are(
    group: tuple[str, ...], some: tuple[str, ...], capsys: Said
) -> None:
    assert app.run([*group, "nonsense"]) == app.USAGE
    said = capsys.readouterr().err
    assert said.startswith(
        f"shorthorn: there is no command `{' '.join(('shorthorn', *group, 'nonsense'))}`; there are "
    )
    names = said.partition("there are ")[2].partition("; see `")[0].split(", ")
    assert set(some) <= set(names)
    assert all(names), "an empty name"
    assert said.count("\n") == 1


def test_a_wrong_option_names_the_help_of_its_command(capsys: Said) -> None:
    assert app.run(["sim", "--seed", "seven"]) == app.USAGE
    said = capsys.readouterr().err
    assert "--seed" in said
    assert said.endswith("see `shorthorn sim --help`\n")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("sim", "--hours", "0"), "hours are 1 or more"),
        (("sim", "--nodes", "1"), "nodes are 2 to 16, not 1"),
        (("sim", "--controls", "4"), "servers (--controls) are 1 to 3, not 4"),
        (("sim", "--store", "sqlite", "--controls", "2"), "the SQLite store has one server"),
        (("sim", "--seeds", "9-3"), "no seed in 9-3"),
        (("sim", "--seeds", "x"), "given as 1-50"),
        (("sim", "--seeds", "1-2", "--story"), "one line of each seed"),
        (("sim", "--without", "no-grants"), "--native"),
        (("explore", "--world", "n9"), "there is no world 'n9'; there are n3r2-cycle"),
        (("explore", "--without", "gravity"), "there is no rule 'gravity'; there are ack-before-removal"),
        (("scenario",), "at least one scenario file"),
    ],
)
def test_a_wrong_line_ends_with_2_and_one_line(arguments: tuple[str, ...], why: str, capsys: Said) -> None:
    assert app.run([*arguments, "--output", "json"]) == app.USAGE
    said = capsys.readouterr()
    assert why in said.err
    assert said.err.count("\n") == 1
    assert json.loads(said.out)["error"]["code"] == "usage"


def test_schedules_that_can_t_be_read_are_refused_in_one_line(tmp_path: Path, capsys: Said) -> None:
    (tmp_path / "none.json").write_bytes(b"\xff\x00")
    for name, why in (
        ("none.json", "not a schedule"),
        ("away.json", "there is no file"),
        (".", "can't be read"),
    ):
        assert app.run(["sim", "--schedule", str(tmp_path / name)]) == app.FAILED
        said = capsys.readouterr().err
        assert why in said
        assert said.count("\n") == 1


def test_a_failure_that_could_not_be_written_down_is_refused_before_the_run(
    capsys: Said, tmp_path: Path
) -> None:
    assert app.run(["sim", "--out", str(tmp_path / "nowhere" / "failure.json")]) == app.FAILED
    assert "can't be written to" in capsys.readouterr().err


def test_a_run_is_an_object_for_programs(capsys: Said, tmp_path: Path) -> None:
    empty = tmp_path / "still.json"
    empty.write_text(
        '{"shape":{"seed":3},"calm_s":[5.0],"period_s":1200.0,"work_s":10.0,"format":1,"steps":[]}'
    )
    assert app.run(["sim", "--schedule", str(empty), "--output", "json"]) == app.DONE
    said = json.loads(capsys.readouterr().out)
    assert (said["seed"], said["passed"], said["failure"], said["nodes"]) == (3, True, None, 4)
    assert said["hours_counted"] == 0
    assert said["lacks"][0][0] == "0 consumers' requests of 60"


def test_scenario_files_that_are_none_say_so_in_one_line(tmp_path: Path, capsys: Said) -> None:
    bad = tmp_path / "bad.txt"
    for text, why in (
        (b"cluster nodes=3\nfrobnicate v1\n----\n", "line 2: frobnicate v1: no such command"),
        (
            b"cluster nodes=3\nattach v1\n----\n",
            "line 2: attach v1: too few words; usage: attach v1 n1 [HOLDER]",
        ),
        (b"", "no command in it"),
        (b"\xff\xfe\x00", "not UTF-8"),
    ):
        bad.write_bytes(text)
        assert app.run(["scenario", str(bad)]) == app.FAILED
        said = capsys.readouterr()
        assert f"{bad}: not a scenario: " in said.out
        assert why in said.out
        assert said.err.count("\n") == 1


def test_answers_that_differ_are_shown(tmp_path: Path, capsys: Said) -> None:
    told = tmp_path / "told.txt"
    told.write_text("cluster nodes=1\n----\nsomething else\n")
    assert app.run(["scenario", str(told)]) == app.FAILED
    assert "-something else\n+nothing is left" in capsys.readouterr().out
    assert app.run(["scenario", "--rewrite", str(told)]) == app.DONE
    assert told.read_text() == "cluster nodes=1\n----\nnothing is left\n"
