"""Breadth-first search of a world: every state, each judged; then what must come to be (`liveness`).

`search` is what the command, the tests and the catalogue of mutants call. Pure but for the clock that is passed in.
"""

import gc
from array import array
from typing import NamedTuple

from shorthorn.ports.clock import Clock
from shorthorn.sim.explorer.judge import judge, serving_twice
from shorthorn.sim.explorer.moves import agents, careless, engines, faults, messages, people, servers, tasks
from shorthorn.sim.explorer.record import Violation
from shorthorn.sim.explorer.space import CONTROL, Frame, Label, Model, State
from shorthorn.sim.explorer.worlds import World


class Limits(NamedTuple):
    """When a search stops although something is left."""

    states: int = 5_000_000
    seconds: float = 900.0


LIMITS = Limits()


class Result(NamedTuple):
    """`broken`: what was violated, empty when nothing was. `story`: the shortest way there, a line a step.

    `waiting`: states that were found and not looked at; 0 when the world was searched completely.
    """

    world: str
    states: int
    transitions: int
    depth: int
    seconds: float
    waiting: int
    broken: str
    story: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether every state was looked at, and nothing was found."""
        return not self.waiting and not self.broken


def steps(model: Model, state: State) -> list[tuple[int, Label, State]]:
    """Every step from a state. Raises: Violation."""
    f = Frame(model, state)
    judge(f)
    serving_twice(f)
    people.ask(f)
    servers.control(f)
    careless.decide(f)
    agents.obey(f)
    engines.run(f)
    tasks.work(f)
    messages.deliver(f)
    faults.strike(f)
    return f.found


class Graph:
    """All states found, how each was found first, and the steps that happen for sure."""

    def __init__(self, model: Model) -> None:
        self.model = model
        first = model.initial()
        self.states: list[State] = [first]
        self.index: dict[State, int] = {first: 0}
        self.parents = array("q", [-1])
        self.offsets = array("q", [0])
        self.targets = array("q")
        self.kinds = array("h")
        self.transitions = 0
        self.depth = 0


def search(
    world: World, clock: Clock, *, without: str = "", limits: Limits = LIMITS, live: bool = True
) -> Result:
    """Search `world`, with the abstract rule `without` taken out. `live`: liveness is judged as well."""
    from shorthorn.sim.explorer.liveness import stuck  # noqa: PLC0415 - it needs the graph
    from shorthorn.sim.explorer.story import story, story_of_steps  # noqa: PLC0415 - likewise

    began = clock.monotonic_s()
    graph = Graph(Model(world, without))
    was_on = gc.isenabled()
    gc.disable()  # nothing here is a cycle, and looking for some takes longer than the search
    try:
        at, broken = explore(graph, clock, began, limits)
        lines: tuple[str, ...] = ()
        if broken:
            lines = story(graph, at)
        elif live and at == len(graph.states) and not without:
            bad = stuck(graph)
            if bad is not None:
                broken, way = bad
                lines = story_of_steps(graph, way)
    finally:
        if was_on:
            gc.enable()
    return Result(
        world=world.name,
        states=len(graph.states),
        transitions=graph.transitions,
        depth=graph.depth,
        seconds=clock.monotonic_s() - began,
        waiting=0 if broken else len(graph.states) - at,
        broken=broken,
        story=lines,
    )


def explore(graph: Graph, clock: Clock, began: float, limits: Limits) -> tuple[int, str]:
    """The number of states looked at, or that of the bad one with what is broken."""
    states, index, model = graph.states, graph.index, graph.model
    level_ends, at = 1, 0
    while at < len(states):
        if at == level_ends:
            level_ends = len(states)
            graph.depth += 1
        if at % 512 == 0 and (len(states) > limits.states or clock.monotonic_s() - began > limits.seconds):
            return at, ""
        try:
            found = steps(model, states[at])
        except Violation as violation:
            return at, str(violation)
        state = states[at]
        for kind, _, after in found:
            if after == state:
                continue
            graph.transitions += 1
            number = index.get(after)
            if number is None:
                number = index[after] = len(states)
                states.append(after)
                graph.parents.append(at)
            if kind >= CONTROL:
                graph.targets.append(number)
                graph.kinds.append(kind)
        graph.offsets.append(len(graph.targets))
        at += 1
    return at, ""
