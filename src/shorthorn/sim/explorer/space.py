"""A state as a tuple of numbers, one step from it as a `Frame`, and the world it begins with.

A state is (volume, nodes, machines, engines, runs, messages, histories, control, late, budget): each the number of a part.
The steps themselves are in `moves`, by who makes them.
"""

from collections.abc import Callable
from typing import NamedTuple

from shorthorn.core.lifecycle import law, nodes
from shorthorn.core.lifecycle.events import Created, Formed, NodeRegistered, ReplicaPlaced
from shorthorn.core.lifecycle.outcome import Accepted
from shorthorn.core.model.ids import LayerId, ReplicaId, VolumeName
from shorthorn.core.model.node import Disk, Node
from shorthorn.core.model.volume import Spec, Volume
from shorthorn.core.model.world import Settings
from shorthorn.core.planning.plan import Intent
from shorthorn.sim.explorer import monitor
from shorthorn.sim.explorer.intern import Names, Table
from shorthorn.sim.explorer.monitor import Histories
from shorthorn.sim.explorer.parts import Engine, Machine, Rep, Run
from shorthorn.sim.explorer.record import CLUSTER, Commands, Eyes, Record, Violation
from shorthorn.sim.explorer.seeing import (
    ROOM,
    UID,
    Told,
    boot_id,
    disk,
    machine_id,
    name,
    seen_away,
    seen_node,
)
from shorthorn.sim.explorer.worlds import BUDGETS, World

State = tuple[int, ...]
Message = tuple[object, ...]
Label = tuple[object, ...]
"""A sentence with places, then what fills them: only written out for a story."""

REQUEST, FAULT, CHANCE, CLIENT = 0, 1, 2, 3
"""Kinds of steps that nobody may count on: consumers and people ask; something breaks or returns; something comes late; I/O."""
CONTROL, TIME, MESSAGE = 10, 11, 12
AGENT, ENGINE, REPLICA, TASK = 20, 30, 40, 50
"""Kinds of steps that happen for sure if they stay possible; from AGENT on with the number of the node."""

SIZE = 4096


class Slot(NamedTuple):
    """A plan that its server carries out later: the nodes it was made with, what is left of it, the mark of its ids."""

    view: int
    intents: tuple[Intent, ...]
    mark: str


class Control(NamedTuple):
    """`slots`: plans under way; `placed`: replicas placed so far; `unknown`: nodes not heard since the server started."""

    slots: tuple[Slot, ...] = ()
    placed: int = 0
    unknown: int = 0


Late = tuple[tuple[int, int], ...]
"""By node: the number of an old sighting that the servers still have, and of old orders that the agent still has; -1: none."""


