"""The agent's unix socket: programs dial it, and both sides send lines (`agent.outside.ProgramSocket`).

Only this user's programs and root's are heard. Knows nothing of what the lines mean.
"""

import asyncio
import contextlib
import logging
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import Final

from shorthorn.links import program_lines as wire

log = logging.getLogger(__name__)

UNSENT_BYTES_MAX: Final = 64 << 20
"""A program that leaves this much unread hangs; it may dial again."""


class SocketLink:
    """One program's connection. `pid` is the kernel's word, not the program's."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pid: int) -> None:
        self.pid: int = pid
        self._reader = reader
        self._writer = writer

    async def hello(self) -> wire.Hello | None:
        """See `Link.hello`."""
        line = await self._read_line()
        return None if line is None else wire.decode_hello(line)

    async def line(self) -> wire.FromProgram | None:
        """See `Link.line`."""
        line = await self._read_line()
        return None if line is None else wire.decode(line)

    def send(self, message: wire.ToProgram) -> None:
        """See `Link.send`. The program of a link that ended dials again and hears it anew."""
        transport = self._writer.transport
        if transport.is_closing():
            return
        line = wire.encode(message)
        if len(line) > wire.LINE_BYTES_MAX:
            log.error("a line for program %d has %d bytes, too long: its link ends", self.pid, len(line))
            transport.abort()
        elif transport.get_write_buffer_size() > UNSENT_BYTES_MAX:
            log.warning("program %d does not read its lines: its link ends", self.pid)
            transport.abort()
        else:
            self._writer.write(line)

    def drop(self, why: str) -> None:
        """See `Link.drop`."""
        log.warning("link of program %d dropped: %s", self.pid, " ".join(why.split())[:300])
        self._writer.transport.abort()

    async def close(self) -> None:
        """See `Link.close`."""
        self._writer.transport.abort()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def _read_line(self) -> bytes | None:
        try:
            return await self._reader.readuntil(b"\n")
        except asyncio.LimitOverrunError:
            self.drop(f"a line is longer than {wire.LINE_BYTES_MAX} bytes")
        except (asyncio.IncompleteReadError, OSError):
            pass
        return None


class UnixSocket:
    """See `ProgramSocket`."""

    def __init__(self) -> None:
        self._server: asyncio.Server | None = None
        self._path: Path | None = None

    async def listen(self, path: PurePath, dialled: Callable[[SocketLink], None]) -> None:
        """See `ProgramSocket.listen`. Only its owner may dial."""

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            pid, uid = _peer(writer)
            link = SocketLink(reader, writer, pid)
            if uid in (0, os.getuid()):
                dialled(link)
            else:
                link.drop(f"it runs as user {uid}")

        listening = _bound(Path(path))
        try:
            self._server = await asyncio.start_unix_server(
                connected, sock=listening, limit=wire.LINE_BYTES_MAX, backlog=512
            )
        except BaseException:
            listening.close()
            raise
        self._path = Path(path)

    async def close(self) -> None:
        """See `ProgramSocket.close`."""
        if self._server is not None:
            self._server.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def _bound(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        listening.bind(str(path))
        path.chmod(0o600)
    except BaseException:
        listening.close()
        raise
    return listening


def _peer(writer: asyncio.StreamWriter) -> tuple[int, int]:
    """Process and user at the other end, as the kernel knows them."""
    peer = writer.get_extra_info("socket").getsockopt(
        socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")
    )
    pid, uid, _ = struct.unpack("3i", peer)
    return pid, uid
