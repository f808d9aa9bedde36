"""One connection: two endpoints and the two ways between them, with all that can become of a message.

What stands still in a cut, what vanishes at a machine without power, and when a side learns of an end.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from shorthorn.sim.machine.kernel import NS, Kernel
from shorthorn.sim.machine.process import Process
from shorthorn.sim.machine.route import Route

GIVE_UP_NS: Final = 924 * NS
"""A side whose bytes have not got through for so long breaks the connection (Linux: tcp_retries2 of 15)."""

RETRY_S: Final = 0.2
"""The least time between two attempts to send again; later ones wait longer and longer, up to `RETRY_S_MAX`."""

RETRY_S_MAX: Final = 20.0

BREAKS_AFTER_CUT: Final = 0.3
"""How likely a connection with something under way does not survive a cut."""

IN_ORDER: Final = 0.5
"""How likely what a process sent to another machine before it ended arrives before its end does."""

HEADER_BYTES: Final = 40
"""Of an end or an answer without content."""


class _End:
    """What arrives at a side as its end."""

    __slots__ = ("why",)

    def __init__(self, why: str) -> None:
        self.why = why


class _Established:
    """The answer to a side that connected."""

    __slots__ = ()


CLOSED: Final = _End("closed by the other side")
DIED: Final = _End("reset: the other process has ended")
RESET: Final = _End("reset by the other side")
BROKEN: Final = _End("the connection broke")
UNANSWERED: Final = _End("timed out: the other side has not answered")
ESTABLISHED: Final = _Established()
AGAIN: Final = "sent again"


class Endpoint:
    """One process's end of a connection.

    Set `on_message` and `on_end` (called in the process's loop; messages wait until one of them is set), or use
    `receive`. Never both. An endpoint compares by identity.
    """

    def __init__(self, process: Process, peer: Process) -> None:
        self.process = process
        self.peer_machine = peer.machine.name
        self.peer_pid = peer.pid
        """The system's word."""
        self.closed = False
        """Whether this side has closed, or has heard of the end."""
        self.out: Way
        """From here to the other side."""
        self.other: Endpoint
        self.gone = False
        """Its process has ended: nobody takes anything."""
        self.powerless = False
        """And what stood in the buffers of its machine is lost too."""
        self.established: Callable[[], object] | None = None
        """For the network: what waits for the answer to a connect."""
        self._on_message: Callable[[Any], object] | None = None
        self._on_end: Callable[[str], object] | None = None
        self._inbox: deque[tuple[Any, int]] = deque()
        self._waiter: asyncio.Future[None] | None = None
        process.belongings[self] = None

    @property
    def on_message(self) -> Callable[[Any], object] | None:
        """Called with each message."""
        return self._on_message

    @on_message.setter
    def on_message(self, callback: Callable[[Any], object] | None) -> None:
        self._on_message = callback
        self._flush()

    @property
    def on_end(self) -> Callable[[str], object] | None:
        """Called once with a reason when the other side closed or the connection broke; not after an own `close`."""
        return self._on_end

    @on_end.setter
    def on_end(self, callback: Callable[[str], object] | None) -> None:
        self._on_end = callback
        self._flush()

    @property
    def unsent_bytes(self) -> int:
        """Bytes sent that the other process has not taken yet: what stands in all buffers in between."""
        return self.out.unsent

    def send(self, message: object, size: int = 100) -> None:
        """Send a message of `size` bytes. Silently nothing once closed, as with a transport of asyncio."""
        if not (self.closed or self.gone):
            self.out.send(message, size)

    def close(self) -> None:
        """Close in order: what was sent still arrives (if it can), then the other side sees the end. Idempotent."""
        if self._shut():
            self.out.send(CLOSED, HEADER_BYTES)

    def abort(self) -> None:
        """Close at once: what has not arrived yet may be lost. Idempotent."""
        if self._shut():
            self.out.send_past(RESET)

    async def receive(self) -> Any | None:
        """The next message; None when the connection has ended. One task at a time."""
        while not self._inbox:
            if self.closed:
                return None
            if self._waiter is not None:
                raise RuntimeError("two tasks wait for messages of one endpoint")
            self._waiter = self.process.loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        message, size = self._inbox.popleft()
        self.other.out.unsent -= size
        if type(message) is _End:
            self._hear_end(message)
            return None
        return message

    # ---- for the network

    def lost(self, heard: bool) -> None:
        """The process has ended. Without power nobody is told; else its machine closes for it."""
        was_open = not self.closed
        self.gone = self.closed = True
        self.powerless = not heard
        self._inbox.clear()
        if heard and was_open:
            route = self.out.route
            if route.local or route.chance() < IN_ORDER:
                self.out.send(CLOSED, HEADER_BYTES)
            else:
                self.out.send_past(DIED)

    def arrive(self, item: tuple[Any, int]) -> None:
        """For the way: something came."""
        message = item[0]
        if message is ESTABLISHED:
            if self.established is not None:
                self.established()
        elif self._on_message is not None:
            self.process.deliver(self._hand_over, item)
        elif not self.closed:
            self._inbox.append(item)
            if self._on_end is not None:
                self.process.deliver(Endpoint._flush, self)
            elif self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(None)

    def _flush(self) -> None:
        """Hand over what waited, now that somebody takes it."""
        if (self._on_message or self._on_end) and self._inbox:
            self.process.loop.call_soon(self._hand_over_next)

    def _hand_over_next(self) -> None:
        if self._inbox and (self._on_message is not None or type(self._inbox[0][0]) is _End):
            self._take(self._inbox.popleft())
            self._flush()

    def _hand_over(self, item: tuple[Any, int]) -> None:
        if self._inbox:  # what waited while nobody took it is first
            self._inbox.append(item)
        else:
            self._take(item)

    def _take(self, item: tuple[Any, int]) -> None:
        message, size = item
        self.other.out.unsent -= size
        if self.closed:
            return
        if type(message) is _End:
            self._hear_end(message)
            if self._on_end is not None:
                self._on_end(message.why)
        elif self._on_message is not None:
            self._on_message(message)

    def _hear_end(self, end: _End) -> None:
        self.closed = True
        if end is not BROKEN:  # else the other side's end is still under way
            self.out.shut()
        self.process.belongings.pop(self, None)

    def _shut(self) -> bool:
        """Whether it was open, and its process lives."""
        if self.closed or self.gone:
            return False
        self.closed = True
        self.process.belongings.pop(self, None)
        self._inbox.clear()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        return True


class Way:
    """One direction of a connection: messages in order, each with its own delay."""

    __slots__ = (
        "_free_ns", "_kernel", "_last_ns", "_random", "_stalled_ns", "_target", "_vanished", "broken",
        "down", "held", "route", "unsent",
    )  # fmt: skip

    def __init__(self, kernel: Kernel, route: Route, target: Endpoint) -> None:
        self.unsent = 0
        self.down = False
        """Nothing passes any more."""
        self.broken = False
        """Nothing passes any more but an end: what comes after something lost must not arrive."""
        self.held: deque[tuple[Any, int]] | None = None if route.cut_ns is None else deque()
        """What arrives while the route is cut, and until it is sent again; None: nothing stands still."""
        self.route = route
        self._kernel = kernel
        self._random = route.chance
        self._target = target
        self._last_ns = 0
        self._free_ns = 0
        self._stalled_ns = -1
        self._vanished = False
        route.ways[self] = None

    def send(self, message: object, size: int) -> None:
        """Send behind everything sent before."""
        if self.down:
            return
        self.unsent += size
        route = self.route
        kernel = self._kernel
        free_ns = self._free_ns
        now_ns = kernel.now_ns
        if free_ns < now_ns:  # noqa: PLR1730 - max() takes three times as long
            free_ns = now_ns
        self._free_ns = free_ns = free_ns + int(size * route.ns_per_byte)
        when_ns = free_ns + route.delay_ns + int(self._random() * route.jitter_ns)
        if when_ns < self._last_ns:  # noqa: PLR1730
            when_ns = self._last_ns
        self._last_ns = when_ns
        kernel.at(when_ns, self._arrive, (message, size))

    def send_past(self, end: _End) -> None:
        """Send an end that may overtake what was sent before: that is then lost."""
        self._kernel.after(self.route.one_delay_ns(), self._arrive, (end, 0))

    def shut(self) -> None:
        """Nothing passes from now on."""
        self.down = True
        self.held = None
        self.route.ways.pop(self, None)

    def _arrive(self, item: tuple[Any, int]) -> None:
        if self.down or (self.broken and type(item[0]) is not _End):
            return
        if self.held is not None:
            self.held.append(item)
            self._stall()
            return
        target = self._target
        if target.gone and not target.process.machine.powered:
            self._vanished = True  # nobody is there who could say that nobody is there
            self._stall()
            return
        if type(item[0]) is _End:
            self.shut()
        if target.gone:
            target.out.send_past(RESET)
        else:
            target.arrive(item)

    # ---- cuts and losses

    def hold(self) -> None:
        """Cut: what arrives from now on stands still."""
        if self.held is None:
            self.held = deque()

    def release(self, cut_ns: int) -> None:
        """The cut is over: what stood still comes late, or the connection breaks."""
        if not self.held:
            self.held = None
        elif self._target.other.powerless:
            self.shut()  # nobody is there who could send it again
        elif self._random() < BREAKS_AFTER_CUT:
            self.break_off()
        else:
            late_s = RETRY_S + self._random() * min(cut_ns / NS, RETRY_S_MAX)
            self._kernel.after(int(late_s * NS), self._pour, self.route.cuts)

    def break_off(self) -> None:
        """Break the connection: what is under way is lost, and each side hears of it in its own time, if it can."""
        for way in (self, self._target.out):
            way.broken = True
            way.held = None if way.route.cut_ns is None else deque()
            way.send_past(BROKEN)

    def power_back(self) -> None:
        """The machine over there is on again: what vanished is sent again in a while, to where nobody knows it."""
        if self._vanished:
            late_s = RETRY_S + self._random() * RETRY_S_MAX
            self._kernel.after(int(late_s * NS), self._arrive, (AGAIN, 0))

    def _pour(self, cuts: int) -> None:
        if self.held is None or cuts != self.route.cuts:
            return  # cut again meanwhile: the next release decides
        if self._target.other.powerless:
            self.shut()
            return
        held, self.held = self.held, None
        self._stalled_ns = -1
        for item in held:
            self._arrive(item)

    def _stall(self) -> None:
        if self._stalled_ns < 0:
            self._stalled_ns = self._kernel.now_ns
            self._kernel.after(GIVE_UP_NS, self._give_up, self._stalled_ns)

    def _give_up(self, stalled_ns: int) -> None:
        if stalled_ns == self._stalled_ns and not self.down:
            self.shut()
            source = self._target.other
            if not source.closed:
                source.arrive((UNANSWERED, 0))


def connect(
    kernel: Kernel, near: Process, there: Route, far: Process, back: Route
) -> tuple[Endpoint, Endpoint]:
    """A new connection: the end of the side that asked, and that of the side that was asked."""
    asking, asked = Endpoint(near, far), Endpoint(far, near)
    asking.other, asked.other = asked, asking
    asking.out, asked.out = Way(kernel, there, asked), Way(kernel, back, asking)
    return asking, asked
