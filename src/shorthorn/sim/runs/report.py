"""A run in words: what happened, what clients saw, the verdict, and how to repeat it."""

from collections.abc import Iterator
from typing import NotRequired, TypedDict

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


class Failed(TypedDict):
    """What was wrong, as JSON."""

    rule: str
    what: str
    at_s: float
    waits: list[str]
    story: list[str]
    repeat: str


class Said(TypedDict):
    """A run as JSON. `lacks`: for each hour why it does not count, nothing if it does."""

    seed: int
    passed: bool
    nodes: int
    servers: int
    store: str
    hours: int
    hours_counted: int
    lacks: list[list[str]]
    faults: dict[str, int]
    consumers: dict[str, int]
    people: dict[str, int]
    ios: dict[str, int]
    sessions: dict[str, int]
    virtual_s: float
    cpu_s: float
    digest: str
    failure: Failed | None
    smallest: NotRequired[dict[str, object]]


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


def as_json(outcome: Outcome, repeat: str) -> Said:
    """A run for programs."""
    shape, whole, failure = outcome.schedule.shape, outcome.counts.total(), outcome.failure
    return Said(
        seed=shape.seed,
        passed=failure is None,
        nodes=shape.nodes,
        servers=shape.controls,
        store=shape.store,
        hours=len(outcome.schedule.calm_s),
        hours_counted=outcome.counts.counted,
        lacks=[hour.lacks() for hour in outcome.counts.hours],
        faults=dict(sorted(whole.faults.items())),
        consumers=dict(sorted(whole.requests.items())),
        people=dict(sorted(whole.people.items())),
        ios=dict(sorted(whole.ios.items())),
        sessions=dict(sorted(whole.sessions.items())),
        virtual_s=round(outcome.virtual_s, 3),
        cpu_s=round(outcome.cpu_s, 1),
        digest=outcome.digest,
        failure=_failed(failure, repeat) if failure is not None else None,
    )


def _failed(failure: Failure, repeat: str) -> Failed:
    return Failed(
        rule=failure.rule,
        what=failure.what,
        at_s=round(failure.at_s, 3),
        waits=list(failure.waits),
        story=list(failure.story),
        repeat=repeat,
    )


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
