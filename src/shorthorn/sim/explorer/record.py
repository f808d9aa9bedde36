"""Commits as `control.commit` makes them, each judged by every invariant; planning and orders over what is recorded and seen.

Everything is the real core; pure, so each answer is kept by the numbers of its arguments. One thing is normalised: a
document's version is always 1, since only the order to delete a folder reads it (the rule against a store that went back,
A15), and no store goes back here.
"""

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from shorthorn.core.invariants.finding import Severity
from shorthorn.core.invariants.step import check_step
from shorthorn.core.invariants.world import check_world
from shorthorn.core.lifecycle import law, nodes
from shorthorn.core.lifecycle.events import NodeEvent, ReplicaDropped
from shorthorn.core.lifecycle.grounds import Grounds
from shorthorn.core.lifecycle.outcome import Accepted, Refused
from shorthorn.core.lifecycle.requests import AttachRequested, DetachRequested
from shorthorn.core.model.ids import ClusterUid, NodeName
from shorthorn.core.model.node import Node
from shorthorn.core.model.order import (
    CloseEngine,
    CreateReplica,
    DeleteReplica,
    FenceReplica,
    ProbeReplica,
    RunEngine,
    RunTask,
)
from shorthorn.core.model.sighting import Reach
from shorthorn.core.model.volume import ReplicaPhase, Volume
from shorthorn.core.model.world import Seen, Settings
from shorthorn.core.model.world import World as View
from shorthorn.core.planning import planner
from shorthorn.core.planning.orders import orders
from shorthorn.core.planning.plan import Claim, Intent, Plan
from shorthorn.sim.explorer.intern import Names, Table

replace = msgspec.structs.replace

AWAY_S = (0.0, 1.0, 1e6)
"""Seconds for `Machine.away`."""


class Violation(Exception):
    """A state that must never be; the text begins with the invariant's name."""


class Eyes(NamedTuple):
    """What planning sees, in numbers: volume, nodes, each node's `Seen`, how long each is away."""

    volume: int
    nodes: int
    seen: tuple[int, ...]
    away: tuple[int, ...]


Commands = tuple[tuple[object, ...], ...]
"""The orders of one node as an abstract agent reads them: kind first."""


