"""The network between processes: connections that carry messages, delays, cuts, and every way of losing a peer.

Messages of one connection arrive in order, each once, or not at all once the connection broke: a stream's promises, cut
into messages. A message is any object and is not copied: the sender must not change it afterwards. None is no message.
"""

import asyncio
import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from shorthorn.sim.machine.connection import ESTABLISHED, HEADER_BYTES, Endpoint, connect
from shorthorn.sim.machine.kernel import NS, Kernel
from shorthorn.sim.machine.process import Process
from shorthorn.sim.machine.route import Route

if TYPE_CHECKING:
    from shorthorn.sim.machine.machine import Machine

__all__ = ["CONNECT_S", "Endpoint", "Network"]

CONNECT_S: Final = 20.0
"""How long an attempt to connect waits for an answer. Whoever wants less has a timeout of his own."""

ASK_AGAIN_S: Final = (1.0, 3.0, 7.0, 15.0)
"""When an attempt without an answer asks again, from its beginning."""

Answer = Endpoint | OSError


class _Listener:
    """Somebody who takes connections. Belongs to its process."""

    def __init__(
        self,
        network: "Network",
        process: Process,
        address: str,
        on_connect: Callable[[Endpoint], object],
        *,
        local: bool,
    ) -> None:
        self.process = process
        self.address = address
        self.on_connect = on_connect
        self.local = local
        self._network = network
        process.belongings[self] = None

    def lost(self, heard: bool) -> None:  # noqa: ARG002 - nobody is told of a listener's end
        """The process has ended."""
        self._network.unlisten(self.address)


class _Attempt:
    """A side that connects. Ends with one answer, unless nobody is there any more who waits for it."""

    def __init__(self, process: Process, address: str, then: Callable[[Answer], object]) -> None:
        self.process = process
        self.address = address
        self.target = address.partition("/")[0]
        self.then = then
        self.endpoint: Endpoint | None = None
        self.done = False

    def answer(self, answer: Answer) -> None:
        """For the kernel's side."""
        if not self.done:
            self.done = True
            self.process.deliver(self.then, answer)

    def give_up(self) -> None:
        """Nobody waits for it any more."""
        self.done = True
        if self.endpoint is not None:
            self.endpoint.abort()


