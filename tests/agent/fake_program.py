"""What both fake programs share: their lock, their link to the agent, dialled again whenever it ends.

They stand for the Rust programs where a test is about the agent: they speak the same lines, hold the same locks and keep
what they hold in one small file. They know no replication.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import sys
from pathlib import Path
from typing import Any, Protocol

REDIAL_S = 0.02


class Program(Protocol):
    """A fake program."""

    def hello(self) -> dict[str, Any]: ...

    def linked(self, say: "Say") -> None: ...

    def take(self, message: dict[str, Any], say: "Say") -> None: ...


class Say:
    """Sends lines on the present link."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    def __call__(self, message: dict[str, Any]) -> None:
        self._writer.write(json.dumps(message).encode() + b"\n")


def take_lock(path: str) -> int:
    """Hold the lock until the process ends, or end now."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"{path} is locked", file=sys.stderr)
        sys.exit(1)
    return fd


async def serve(program: Program, agent: str) -> None:
    """Dial, talk, dial again, for ever."""
    while True:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_unix_connection(agent, limit=4 << 20)
            say = Say(writer)
            say(program.hello())
            program.linked(say)
            while line := await reader.readline():
                program.take(json.loads(line), say)
            writer.close()
        await asyncio.sleep(REDIAL_S)


def note(folder: Path, words: str) -> None:
    """Write a line that the test reads: what was told, what was started."""
    with (folder / "notes").open("a") as file:
        file.write(words + "\n")
