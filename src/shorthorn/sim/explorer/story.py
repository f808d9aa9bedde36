"""A way through a world in words: one step a line, and the volume after each change of the record."""

from collections.abc import Sequence
from itertools import pairwise

from shorthorn.core.lifecycle.state import state_of
from shorthorn.core.model.volume import Volume
from shorthorn.core.planning.plan import Intent
from shorthorn.sim.explorer.record import Violation
from shorthorn.sim.explorer.search import Graph, steps
from shorthorn.sim.explorer.space import Label


def story(graph: Graph, at: int) -> tuple[str, ...]:
    """The shortest way to a state."""
    way = [at]
    while graph.parents[way[-1]] >= 0:
        way.append(graph.parents[way[-1]])
    return story_of_steps(graph, way[::-1])


def story_of_steps(graph: Graph, way: Sequence[int]) -> tuple[str, ...]:
    """The steps from each of these states to the next."""
    lines: list[str] = []
    for before, after in pairwise(way):
        lines.append(f"{len(lines) + 1:3}. {_step(graph, before, after)}")
        old, new = graph.states[before][0], graph.states[after][0]
        if old != new:
            lines[-1] += f"\n       {describe(graph.model.record.volumes.values[new])}"
    return tuple(lines)


def _step(graph: Graph, before: int, after: int) -> str:
    try:
        found = steps(graph.model, graph.states[before])
    except Violation as violation:
        return str(violation)
    target = graph.states[after]
    return next((say(label) for _, label, state in found if state == target), "?")


def say(label: Label) -> str:
    """The sentence with its places filled."""
    return str(label[0]).format(*(_word(part) for part in label[1:]))


def _word(part: object) -> str:
    if isinstance(part, Intent):
        return part.describe()
    return "; ".join(_word(one) for one in part) if isinstance(part, tuple) else str(part)


def describe(volume: Volume | None) -> str:
    """A document in one line."""
    if volume is None:
        return "volume: gone"
    session = volume.session
    parts = [
        f"{state_of(volume)}, epoch {volume.epoch}, m {volume.m}",
        "settled" if volume.settled else "not settled",
    ]
    if session:
        parts.append(
            f"session {session.epoch} at {session.node} {session.phase}"
            + (" broken" if session.broken else "")
        )
    if volume.attachments:
        parts.append("held by " + ", ".join(f"{a.holder} at {a.node}" for a in volume.attachments))
    for replica in volume.replicas:
        leaving = ", leaving" if replica.leaving else ""
        parts.append(f"{replica.id} on {replica.node} {replica.phase} (attempt {replica.attempt}{leaving})")
    parts += [f"{task.kind} {task.id}{' done' if task.committed else ''}" for task in volume.tasks]
    parts += [f"tombstone of {stone.replica} on {stone.node}" for stone in volume.tombstones]
    return "volume: " + "; ".join(parts)
