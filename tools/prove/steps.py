"""The proofs, one function each: run it, read what it said, judge whether that is enough.

Each runs as a user would run it. A step that says nothing that can be read has failed; so has one that did too little.
"""

import json
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from shorthorn.sim.explorer.worlds import WORLDS
from tools.prove.results import ROOT, Result

Say = Callable[[str], None]

HOURS_MIN = 200
"""Virtual cluster hours that count."""

SIM_SEEDS, SQLITE_SEEDS = "1-210", "1-10"
"""A virtual hour each."""

CHAOS_SEEDS = (1, 2, 3)
MUTANT_SEEDS = (11, 12, 13)
CHAOS_MINUTES = "10"
PLANTED = "ack-before-removal"
STEP_S = 3 * 3600.0


_SEED = re.compile(
    r"seed (?P<seed>\d+): (?P<hours_counted>\d+)/\d+ h, (?P<faults>\d+) faults, (?P<ios>\d+) I/Os, "
    r"(?P<cpu_s>[\d.]+) CPU s, \w+: (?P<said>.*)"
)


class NothingSaid(Exception):
    """A proof ended without a result that can be read."""


def explorer(say: Say) -> Result:
    """Every named world until its queue is empty."""
    return _worlds(say, ["explore"], complete=True)


def explorer_deep(say: Say) -> Result:
    """The deep worlds, which may stop at a limit."""
    return _worlds(say, ["explore", "--deep"], complete=False)


def sim(say: Say) -> Result:
    """Seeds, until enough virtual hours count; some of them with one server over a real SQLite file."""
    memory, sqlite = (
        ["sim", "--seeds", SIM_SEEDS, "--jobs", "2"],
        ["sim", "--seeds", SQLITE_SEEDS, "--store", "sqlite"],
    )
    done, figures, seconds = True, dict[str, Any](), 0.0
    for name, arguments in (("memory", memory), ("sqlite", sqlite)):
        code, out, took = _run(say, [sys.executable, "-m", "shorthorn", *arguments])
        figures[name] = _seeds(out)
        done, seconds = done and code == 0 and not figures[name]["failed"], seconds + took
    hours = sum(each["hours_counted"] for each in figures.values())
    figures["hours_counted"] = hours
    return Result(done and hours >= HOURS_MIN, seconds, f"shorthorn {' '.join(memory)}", figures)


def scenarios(say: Say) -> Result:
    """Every scenario file, and the fates of the known bugs."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        command = [sys.executable, "-m", "pytest", "-q", "tests/scenarios", f"--junit-xml={report}"]
        code, _, seconds = _run(say, command)
        counts = _counts(report) if report.exists() else {}
    fates = Counter(re.findall(r"^\| [A-Z0-9-]+ \| (\w+) \|", _index(), re.MULTILINE))
    ok = code == 0 and counts.get("passed", 0) > 0 and not counts.get("skipped", 0)
    return Result(
        ok, seconds, "pytest tests/scenarios", {"tests": counts, "fates": dict(sorted(fates.items()))}
    )


def mutants(say: Say) -> Result:
    """Every mutant of the catalogue is caught by some proof."""
    code, out, seconds = _run(say, [sys.executable, "-m", "tests.mutants", "--output", "json"])
    said = _last_json(out)
    rows = said.get("mutants", [])
    ok = code == 0 and bool(rows) and all(row.get("ok") for row in rows)
    return Result(ok, seconds, "python -m tests.mutants", {"mutants": rows})


def chaos(say: Say) -> Result:
    """Real processes, with every rule in: nothing is wrong."""
    return _chaos(say, CHAOS_SEEDS, "")


def chaos_mutant(say: Say) -> Result:
    """Real processes, with a rule of the data path out: each seed finds it."""
    return _chaos(say, MUTANT_SEEDS, PLANTED)


STEPS: dict[str, Callable[[Say], Result]] = {
    "explorer": explorer,
    "explorer-deep": explorer_deep,
    "scenarios": scenarios,
    "sim": sim,
    "mutants": mutants,
    "chaos": chaos,
    "chaos-mutant": chaos_mutant,
}


def _worlds(say: Say, arguments: Sequence[str], *, complete: bool) -> Result:
    done, said, seconds = _shorthorn(say, arguments)
    about = {world.name: world.about for world in WORLDS}
    worlds = [{"about": about.get(world.get("world"), ""), **world} for world in said.get("worlds", [])]
    searched = all(not world["waiting"] for world in worlds) or not complete
    clean = bool(worlds) and not any(world["broken"] for world in worlds)
    return Result(
        done and clean and searched, seconds, f"shorthorn {' '.join(arguments)}", {"worlds": worlds}
    )


def _chaos(say: Say, seeds: Sequence[int], mutant: str) -> Result:
    runs = []
    began = time.monotonic()
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "run.json")
            command = [sys.executable, "-m", "tools.chaos", "--seed", str(seed), "--json", str(path)]
            more = ["--mutant", mutant, "--minutes", "1"] if mutant else ["--minutes", CHAOS_MINUTES]
            _run(say, [*command, *more])
            said: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"ok": False}
        runs.append({"seed": seed, **said})
    shown = f"make chaos SEED=N{f' MUTANT={mutant}' if mutant else ''}"
    return Result(all(run["ok"] for run in runs), time.monotonic() - began, shown, {"runs": runs})


def _shorthorn(say: Say, arguments: Sequence[str]) -> tuple[bool, dict[str, Any], float]:
    command = [sys.executable, "-m", "shorthorn", *arguments, "--output", "json"]
    code, out, seconds = _run(say, command)
    return code == 0, _last_json(out), seconds


def _run(say: Say, command: Sequence[str]) -> tuple[int, str, float]:
    """Its exit code, what it printed, and how long it took; what it complains about goes to the terminal."""
    say(" ".join(command))
    began = time.monotonic()
    done = subprocess.run(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        timeout=STEP_S,
        check=False,
    )
    return done.returncode, done.stdout, time.monotonic() - began


def _seeds(text: str) -> dict[str, Any]:
    """What `shorthorn sim --seeds` says of each, summed up. Raises `NothingSaid` when it does not end as it should."""
    lines = [match for line in text.splitlines() if (match := _SEED.fullmatch(line))]
    if not lines or not re.search(rf"^{len(lines)} runs, ", text, re.MULTILINE):
        raise NothingSaid(f"{len(lines)} seeds in: …{text[-500:]!r}")
    sums = {
        name: sum(float(match[name]) for match in lines)
        for name in ("hours_counted", "faults", "ios", "cpu_s")
    }
    return {
        "seeds": len(lines),
        **{name: round(value) for name, value in sums.items()},
        "failed": [int(match["seed"]) for match in lines if match["said"] != "ok"],
    }


def _last_json(text: str) -> dict[str, Any]:
    """The JSON object that ends the output: the whole of it, or its last line. Raises `NothingSaid`."""
    for candidate in (text, text.strip().rpartition("\n")[2]):
        try:
            said = json.loads(candidate)
        except json.JSONDecodeError:
            continue
        if isinstance(said, dict):
            return said
    raise NothingSaid(f"no JSON object at the end of: …{text[-500:]!r}")


def _counts(report: Path) -> dict[str, int]:
    """Of a JUnit report."""
    counts: Counter[str] = Counter()
    for case in ET.parse(report).iter("testcase"):
        kinds = {child.tag for child in case}
        counts[
            "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        ] += 1
    return dict(sorted(counts.items()))


def _index() -> str:
    return (ROOT / "tests" / "scenarios" / "INDEX.md").read_text()
