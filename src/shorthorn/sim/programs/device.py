"""What a client of a volume and its engine say to each other, and the client's end: `Device`.

Stands for NBD on the unix socket: a greeting, requests with cookies in any number, answers in any order, and an end.
Answers are the engine's effects as they are; only `cookie` and what they carry mean something to a client.
"""

import asyncio
from typing import Final, TypeAlias

import msgspec

from shorthorn.native._native import ClientData, ClientDone, ClientExtents, ClientRefused
from shorthorn.sim.machine.network import Endpoint, Network
from shorthorn.sim.machine.process import Process

REQUEST_BYTES: Final = 28
"""Of a request or an answer without data."""


class Greeting(msgspec.Struct, frozen=True):
    """The engine's first message: what is served."""

    size: int
    read_only: bool


class Read(msgspec.Struct, frozen=True):
    """Of a range."""

    cookie: int
    offset: int
    length: int


class Write(msgspec.Struct, frozen=True):
    """Of data; with `fua` on every disk before the answer."""

    cookie: int
    offset: int
    data: bytes
    fua: bool


class Zero(msgspec.Struct, frozen=True):
    """Of a range; with `punch` a trim."""

    cookie: int
    offset: int
    length: int
    punch: bool
    fua: bool


class Flush(msgspec.Struct, frozen=True):
    """Of everything that was answered."""

    cookie: int


Asked: TypeAlias = Read | Write | Zero | Flush
Answer: TypeAlias = ClientDone | ClientData | ClientExtents | ClientRefused


class Gone(OSError):
    """The connection to the engine has ended: whether a request without an answer has happened is not known."""


class IoError(OSError):
    """The engine refused a request: nothing of it was applied. `error`: as `ClientRefused` has it."""

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = error


class Device:
    """A client's connection to an engine, for code of a process of the same machine."""

    def __init__(self, process: Process, endpoint: Endpoint, greeting: Greeting) -> None:
        self.size = greeting.size
        self.read_only = greeting.read_only
        self._loop = process.loop
        self._endpoint = endpoint
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._cookies = 0
        self._end = ""
        endpoint.on_message = self._take
        endpoint.on_end = self._ended

    @classmethod
    async def open(cls, process: Process, network: Network, endpoint: str) -> "Device":
        """Connect to the socket at this path of the process's machine, and wait to be served.

        Raises `OSError`, `Gone` among them: there is no engine, or it does not serve.
        """
        connected = await network.connect(process, f"{process.machine.name}/{endpoint}")
        greeting = await connected.receive()
        if not isinstance(greeting, Greeting):
            raise Gone("the engine let nobody in")
        return cls(process, connected, greeting)

    @property
    def gone(self) -> str:
        """Why there is no connection any more; empty while there is."""
        return self._end

    async def read(self, offset: int, length: int) -> bytes:
        """Raises `IoError`, `Gone`."""
        self._cookies += 1
        answer = await self._ask(Read(self._cookies, offset, length), 0)
        if not isinstance(answer, ClientData):
            raise AssertionError(f"a read is answered with {answer}")  # noqa: TRY004 - a bug, not a wrong argument
        return answer.data

    async def write(self, offset: int, data: bytes, *, fua: bool = False) -> None:
        """Raises `IoError`, `Gone`."""
        self._cookies += 1
        await self._ask(Write(self._cookies, offset, data, fua), len(data))

    async def zero(self, offset: int, length: int, *, punch: bool = False, fua: bool = False) -> None:
        """Raises `IoError`, `Gone`."""
        self._cookies += 1
        await self._ask(Zero(self._cookies, offset, length, punch, fua), 0)

    async def flush(self) -> None:
        """Raises `IoError`, `Gone`."""
        self._cookies += 1
        await self._ask(Flush(self._cookies), 0)

    def close(self) -> None:
        """Disconnect."""
        self._endpoint.close()
        self._ended("closed")

    async def _ask(self, asked: Asked, data_bytes: int) -> Answer:
        if self._end:
            raise Gone(self._end)
        future = self._waiting[asked.cookie] = self._loop.create_future()
        self._endpoint.send(asked, REQUEST_BYTES + data_bytes)
        answer: Answer = await future
        if isinstance(answer, ClientRefused):
            raise IoError(answer.error)
        return answer

    def _take(self, answer: Answer) -> None:
        future = self._waiting.pop(answer.cookie, None)
        if future is not None and not future.done():
            future.set_result(answer)

    def _ended(self, why: str) -> None:
        self._end = self._end or why or "the connection ended"
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(Gone(self._end))