class Model:
    """Everything that does not change during a search: tables, memory of pure answers, the world's rules."""

    def __init__(self, world: World, without: str = "") -> None:
        self.world = world
        self.without = without
        self.names = Names()
        self.settings = Settings(cluster=CLUSTER)
        self.record = Record(self.settings, self.names)
        self.machines: Table[tuple[Machine, ...]] = Table()
        self.engines: Table[tuple[Engine, ...]] = Table()
        self.runs: Table[tuple[Run, ...]] = Table()
        self.messages: Table[frozenset[Message]] = Table()
        self.histories: Table[Histories] = Table()
        self.control: Table[Control] = Table()
        self.late: Table[Late] = Table()
        self.budgets: Table[tuple[int, ...]] = Table()
        self.commands: Table[Commands] = Table()
        self.seen_by: dict[tuple[int, ...], int] = {}
        self._spent: dict[tuple[int, str], int] = {}
        self._seen: dict[object, int] = {}
        self._sifted: dict[tuple[int, int, int, int], int] = {}
        self._monitor: dict[object, int] = {}
        self.away = tuple(self.record.seen.number(seen_away(n)) for n in range(world.nodes))

    def spend(self, budget: int, what: str) -> int:
        """The budget afterwards; -1 when nothing is left of it."""
        found = self._spent.get((budget, what))
        if found is None:
            counts, at = self.budgets.values[budget], BUDGETS.index(what)
            less = (*counts[:at], counts[at] - 1, *counts[at + 1 :])
            found = self._spent[budget, what] = self.budgets.number(less) if counts[at] > 0 else -1
        return found

    def seen(
        self, node: int, machine: Machine, engines: tuple[Engine, ...], runs: tuple[Run, ...], told: Told
    ) -> int:
        """The number of what a node reports. Content is nothing that a sighting shows."""
        shown = tuple(r._replace(cache=0, disk=0, dirty=False, opened=False) for r in machine.folders)
        key = (node, machine.boot, machine.last, shown, engines, runs, told)
        found = self._seen.get(key)
        if found is None:
            found = self.record.seen.number(seen_node(self.names, node, machine, engines, runs, told))
            self._seen[key] = found
        return found

    def judged(self, histories: int, judge: Callable[..., Histories], *what: object) -> int:
        """Histories after what a client saw. Raises: Violation."""
        key = (histories, judge, what)
        found = self._monitor.get(key)
        if found is None:
            try:
                found = self.histories.number(judge(self.histories.values[histories], *what))
            except monitor.Impossible as error:
                raise Violation(str(error)) from None
            self._monitor[key] = found
        return found

    def sift(self, v: int, ms: int, es: int, mg: int) -> int:
        """The messages that can still do something."""
        key = (v, ms, es, mg)
        found = self._sifted.get(key)
        if found is None:
            volume = self.record.volumes.values[v]
            session = volume.session.epoch if volume and volume.session else 0
            reps = {rep.bit: rep for machine in self.machines.values[ms] for rep in machine.folders}
            epochs = {engine.epoch for engine in self.engines.values[es]}
            kept = frozenset(m for m in self.messages.values[mg] if not self._void(m, session, reps, epochs))
            found = self._sifted[key] = self.messages.number(kept)
        return found

    def _void(self, message: Message, session: int, reps: dict[int, Rep], epochs: set[int]) -> bool:
        """Can never do anything again: its connection is closed for good, its engine is dead, its session over.

        The law compares the epoch of an ask with the session's, and epochs never come back; a world that is to see whether
        it does keeps such asks (`World.stale_asks`).
        """
        kind = message[0]
        if kind in ("W", "K"):
            if self.without in ("no-epoch-check", "reconnect"):
                return False
            _, epoch, bit, _, attempt, *_ = message
            rep = reps.get(bit)  # type: ignore[call-overload]
            return rep is None or rep.conn != epoch or rep.attempt != attempt
        if kind in ("l", "j"):
            return message[2] not in epochs
        if kind == "C":
            _, _, epoch, bit, *_ = message
            rep = reps.get(bit)  # type: ignore[call-overload]
            return rep is None or (rep.epoch > epoch and self.without != "late-copier")
        return message[2] != session and not self.world.stale_asks

    def initial(self) -> State:
        """The world before the first step."""
        volume = _created(self.world)
        docs = tuple(_node(n) for n in range(self.world.nodes))
        folders: list[tuple[Rep, ...]] = [() for _ in docs]
        placed = self.world.replicas if self.world.formed else 0
        for n in range(placed):
            self.names.bit(f"r{n + 1}")
            event = ReplicaPlaced(replica=ReplicaId(f"r{n + 1}"), node=name(n), disk=disk(n))
            volume = _after(volume, event)
            space = nodes.commit_space(docs[n], disk(n), event.replica, SIZE)
            assert isinstance(space, Accepted)
            assert space.value is not None
            docs = (*docs[:n], space.value, *docs[n + 1 :])
            folders[n] = (Rep(bit=n),)
        if placed:
            volume = _after(volume, Formed(members=tuple(r.id for r in volume.replicas)))
        machines = tuple(Machine(folders=f) for f in folders)
        return (
            self.record.first(volume),
            self.record.nodes.number(docs),
            self.machines.number(machines),
            self.engines.number(()),
            self.runs.number(()),
            self.messages.number(frozenset()),
            self.histories.number(monitor.START),
            self.control.number(Control(placed=placed)),
            self.late.number(((-1, -1),) * self.world.nodes),
            self.budgets.number(self.world.budget()),
        )


