"""No peer makes the server wait for ever."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from shorthorn.errors import Invalid
from shorthorn.faces.api import call as call_module
from shorthorn.faces.api import protocol
from shorthorn.faces.api.call import Call
from shorthorn.faces.api.views import ChangeSetting
from shorthorn.serve import DEAD_PEER_S, ServerOptions, listen


def test_a_connection_to_a_dead_peer_ends_after_a_bound(tmp_path: Path) -> None:
    """The kernel ends it; accepted connections inherit what the listener was told."""
    with (
        listen(ServerOptions(data=tmp_path, port=0)) as listener,
        socket.create_connection(listener.getsockname()) as client,
        listener.accept()[0] as accepted,
    ):
        assert client.getpeername() == listener.getsockname()
        tcp = socket.IPPROTO_TCP
        assert accepted.getsockopt(tcp, socket.TCP_USER_TIMEOUT) == DEAD_PEER_S * 1000
        assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        idle, interval, count = (
            accepted.getsockopt(tcp, option)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        )
        assert idle + interval * count <= DEAD_PEER_S


class SlowRequest:
    """Stands for a request whose body stops half way."""

    async def stream(self) -> AsyncIterator[bytes]:
        yield b'{"value"'
        await asyncio.get_running_loop().create_future()


async def test_a_body_that_does_not_come_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_module, "BODY_S", 0.05)
    async with asyncio.timeout(10):
        with pytest.raises(Invalid, match="did not come within"):
            await Call(SlowRequest()).body(ChangeSetting)  # type: ignore[arg-type]


async def nothing(scope: object, receive: object, send: Any) -> None:
    """An application that answers 204."""
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@contextlib.asynccontextmanager
async def connection() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to a server of `nothing`."""
    config = uvicorn.Config(nothing, log_config=None, lifespan="off")
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(
        lambda: protocol.BoundedProtocol(config, state, {}), "127.0.0.1", 0
    )
    async with server, asyncio.timeout(10):
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        try:
            yield reader, writer
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


@pytest.mark.parametrize("first", [b"", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"], ids=["new", "used before"])
async def test_a_head_that_does_not_come_ends_its_connection(
    monkeypatch: pytest.MonkeyPatch, first: bytes
) -> None:
    """However it trickles: each byte alone is no head."""
    monkeypatch.setattr(protocol, "HEAD_S", 0.3)
    async with connection() as (reader, writer):
        if first:
            writer.write(first)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204 No Content\r\n")
        ended = asyncio.ensure_future(reader.read())
        for byte in b"GET / HTTP/1.1\r\nX: ":
            writer.write(bytes([byte]))
            await asyncio.sleep(0.01)
        assert await ended == b""


async def test_an_endless_head_ends_its_connection() -> None:
    async with connection() as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\n")
        with contextlib.suppress(ConnectionError):
            for number in range(1000):
                writer.write(b"X-%d: %s\r\n" % (number, b"x" * 1000))
                await writer.drain()
            assert await reader.read() == b""
        assert reader.at_eof() or reader.exception() is not None
