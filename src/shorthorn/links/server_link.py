"""An agent's calls to the server, over HTTP (the table in `links.messages`).

Errors: `Unavailable` when the server can't be reached, does not answer in time or says so itself; a `RequestError`
with the server's own words when it refuses; `Damaged` when the answer makes no sense. Never repeats a call.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final, Self, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec

from shorthorn.core.model.ids import NodeName
from shorthorn.core.model.order import NodeOrders
from shorthorn.core.model.sighting import NodeSighting
from shorthorn.errors import Conflict, Damaged, Forbidden, Invalid, NotFound, RequestError, Unavailable
from shorthorn.links.messages import Beat, EngineAnswer, EngineEvent, Registered, Registration

CALL_S: Final = 10.0
"""Bound on one call. A commit of the server takes milliseconds; a longer one is asked again."""

SILENCE_S: Final = 6.0
"""A stream of orders that says nothing for three of the server's empty lines is broken."""

ORDERS_BYTES_MAX: Final = 64 << 20
"""Longest line of orders: ten thousand documents of a few KiB fit; more is a broken peer."""

ANSWER_BYTES_MAX: Final = 4 << 20
"""Longest answer to a call: one document with some words around it."""

_REFUSALS: Final[dict[int, type[RequestError]]] = {400: Invalid, 403: Forbidden, 404: NotFound, 409: Conflict}

_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding raises for bytes that are not what was meant."""

T = TypeVar("T")


class _Problem(msgspec.Struct):
    """Problem details (RFC 9457), as far as a person reads them."""

    title: str = ""
    detail: str = ""


class ServerLink:
    """The server at `url`, for one node. Use as a context manager."""

    def __init__(self, url: str, node: NodeName) -> None:
        self._base = f"{url.rstrip('/')}/v1/agents/{quote(node, safe='')}"
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CALL_S),
            read_bufsize=1 << 18,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def register(self, registration: Registration) -> Registered:
        """Say who this node is; the cluster that it belongs to."""
        return _decode(await self._post("register", registration), Registered)

    async def send_sighting(self, sighting: NodeSighting) -> None:
        """Report everything seen."""
        await self._post("sighting", sighting)

    async def send_beat(self, beat: Beat) -> bool:
        """Report that nothing changed. False: the server does not hold that sighting, send it whole."""
        try:
            await self._post("beat", beat)
        except Conflict:
            return False
        return True

    async def ask(self, event: EngineEvent) -> EngineAnswer:
        """Ask for an event of an engine to be recorded."""
        return _decode(await self._post("events", event), EngineAnswer)

    async def orders(self) -> AsyncGenerator[NodeOrders, None]:
        """The orders of this node, whole, at once and on each change, until the stream breaks (`Unavailable`)."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CALL_S, sock_read=SILENCE_S)
        try:
            async with self._open_session.get(f"{self._base}/orders", timeout=timeout) as response:
                if response.status != 200:
                    raise _refusal(response.status, await _answer(response.content))
                async for line in _lines(response.content):
                    yield _decode(line, NodeOrders)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unavailable(f"the stream of orders broke: {_words(error)}") from error
        raise Unavailable("the server ended the stream of orders")

    async def _post(self, call: str, body: msgspec.Struct) -> bytes:
        try:
            async with asyncio.timeout(CALL_S):
                async with self._open_session.post(
                    f"{self._base}/{call}",
                    data=msgspec.json.encode(body),
                    headers={"content-type": "application/json"},
                ) as response:
                    answer = await _answer(response.content)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unavailable(f"the server does not answer: {_words(error)}") from error
        if response.status >= 300:
            raise _refusal(response.status, answer)
        return answer

    @property
    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise AssertionError("a server link is used outside its context")
        return self._session


async def _answer(content: aiohttp.StreamReader) -> bytes:
    answer = bytearray()
    async for chunk in content.iter_any():
        answer += chunk
        if len(answer) > ANSWER_BYTES_MAX:
            raise Damaged(f"the server's answer is longer than {ANSWER_BYTES_MAX} bytes")
    return bytes(answer)


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Lines that are not empty, of any length up to the limit; what has no line end is not a line.

    What comes after a long silence is not taken: this process was stopped meanwhile, and what waits in the stream may be
    older than what the server wants now. The next stream begins with that.
    """
    parts: list[bytes] = []
    length = 0
    loop = asyncio.get_running_loop()
    heard_s = loop.time()
    async for chunk in content.iter_any():
        silent_s, heard_s = loop.time() - heard_s, loop.time()
        if silent_s > SILENCE_S:
            raise Unavailable(f"nothing was heard for {silent_s:.0f} s")
        *ended, rest = chunk.split(b"\n")
        for part in ended:
            line = b"".join((*parts, part)).strip()
            parts, length = [], 0
            if line:
                yield line
        length += len(rest)
        if length > ORDERS_BYTES_MAX:
            raise Damaged(f"a line of orders is longer than {ORDERS_BYTES_MAX} bytes")
        if rest:
            parts.append(rest)


def _decode(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except _UNREADABLE as error:
        raise Damaged(f"the server's answer is not understood: {error}") from error


def _refusal(status: int, body: bytes) -> RequestError | Unavailable:
    try:
        problem = msgspec.json.decode(body, type=_Problem)
    except _UNREADABLE:
        problem = _Problem()
    words = problem.detail or problem.title or f"the server answered with HTTP status {status}"
    refusal = _REFUSALS.get(status)
    return refusal(words) if refusal is not None else Unavailable(words)


def _words(error: Exception) -> str:
    """An error of the network in words; some have none of their own."""
    return str(error) or type(error).__name__
