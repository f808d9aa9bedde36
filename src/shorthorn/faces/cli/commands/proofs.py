"""`shorthorn sim`: a whole cluster on virtual time, with faults, judged all along."""

import sys
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from shorthorn.errors import Invalid, NotFound

if TYPE_CHECKING:
    from shorthorn.sim.faults.schedule import Schedule
    from shorthorn.sim.runs.run import Outcome

JOBS_MAX = 64


def add(app: App) -> None:
    """Add the command."""
    app.command(sim)


def sim(  # noqa: PLR0913 - a command's options
    *,
    seed: Annotated[int, Parameter(help="Everything that chance decides follows from it.")] = 1,
    seeds: Annotated[str, Parameter(help="Many, such as 1-50: one line each.")] = "",
    jobs: Annotated[int, Parameter(help="With --seeds: how many at a time.")] = 1,
    hours: Annotated[int, Parameter(help="Virtual hours of each run.")] = 1,
    nodes: Annotated[int | None, Parameter(help="Nodes; chance decides by default.")] = None,
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
    out: Annotated[Path, Parameter(help="Where the schedule of a failure is written.")] = Path(
        "failure.json"
    ),
    native: Annotated[Path | None, Parameter(help="Another build of the native module.")] = None,
    without: Annotated[str, Parameter(help="Take this rule out of that build.")] = "",
) -> None:
    """Simulate a cluster: real control, agents and cores, with faults. Exit code 1 when anything is wrong."""
    if native is not None or without:
        from shorthorn.native.build import use_build  # noqa: PLC0415 - before anything loads the module

        if native is None:
            raise Invalid("--without takes a rule out of a build with mutants; name its file with --native")
        use_build(native, without)
    if hours < 1 or jobs < 1 or jobs > JOBS_MAX:
        raise Invalid(f"hours are 1 or more, jobs 1 to {JOBS_MAX}")
    shape: dict[str, object] = {
        "nodes": nodes,
        "controls": 1 if store == "sqlite" else controls,
        "store": store,
    }
    if seeds:
        _many(_range(seeds), hours, jobs, shape)
        return
    from shorthorn.sim.faults.draw import draw  # noqa: PLC0415 - the client commands need none of it

    chosen = _read(schedule) if schedule is not None else draw(seed, hours, shape)
    failed = _one(
        chosen, _command(schedule, seed, hours, shape, native, without), story=story, programs=programs
    )
    if failed is not None:
        if shrink:
            _shrink(failed, out)
        sys.exit(1)


def _one(schedule: "Schedule", repeat: str, *, story: bool, programs: bool) -> "Outcome | None":
    """Run it and tell of it; returns it when it failed."""
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
    return outcome if outcome.failure is not None else None


def _shrink(outcome: "Outcome", out: Path) -> None:
    from shorthorn.sim.runs.shrink import shrink  # noqa: PLC0415 - see `sim`

    assert outcome.failure is not None
    print("looking for the smallest part of it that fails …", flush=True)
    small, failure, runs = shrink(
        outcome.schedule, outcome.failure, told=lambda line: print(f"  {line}", flush=True)
    )
    out.write_bytes(small.encode())
    print(f"{len(small.steps)} of {len(outcome.schedule.steps)} steps are left after {runs} runs:")
    for step in small.steps:
        print(f"  {step.at_s:10.3f}  {step}")
    print(f"it fails with: {failure.what}")
    print(f"repeat it: shorthorn sim --schedule {out} --story")


def _many(seeds: range, hours: int, jobs: int, shape: dict[str, object]) -> None:
    """One line each, in order; at the end the sum."""
    from shorthorn.sim.runs import report  # noqa: PLC0415 - see `sim`

    failed, counted, cpu_s = [], 0, 0.0
    with get_context("fork").Pool(jobs) as pool:
        for outcome in pool.imap(_run, [(seed, hours, shape) for seed in seeds]):
            print(report.line(outcome), flush=True)
            counted += outcome.counts.counted
            cpu_s += outcome.cpu_s
            if outcome.failure is not None:
                failed.append(outcome.schedule.shape.seed)
    print(f"{len(seeds)} runs, {counted} virtual hours that count, {cpu_s:.0f} CPU seconds")
    if failed:
        print(
            f"FAILED: seeds {', '.join(str(seed) for seed in failed)}; see each by `shorthorn sim --seed N`"
        )
        sys.exit(1)


def _run(given: tuple[int, int, dict[str, object]]) -> "Outcome":
    from shorthorn.sim.faults.draw import draw  # noqa: PLC0415 - see `sim`
    from shorthorn.sim.runs.run import Run  # noqa: PLC0415

    seed, hours, shape = given
    return Run(draw(seed, hours, shape)).execute()


def _range(text: str) -> range:
    first, dash, last = text.partition("-")
    try:
        return range(int(first), int(last if dash else first) + 1)
    except ValueError:
        raise Invalid(f"seeds are given as 1-50, not {text!r}") from None


def _read(path: Path) -> "Schedule":
    from shorthorn.sim.faults.schedule import decode  # noqa: PLC0415 - see `sim`

    try:
        return decode(path.read_bytes())
    except FileNotFoundError:
        raise NotFound(f"there is no file {path}") from None
    except ValueError as error:
        raise Invalid(f"{path}: {error}") from None


def _command(
    schedule: Path | None, seed: int, hours: int, shape: dict[str, object], native: Path | None, without: str
) -> str:
    """What repeats a run."""
    words = ["shorthorn sim"]
    words += [f"--schedule {schedule}"] if schedule else [f"--seed {seed}", f"--hours {hours}"]
    if schedule is None:
        words += [f"--{name} {value}" for name, value in shape.items() if value is not None]
    words += [f"--native {native}"] if native else []
    words += [f"--without {without}"] if without else []
    return " ".join(words)
