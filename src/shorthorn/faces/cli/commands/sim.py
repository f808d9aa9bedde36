"""`shorthorn sim`: a whole cluster on virtual time, with faults, judged all along."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from shorthorn.errors import Invalid, NotFound, Unavailable
from shorthorn.faces.cli import render
from shorthorn.faces.cli.options import WrongLine
from shorthorn.faces.cli.render import Output

if TYPE_CHECKING:
    from shorthorn.sim.faults.schedule import Schedule
    from shorthorn.sim.runs.run import Failure, Outcome

JOBS_MAX = 64
NODES = range(2, 17)
"""Schedules are drawn for so many: a cluster of one node has nothing to go on with after a fault."""
CONTROLS = range(1, 4)


def add(app: App) -> None:
    """Add the command."""
    app.command(sim)


def sim(  # noqa: PLR0913 - a command's options
    *,
    seed: Annotated[int, Parameter(help="Everything that chance decides follows from it.")] = 1,
    seeds: Annotated[
        str, Parameter(help="Many, such as 1-50: one line each instead of the story.", show_default=False)
    ] = "",
    jobs: Annotated[int, Parameter(help="With --seeds: how many at a time.")] = 1,
    hours: Annotated[int, Parameter(help="Virtual hours of each run.")] = 1,
    nodes: Annotated[int | None, Parameter(help="Nodes, 2 to 16; chance decides by default.")] = None,
    controls: Annotated[int | None, Parameter(help="Servers, 1 to 3; chance decides by default.")] = None,
    store: Annotated[
        Literal["memory", "sqlite"], Parameter(help="sqlite: one server over a real file.")
    ] = "memory",
    story: Annotated[
        bool, Parameter(help="Tell everything, not only faults and what follows.", negative="")
    ] = False,
    programs: Annotated[bool, Parameter(help="Tell the programs' logs, too.", negative="")] = False,
    schedule: Annotated[Path | None, Parameter(help="Carry out a schedule that was written before.")] = None,
    shrink: Annotated[bool, Parameter(help="After a failure look for its smallest part.")] = True,
    out: Annotated[Path, Parameter(help="Where the smallest part of a failure is written.")] = Path(
        "failure.json"
    ),
    native: Annotated[Path | None, Parameter(help="Another build of the native module.")] = None,
    without: Annotated[str, Parameter(help="Take this rule out of that build.", show_default=False)] = "",
    output: Annotated[Output, Parameter(help="text for people, json for programs.")] = "text",
) -> None:
    """Simulate a cluster: real control, agents and cores, with faults. Exit code 1 when anything is wrong.

    Each line: virtual time, who, what; the reason in brackets. At the end what happened in counts, and the verdict.
    """
    if hours < 1 or not 1 <= jobs <= JOBS_MAX:
        raise WrongLine(f"hours are 1 or more, jobs 1 to {JOBS_MAX}")
    if seeds and (schedule is not None or story or programs):
        raise WrongLine(
            "--seeds tells one line of each seed; --schedule, --story and --programs are for one run"
        )
    many, shape = _range(seeds) if seeds else range(0), _shape(nodes, controls, store)
    _take_build(native, without)
    if many:
        _many(many, hours, jobs, shape, _Repeat(None, hours, shape, native, without), json=output == "json")
        return
    from shorthorn.sim.faults.draw import draw  # noqa: PLC0415 - the client commands need none of it

    if shrink and not os.access(out.parent, os.W_OK):
        raise Invalid(f"{out.parent} can't be written to; name a file for a failure with --out")
    chosen = _read(schedule) if schedule is not None else draw(seed, hours, shape)
    repeat = _Repeat(schedule, hours, shape, native, without).command(seed)
    if output == "json":
        failed = _one_json(chosen, repeat, out if shrink else None)
    else:
        outcome = _one(chosen, repeat, story=story, programs=programs)
        failed = outcome.failure is not None
        if failed and shrink:
            _shrink(outcome, out)
    if failed:
        sys.exit(1)


def _take_build(native: Path | None, without: str) -> None:
    if native is None and not without:
        return
    from shorthorn.native.build import use_build  # noqa: PLC0415 - before anything loads the module

    if native is None:
        raise WrongLine("--without takes a rule out of a build with mutants; name its file with --native")
    use_build(native, without)


def _shape(nodes: int | None, controls: int | None, store: str) -> dict[str, object]:
    if nodes is not None and nodes not in NODES:
        raise WrongLine(f"nodes are {NODES[0]} to {NODES[-1]}, not {nodes}")
    if controls is not None and controls not in CONTROLS:
        raise WrongLine(f"servers (--controls) are {CONTROLS[0]} to {CONTROLS[-1]}, not {controls}")
    if store == "sqlite" and controls not in (None, 1):
        raise WrongLine("the SQLite store has one server; leave --controls out")
    return {"nodes": nodes, "controls": 1 if store == "sqlite" else controls, "store": store}


def _one(schedule: "Schedule", repeat: str, *, story: bool, programs: bool) -> "Outcome":
    """Run it and tell of it."""
    from shorthorn.sim.runs import report  # noqa: PLC0415 - see `sim`
    from shorthorn.sim.runs.run import Run  # noqa: PLC0415

    print(report.head(schedule), flush=True)

    def tell(line: str) -> None:
        who, what = line[14:].split(" ", 1)
        if story or report.is_notable(who, what):
            print(line, flush=True)

    outcome = Run(schedule, tell, print if programs else None).execute()
    for text in (*report.summary(outcome), *report.verdict(outcome.failure, repeat)):
        print(text)
    return outcome


def _one_json(schedule: "Schedule", repeat: str, out: Path | None) -> bool:
    """Run it and give its result as an object; `out`: where the smallest part of a failure goes. Whether it failed."""
    from shorthorn.sim.runs import report  # noqa: PLC0415 - see `sim`
    from shorthorn.sim.runs.run import Run  # noqa: PLC0415

    outcome = Run(schedule).execute()
    said = report.as_json(outcome, repeat)
    if outcome.failure is not None and out is not None:
        small, _, _ = _smallest(outcome, out, lambda _: None)
        said = {**said, "smallest": {"file": str(out), "steps": [str(step) for step in small.steps]}}
    render.show_json(said)
    return outcome.failure is not None


def _smallest(outcome: "Outcome", out: Path, told: Callable[[str], None]) -> "tuple[Schedule, Failure, int]":
    """The smallest part of a failure, written down. Raises Unavailable: the file can't be written."""
    from shorthorn.sim.runs.shrink import shrink  # noqa: PLC0415 - see `sim`

    assert outcome.failure is not None
    found = shrink(outcome.schedule, outcome.failure, told=told)
    try:
        out.write_bytes(found[0].encode())
    except OSError as error:
        raise Unavailable(f"{out} can't be written: {error.strerror}") from error
    return found


