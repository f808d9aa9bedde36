"""A small cluster on virtual time: the engines, copiers, replicas and disk code that ship, in one deterministic pump.

Carries out effects and delivers what comes of them, as the programs do; judges what clients see. Everything that can
differ between two runs follows from the seed. Faults are calls: `kill`, `crash_replica`, `lose_power`, `hold`.
Start at `World.start_session`; `tests/native/test_world.py` shows its use.
"""

from dataclasses import dataclass, field

import msgspec

from shorthorn.links import program_lines as lines
from shorthorn.native import _native as native
from shorthorn.native._native import (
    Copier,
    CopierEffect,
    Engine,
    EngineEffect,
    EngineEvent,
    ReplicaEffect,
    Reply,
    Request,
)
from tests.native.clients import Call, Clients
from tests.native.node import Node
from tests.native.pump import Pump
from tests.native.record import AskOf, Record, index_of

BLOCKS = (0, 1, 256)
"""Neighbours, and one of another region."""
SIZE = (2 << 20) + (64 << 10)

_ask: msgspec.json.Decoder[AskOf] = msgspec.json.Decoder(AskOf)


class Torn(msgspec.Struct):
    """What is read of a standing."""

    torn: bool


@dataclass(slots=True, kw_only=True)
class Actor:
    """An engine, or a copier with its work. `links`: by replica, the connection; 0 while it dials."""

    name: str
    node: int
    epoch: int
    machine: Engine | Copier
    work: lines.SettleWork | lines.MoveWork | None = None
    alive: bool = True
    serving: bool = False
    closing: bool = False
    links: dict[int, int] = field(default_factory=dict)
    torn: dict[int, bool] = field(default_factory=dict)
    end: str | None = None


@dataclass(slots=True, kw_only=True)
class Link:
    """A connection. Each end knows for itself whether it still stands."""

    number: int
    actor: Actor
    node: Node
    calls: bool = True
    serves: bool = True

    @property
    def requests(self) -> str:
        return f"{self.actor.name}>{self.node.name}"

    @property
    def replies(self) -> str:
        return f"{self.node.name}>{self.actor.name}"


