"""One scenario under way: its stage, what was said to it, and the answer that it gives."""

from collections.abc import Callable
from dataclasses import dataclass, field

from shorthorn.core.model.volume import SessionPhase, Volume
from shorthorn.core.model.world import World
from shorthorn.sim.scenario import look
from shorthorn.sim.scenario.stage import Call, Plan, Stage

CLIENT_S = 1.0
"""So long a client's command waits for its answer before the scenario goes on without it."""

DEVICE_S = 60.0
"""So long a client's command waits for the device itself."""

MakeStage = Callable[[Plan], Stage]


class NotReached(AssertionError):
    """What an `until` or a `rest` waited for did not come within its bound."""


@dataclass(slots=True)
class Asked:
    """A client's request of which no final answer was told yet."""

    text: str
    call: Call


@dataclass(slots=True)
class Scenario:
    """Everything between two commands. `said` grows until an answer is given; so do `looks`, each a line to add."""

    make: MakeStage
    stage: Stage | None = None
    said: list[str | Asked] = field(default_factory=list)
    looks: list[Callable[[], list[str]]] = field(default_factory=list)
    mark: int | None = None

    def on(self) -> Stage:
        """The stage; one without nodes, if none was made by `cluster`."""
        if self.stage is None:
            self.stage = self.make(Plan())
        return self.stage

    def refuse(self, command: str, why: str) -> None:
        """Note a request that was refused, if it was."""
        if why:
            self.said.append(f"refused: {command}: {why}")

    def find_device(self, volume: str, node: str) -> None:
        """Wait for a device of the volume to open, as a consumer's host does. Raises `NotReached`."""
        stage = self.on()
        if not stage.run_until(lambda: stage.has_device(volume, node), DEVICE_S):
            raise NotReached(
                f"no device of {volume}{node and ' at '}{node} within {DEVICE_S:g} s; {self._lines()}"
            )

    def ask(self, command: str, call: Call) -> None:
        """Note a client's request, and wait a little for its answer."""
        self.said.append(Asked(command, call))
        self.on().run_until(lambda: bool(call.answer), CLIENT_S)

    def until(self, what: str, condition: Callable[[Stage], bool], within_s: float) -> None:
        """Run until it is so. Raises `NotReached`."""
        stage = self.on()
        if not stage.run_until(lambda: condition(stage), within_s):
            raise NotReached(f"not within {within_s:g} s: {what}; {self._lines()}")

    def _lines(self) -> str:
        return "it is: " + "; ".join(look.volume_lines(self.on().world()))

    def sessions(self) -> int:
        """How many sessions were started up to now, by the journal."""
        return sum(" starts at " in line for line in self.on().journal())

    def answer(self) -> str:
        """What there is to see now. Client requests that wait are told again with the next answer."""
        world = self.on().world()
        lines = [one if isinstance(one, str) else _told(one) for one in self.said]
        self.said = [one for one in self.said if isinstance(one, Asked) and not one.call.answer]
        lines += look.volume_lines(world)
        lines += look.eviction_lines(world)
        lines += [line for each in self.looks for line in each()]
        self.looks = []
        if self.mark is not None:
            lines.append(f"sessions started: {self.sessions() - self.mark}")
        return "\n".join(lines) or "nothing is left"


def _told(asked: Asked) -> str:
    return f"{asked.text}: {asked.call.answer or 'waits'}"


def condition(words: list[str]) -> Callable[[Stage], bool]:
    """`v1 attached`, `v1 healthy`, `v1 replicas n1 n2`, `v1 syncing n4`, `v1 fencing`, `v1 gone`, `evict n2 done`.

    What is recorded is looked at in the record itself; states and health are as the leader sees them. Raises ValueError.
    """
    match words:
        case ["evict", node, state]:
            return lambda on: f"evict {node}: {state}" in "\n".join(look.eviction_lines(on.world()))
        case [name, "gone"]:
            return lambda on: on.volume(name) is None
        case [name, "replicas", *nodes]:
            return lambda on: any(sorted(nodes) == sorted(r.node for r in v.in_sync) for v in _one(on, name))
        case [name, "syncing", node]:
            return lambda on: any(r.node == node for v in _one(on, name) for r in v.syncing)
        case [name, "leaving", node]:
            return lambda on: any(r.node == node and r.leaving for v in _one(on, name) for r in v.replicas)
        case [name, "copied", node]:
            return lambda on: any(r.node == node for v in _one(on, name) for r in v.in_sync)
        case [name, "settled"]:
            return lambda on: any(v.settled for v in _one(on, name))
        case [name, ("opening" | "closing" | "fencing") as phase]:
            return lambda on: any(v.session.phase is SessionPhase(phase) for v in _one(on, name) if v.session)
        case [name, *states] if states:
            return lambda on: set(states) <= set(_line(on.world(), name).split(";")[0].split()[1:])
    raise ValueError("until what? e.g. until v1 attached healthy")


def _one(on: Stage, name: str) -> list[Volume]:
    found = on.volume(name)
    return [found] if found else []


def _line(world: World, name: str) -> str:
    found = look.find(world, name)
    return look.volume_line(world, found) if found else f"{name}:"
