"""Everything outside of an agent, as it is given to it: what a simulation replaces, whole.

Files, processes, clock, ids and the machine's identity are `shorthorn.ports`; the two languages that an agent speaks,
with the server and with the programs, are `shorthorn.links`'. Beside these the agent uses its event loop only (its
timers, tasks and events).
"""

from collections.abc import AsyncGenerator, Callable
from pathlib import PurePath
from typing import Protocol

import msgspec

from shorthorn.core.model.order import NodeOrders
from shorthorn.core.model.sighting import NodeSighting
from shorthorn.links import program_lines as wire
from shorthorn.links.messages import Beat, EngineAnswer, EngineEvent, Registered, Registration
from shorthorn.ports.clock import Clock
from shorthorn.ports.files import Files
from shorthorn.ports.ids import Ids
from shorthorn.ports.machine import MachineIdentity
from shorthorn.ports.processes import Processes


class Server(Protocol):
    """The server, as one node's agent calls it. Never repeats a call.

    Each call is bounded in time. It raises `Unavailable` when the server can't be reached, does not answer in time or
    says so itself (then the call may have had its effect or not); a `RequestError` with the server's own words when it
    refuses; `Damaged` when the answer makes no sense.
    """

    async def register(self, registration: Registration) -> Registered:
        """Say who this node is; the cluster that it belongs to."""
        ...

    async def send_sighting(self, sighting: NodeSighting) -> None:
        """Report everything seen."""
        ...

    async def send_beat(self, beat: Beat) -> bool:
        """Report that nothing changed. False: the server does not hold that sighting, send it whole."""
        ...

    async def ask(self, event: EngineEvent) -> EngineAnswer:
        """Ask for an event of an engine to be recorded."""
        ...

    def orders(self) -> AsyncGenerator[NodeOrders, None]:
        """The orders of this node, whole, at once and on each change, until the stream breaks (`Unavailable`).

        A stream that carries nothing, not even a heartbeat, for a while is broken.
        """
        ...


class Link(Protocol):
    """One program's connection. Objects are told apart by identity."""

    @property
    def pid(self) -> int:
        """The process at its other end: the system's word, not the program's."""
        ...

    async def hello(self) -> wire.Hello | None:
        """The first line; None when the link has ended. Raises `BadLine`."""
        ...

    async def line(self) -> wire.FromProgram | None:
        """The next line; None when the link has ended. Raises `BadLine`."""
        ...

    def send(self, message: wire.ToProgram) -> None:
        """Send a line. A link that can't take it ends, and one that has ended takes anything."""
        ...

    def drop(self, why: str) -> None:
        """End it, with a line in the log. `line` returns None then."""
        ...

    async def close(self) -> None:
        """End it, quietly. May be called at any time, and twice."""
        ...


class ProgramSocket(Protocol):
    """The place where programs dial the agent."""

    async def listen(self, path: PurePath, dialled: Callable[[Link], None]) -> None:
        """Call `dialled` with each new link from now on. What a dead agent left at `path` is replaced: the caller holds
        the node's lock. Raises `OSError`.
        """
        ...

    async def close(self) -> None:
        """Take no more links; those that there are stay. May be called without `listen`."""
        ...


class Outside(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    files: Files
    processes: Processes
    socket: ProgramSocket
    server: Server
    identity: MachineIdentity
    clock: Clock
    ids: Ids
