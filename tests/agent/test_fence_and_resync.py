"""Fences and resyncs as the agent passes them on: told once a link, reported only by what still runs."""

import os
import signal
import time
from pathlib import Path

import msgspec
import pytest

from shorthorn.core.lifecycle.events import Base, ReplicaSynced
from shorthorn.core.model.ids import Attempt, DiskUid, Epoch, LayerId, ReplicaId
from shorthorn.core.model.order import CloseEngine, FenceReplica, RunEngine
from shorthorn.core.model.sighting import EngineState, NodeSighting
from shorthorn.core.model.volume import ReplicaPhase
from tests.agent import records
from tests.agent.bench import (
    disk_folder,
    engine,
    engine_folder,
    in_state,
    listed,
    noted,
    notes,
    running,
    serving,
    starts,
)
from tests.agent.fake_server import FakeServer

R3 = ReplicaId("r-3")


def fence(disk: DiskUid, epoch: int) -> FenceReplica:
    return FenceReplica(disk=disk, replica=records.R1, volume=records.volume(disk, epoch=epoch))


def fenced(seen: NodeSighting) -> int:
    return next((replica.fenced for disk in seen.disks for replica in disk.replicas), 0)


async def with_a_replica(server: FakeServer) -> DiskUid:
    disk = (await server.until(listed)).disks[0].uid
    await server.order(records.create(disk))
    await server.until(lambda seen: bool(seen.disks[0].replicas))
    return disk


def fences_told(data: Path) -> list[str]:
    return [note for note in notes(disk_folder(data)) if note.startswith("fence epoch")]


async def test_a_fence_is_reported_once_its_program_has_waited(server: FakeServer, data: Path) -> None:
    async with running(server, data):
        disk = await with_a_replica(server)
        await server.order(fence(disk, 5))
        await noted(disk_folder(data), "fence epoch 5 attempt 1 wait 2200")
        for _ in range(2):  # the order stands; it is not told again
            await server.order(fence(disk, 5))
        assert fenced(server.seen) == 0
        (disk_folder(data) / "held-long-enough").touch()
        seen = await server.until(lambda seen: fenced(seen) == 5)
        assert seen.disks[0].trouble == ""
        await server.until(lambda seen: seen.disks[0].replicas[0].sealed == (5, 1))
        assert len(fences_told(data)) == 1
        await server.order(fence(disk, 7))
        await server.until(lambda seen: fenced(seen) == 7)


async def test_a_fence_held_by_a_program_that_died_is_asked_for_again(server: FakeServer, data: Path) -> None:
    async with running(server, data):
        disk = await with_a_replica(server)
        (disk_folder(data) / "held-long-enough").touch()
        await server.order(fence(disk, 5))
        await server.until(lambda seen: fenced(seen) == 5)
        (disk_folder(data) / "held-long-enough").unlink()
        os.kill(starts(disk_folder(data))[0], signal.SIGKILL)
        await server.until(lambda seen: listed(seen) and len(starts(disk_folder(data))) == 2)
        await server.heard(lambda: len(fences_told(data)) == 2)
        seen = await server.until(lambda seen: listed(seen) and bool(seen.disks[0].replicas))
        assert fenced(seen) == 0, "this program has not waited yet"
        (disk_folder(data) / "held-long-enough").touch()
        await server.until(lambda seen: fenced(seen) == 5)


async def test_a_restarted_agent_asks_for_the_fence_again(server: FakeServer, data: Path) -> None:
    async with running(server, data):
        disk = await with_a_replica(server)
        (disk_folder(data) / "held-long-enough").touch()
        await server.order(fence(disk, 5))
        await server.until(lambda seen: fenced(seen) == 5)
    server.sightings.clear()
    async with running(server, data):
        await server.until(lambda seen: fenced(seen) == 5)
    assert len(fences_told(data)) == 2