class Network:
    """All connections of a world. Machines make themselves known to it."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self._chance = kernel.chance("network").random
        self._machines: dict[str, Machine] = {}
        self._routes: dict[tuple[str, str], Route] = {}
        self._listeners: dict[str, _Listener] = {}

    # ---- for processes

    def listen(
        self, process: Process, name: str, on_connect: Callable[[Endpoint], object], *, local: bool = False
    ) -> str:
        """Take connections; `local` like a unix socket, from the same machine only. The address: "n1/name".

        `on_connect` is called in the process's loop. Raises `OSError` (EADDRINUSE) when a living process listens there.
        Falls with its process.
        """
        address = f"{process.machine.name}/{name}"
        if process.ended:
            return address
        if address in self._listeners:
            raise OSError(errno.EADDRINUSE, f"somebody listens at {address}")
        self._listeners[address] = _Listener(self, process, address, on_connect, local=local)
        return address

    def unlisten(self, address: str) -> None:
        """Take no more connections; those that are stay. Nothing happens when nobody listens."""
        listener = self._listeners.pop(address, None)
        if listener is not None:
            listener.process.belongings.pop(listener, None)

    async def connect(self, process: Process, address: str) -> Endpoint:
        """Connect, from code of the process. Takes a delay each way. Cancelling it leaves no connection behind.

        Raises `ConnectionRefusedError` when nobody listens there, `TimeoutError` when there is no answer (cut or
        powered off) for `CONNECT_S`.
        """
        future: asyncio.Future[Endpoint] = process.loop.create_future()

        def then(answer: Answer) -> None:
            if future.done():
                attempt.give_up()
            elif isinstance(answer, Endpoint):
                future.set_result(answer)
            else:
                future.set_exception(answer)

        attempt = self._dial(process, address, then)
        try:
            return await future
        except asyncio.CancelledError:
            attempt.give_up()
            raise

    def dial(self, process: Process, address: str, then: Callable[[Answer], object]) -> None:
        """The same for callbacks: `then` is called in the process's loop with the endpoint or the error."""
        self._dial(process, address, then)

    def _dial(self, process: Process, address: str, then: Callable[[Answer], object]) -> _Attempt:
        attempt = _Attempt(process, address, then)
        if process.ended:
            return attempt
        self._ask(attempt)
        if attempt.target != process.machine.name:
            for again_s in ASK_AGAIN_S:
                self.kernel.after(int(again_s * NS), self._ask, attempt)
        self.kernel.after(int(CONNECT_S * NS), self._unanswered, attempt)
        return attempt

    def _ask(self, attempt: _Attempt) -> None:
        if not (attempt.done or attempt.process.ended or attempt.endpoint is not None):
            route = self.route(attempt.process.machine.name, attempt.target)
            self.kernel.after(route.one_delay_ns(), self._asked, attempt)

    def _asked(self, attempt: _Attempt) -> None:
        """The question has come to the other machine."""
        name = attempt.process.machine.name
        there, back = self.route(name, attempt.target), self.route(attempt.target, name)
        if attempt.done or attempt.process.ended or attempt.endpoint is not None:
            return
        machine = self._machines.get(attempt.target)
        if there.cut_ns is not None or back.cut_ns is not None or machine is None or not machine.powered:
            return  # no answer
        listener = self._listeners.get(attempt.address)
        if listener is None or (listener.local and not there.local):
            self.kernel.after(back.one_delay_ns(), self._refused, (attempt, back.cuts))
            return
        attempt.endpoint, asked = connect(self.kernel, attempt.process, there, listener.process, back)
        attempt.endpoint.established = lambda: attempt.answer(attempt.endpoint or ConnectionResetError())
        asked.out.send(ESTABLISHED, HEADER_BYTES)
        listener.process.deliver(listener.on_connect, asked)

    def _refused(self, refusal: tuple[_Attempt, int]) -> None:
        attempt, cuts = refusal
        if cuts == self.route(attempt.target, attempt.process.machine.name).cuts:
            attempt.answer(ConnectionRefusedError(errno.ECONNREFUSED, f"nobody listens at {attempt.address}"))

    def _unanswered(self, attempt: _Attempt) -> None:
        if not attempt.done:
            attempt.answer(TimeoutError(errno.ETIMEDOUT, f"no answer from {attempt.address}"))
            attempt.give_up()

    # ---- for machines

    def add(self, machine: "Machine") -> None:
        """A machine makes itself known. Raises `ValueError` for a name that is taken."""
        if machine.name in self._machines or "/" in machine.name:
            raise ValueError(f"bad name for another machine: {machine.name!r}")
        self._machines[machine.name] = machine

    def power_back(self, machine: "Machine") -> None:
        """What was sent to it while it was off is sent again, and not known there."""
        for (_, to), route in self._routes.items():
            if to == machine.name:
                for way in list(route.ways):
                    way.power_back()

    # ---- for the kernel's owner

    def route(self, a: str, b: str) -> Route:
        """From `a` to `b`."""
        route = self._routes.get((a, b))
        if route is None:
            route = self._routes[a, b] = Route(local=a == b, chance=self._chance)
        return route

    def cut(self, a: str, b: str, *, one_way: bool = False) -> None:
        """Nothing passes between two machines (with `one_way`: from `a` to `b`) until `join`. Nobody is told.

        Connections go silent; new ones get no answer. A machine is never cut from itself: `ValueError`.
        """
        if a == b:
            raise ValueError(f"{a} can't be cut from itself")
        self.route(a, b).cut(self.kernel)
        if not one_way:
            self.route(b, a).cut(self.kernel)

    def join(self, a: str, b: str) -> None:
        """End the cuts between two machines. What stood still arrives late, or its connection breaks, as chance has it."""
        self.route(a, b).join(self.kernel)
        self.route(b, a).join(self.kernel)

    def is_cut(self, a: str, b: str) -> bool:
        """Whether nothing passes from `a` to `b`."""
        return self.route(a, b).cut_ns is not None

    def set_link(self, a: str, b: str, *, delay_s: float, jitter_s: float, bytes_per_s: float) -> None:
        """How fast messages pass between two machines, both ways. Each takes delay + [0, jitter) + size / speed.

        The speed is each connection's own.
        """
        for route in (self.route(a, b), self.route(b, a)):
            route.delay_ns = round(delay_s * NS)
            route.jitter_ns = round(jitter_s * NS)
            route.ns_per_byte = NS / bytes_per_s

    def break_connections(self, a: str, b: str) -> int:
        """Break every connection between two machines (resets): both sides see the end soon. How many there were."""
        ways = list(self.route(a, b).ways)
        for way in ways:
            way.break_off()
        return len(ways)
