"""A run in words: what happened, what clients saw, the verdict, and how to repeat it."""

from collections.abc import Iterator

from shorthorn.sim.faults.schedule import Schedule
from shorthorn.sim.runs.counts import spoken
from shorthorn.sim.runs.run import Failure, Outcome

NOTABLE = (
    "fence",
    "broken",
    "lost:",
    "evict",
    "declared dead",
    "ended unclean",
    "taken back",
    "server ",
    "settl",
)
"""What makes a line of the journal worth reading when not everything is told."""


def is_notable(who: str, what: str) -> bool:
    """Whether a line belongs into a short story: faults, and what a cluster does about them."""
    return who in ("fault", "calm") or (
        who not in ("asks", "answer") and any(word in what for word in NOTABLE)
    )


def head(schedule: Schedule) -> str:
    """Which cluster it is."""
    shape = schedule.shape
    servers = "1 server" if shape.controls == 1 else f"{shape.controls} servers"
    settings = ", ".join(f"{name} {value:g}" for name, value in shape.settings.items())
    return (
        f"seed {shape.seed}: {shape.nodes} nodes, {servers}, {shape.store} store, {settings or 'default settings'}; "
        f"{len(schedule.calm_s)} h of virtual time, {len(schedule.steps)} steps"
    )


def summary(outcome: Outcome) -> Iterator[str]:
    """What happened, in counts."""
    yield from outcome.counts.lines()
    whole = outcome.counts.total()
    yield f"faults         {spoken(whole.faults)}"
    yield f"consumers      {spoken(whole.requests)}"
    yield f"people         {spoken(whole.people)}"
    yield f"clients saw    {spoken(whole.ios)}"
    yield f"sessions       {spoken(whole.sessions)}"
    yield (
        f"{outcome.counts.counted} of {len(outcome.counts.hours)} hours count; {outcome.virtual_s:.0f} s of virtual time in "
        f"{outcome.cpu_s:.1f} CPU seconds; digest {outcome.digest}"
    )


def verdict(failure: Failure | None, repeat: str) -> Iterator[str]:
    """What was wrong, or that nothing was."""
    if failure is None:
        yield "verdict: every check held"
        return
    yield f"verdict: FAILED at {clock(failure.at_s)}: {failure.what}"
    yield from (f"  waits: {line}" for line in failure.waits)
    yield "the last lines of the story:"
    yield from (f"  {line}" for line in failure.story)
    yield f"repeat it: {repeat}"


def line(outcome: Outcome) -> str:
    """One run in one line."""
    failure = outcome.failure
    hours = f"{outcome.counts.counted}/{len(outcome.counts.hours)} h"
    whole = outcome.counts.total()
    said = "ok" if failure is None else f"FAILED at {clock(failure.at_s)}: {failure.what}"
    return (
        f"seed {outcome.schedule.shape.seed}: {hours}, {whole.faults.total()} faults, {whole.answered} I/Os, "
        f"{outcome.cpu_s:.1f} CPU s, {outcome.digest}: {said}"
    )


def clock(at_s: float) -> str:
    """Hours, minutes, seconds."""
    hours, rest = divmod(at_s, 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{hours:02.0f}:{minutes:02.0f}:{seconds:06.3f}"