class Record:
    """Documents by number, and all that the real core says of them."""

    def __init__(self, settings: Settings, names: Names) -> None:
        self.settings = settings
        self.names = names
        self.volumes: Table[Volume | None] = Table()
        self.nodes: Table[tuple[Node, ...]] = Table()
        self.seen: Table[Seen] = Table()
        self.unknown = self.seen.number(Seen(reach=Reach.UNKNOWN))
        self.eyes: Table[Eyes] = Table()
        self._at_once: dict[tuple[int, int], tuple[Intent, int, int] | None] = {}
        self._commits: dict[object, tuple[int, int] | str] = {}
        self._plans: dict[tuple[int, int, str], Plan] = {}
        self._commands: dict[int, tuple[Commands, ...]] = {}

    def first(self, volume: Volume) -> int:
        """The number of the document that a world begins with."""
        return self.volumes.number(_normal(volume))

    def commit(
        self, v: int, nd: int, event: law.AnyEvent, intent: Intent | None = None, view: int = -1
    ) -> tuple[int, int] | str:
        """The numbers of volume and nodes afterwards, the same as before when it was true already; else why it is refused.

        `intent` brings what the event rests on, `view` the nodes that it was planned with. Raises: Violation.
        """
        key = (v, nd, event, intent.space if intent else None, intent.unchanged if intent else (), view)
        found = self._commits.get(key)
        if found is None:
            found = self._commits[key] = self._commit(v, nd, event, intent, view)
        return found

    def _commit(
        self, v: int, nd: int, event: law.AnyEvent, intent: Intent | None, view: int
    ) -> tuple[int, int] | str:
        before, docs = self.volumes.values[v], {node.name: node for node in self.nodes.values[nd]}
        if before is None:
            return "it is gone"
        planned = {} if view < 0 else {node.name: node for node in self.nodes.values[view]}
        rests_on = intent.unchanged if intent else ()
        if why := _moved_on(planned, docs, rests_on):
            return why
        named = {name: docs.get(name) for name in (*rests_on, *law.rests_on(before, event))}
        if isinstance(event, AttachRequested):
            answer = law.attach(before, docs.get(event.node), event)
        else:
            answer = law.apply(before, event, Grounds(nodes=named, grant_s=self.settings.grant_s))
        if isinstance(answer, Refused):
            return answer.why
        if not answer.changed:
            return v, nd
        self._judge(before, answer.value, event, asked=intent is None)
        if intent is not None and intent.space is not None:
            why = self._space(docs, planned, intent)
            if why:
                return why
        after = _normal(answer.value)
        numbers = self.volumes.number(after), self.nodes.number(tuple(docs.values()))
        self._judge_world(after, docs)
        return numbers

    def _space(self, docs: dict[NodeName, Node], planned: dict[NodeName, Node], intent: Intent) -> str:
        space = intent.space
        assert space is not None
        if isinstance(space, Claim):
            if why := _moved_on(planned, docs, (space.node,)):
                return why
            change = nodes.commit_space(docs[space.node], space.disk, space.replica, space.size)
        else:
            change = nodes.release_space(docs[space.node], space.disk, space.replica)
        if isinstance(change, Refused):
            return change.why
        assert change.value is not None
        docs[space.node] = change.value
        return ""

    def _judge(self, before: Volume, after: Volume | None, event: law.AnyEvent, *, asked: bool) -> None:
        if after is None:
            return
        found = [f for f in check_step(before, after) if f.severity is Severity.BROKEN]
        if found:
            raise Violation(f"{found[0].rule}: {found[0].what}")
        wanted = before.spec.replicas or 0
        if isinstance(event, ReplicaDropped) and len(after.in_sync) < wanted:
            raise Violation("S5: a replica was dropped before its replacement was in-sync")
        if isinstance(event, ReplicaDropped) and len(after.in_sync) < (after.spec.replicas or 1):
            raise Violation(
                f"S5: {event.replica} is dropped although only {len(after.in_sync)} in-sync ones stay"
            )
        if asked and isinstance(event, AttachRequested | DetachRequested):
            return
        old, new = (
            [(a.holder, a.node) for a in before.attachments],
            [(a.holder, a.node) for a in after.attachments],
        )
        if old != new:
            raise Violation("S1: attachments changed although no consumer asked")

    def _judge_world(self, volume: Volume | None, docs: dict[NodeName, Node]) -> None:
        view = View(
            settings=self.settings,
            volumes={volume.uid: volume} if volume else {},
            nodes=docs,
            seen={},
        )
        found = check_world(view)
        if found:
            raise Violation(f"{found[0].rule}: {found[0].what}")

    def change_node(self, nd: int, node: int, event: NodeEvent) -> int:
        """The nodes after an event of one of them; the same when it was refused or true already."""
        docs = self.nodes.values[nd]
        answer = nodes.apply_node(docs[node], event)
        if not isinstance(answer, Accepted) or answer.value is None or not answer.changed:
            return nd
        return self.nodes.number((*docs[:node], answer.value, *docs[node + 1 :]))

    def view(self, number: int) -> View:
        """What planning looks at, by the number of `Eyes`."""
        eyes = self.eyes.values[number]
        docs = self.nodes.values[eyes.nodes]
        volume = self.volumes.values[eyes.volume]
        seen = {doc.name: self.seen.values[s] for doc, s in zip(docs, eyes.seen, strict=True)}
        away = {
            (doc.name, doc.disks[0].uid): AWAY_S[a]
            for doc, a in zip(docs, eyes.away, strict=True)
            if a and seen[doc.name].reach is not Reach.UNKNOWN
        }
        return View(
            settings=self.settings,
            volumes={volume.uid: volume} if volume else {},
            nodes={doc.name: doc for doc in docs},
            seen=seen,
            away_s=away,
        )

    def plan(self, eyes: int, placed: int, mark: str = "") -> Plan:
        """What planning proposes. `placed` numbers new replicas; `mark` tells the ids of one server from another's."""
        key = (eyes, placed, mark)
        found = self._plans.get(key)
        if found is None:
            found = self._plans[key] = planner.plan(
                self.view(eyes), _ids(self.volumes.values[self.eyes.values[eyes].volume], placed, mark)
            )
        return found

    def at_once(self, eyes: int, placed: int) -> tuple[Intent, int, int] | None:
        """The first intent of the plan that changes anything now, with volume and nodes afterwards. Raises: Violation."""
        key = (eyes, placed)
        if key not in self._at_once:
            now = self.eyes.values[eyes]
            self._at_once[key] = None
            for intent in self.plan(eyes, placed).intents:
                answer = self.commit(now.volume, now.nodes, intent.event, intent, now.nodes)
                if isinstance(answer, tuple) and answer != (now.volume, now.nodes):
                    self._at_once[key] = (intent, *answer)
                    break
        return self._at_once[key]

    def commands(self, eyes: int) -> tuple[Commands, ...]:
        """The orders of every node."""
        found = self._commands.get(eyes)
        if found is None:
            view = self.view(eyes)
            found = self._commands[eyes] = tuple(
                tuple(self._command(order) for order in orders(view, name).orders) for name in view.nodes
            )
        return found

    def _command(self, order: object) -> tuple[object, ...]:
        bit = self.names.bit
        match order:
            case CreateReplica():
                return ("create", bit(order.replica))
            case DeleteReplica():
                return ("delete", bit(order.replica))
            case ProbeReplica():
                return ("probe", bit(order.replica), order.drop)
            case FenceReplica():
                return ("fence", bit(order.replica), order.volume.epoch)
            case RunEngine():
                leave = sum(1 << bit(r) for r in order.leave)
                peers = sum(1 << bit(p.replica) for p in order.peers)
                return ("run", self.volumes.number(order.volume), leave, peers)
            case CloseEngine():
                return ("close", order.epoch)
            case RunTask():
                without = sum(1 << bit(r) for r in order.without)
                return ("task", order.task, self.volumes.number(order.volume), without)
        raise AssertionError(f"an order that no abstract agent knows: {order}")


def _ids(volume: Volume | None, placed: int, mark: str) -> Callable[[str], str]:
    """Ids never used before: replicas count on, tasks are named by the epoch that they start."""
    count = placed

    def new(kind: str) -> str:
        nonlocal count
        if kind == "r":
            count += 1
            return f"r{count}{mark}"
        assert volume is not None
        return f"{kind}{volume.epoch + 1}{mark}"

    return new


def _moved_on(planned: dict[NodeName, Node], now: dict[NodeName, Node], names: tuple[NodeName, ...]) -> str:
    for name in names:
        before = planned.get(name)
        if before is not None and replace(now[name], disks=()) != replace(before, disks=()):
            return f"{name} has changed since this was decided"
    return ""


def _normal(volume: Volume | None) -> Volume | None:
    """Its version is nobody's to read here; see above."""
    if volume is None:
        return None
    stones = tuple(replace(t, version=1) for t in volume.tombstones)
    return replace(volume, version=1, tombstones=stones)


CLUSTER = ClusterUid("explorer")


def mask_of(names: Names, volume: Volume) -> int:
    """The in-sync set as bits."""
    return sum(1 << names.bit(r.id) for r in volume.replicas if r.phase is ReplicaPhase.IN_SYNC)