def _shrink(outcome: "Outcome", out: Path) -> None:
    print("looking for the smallest part of it that fails …", flush=True)
    small, failure, runs = _smallest(outcome, out, lambda line: print(f"  {line}", flush=True))
    print(f"{len(small.steps)} of {len(outcome.schedule.steps)} steps are left after {runs} runs:")
    for step in small.steps:
        print(f"  {step.at_s:10.3f}  {step}")
    print(f"it fails with: {failure.what}")
    print(f"repeat it: shorthorn sim --schedule {out} --story")


def _many(
    seeds: range, hours: int, jobs: int, shape: dict[str, object], repeat: "_Repeat", *, json: bool
) -> None:
    """One line each, in order; at the end the sum."""
    from shorthorn.sim.runs import report  # noqa: PLC0415 - see `sim`

    failed, counted, cpu_s, runs = list[int](), 0, 0.0, list[report.Said]()
    with get_context("fork").Pool(jobs) as pool:
        for outcome in pool.imap(_run, [(seed, hours, shape) for seed in seeds]):
            seed = outcome.schedule.shape.seed
            if json:
                runs.append(report.as_json(outcome, repeat.command(seed)))
            else:
                print(report.line(outcome), flush=True)
            counted += outcome.counts.counted
            cpu_s += outcome.cpu_s
            if outcome.failure is not None:
                failed.append(seed)
    if json:
        render.show_json(
            {"passed": not failed, "hours_counted": counted, "cpu_s": round(cpu_s, 1), "runs": runs}
        )
    else:
        print(f"{len(seeds)} runs, {counted} virtual hours that count, {cpu_s:.0f} CPU seconds")
    if failed:
        if not json:
            print(f"FAILED: seeds {', '.join(map(str, failed))}; see the first: {repeat.command(failed[0])}")
        sys.exit(1)


def _run(given: tuple[int, int, dict[str, object]]) -> "Outcome":
    from shorthorn.sim.faults.draw import draw  # noqa: PLC0415 - see `sim`
    from shorthorn.sim.runs.run import Run  # noqa: PLC0415

    seed, hours, shape = given
    return Run(draw(seed, hours, shape)).execute()


def _range(text: str) -> range:
    first, dash, last = text.partition("-")
    try:
        found = range(int(first), int(last if dash else first) + 1)
    except ValueError:
        raise WrongLine(f"seeds are given as 1-50, not {text!r}") from None
    if not found:
        raise WrongLine(f"there is no seed in {text}: the smaller one comes first, as in 1-50")
    return found


def _read(path: Path) -> "Schedule":
    from shorthorn.sim.faults.schedule import decode  # noqa: PLC0415 - see `sim`

    try:
        return decode(path.read_bytes())
    except FileNotFoundError:
        raise NotFound(f"there is no file {path}") from None
    except OSError as error:
        raise Invalid(f"{path} can't be read: {error.strerror}") from None
    except ValueError as error:
        raise Invalid(f"{path}: {error}") from None


@dataclass(frozen=True)
class _Repeat:
    """What was asked for besides the seed, for the command that repeats a run."""

    schedule: Path | None
    hours: int
    shape: dict[str, object]
    native: Path | None
    without: str

    def command(self, seed: int) -> str:
        """What repeats it."""
        words = ["shorthorn sim"]
        if self.schedule:
            words += [f"--schedule {self.schedule}"]
        else:
            words += [f"--seed {seed}", f"--hours {self.hours}"]
            words += [f"--{name} {value}" for name, value in self.shape.items() if value is not None]
        words += [f"--native {self.native}"] if self.native else []
        words += [f"--without {self.without}"] if self.without else []
        return " ".join(words)
