"""The agent with real processes, sockets and locks: programs and server are small fakes that speak the real languages."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
from pathlib import Path

import pytest

from shorthorn.agent import DiskOption, Programs, stop_programs
from shorthorn.core.lifecycle.events import SessionClosed, SessionOpened
from shorthorn.core.model.ids import ClusterUid, Epoch, NodeName
from shorthorn.core.model.order import CloseEngine, DeleteReplica, ProbeReplica
from shorthorn.core.model.sighting import EngineState, TaskState
from shorthorn.errors import Damaged, Invalid, NotNow
from shorthorn.links.local_files import LocalFiles
from shorthorn.links.local_processes import LocalProcesses
from shorthorn.links.messages import EngineAnswer, EngineOutcome
from tests.agent import records
from tests.agent.bench import (
    BOUND_S,
    PROGRAMS,
    commit,
    disk_folder,
    engine,
    engine_folder,
    in_state,
    listed,
    node_folder,
    noted,
    notes,
    options,
    programs,
    run,
    running,
    serving,
    starts,
    without_free,
)
from tests.agent.fake_server import FakeServer

# Disks and replicas.


async def test_a_new_node_registers_its_disk_and_runs_a_replica_program(
    server: FakeServer, data: Path
) -> None:
    async with running(server, data, labels=(("zone", "a"),)):
        seen = await server.until(listed)
    (registration,) = server.registrations
    assert registration.machine_id == "m"
    assert registration.labels == (("zone", "a"),)
    (disk,) = registration.disks
    assert disk.size > 0
    assert seen.disks[0].uid == disk.uid
    assert seen.disks[0].address.startswith("127.0.0.1:")
    assert (node_folder(data).stat().st_mode & 0o777) == 0o700


async def test_replicas_are_made_probed_and_deleted_on_order(server: FakeServer, data: Path) -> None:
    async with running(server, data):
        disk = (await server.until(listed)).disks[0].uid
        await server.order(records.create(disk))
        made = await server.until(lambda seen: bool(seen.disks[0].replicas))
        (replica,) = made.disks[0].replicas
        assert (replica.replica, replica.volume, replica.attempt, replica.empty) == ("r-1", "v-1", 1, True)
        assert replica.document_version == 7
        await server.order(records.create(disk), ProbeReplica(disk=disk, replica=records.R1, drop="drop-1"))
        await server.until(lambda seen: seen.disks[0].replicas[0].probe == "drop-1")
        gone = DeleteReplica(disk=disk, replica=records.R1, volume=records.VOLUME, era=0, version=9)
        await server.order(gone)
        await server.until(lambda seen: listed(seen) and not seen.disks[0].replicas)
    assert [n for n in notes(disk_folder(data)) if "r-1" in n] == ["create r-1", "probe r-1", "delete r-1"]


async def test_an_order_that_failed_is_reported_and_tried_again(
    server: FakeServer, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shorthorn.agent.disks.RETRY_S", 0.05)
    async with running(server, data):
        disk = (await server.until(listed)).disks[0].uid
        (disk_folder(data) / "full").touch()
        await server.order(records.create(disk))
        seen = await server.until(lambda seen: "no space left" in seen.disks[0].trouble)
        assert not seen.disks[0].replicas
        (disk_folder(data) / "full").unlink()
        seen = await server.until(lambda seen: bool(seen.disks[0].replicas))
        assert seen.disks[0].trouble == ""


async def test_a_replica_program_that_dies_is_started_again(server: FakeServer, data: Path) -> None:
    async with running(server, data):
        first = (await server.until(listed)).disks[0].address
        os.kill(starts(disk_folder(data))[0], signal.SIGKILL)
        await server.until(lambda seen: "ended (signal 9)" in seen.disks[0].trouble)
        seen = await server.until(lambda seen: listed(seen) and seen.disks[0].address not in ("", first))
        assert seen.disks[0].trouble == ""


async def test_a_restarted_agent_finds_the_programs_running(server: FakeServer, data: Path) -> None:
    async with running(server, data):
        disk = (await server.until(listed)).disks[0].uid
        await server.order(records.create(disk), records.run_engine(1))
        await server.until(in_state(1, EngineState.SERVING))
    before = programs(data)
    assert len(before) == 2
    server.sightings.clear()
    async with running(server, data):
        seen = await server.until(lambda s: listed(s) and in_state(1, EngineState.SERVING)(s))
    assert programs(data) == before
    assert seen.disks[0].replicas[0].replica == "r-1"
    assert len(starts(disk_folder(data))) == 1
    assert len(starts(engine_folder(data, 1))) == 1


async def test_a_new_boot_id_ends_what_runs_as_a_reboot_would(server: FakeServer, data: Path) -> None:
    async with running(server, data):
        await server.until(listed)
        await serving(server, 1)
    before = set(programs(data).values())
    server.sightings.clear()
    async with running(server, data, boot_id="b2"):
        seen = await server.until(lambda s: listed(s) and in_state(1, EngineState.ENDED)(s))
        assert seen.boot_id == "b2"
        assert not before & set(programs(data).values())
    assert notes(disk_folder(data))[-2].endswith(" b2") or notes(disk_folder(data))[-1].endswith(" b2")


# Engines.


async def test_an_engine_is_started_asks_and_is_answered(server: FakeServer, data: Path) -> None:
    async with running(server, data):
        await serving(server, 1)
        order = json.loads((engine_folder(data, 1) / "order.json").read_text())
    (event,) = server.events
    assert event.volume == "v-1"
    assert isinstance(event.event, SessionOpened)
    assert event.event.members == ("r-1", "r-2")
    assert order["endpoint"] == str(node_folder(data).resolve() / "nbd" / "v-1.1.sock")
    assert order["close_ms"] == 500
    assert order["targets"][0] == {
        "replica": "r-1",
        "node": "n1",
        "address": "127.0.0.1:9",
        "attempt": 1,
        "in_sync": True,
        "stored_m": 0,
        "local": True,
    }
    assert json.loads(order["document"]["body"])["uid"] == "v-1"


async def test_an_engine_hears_new_addresses_and_leaves_once(server: FakeServer, data: Path) -> None:
    async with running(server, data):
        await serving(server, 1)
        for _ in range(2):
            await server.order(
                records.run_engine(1, peers=records.peers("127.0.0.1:77"), leave=(records.R2,)),
            )
        await noted(engine_folder(data, 1), "leave r-2")
        await noted(engine_folder(data, 1), "targets 127.0.0.1:77 127.0.0.1:10")
        await server.order(records.run_engine(1, peers=records.peers("127.0.0.1:78"), leave=(records.R2,)))
        await noted(engine_folder(data, 1), "targets 127.0.0.1:78 127.0.0.1:10")
    assert notes(engine_folder(data, 1)).count("leave r-2") == 1
    assert notes(engine_folder(data, 1)).count("targets 127.0.0.1:77 127.0.0.1:10") == 1


async def test_a_dead_engine_is_confirmed_and_never_started_again(server: FakeServer, data: Path) -> None:
    async with running(server, data):
        await serving(server, 1)
        endpoint = node_folder(data) / "nbd" / "v-1.1.sock"
        assert endpoint.exists()
        os.kill(starts(engine_folder(data, 1))[0], signal.SIGKILL)
        seen = await server.until(in_state(1, EngineState.ENDED))
        ended = engine(seen, 1)
        assert ended is not None
        assert "signal 9" in ended.evidence
        assert "lock was taken over" in ended.evidence
        assert not endpoint.exists()
        assert not (engine_folder(data, 1) / "order.json").exists()  # for a program that comes late
    server.sightings.clear()
    async with running(server, data):  # it still has the order to run epoch 1
        await server.until(in_state(1, EngineState.ENDED))
    assert len(starts(engine_folder(data, 1))) == 1


async def test_a_late_order_for_a_forgotten_epoch_is_refused(server: FakeServer, data: Path) -> None:
    """B2: the record was told of the end; a start order that comes after it must not run."""
    async with running(server, data):
        await serving(server, 1)
        os.kill(starts(engine_folder(data, 1))[0], signal.SIGKILL)
        await server.until(in_state(1, EngineState.ENDED))
        await server.order()
        await server.until(lambda seen: not seen.engines)
        assert not engine_folder(data, 1).exists()
        await server.order(records.run_engine(1))
        seen = await server.until(in_state(1, EngineState.ENDED))
        assert not engine_folder(data, 1).exists()
        ended = engine(seen, 1)
        assert ended is not None
        assert "never started" in ended.evidence
    server.sightings.clear()
    async with running(server, data):
        await server.until(in_state(1, EngineState.ENDED))
        assert not engine_folder(data, 1).exists()
        assert len(programs(data)) == 1  # the replica program


async def test_a_close_before_the_start_refuses_the_epoch_durably(server: FakeServer, data: Path) -> None:
    async with running(server, data):
        await server.until(listed)
        await server.order(CloseEngine(volume=records.VOLUME, epoch=Epoch(3)))
        await server.until(in_state(3, EngineState.ENDED))
    server.sightings.clear()
    await server.order(records.run_engine(3))
    async with running(server, data):
        await server.until(in_state(3, EngineState.ENDED))
    assert not engine_folder(data, 3).exists()


async def test_an_engine_closes_on_order_by_its_own_word(server: FakeServer, data: Path) -> None:
    async with running(server, data):
        await serving(server, 1)
        await server.order(CloseEngine(volume=records.VOLUME, epoch=Epoch(1)))
        seen = await server.until(in_state(1, EngineState.ENDED))
        ended = engine(seen, 1)
        assert ended is not None
        assert "exit 0" in ended.evidence
    closed = server.events[-1].event
    assert isinstance(closed, SessionClosed)
    assert closed.clean


async def test_an_engine_that_hangs_in_its_close_is_killed(
    server: FakeServer, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shorthorn.agent.engines.CLOSE_SLACK_S", 0.1)
    monkeypatch.setattr("shorthorn.agent.engines.TERM_S", 0.1)
    async with running(server, data):
        await server.until(listed)
        (node_folder(data) / "engines" / "hang").touch()
        await serving(server, 1)
        await server.order(CloseEngine(volume=records.VOLUME, epoch=Epoch(1)))
        seen = await server.until(in_state(1, EngineState.ENDED))
        ended = engine(seen, 1)
        assert ended is not None
        assert "signal 9" in ended.evidence


async def test_a_newer_epoch_starts_only_after_the_older_engine_ended(server: FakeServer, data: Path) -> None:
    async with running(server, data):
        await serving(server, 1)
        old = starts(engine_folder(data, 1))[0]
        await server.order(records.run_engine(2, held_since=1))
        await server.until(in_state(2, EngineState.SERVING))
        with pytest.raises(ProcessLookupError):
            os.kill(old, 0)
        order = json.loads((engine_folder(data, 2) / "order.json").read_text())
        assert order["endpoint"].endswith("v-1.1.sock")  # the hold goes on at its path
        assert (node_folder(data) / "nbd" / "v-1.1.sock").exists()
        await server.until(lambda seen: engine(seen, 1) is None)
        assert (node_folder(data) / "nbd" / "v-1.1.sock").exists()


async def test_an_engine_that_ends_at_once_says_why(server: FakeServer, data: Path) -> None:
    async with running(server, data):
        await server.until(listed)
        (node_folder(data) / "engines" / "fail").touch()
        await server.order(records.run_engine(1))
        seen = await server.until(in_state(1, EngineState.ENDED))
        ended = engine(seen, 1)
        assert ended is not None
        assert "exit 4" in ended.evidence
        assert "the fake engine fails" in ended.evidence


async def test_a_missing_program_uses_up_no_epoch(server: FakeServer, data: Path) -> None:
    missing = Programs(engine=("/nonexistent/engine",), replica=PROGRAMS.replica)
    async with running(server, data, programs=missing):
        await server.order(records.run_engine(1))
        seen = await server.until(in_state(1, EngineState.STARTING))
        starting = engine(seen, 1)
        assert starting is not None
        assert "missing" in starting.waits_for
    assert not engine_folder(data, 1).exists()
    server.sightings.clear()
    async with running(server, data):
        await server.until(in_state(1, EngineState.SERVING))


async def test_a_start_that_can_not_be_written_down_is_made_later(
    server: FakeServer, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No room for the order file: nothing was started, so no end may be told (B2)."""
    monkeypatch.setattr("shorthorn.agent.engines.RETRY_S", 0.05)
    async with running(server, data):
        await server.until(listed)
        blocked = node_folder(data) / "engines" / "v-1.last.new"
        blocked.mkdir()  # what writes there fails
        await server.order(records.run_engine(1))
        seen = await server.until(lambda seen: (e := engine(seen, 1)) is not None and e.waits_for != "")
        starting = engine(seen, 1)
        assert starting is not None
        assert starting.state is EngineState.STARTING
        assert "its order to be written" in starting.waits_for
        blocked.rmdir()
        await server.until(in_state(1, EngineState.SERVING))
    assert not any(in_state(1, EngineState.ENDED)(seen) for seen in server.sightings)


