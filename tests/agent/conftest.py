"""A data folder and a fake server for each test of a whole agent."""

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.agent.bench import commit, programs
from tests.agent.fake_server import FakeServer


@pytest.fixture
def data() -> Iterator[Path]:
    """A data folder with a short path (unix sockets); whatever still runs in it is killed in the end."""
    path = Path(tempfile.mkdtemp(prefix="sh-"))
    yield path
    for pid in programs(path).values():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    shutil.rmtree(path)


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    async with FakeServer() as server:
        server.answer = commit
        yield server
