"""What a search found, for people and for programs."""

from collections.abc import Sequence
from typing import TypedDict

from shorthorn.sim.explorer.search import Result


class Line(TypedDict):
    """One world, as JSON."""

    world: str
    states: int
    transitions: int
    depth: int
    seconds: float
    waiting: int
    complete: bool
    broken: str
    story: list[str]


class Report(TypedDict):
    """All of them. `passed`: nothing is broken, and what had to be complete is."""

    passed: bool
    states: int
    transitions: int
    depth: int
    seconds: float
    worlds: list[Line]


def passed(result: Result, *, may_stop: bool) -> bool:
    """Whether a world is as it has to be."""
    return not result.broken and (may_stop or not result.waiting)


def report(results: Sequence[Result], *, may_stop: bool) -> Report:
    """For programs."""
    return Report(
        passed=all(passed(r, may_stop=may_stop) for r in results),
        states=sum(r.states for r in results),
        transitions=sum(r.transitions for r in results),
        depth=max((r.depth for r in results), default=0),
        seconds=round(sum(r.seconds for r in results), 1),
        worlds=[
            Line(
                world=r.world,
                states=r.states,
                transitions=r.transitions,
                depth=r.depth,
                seconds=round(r.seconds, 1),
                waiting=r.waiting,
                complete=r.complete,
                broken=r.broken,
                story=list(r.story),
            )
            for r in results
        ],
    )


def line(result: Result) -> str:
    """One world in one line."""
    how = "complete"
    if result.broken:
        how = f"BROKEN: {result.broken}"
    elif result.waiting:
        how = f"stopped at its limit, {result.waiting:,} states not looked at"
    return (
        f"{result.world:16} {result.states:>10,} states {result.transitions:>11,} transitions  depth {result.depth:>3}"
        f"  {result.seconds:6.1f} s  {how}"
    )


def total(results: Sequence[Result]) -> str:
    """The last line."""
    whole = report(results, may_stop=True)
    return (
        f"{'in all':16} {whole['states']:>10,} states {whole['transitions']:>11,} transitions  depth {whole['depth']:>3}"
        f"  {whole['seconds']:6.1f} s"
    )