async def test_an_ask_waits_while_the_server_is_away(data: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        async with FakeServer() as server:
            server.answer = lambda event: EngineAnswer(outcome=EngineOutcome.UNKNOWN, why="the store is slow")
            await stack.enter_async_context(running(server, data))
            await server.order(records.run_engine(1))
            await server.heard(lambda: len(server.events) >= 2)
            assert not any(note.startswith("answer") for note in notes(engine_folder(data, 1)))
        async with FakeServer(port=server.port) as server:
            server.answer = commit
            await server.order(records.run_engine(1))
            await server.until(in_state(1, EngineState.SERVING))
            await stack.aclose()
    assert notes(engine_folder(data, 1)).count("answer committed") == 1


async def test_a_refused_engine_ends(server: FakeServer, data: Path) -> None:
    server.answer = lambda event: EngineAnswer(outcome=EngineOutcome.REFUSED, why="session 1 is over")
    async with running(server, data):
        await server.order(records.run_engine(1))
        seen = await server.until(in_state(1, EngineState.ENDED))
        ended = engine(seen, 1)
        assert ended is not None
        assert "session 1 is over" in ended.evidence


# Tasks.


async def test_a_task_is_done_committed_and_forgotten(server: FakeServer, data: Path) -> None:
    async with running(server, data):
        disk = (await server.until(listed)).disks[0].uid
        await server.order(records.settle(disk))
        seen = await server.until(lambda s: any(t.state is TaskState.READY for t in s.tasks))
        assert seen.tasks[0].sealed == ("r-1",)
        await server.order(records.settle(disk, committed=True))
        await server.until(lambda s: any(t.state is TaskState.FINISHED for t in s.tasks))
        await server.order()
        await server.until(lambda s: not s.tasks)
        await noted(disk_folder(data), "cancel_task t-1")
    told = [n.split()[0] for n in notes(disk_folder(data)) if n.split()[0] in ("copy", "task_committed")]
    assert told == ["copy", "task_committed"]


async def test_a_restarted_program_is_told_its_task_again(server: FakeServer, data: Path) -> None:
    async with running(server, data):
        disk = (await server.until(listed)).disks[0].uid
        await server.order(records.settle(disk))
        await server.until(lambda s: any(t.state is TaskState.READY for t in s.tasks))
        await server.order(records.settle(disk, committed=True))
        await server.until(lambda s: any(t.state is TaskState.FINISHED for t in s.tasks))
        os.kill(starts(disk_folder(data))[0], signal.SIGKILL)
        await server.until(lambda s: not listed(s))
        await server.until(lambda s: listed(s) and any(t.state is TaskState.FINISHED for t in s.tasks))
    assert notes(disk_folder(data)).count("task_committed t-1") == 2


# Reports.


async def test_an_idle_agent_only_beats(server: FakeServer, data: Path) -> None:
    async with running(server, data):
        await server.until(listed)
        rested = server.seen
        await server.heard(lambda: len(server.beats) >= 2)
        assert server.beats[-1].sequence == server.seen.sequence
        assert without_free(server.seen) == without_free(rested)  # others use the file system, too


async def test_a_server_that_forgot_is_told_everything(server: FakeServer, data: Path) -> None:
    async with running(server, data):
        before = await server.until(listed)
        server.sightings.clear()
        seen = await server.until(listed)
        assert seen.sequence > before.sequence


async def test_an_agent_that_the_server_does_not_know_registers_again(server: FakeServer, data: Path) -> None:
    async with running(server, data):
        await server.until(listed)
        server.sightings.clear()
        server.registrations.clear()
        server.unknown = True
        await server.until(listed)
    assert len(server.registrations) == 1


async def test_what_a_program_lists_unasked_is_reported(server: FakeServer, data: Path) -> None:
    async with running(server, data):
        disk = (await server.until(listed)).disks[0].uid
        await server.order(records.create(disk))
        await server.until(lambda seen: bool(seen.disks[0].replicas))
        await server.order(
            records.create(disk), records.settle(disk)
        )  # its fake seals without a word of the agent
        seen = await server.until(lambda seen: seen.disks[0].replicas[0].sealed == (4, 1))
        assert not seen.disks[0].replicas[0].empty


async def test_a_program_is_not_started_on_another_disk(server: FakeServer, data: Path) -> None:
    async with running(server, data):
        await server.until(listed)
        (disk_folder(data) / "disk.json").unlink()
        os.kill(starts(disk_folder(data))[0], signal.SIGKILL)
        seen = await server.until(lambda seen: "is it mounted" in seen.disks[0].trouble)
        assert not seen.disks[0].complete
    assert len(starts(disk_folder(data))) == 1


# Hostile and odd.


@pytest.mark.parametrize(
    "content",
    [
        b"\x00\xff garbage\n",
        b"{}\n",
        b'{"program":"replica","wire":99,"disk":"d","address":"x","pid":1}\n',
        b'{"program":"replica","wire":1,"disk":"no-such","address":"x","pid":1}\n',
        b'{"program":"engine","wire":1,"volume":"v-1","epoch":1,"engine":"e","pid":1}\n',
        b'{"program":"engine","wire":1,"volume":"v-9","epoch":9,"engine":"e","pid":1}\n',
        b'{"program":"replica","wire":1,"disk":"\xff","address":"x","pid":1}\n',
        b"[" * 100_000 + b"\n",
        b"x" * (5 << 20),
    ],
    ids=["garbage", "empty", "wire", "disk", "not-the-process", "no-engine", "not-utf-8", "deep", "long"],
)
async def test_garbage_on_the_socket_ends_that_link_only(
    server: FakeServer, data: Path, content: bytes
) -> None:
    async with running(server, data):
        await server.until(listed)
        await serving(server, 1)
        reader, writer = await asyncio.open_unix_connection(str(node_folder(data) / "agent.sock"))
        with contextlib.suppress(ConnectionError):
            writer.write(content)
            async with asyncio.timeout(BOUND_S):
                assert await reader.read() == b""
        writer.close()
        await server.order(CloseEngine(volume=records.VOLUME, epoch=Epoch(1)))
        await server.until(in_state(1, EngineState.ENDED))


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
async def test_another_user_is_not_heard(server: FakeServer, data: Path) -> None:
    async with running(server, data):
        await server.until(listed)
        path = node_folder(data) / "agent.sock"
        for part in (data, data / "nodes", node_folder(data)):
            part.chmod(0o755)  # the folder alone would keep them out
        path.chmod(0o666)
        with socket.socket(socket.AF_UNIX) as other:
            os.seteuid(65534)
            try:
                other.connect(str(path))
            finally:
                os.seteuid(0)
            other.setblocking(False)
            hello = {
                "program": "replica",
                "wire": 1,
                "disk": server.seen.disks[0].uid,
                "address": "",
                "pid": 1,
            }
            loop = asyncio.get_running_loop()
            with contextlib.suppress(ConnectionError):
                async with asyncio.timeout(5.0):  # half of what a silent one gets
                    await loop.sock_sendall(other, json.dumps(hello).encode()[:20])
                    assert await loop.sock_recv(other, 1) == b""


async def test_a_second_agent_of_a_folder_is_refused(server: FakeServer, data: Path) -> None:
    async with running(server, data):
        await server.until(listed)
        with pytest.raises(NotNow, match="already runs"):
            await run(options(server, data))
        with pytest.raises(NotNow, match="already runs"):
            await stop_programs(LocalFiles(), LocalProcesses(), node_folder(data))


async def test_a_node_of_another_cluster_is_refused(server: FakeServer, data: Path) -> None:
    async with running(server, data):
        await server.until(listed)
    async with FakeServer(ClusterUid("c-2")) as other:
        with pytest.raises(Invalid, match="belongs to cluster c-1"):
            await run(options(other, data))


async def test_a_data_folder_of_a_newer_format_is_refused(server: FakeServer, data: Path) -> None:
    async with running(server, data):
        await server.until(listed)
    for file in (disk_folder(data) / "disk.json", node_folder(data) / "node.json"):
        content = json.loads(file.read_text())
        file.write_text(json.dumps({**content, "format": 2, "new": 1}))
        with pytest.raises(Damaged, match="is of format 2"):
            await run(options(server, data))


async def test_a_disk_that_is_not_mounted_is_not_made_anew(server: FakeServer, data: Path) -> None:
    disk = data / "disk"
    disks = (DiskOption(name="big", path=disk, size=1 << 40),)
    async with running(server, data, disks=disks):
        seen = await server.until(listed)
        assert seen.disks[0].size == 1 << 40
    await stop_programs(LocalFiles(), LocalProcesses(), node_folder(data))
    shutil.move(disk, data / "elsewhere")
    disk.mkdir()
    with pytest.raises(Invalid, match="is it mounted"):
        await run(options(server, data, disks=disks))
    (disk / "disk.json").write_text('{"format":1,"uid":"d-other"}')
    with pytest.raises(Invalid, match="another disk is in its place"):
        await run(options(server, data, disks=disks))


async def test_a_data_folder_with_a_long_path_is_refused(server: FakeServer, data: Path) -> None:
    with pytest.raises(Invalid, match="too long"):
        await run(options(server, data / ("x" * 80)))


@pytest.mark.parametrize("name", ["", "N1", "../n1", "a/b", "-a"])
async def test_a_bad_node_name_is_refused(server: FakeServer, data: Path, name: str) -> None:
    with pytest.raises(Invalid, match="bad node name"):
        await run(options(server, data, node=NodeName(name)))


# Stopping.


async def test_stopping_everything_closes_sessions_then_ends_programs(server: FakeServer, data: Path) -> None:
    async with running(server, data) as agent:
        await server.until(listed)
        await serving(server, 1)
        agent.request_stop_all()
    closed = server.events[-1].event
    assert isinstance(closed, SessionClosed)
    assert closed.clean
    assert not programs(data)
    assert not (node_folder(data) / "agent.sock").exists()


async def test_programs_of_a_folder_without_an_agent_can_be_ended(server: FakeServer, data: Path) -> None:
    async with running(server, data):
        await server.until(listed)
        await serving(server, 1)
    assert len(programs(data)) == 2
    await stop_programs(LocalFiles(), LocalProcesses(), node_folder(data))
    assert not programs(data)
    server.sightings.clear()
    async with running(server, data):
        seen = await server.until(in_state(1, EngineState.ENDED))
        ended = engine(seen, 1)
        assert ended is not None
        assert "taken over" in ended.evidence
