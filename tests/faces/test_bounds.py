"""No peer makes the server wait for ever."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shorthorn.errors import Invalid
from shorthorn.faces.api import call as call_module
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
