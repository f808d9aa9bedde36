"""The agent's unix socket: programs dial it, say who they are, and both sides send lines.

Only this user's programs and root's are heard. What is not a line of the language ends its link with one line in the
log and nothing else. Knows nothing of engines and disks: whoever is greeted gets a `Link` and takes its lines.
"""

import asyncio
import contextlib
import logging
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

from shorthorn.links import program_lines as wire

log = logging.getLogger(__name__)

HELLO_S: Final = 10.0
"""How long a program may take to say who it is."""

UNSENT_BYTES_MAX: Final = 64 << 20
"""A program that leaves this much unread hangs; it may dial again."""

LINKS_MAX: Final = 8192
"""More than any node has engines and disks."""


class Link:
    """One program's connection. `pid` is the kernel's word, not the program's."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pid: int) -> None:
        self.pid = pid
        self._reader = reader
        self._writer = writer

    def send(self, message: wire.ToProgram) -> None:
        """Send a line. A link that can't take it ends; the program dials again and hears it anew."""
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
        """End it."""
        log.warning("link of program %d dropped: %s", self.pid, " ".join(why.split())[:300])
        self._writer.transport.abort()

    async def lines(self) -> AsyncIterator[wire.FromProgram]:
        """What the program says, until the link ends. Raises `BadLine` for what is none."""
        while (line := await self.read_line()) is not None:
            yield wire.decode(line)

    async def read_line(self) -> bytes | None:
        """The next line; None when the link has ended."""
        try:
            return await self._reader.readuntil(b"\n")
        except asyncio.LimitOverrunError:
            self.drop(f"a line is longer than {wire.LINE_BYTES_MAX} bytes")
        except (asyncio.IncompleteReadError, OSError):
            pass
        return None

    async def close(self) -> None:
        """End it, quietly."""
        self._writer.transport.abort()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


Taker = Callable[[wire.FromProgram], None]
"""Takes the lines of one link; raises `ValueError` for one that makes no sense from this program: its link ends."""

Greeted = Callable[[wire.Hello, Link], Taker | None]
"""Called with each hello: who takes the link's lines, or None when nobody does."""


class ProgramLinks:
    """The listening socket. Links are tasks of the given group."""

    def __init__(self, group: asyncio.TaskGroup, greeted: Greeted, ended: Callable[[Link], None]) -> None:
        self._group = group
        self._greeted = greeted
        self._ended = ended
        self._links = 0
        self._server: asyncio.Server | None = None
        self._path: Path | None = None

    async def listen(self, path: Path) -> None:
        """Bind the socket; only its owner may dial. One that a dead agent left is replaced: the caller holds the lock."""
        listening = _bound(path)
        try:
            self._server = await asyncio.start_unix_server(
                self._connected, sock=listening, limit=wire.LINE_BYTES_MAX, backlog=512
            )
        except BaseException:
            listening.close()
            raise
        self._path = path

    async def close(self) -> None:
        """Take no more links; those that are end with their tasks."""
        if self._server is not None:
            self._server.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._group.create_task(self._serve(reader, writer))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pid, uid = _peer(writer)
        link = Link(reader, writer, pid)
        self._links += 1
        try:
            if uid not in (0, os.getuid()):
                link.drop(f"it runs as user {uid}")
            elif self._links > LINKS_MAX:
                link.drop("too many links")
            else:
                await self._talk(link)
        finally:
            self._links -= 1
            await link.close()

    async def _talk(self, link: Link) -> None:
        hello = await _hello(link)
        if hello is None:
            return
        take = self._greeted(hello, link)
        if take is None:
            return
        try:
            async for message in link.lines():
                take(message)
        except ValueError as error:
            link.drop(str(error))
        finally:
            self._ended(link)


async def _hello(link: Link) -> wire.Hello | None:
    try:
        async with asyncio.timeout(HELLO_S):
            line = await link.read_line()
        if line is None:
            return None
        hello = wire.decode_hello(line)
    except TimeoutError:
        link.drop(f"it said nothing for {HELLO_S:.0f} s")
        return None
    except wire.BadLine as error:
        link.drop(f"its hello is not understood: {error}")
        return None
    if hello.wire != wire.WIRE_VERSION:
        link.drop(f"it speaks wire version {hello.wire}, this agent {wire.WIRE_VERSION}")
        return None
    return hello


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
