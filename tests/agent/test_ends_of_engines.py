"""Ends that come at an awkward moment: while an engine is being started, while its process is not known, after a pause."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shorthorn.agent.engines import Engines
from shorthorn.agent.node_folder import NodeFolder
from shorthorn.core.model.ids import Epoch
from shorthorn.core.model.order import CloseEngine, Order
from shorthorn.core.model.sighting import EngineState
from shorthorn.links.local_files import LocalFiles
from tests.agent import agent_process, records
from tests.agent.bench import (
    engine,
    engine_folder,
    in_state,
    listed,
    node_folder,
    programs,
    running,
    starts,
)
from tests.agent.fake_server import FakeServer

CLOSE_1 = CloseEngine(volume=records.VOLUME, epoch=Epoch(1))


@pytest.mark.parametrize("end", [CLOSE_1, records.run_engine(2, held_since=1)], ids=["close", "newer epoch"])
async def test_an_engine_whose_end_is_ordered_while_it_is_being_started_never_runs(
    server: FakeServer, data: Path, monkeypatch: pytest.MonkeyPatch, end: Order
) -> None:
    go_on = threading.Event()
    make_engine = NodeFolder.make_engine

    def slow(*arguments: Any) -> None:
        if arguments[2] == 1:
            assert go_on.wait(15)
        make_engine(*arguments)

    monkeypatch.setattr(NodeFolder, "make_engine", slow)
    try:
        async with running(server, data):
            await server.until(listed)
            await server.order(records.run_engine(1))
            await server.until(in_state(1, EngineState.STARTING))
            rounds = _count_ends(monkeypatch)
            await server.order(end)
            await server.heard(lambda: len(server.beats) >= 2)  # it has had the order for a while
            assert len(rounds) <= 2, "what can't be done yet is not tried in a loop"
            go_on.set()
            if end is CLOSE_1:
                seen = await server.until(in_state(1, EngineState.ENDED))
                ended = engine(seen, 1)
                assert ended is not None
                assert "not started" in ended.evidence
            else:
                await server.until(in_state(2, EngineState.SERVING))
            assert starts(engine_folder(data, 1)) == []
    finally:
        go_on.set()


async def test_an_engine_whose_process_is_not_known_is_looked_for_and_ended(
    server: FakeServer, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shorthorn.agent.engines.RETRY_S", 0.2)
    async with running(server, data):
        await server.until(listed)
        (node_folder(data) / "engines" / "mute").touch()
        await server.order(records.run_engine(1))
        async with asyncio.timeout(15):
            while not starts(engine_folder(data, 1)):
                await asyncio.sleep(0.01)
        (pid,) = starts(engine_folder(data, 1))
        (node_folder(data) / "engines" / "mute").unlink()
    server.sightings.clear()
    with monkeypatch.context() as hidden:
        hidden.setattr(LocalFiles, "who_holds", lambda files, paths: {})
        async with running(server, data):
            await server.until(lambda seen: "not known" in str(engine(seen, 1)))
            tried = _count_ends(hidden)
            began_s = time.monotonic()
            await server.order(records.run_engine(2, held_since=1))
            await server.heard(lambda: len(tried) >= 3)
            await server.heard(lambda: len(server.beats) >= 2)
            assert len(tried) <= (time.monotonic() - began_s) / 0.2 + 2
            assert engine_folder(data, 1).exists()
            assert starts(engine_folder(data, 2)) == [], "not while the older one may live"
    server.sightings.clear()
    async with running(server, data):
        await server.until(in_state(2, EngineState.SERVING))
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def _count_ends(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Each try to end an engine by signals."""
    tries: list[str] = []
    end = Engines.end

    def counted(engines: Engines, *arguments: Any) -> None:
        tries.append("end")
        end(engines, *arguments)

    monkeypatch.setattr(Engines, "end", counted)
    return tries


@contextlib.contextmanager
def _agent_process(server: FakeServer, data: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, str(Path(agent_process.__file__)), server.url, str(data)]
    with (data / "agent.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait(15)


async def test_an_agent_that_stood_still_takes_no_order_that_waited_meanwhile(
    server: FakeServer, data: Path
) -> None:
    """While it was stopped, session 1 was ordered, fenced and followed by session 2; its stream holds the first order only."""
    with _agent_process(server, data) as process:
        await server.until(listed)
        process.send_signal(signal.SIGSTOP)
        await server.order(records.run_engine(1))
        await asyncio.sleep(agent_process.SILENCE_S + 0.5)  # the pause that this test is about
        server.cut()
        await server.order(records.run_engine(2))
        process.send_signal(signal.SIGCONT)
        await server.until(in_state(2, EngineState.SERVING))
        assert not engine_folder(data, 1).exists()
        assert len(programs(data)) == 2
        await server.order(records.run_engine(1))
        seen = await server.until(in_state(1, EngineState.ENDED))
        ended = engine(seen, 1)
        assert ended is not None
        assert "never started" in ended.evidence