class Frame:
    """One state, taken apart, and the steps found from it as (kind, label, state)."""

    def __init__(self, model: Model, state: State) -> None:
        self.model = model
        self.state = state
        self.v, self.nd, self.ms, self.es, self.rs, self.mg, self.mo, self.ct, self.lt, self.bd = state
        volume = model.record.volumes.values[self.v]
        self.volume = volume
        self.machines = model.machines.values[self.ms]
        self.engines = model.engines.values[self.es]
        self.runs = model.runs.values[self.rs]
        self.messages = model.messages.values[self.mg]
        self.control = model.control.values[self.ct]
        self.late = model.late.values[self.lt]
        self.session = volume.session.epoch if volume and volume.session else 0
        self.found: list[tuple[int, Label, State]] = []
        self.reps: dict[int, tuple[int, Rep]] = {
            rep.bit: (n, rep) for n, machine in enumerate(self.machines) for rep in machine.folders
        }
        self._eyes = -1

    def rep(self, bit: int) -> Rep | None:
        """A replica whose node is up."""
        there = self.reps.get(bit)
        return there[1] if there and self.machines[there[0]].up else None

    def with_reps(self, *changed: Rep) -> tuple[Machine, ...]:
        """The machines with other folders."""
        machines = self.machines
        for rep in changed:
            node = self.reps[rep.bit][0]
            machine = machines[node]
            folders = tuple(rep if f.bit == rep.bit else f for f in machine.folders)
            machines = (*machines[:node], machine._replace(folders=folders), *machines[node + 1 :])
        return machines

    def with_machine(self, node: int, machine: Machine) -> tuple[Machine, ...]:
        """The machines with another one."""
        return (*self.machines[:node], machine, *self.machines[node + 1 :])

    def spend(self, what: str) -> int:
        """See `Model.spend`."""
        return self.model.spend(self.bd, what)

    def eyes(self) -> int:
        """The number of what planning sees in this state."""
        if self._eyes < 0:
            key = (self.v, self.nd, self.ms, self.es, self.rs, self.lt, self.control.unknown)
            found = self.model.seen_by.get(key)
            if found is None:
                seen = tuple(self._seen(n, machine) for n, machine in enumerate(self.machines))
                eyes = Eyes(self.v, self.nd, seen, tuple(m.away for m in self.machines))
                found = self.model.seen_by[key] = self.model.record.eyes.number(eyes)
            self._eyes = found
        return self._eyes

    def commands(self, node: int) -> Commands:
        """The orders that the agent of a node has."""
        old = self.late[node][1]
        if old >= 0:
            return self.model.commands.values[old]
        return self.model.record.commands(self.eyes())[node]

    def _seen(self, node: int, machine: Machine) -> int:
        old = self.late[node][0]
        if old >= 0:
            return old
        if self.control.unknown >> node & 1:
            return self.model.record.unknown
        if not (machine.up and machine.heard):
            return self.model.away[node]
        return self.sighting(node)

    def sighting(self, node: int) -> int:
        """What the agent of a node would report now."""
        engines = tuple(e for e in self.engines if e.node == node)
        runs = tuple(r for r in self.runs if r.node == node)
        return self.model.seen(node, self.machines[node], engines, runs, self._told(node))

    def _told(self, node: int) -> Told:
        old = self.late[node][1]
        if old >= 0:
            return _told_by(self.model, self.model.commands.values[old])
        volume = self.volume
        if volume is None:
            return Told(0, (), ())
        here, bit = name(node), self.model.names.bit
        return Told(
            volume.session.epoch if volume.session and volume.session.node == here else 0,
            tuple(bit(t.replica) for t in volume.tombstones if t.node == here),
            tuple((str(t.id), int(t.epoch)) for t in volume.tasks if t.place == here),
            hasty=self.model.without == "fence-no-wait",
        )

    def go(  # noqa: PLR0913 - one for each part of a state
        self,
        kind: int,
        label: Label,
        *,
        v: int | None = None,
        nd: int | None = None,
        ms: tuple[Machine, ...] | None = None,
        es: tuple[Engine, ...] | None = None,
        rs: tuple[Run, ...] | None = None,
        mg: frozenset[Message] | None = None,
        mo: int | None = None,
        ct: Control | None = None,
        lt: Late | None = None,
        bd: int | None = None,
    ) -> None:
        """Note a step: what it changes."""
        model = self.model
        machines = self.ms if ms is None else model.machines.number(ms)
        engines = self.es if es is None else model.engines.number(es)
        volume = self.v if v is None else v
        messages = self.mg if mg is None else model.messages.number(mg)
        if model.messages.values[messages] and (
            machines != self.ms or engines != self.es or volume != self.v or messages != self.mg
        ):
            messages = model.sift(volume, machines, engines, messages)
        self.found.append(
            (
                kind,
                label,
                (
                    volume,
                    self.nd if nd is None else nd,
                    machines,
                    engines,
                    self.rs if rs is None else model.runs.number(rs),
                    messages,
                    self.mo if mo is None else mo,
                    self.ct if ct is None else model.control.number(ct),
                    self.lt if lt is None else model.late.number(lt),
                    self.bd if bd is None else bd,
                ),
            )
        )


def _told_by(model: Model, commands: Commands) -> Told:
    epoch, deleted, tasks = 0, [], []
    for command in commands:
        match command:
            case ("run", int() as v, *_):
                volume = model.record.volumes.values[v]
                epoch = volume.session.epoch if volume and volume.session else 0
            case ("close", int() as ends):
                epoch = epoch or ends
            case ("delete", int() as bit):
                deleted.append(bit)
            case ("task", task, *_):
                tasks.append((str(task.id), int(task.epoch)))  # type: ignore[attr-defined]  # a Task
    return Told(epoch, tuple(deleted), tuple(tasks))


def _node(node: int) -> Node:
    event = NodeRegistered(
        name=name(node),
        machine_id=machine_id(node),
        boot_id=boot_id(Machine()),
        disks=(Disk(uid=disk(node), size=ROOM),),
    )
    answer = nodes.register(event)
    assert isinstance(answer, Accepted)
    assert answer.value is not None
    return answer.value


def _created(world: World) -> Volume:
    answer = law.create(
        Created(
            name=VolumeName("v1"), uid=UID, size=SIZE, spec=Spec(replicas=world.replicas), head=LayerId("l1")
        )
    )
    assert isinstance(answer, Accepted)
    assert answer.value is not None
    return answer.value


def _after(volume: Volume, event: law.AnyEvent) -> Volume:
    answer = law.apply(volume, event)
    assert isinstance(answer, Accepted), answer
    assert answer.value is not None
    return answer.value
