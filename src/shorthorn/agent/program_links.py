"""The links of the programs that dialled this agent: they say who they are, then both sides send lines.

What is not a line of the language ends its link with one line in the log and nothing else. Knows nothing of engines and
disks: whoever is greeted gets a `Link` and takes its lines.
"""

import asyncio
from collections.abc import Callable
from pathlib import PurePath
from typing import Final

from shorthorn.agent.outside import Link, ProgramSocket
from shorthorn.links import program_lines as wire

HELLO_S: Final = 10.0
"""How long a program may take to say who it is."""

LINKS_MAX: Final = 8192
"""More than any node has engines and disks."""

Taker = Callable[[wire.FromProgram], None]
"""Takes the lines of one link; raises `ValueError` for one that makes no sense from this program: its link ends."""

Greeted = Callable[[wire.Hello, Link], Taker | None]
"""Called with each hello: who takes the link's lines, or None when nobody does."""


class ProgramLinks:
    """All links of one socket. They are tasks of the given group."""

    def __init__(
        self,
        socket: ProgramSocket,
        group: asyncio.TaskGroup,
        greeted: Greeted,
        ended: Callable[[Link], None],
    ) -> None:
        self._socket = socket
        self._group = group
        self._greeted = greeted
        self._ended = ended
        self._links = 0

    async def listen(self, path: PurePath) -> None:
        """Take links from now on. Raises `OSError`."""
        await self._socket.listen(path, self._dialled)

    async def close(self) -> None:
        """Take no more links; those that are end with their tasks."""
        await self._socket.close()

    def _dialled(self, link: Link) -> None:
        self._group.create_task(self._serve(link))

    async def _serve(self, link: Link) -> None:
        self._links += 1
        try:
            if self._links > LINKS_MAX:
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
            while (message := await link.line()) is not None:
                take(message)
        except ValueError as error:
            link.drop(str(error))
        finally:
            self._ended(link)


async def _hello(link: Link) -> wire.Hello | None:
    try:
        async with asyncio.timeout(HELLO_S):
            hello = await link.hello()
    except TimeoutError:
        link.drop(f"it said nothing for {HELLO_S:.0f} s")
        return None
    except wire.BadLine as error:
        link.drop(f"its hello is not understood: {error}")
        return None
    if hello is not None and hello.wire != wire.WIRE_VERSION:
        link.drop(f"it speaks wire version {hello.wire}, this agent {wire.WIRE_VERSION}")
        return None
    return hello
