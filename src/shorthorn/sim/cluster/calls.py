"""Calls between simulated processes: what HTTP is in the real system. A call is answered, refused with words, or times out.

Structs are passed as they are: they are frozen. Errors that a caller is meant to see are `ShorthornError`s; anything else
that a handler raises is a bug and ends its process.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final

from shorthorn.errors import ShorthornError, Unavailable
from shorthorn.sim.machine.network import Endpoint, Network
from shorthorn.sim.machine.process import Process

CALL_S: Final = 10.0
"""Bound on one call, as of the real links."""

SILENCE_S: Final = 6.0
"""A stream that carries nothing for so long is broken."""

Handler = Callable[..., Awaitable[object]]
Stream = Callable[..., AsyncIterator[object]]


class _Answer:
    """The end of one call."""

    __slots__ = ("error", "number", "value")

    def __init__(self, number: int, value: object, error: ShorthornError | None) -> None:
        self.number = number
        self.value = value
        self.error = error


class Server:
    """Answers calls at one address until its process ends. `streams` send many values, and end with the connection."""

    def __init__(
        self,
        process: Process,
        network: Network,
        name: str,
        calls: Mapping[str, Handler],
        streams: Mapping[str, Stream],
    ) -> None:
        self._process = process
        self._calls = calls
        self._streams = streams
        self._tasks: dict[asyncio.Task[None], None] = {}
        self.address = network.listen(process, name, self._connected)

    def _connected(self, endpoint: Endpoint) -> None:
        running: dict[asyncio.Task[None], None] = {}

        def take(message: Any) -> None:
            number, name, arguments = message
            work = self._stream if name in self._streams else self._call
            task = self._process.loop.create_task(work(endpoint, number, name, arguments))
            running[task] = None
            task.add_done_callback(lambda done: running.pop(done, None))

        def end(_why: str) -> None:
            for task in list(running):
                task.cancel()

        endpoint.on_message = take
        endpoint.on_end = end

    async def _call(self, endpoint: Endpoint, number: int, name: str, arguments: tuple[Any, ...]) -> None:
        try:
            value = await self._calls[name](*arguments)
        except ShorthornError as error:
            endpoint.send(_Answer(number, None, error))
        else:
            endpoint.send(_Answer(number, value, None))

    async def _stream(self, endpoint: Endpoint, number: int, name: str, arguments: tuple[Any, ...]) -> None:
        try:
            async for value in self._streams[name](*arguments):
                endpoint.send(_Answer(number, value, None))
        except ShorthornError as error:
            endpoint.send(_Answer(number, None, error))
        endpoint.close()


class Caller:
    """Calls a server from one process. Never repeats a call."""

    def __init__(self, process: Process, network: Network, address: str) -> None:
        self.address = address
        self._process = process
        self._network = network
        self._endpoint: Endpoint | None = None
        self._dialling: asyncio.Task[Endpoint] | None = None
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._numbers = 0

    async def call(self, name: str, *arguments: object) -> Any:
        """The answer. Raises `Unavailable` when there is none in time, and what the handler raised."""
        try:
            async with asyncio.timeout(CALL_S):
                endpoint = await self._connected()
                self._numbers += 1
                number = self._numbers
                answer = self._process.loop.create_future()
                self._waiting[number] = answer
                endpoint.send((number, name, arguments))
                try:
                    return await answer
                finally:
                    self._waiting.pop(number, None)
        except (OSError, TimeoutError) as error:
            if isinstance(error, TimeoutError):
                self.hang_up()
            raise Unavailable(f"the server does not answer: {str(error) or 'no answer in time'}") from error

    async def stream(self, name: str, *arguments: object) -> AsyncGenerator[Any, None]:
        """What a stream of the server sends, over a connection of its own. Raises `Unavailable` when it ends."""
        try:
            endpoint = await self._network.connect(self._process, self.address)
        except OSError as error:
            raise Unavailable(f"the server does not answer: {error}") from error
        try:
            endpoint.send((0, name, arguments))
            loop = self._process.loop
            while True:
                asked_s = loop.time()
                async with asyncio.timeout(SILENCE_S):
                    answer = await endpoint.receive()
                if answer is None:
                    raise Unavailable("the server ended the stream")
                if loop.time() - asked_s > SILENCE_S:
                    raise Unavailable("nothing was heard for too long")
                if answer.error is not None:
                    raise answer.error
                yield answer.value
        except TimeoutError as error:
            raise Unavailable("the stream says nothing any more") from error
        finally:
            endpoint.abort()

    def hang_up(self) -> None:
        """Forget the connection: the next call makes another."""
        endpoint, self._endpoint = self._endpoint, None
        if endpoint is not None:
            endpoint.abort()
            self._ended("hung up")

    async def _connected(self) -> Endpoint:
        if self._endpoint is not None and not self._endpoint.closed:
            return self._endpoint
        if self._dialling is None:
            self._dialling = self._process.loop.create_task(self._dial())
            self._dialling.add_done_callback(self._dialled)
        return await asyncio.shield(self._dialling)

    def _dialled(self, task: "asyncio.Task[Endpoint]") -> None:
        self._dialling = None
        if not task.cancelled():
            task.exception()  # whoever still waits for it is told

    async def _dial(self) -> Endpoint:
        endpoint = await self._network.connect(self._process, self.address)
        endpoint.on_message = self._take
        endpoint.on_end = self._ended
        self._endpoint = endpoint
        return endpoint

    def _take(self, answer: _Answer) -> None:
        waiting = self._waiting.pop(answer.number, None)
        if waiting is None or waiting.done():
            return
        if answer.error is not None:
            waiting.set_exception(answer.error)
        else:
            waiting.set_result(answer.value)

    def _ended(self, why: str) -> None:
        waiting, self._waiting = self._waiting, {}
        for answer in waiting.values():
            if not answer.done():
                answer.set_exception(Unavailable(f"the connection to the server ended: {why}"))