async def test_a_fence_that_failed_is_reported_and_tried_again(
    server: FakeServer, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shorthorn.agent.disks.RETRY_S", 0.05)
    async with running(server, data):
        disk = await with_a_replica(server)
        for name in ("unfit", "held-long-enough"):
            (disk_folder(data) / name).touch()
        await server.order(fence(disk, 5))
        seen = await server.until(lambda seen: "sealed by a newer epoch" in seen.disks[0].trouble)
        assert fenced(seen) == 0
        (disk_folder(data) / "unfit").unlink()
        await server.until(lambda seen: fenced(seen) == 5 and seen.disks[0].trouble == "")


async def test_a_program_that_does_not_answer_is_told_of_and_waited_for(
    server: FakeServer, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(server, data):
        disk = await with_a_replica(server)
        monkeypatch.setattr("shorthorn.agent.disks.ANSWER_S", 0.1)
        began_s = time.monotonic()
        await server.order(fence(disk, 5))
        await server.until(lambda seen: "fence r-1" in seen.disks[0].trouble)
        assert time.monotonic() - began_s > 2.2, "a fence takes its time"
        (disk_folder(data) / "held-long-enough").touch()
        await server.until(lambda seen: fenced(seen) == 5 and seen.disks[0].trouble == "")


# Resync.


def with_a_new_replica(attempt: int) -> RunEngine:
    """The record has placed a third replica since the engine was started, or given it another attempt."""
    order = records.run_engine(1)
    new = msgspec.structs.replace(
        order.volume.replicas[1], id=R3, phase=ReplicaPhase.SYNCING, attempt=Attempt(attempt)
    )
    volume = msgspec.structs.replace(order.volume, replicas=(*order.volume.replicas, new))
    peer = msgspec.structs.replace(order.peers[1], replica=R3, address="127.0.0.1:11")
    return RunEngine(volume=volume, peers=(*order.peers, peer))


async def test_an_engine_hears_of_a_new_replica_and_of_its_next_attempt(
    server: FakeServer, data: Path
) -> None:
    told = "targets 127.0.0.1:9 127.0.0.1:10 127.0.0.1:11"
    async with running(server, data):
        await serving(server, 1)
        await server.order(with_a_new_replica(1))
        await noted(engine_folder(data, 1), told)
        seen = await server.until(lambda seen: (e := engine(seen, 1)) is not None and bool(e.resyncs))
        (resync,) = engine(seen, 1).resyncs  # type: ignore[union-attr]
        assert (resync.replica, resync.attempt, resync.done, resync.total) == (R3, 1, 512, 1024)
        assert resync.waits_for == "foreground I/O"
        await server.order(with_a_new_replica(2))
        await server.until(lambda seen: (e := engine(seen, 1)) is not None and e.resyncs[0].attempt == 2)
        await server.order(records.run_engine(1))  # given up
        await noted(engine_folder(data, 1), "targets 127.0.0.1:9 127.0.0.1:10")
    assert notes(engine_folder(data, 1)).count(told) == 2


async def test_the_end_of_a_resync_is_asked_for(server: FakeServer, data: Path) -> None:
    async with running(server, data):
        await serving(server, 1)
        await server.order(with_a_new_replica(3))
        await server.heard(lambda: isinstance(server.events[-1].event, ReplicaSynced))
        assert server.events[-1].volume == records.VOLUME
        assert server.events[-1].event == ReplicaSynced(
            epoch=Epoch(1),
            replica=R3,
            attempt=Attempt(3),
            base=Base(chain=(LayerId("l-1"),), size=1 << 30),
        )
        await server.until(lambda seen: notes(engine_folder(data, 1)).count("answer committed") == 2)
        os.kill(starts(engine_folder(data, 1))[0], signal.SIGKILL)
        seen = await server.until(in_state(1, EngineState.ENDED))
        assert engine(seen, 1).resyncs == ()  # type: ignore[union-attr]
        await server.order(CloseEngine(volume=records.VOLUME, epoch=Epoch(1)))
