"""The network between processes: connections that carry messages, delays, cuts, and every way of losing a peer.

Messages of one connection arrive in order, each once, or not at all once the connection broke: a stream's promises, cut
into messages. A message is any object and is not copied: the sender must not change it afterwards.
"""

from collections.abc import Callable
from typing import Any

from shorthorn.sim.machine.kernel import Kernel
from shorthorn.sim.machine.process import Process


class Endpoint:
    """One process's end of a connection.

    Set `on_message` and `on_end` (called in the process's loop; messages wait until they are set), or use `receive`.
    """

    process: Process
    peer_machine: str
    peer_pid: int
    on_message: Callable[[Any], object] | None
    on_end: Callable[[str], object] | None
    """Called once with a reason when the other side closed or the connection broke; not after an own `close`."""

    @property
    def closed(self) -> bool:
        """Whether this end is closed, by either side or a break, as far as this side knows."""
        raise NotImplementedError

    @property
    def unsent_bytes(self) -> int:
        """Bytes sent that the other process has not taken yet: what stands in all buffers in between."""
        raise NotImplementedError

    def send(self, message: object, size: int = 100) -> None:
        """Send a message of `size` bytes. Silently nothing once closed, as with a transport of asyncio."""
        raise NotImplementedError

    def close(self) -> None:
        """Close in order: what was sent still arrives (if it can), then the other side sees the end. Idempotent."""
        raise NotImplementedError

    def abort(self) -> None:
        """Close at once: what has not arrived may be lost. Idempotent."""
        raise NotImplementedError

    async def receive(self) -> Any | None:
        """The next message; None when the connection has ended. One task at a time; not together with `on_message`."""
        raise NotImplementedError


class Network:
    """All connections of a world. Machines make themselves known to it."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel

    def listen(
        self, process: Process, name: str, on_connect: Callable[[Endpoint], object], *, local: bool = False
    ) -> str:
        """Take connections; `local` like a unix socket, from the same machine only. The address: "n1/name".

        Raises `OSError` (EADDRINUSE) when a living process listens there. Falls with its process.
        """
        raise NotImplementedError

    def unlisten(self, address: str) -> None:
        """Take no more connections; those that are stay."""
        raise NotImplementedError

    async def connect(self, process: Process, address: str) -> Endpoint:
        """Connect, from code of the process. Takes a delay each way.

        Raises `ConnectionRefusedError` when nobody listens there, `TimeoutError` when there is no answer (cut or
        powered off) for `CONNECT_S`.
        """
        raise NotImplementedError

    def dial(
        self, process: Process, address: str, then: Callable[[Endpoint | OSError], object]
    ) -> None:
        """The same for callbacks: `then` is called in the process's loop with the endpoint or the error."""
        raise NotImplementedError

    def cut(self, a: str, b: str, *, one_way: bool = False) -> None:
        """Nothing passes between two machines (with `one_way`: from `a` to `b`) until `join`. Nobody is told.

        Connections go silent; new ones get no answer. A machine is never cut from itself.
        """
        raise NotImplementedError

    def join(self, a: str, b: str) -> None:
        """End the cuts between two machines. What stood still arrives late, or its connection breaks, as chance has it."""
        raise NotImplementedError

    def is_cut(self, a: str, b: str) -> bool:
        """Whether anything from `a` to `b` is held up."""
        raise NotImplementedError

    def set_link(self, a: str, b: str, *, delay_s: float, jitter_s: float, bytes_per_s: float) -> None:
        """How fast messages pass between two machines, both ways. Each takes delay + [0, jitter) + size / speed."""
        raise NotImplementedError

    def break_connections(self, a: str, b: str) -> int:
        """Break every connection between two machines (resets): both sides see the end soon. How many there were."""
        raise NotImplementedError
