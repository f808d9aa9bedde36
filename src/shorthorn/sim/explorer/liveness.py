"""What must come to be once nothing more happens from outside: every fair run ends at rest, and at rest all is well.

Looks only at steps that happen for sure (control, agents, engines, programs, time, messages): no request, no fault, no
return, nothing that comes late. A run that stays among some states for ever is fair if each process that could always go on
does so there: such a run would be a livelock. A state without any such step is a rest, and must be a good one.
"""

from shorthorn.sim.explorer.goals import why_bad
from shorthorn.sim.explorer.search import Graph
from shorthorn.sim.explorer.space import Frame


def stuck(graph: Graph) -> tuple[str, list[int]] | None:
    """What never comes to be, with the way there; None when all is well."""
    for at in range(len(graph.states)):
        if graph.offsets[at] == graph.offsets[at + 1]:
            why = why_bad(Frame(graph.model, graph.states[at]))
            if why:
                return f"{why}, for ever", way_to(graph, at)
    for component in components(graph):
        if fair(graph, component):
            first = min(component)
            return f"L8: {len(component)} states follow each other for ever", [
                *way_to(graph, first),
                *round_of(graph, first, component),
            ]
    return None


def way_to(graph: Graph, at: int) -> list[int]:
    """The shortest way, as it was found."""
    way = [at]
    while graph.parents[way[-1]] >= 0:
        way.append(graph.parents[way[-1]])
    return way[::-1]


def fair(graph: Graph, component: list[int]) -> bool:
    """Whether a run may stay here: every process that is always able to go on does so inside."""
    inside = set(component)
    always: set[int] | None = None
    taken: set[int] = set()
    for at in component:
        able = set()
        for edge in range(graph.offsets[at], graph.offsets[at + 1]):
            able.add(graph.kinds[edge])
            if graph.targets[edge] in inside:
                taken.add(graph.kinds[edge])
        always = able if always is None else always & able
    return (always or set()) <= taken


def round_of(graph: Graph, first: int, component: list[int]) -> list[int]:
    """A way from a state back to itself."""
    inside, before, todo = set(component), {first: first}, [first]
    for at in todo:
        for edge in range(graph.offsets[at], graph.offsets[at + 1]):
            after = graph.targets[edge]
            if after == first:
                way = [first, at]
                while way[-1] != first:
                    way.append(before[way[-1]])
                return [*way[-2::-1], first] if len(way) > 2 else [first]
            if after in inside and after not in before:
                before[after] = at
                todo.append(after)
    return []


def components(graph: Graph) -> list[list[int]]:
    """The strongly connected ones with more than one state (Tarjan's algorithm without recursion)."""
    offsets, targets = graph.offsets, graph.targets
    count = len(graph.states)
    number, low = [0] * count, [0] * count
    on_stack = bytearray(count)
    stack: list[int] = []
    found: list[list[int]] = []
    counter = 0
    for root in range(count):
        if number[root]:
            continue
        counter += 1
        number[root] = low[root] = counter
        stack.append(root)
        on_stack[root] = 1
        work = [(root, offsets[root])]
        while work:
            at, edge = work[-1]
            if edge < offsets[at + 1]:
                work[-1] = (at, edge + 1)
                after = targets[edge]
                if not number[after]:
                    counter += 1
                    number[after] = low[after] = counter
                    stack.append(after)
                    on_stack[after] = 1
                    work.append((after, offsets[after]))
                elif on_stack[after]:
                    low[at] = min(low[at], number[after])
                continue
            work.pop()
            if work:
                low[work[-1][0]] = min(low[work[-1][0]], low[at])
            if low[at] == number[at]:
                component = []
                while True:
                    member = stack.pop()
                    on_stack[member] = 0
                    component.append(member)
                    if member == at:
                        break
                if len(component) > 1:
                    found.append(component)
    return found