class World:
    """One volume with a replica on each node; the last `spare` of them hold none that is in-sync."""

    def __init__(self, *, seed: int | None, nodes: int = 3, spare: int = 0) -> None:
        self.pump = Pump(seed)
        self.record = Record(SIZE, [index < nodes - spare for index in range(nodes)])
        self.nodes = [Node(index, self.record.document()) for index in range(nodes)]
        self.clients = Clients(BLOCKS)
        self.trace: list[str] = []
        self._actors: dict[str, Actor] = {}
        self._links: dict[int, Link] = {}
        self._numbers = 0

    # What people, consumers and control do

    def start_session(self, node: int) -> Actor:
        """An engine on a node, under a new epoch."""
        assert self.record.session is None
        order = self.record.session_order(node)
        name = f"e{order.epoch}"
        machine = Engine(msgspec.json.encode(order), name)
        actor = self._add(Actor(name=name, node=node, epoch=order.epoch, machine=machine))
        self._tell(actor, native.AgentConnected())
        self._tell(actor, native.Start())
        return actor

    def start_copier(self, node: int, work: lines.SettleWork | lines.MoveWork) -> Actor:
        """Work on a detached volume."""
        order = self.record.copy_order(node, work)
        name = f"k{order.epoch}"
        machine = Copier(msgspec.json.encode(order), name)
        actor = self._add(Actor(name=name, node=node, epoch=order.epoch, machine=machine, work=work))
        self._tell(actor, native.Start())
        return actor

    def open(self, node: int) -> Actor:
        """A session that serves, or that has ended instead."""
        actor = self.start_session(node)
        self.pump.run(lambda: actor.serving or not actor.alive or self.record.broken)
        return actor

    def close(self, actor: Actor) -> None:
        """Close a session, and wait for its end."""
        actor.closing = True
        self._tell(actor, native.Close())
        self.pump.run(lambda: not actor.alive)

    @property
    def engine(self) -> Actor | None:
        """The engine of the session under way, while it lives."""
        return self._actors.get(f"e{self.record.session}")

    def write(self, actor: Actor, block: int, *, fua: bool = False) -> Call:
        """A client writes the call's `op` to a block."""
        call, event = self.clients.write(block, fua=fua)
        self._tell(actor, event)
        return call

    def read(self, actor: Actor, block: int) -> Call:
        """A client reads a block."""
        call, event = self.clients.read(block)
        self._tell(actor, event)
        return call

    def flush(self, actor: Actor) -> Call:
        """A client flushes."""
        call, event = self.clients.flush()
        self._tell(actor, event)
        return call

    def wait_for(self, *calls: Call) -> None:
        """Until these are answered, or never will be."""
        self.pump.run(lambda: all(call.is_over for call in calls))

    def rest(self) -> None:
        """Until nothing more can happen."""
        self.pump.run()

    # Faults

    def kill(self, actor: Actor) -> None:
        """A process dies, with all it knew. What it sent may still arrive."""
        self._note(actor.name, "dies")
        self._remove(actor)

    def crash_replica(self, index: int) -> None:
        """A replica program dies."""
        self._note(f"n{index}", "its replica program dies")
        self.nodes[index].crash()
        self._drop_links(self.nodes[index])

    def lose_power(self, index: int, seed: int) -> None:
        """A node loses power, with everything that runs on it."""
        self._note(f"n{index}", "loses power")
        self.nodes[index].lose_power(seed)
        self._drop_links(self.nodes[index])
        for actor in [one for one in self._actors.values() if one.node == index]:
            self._remove(actor)

    def start_replica(self, index: int) -> None:
        """A replica program starts again."""
        self._note(f"n{index}", "its replica program starts")
        self.nodes[index].start()

    def hold(self, actor: Actor, index: int) -> None:
        """Nothing that the actor sends reaches this node."""
        self.pump.hold(f"{actor.name}>n{index}")

    # Machines

    def _add(self, actor: Actor) -> Actor:
        self._actors[actor.name] = actor
        return actor

    def _tell(self, actor: Actor, event: EngineEvent | native.Committed) -> None:
        """Deliver an event to a machine, and carry out what it wants."""
        if not actor.alive:
            return
        self._note(actor.name, repr(event))
        # Which events a machine takes is checked when it gets them.
        for effect in actor.machine.handle(self.pump.now_ns, event):  # type: ignore[arg-type]
            self._carry_out(actor, effect)

    def _carry_out(self, actor: Actor, effect: EngineEffect | CopierEffect) -> None:
        self._note(actor.name, f"→ {effect!r}")
        match effect:
            case native.Dial(replica=replica):
                assert replica not in actor.links, "a dial beside a connection"
                actor.links[replica] = 0
                self.pump.post(f"dial {actor.name} {replica}", lambda: self._connect(actor, replica))
            case native.HangUp(replica=replica):
                self._hang_up(actor, replica)
            case native.Send(replica=replica, tag=tag, request=request):
                self._send(actor, replica, tag, request)
            case native.WakeAt(at_ns=at_ns):
                self.pump.wake(actor.name, at_ns, lambda: self._tell(actor, native.Timer()))
            case native.ClientDone() | native.ClientData() | native.ClientExtents() | native.ClientRefused():
                self.clients.answered(effect)
            case native.Ask(ask_id=ask_id, ask=ask):
                self.pump.post(f"agent {actor.name}", lambda: self._ask(actor, ask_id, ask))
            case native.Serve():
                actor.serving = True
            case native.StopServing(break_clients=break_clients):
                actor.serving = False
                if break_clients:
                    self.clients.abandoned()
            case native.Exit(why=why) | native.Failed(why=why):
                actor.end = why
                self._remove(actor)
            case native.Finished():
                actor.end = "finished"
                self._remove(actor)
            case native.Ready():
                self.pump.post(f"agent {actor.name}", lambda: self._copied(actor))
            case native.Status() | native.Progress():
                pass

    def _remove(self, actor: Actor) -> None:
        if not actor.alive:
            return
        actor.alive = actor.serving = False
        self.pump.forget_wake(actor.name)
        del self._actors[actor.name]
        for replica in list(actor.links):
            self._hang_up(actor, replica)
        if isinstance(actor.machine, Engine):
            self.clients.abandoned()
            if self.record.session == actor.epoch:
                # Its lock is free: evidence of its end.
                self.record.close(clean=False)
                self.record.version += 1

    # The record

    def _ask(self, actor: Actor, ask_id: int, json: bytes) -> None:
        ask = _ask.decode(json)
        before = self.record.version
        answer = self.record.ask(ask)
        if self.record.version != before:
            self._note("record", f"commits {ask}")
            if isinstance(ask, lines.AskOpened):
                self.clients.opened(broken=ask.broken)
            if isinstance(ask, lines.AskClosed) and ask.clean:
                self.check_settled()
        told = native.Answered(ask_id, msgspec.json.encode(answer))
        self.pump.post(f"agent {actor.name}", lambda: self._tell(actor, told))

    def _copied(self, actor: Actor) -> None:
        assert actor.work is not None
        attempt = 0
        if isinstance(actor.work, lines.MoveWork):
            attempt = self.record.replicas[index_of(actor.work.target)].attempt
        document = self.record.copied(actor.epoch, attempt, actor.work)
        self._note("record", f"takes {actor.name}: {document is not None}")
        if document is None:
            self._remove(actor)
            return
        told = native.Committed(msgspec.json.encode(document))
        self.pump.post(f"agent {actor.name}", lambda: self._tell(actor, told))

    def check_settled(self) -> None:
        """All in-sync replicas are equal and have no marks."""
        members = [self.nodes[index] for index in self.record.in_sync()]
        contents = [node.files.read(0, SIZE) for node in members]
        assert all(content == contents[0] for content in contents), "settled, and copies differ"
        assert [node.name for node in members if node.files.marks()] == [], "settled, and there are marks"

    # Connections

    def _connect(self, actor: Actor, replica: int) -> None:
        node = self.nodes[replica]
        if actor.links.get(replica) != 0:
            return
        if node.replica is None:
            del actor.links[replica]
            self._tell(actor, native.Unreachable(replica, "nobody listens"))
            return
        self._numbers += 1
        self._links[self._numbers] = Link(number=self._numbers, actor=actor, node=node)
        actor.links[replica] = self._numbers
        self._tell(actor, native.Connected(replica))

    def _send(self, actor: Actor, replica: int, tag: int, request: Request) -> None:
        link = self._links[actor.links[replica]]
        if request.kind == "hash" and isinstance(actor.work, lines.SettleWork) and all(actor.torn.values()):
            # From here on unflushed writes may be gone; clients from before have let go of a detached volume.
            self.clients.lose()
        event = native.Requested(link.number, tag, request)
        self.pump.post(link.requests, lambda: self._serve(link, event))

    def _serve(self, link: Link, event: native.Requested | native.Ended) -> None:
        if not link.serves:
            return
        if isinstance(event, native.Ended):
            link.serves = False
        self._at_replica(link.node, event)

    def _reply(self, link: Link, replica: int, tag: int, reply: Reply) -> None:
        if not link.calls:
            return
        if reply.kind == "standing" and reply.json is not None:
            link.actor.torn[replica] = msgspec.json.decode(reply.json, type=Torn).torn
        self._tell(link.actor, native.Replied(replica, tag, reply))

    def _hang_up(self, actor: Actor, replica: int) -> None:
        link = self._links.get(actor.links.pop(replica, 0))
        if link is not None:
            link.calls = False
            self.pump.post(link.requests, lambda: self._serve(link, native.Ended(link.number)))

    def _drop_links(self, node: Node) -> None:
        for link in self._links.values():
            if link.node is node and link.serves:
                self._end(link, "the connection broke")

    def _end(self, link: Link, why: str) -> None:
        """The replica's end is gone; the other hears of it after what was sent before."""
        link.serves = False
        self.pump.post(link.replies, lambda: self._ended(link, why))

    def _ended(self, link: Link, why: str) -> None:
        if link.calls:
            link.calls = False
            del link.actor.links[link.node.index]
            self._tell(link.actor, native.Disconnected(link.node.index, why))

    # Replicas

    def _at_replica(self, node: Node, event: native.Requested | native.Done | native.Ended) -> None:
        if node.replica is None:
            return
        self._note(node.name, repr(event))
        for effect in node.replica.handle(event):
            self._note(node.name, f"→ {effect!r}")
            self._do_for_replica(node, effect)

    def _do_for_replica(self, node: Node, effect: ReplicaEffect) -> None:
        match effect:
            case native.Do(token=token, work=work):
                # What follows a sync may be done beside it.
                queue = "syncs" if work.kind == "sync" else "work"
                life = node.life
                self.pump.post(f"{queue} {node.name}", lambda: self._work(node, life, token, work))
            case native.SendReply(conn=conn, tag=tag, reply=reply):
                link = self._links[conn]
                self.pump.post(link.replies, lambda: self._reply(link, node.index, tag, reply))
            case native.End(conn=conn, why=why):
                self._end(self._links[conn], why)

    def _work(self, node: Node, life: int, token: int, work: native.Work) -> None:
        if node.life == life:
            outcome = node.files.carry_out(work)
            assert outcome.kind != "invalid", (
                f"{node.name} asks its disk for what makes no sense: {work}: {outcome}"
            )
            self._at_replica(node, native.Done(token, outcome))

    def _note(self, who: str, what: str) -> None:
        self.trace.append(f"{self.pump.now_ns} {who} {what}")
