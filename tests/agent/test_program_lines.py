"""The spellings of `crates/shorthorn-wire/src/agent.rs`: a change on either side has to show here."""

import json

import msgspec
import pytest

from shorthorn.links import program_lines as wire

DOCUMENT = wire.Document(era=0, version=7, m=1, size=4096, chain=("l-1",), head="l-1", body="{}")


@pytest.mark.parametrize(
    ("line", "meaning"),
    [
        (
            '{"program":"engine","wire":1,"volume":"v","epoch":3,"engine":"e","pid":9}',
            wire.EngineHello(wire=1, volume="v", epoch=3, engine="e", pid=9),
        ),
        (
            '{"program":"replica","wire":1,"disk":"d","address":"127.0.0.1:5","pid":9}',
            wire.ReplicaHello(wire=1, disk="d", address="127.0.0.1:5", pid=9),
        ),
    ],
)
def test_hellos(line: str, meaning: wire.Hello) -> None:
    assert wire.decode_hello(line.encode()) == meaning


@pytest.mark.parametrize(
    ("line", "meaning"),
    [
        (
            '{"type":"ask","id":1,"ask":{"event":"session_opened","epoch":3,"members":["r"],"broken":true,"endpoint":"nbd+unix:///v?socket=/s"}}',
            wire.Ask(
                id=1,
                ask=wire.AskOpened(epoch=3, members=("r",), broken=True, endpoint="nbd+unix:///v?socket=/s"),
            ),
        ),
        (
            '{"type":"ask","id":2,"ask":{"event":"replica_lost","epoch":3,"replica":"r","attempt":1,"witness":"s","why":"late"}}',
            wire.Ask(id=2, ask=wire.AskLost(epoch=3, replica="r", attempt=1, witness="s", why="late")),
        ),
        (
            '{"type":"ask","id":3,"ask":{"event":"session_closed","epoch":3,"clean":true,"why":""}}',
            wire.Ask(id=3, ask=wire.AskClosed(epoch=3, clean=True, why="")),
        ),
        (
            '{"type":"status","phase":"equalising","waits_for":null,"needed":["r"],"clients":2}',
            wire.Status(phase=wire.Phase.EQUALISING, needed=("r",), clients=2),
        ),
        (
            '{"type":"task","task":"t","done":1,"total":2,"state":{"state":"ready","sealed":["r"]}}',
            wire.TaskReport(task="t", done=1, total=2, state=wire.TaskReady(sealed=("r",))),
        ),
        (
            '{"type":"task","task":"t","done":1,"total":2,"state":{"state":"running"}}',
            wire.TaskReport(task="t", done=1, total=2, state=wire.TaskRunning()),
        ),
        (
            '{"type":"result","id":4,"error":null,"replicas":[{"replica":"r","volume":"v","empty":false,"document_version":7,"used":8192,"open":true,"damaged":null,"standing":{"sealed_before":[2,1],"sealed":[3,1],"role":"member","m":1,"synced_through":null,"torn":true,"failed":null,"boot":"b","marks":[{"first":0,"count":1}]}}]}',
            wire.Result(
                id=4,
                replicas=(
                    wire.Held(
                        replica="r",
                        volume="v",
                        empty=False,
                        document_version=7,
                        used=8192,
                        open=True,
                        standing=wire.Standing(sealed=(3, 1), m=1, torn=True, role=wire.Role.MEMBER),
                    ),
                ),
            ),
        ),
    ],
)
def test_lines_of_programs(line: str, meaning: wire.FromProgram) -> None:
    assert wire.decode(line.encode()) == meaning


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"null",
        b'{"type":"stop"}',
        b'{"type":"status","phase":"resting"}',
        b'{"type":"result","id":-1}',
        b'{"type":"result","id":18446744073709551616}',
        b'{"type":"task","task":"t","done":"1","total":2,"state":{"state":"running"}}',
        b'{"type":"status","phase":"serving","waits_for":"\xff"}',
        b'{"program":"replica","wire":1,"disk":"\xff","address":"","pid":1}',
        b"[" * 100_000,
    ],
)
def test_other_lines_are_refused(line: bytes) -> None:
    with pytest.raises(wire.BadLine):
        wire.decode(line)
    with pytest.raises(wire.BadLine):
        wire.decode_hello(line)


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (wire.Close(), {"type": "close"}),
        (wire.Stop(), {"type": "stop"}),
        (wire.Leave(replica="r"), {"type": "leave", "replica": "r"}),
        (wire.List(id=1), {"type": "list", "id": 1}),
        (wire.CancelTask(task="t"), {"type": "cancel_task", "task": "t"}),
        (
            wire.Answer(id=1, answer=wire.Refused(why="no")),
            {"type": "answer", "id": 1, "answer": {"outcome": "refused", "why": "no"}},
        ),
        (
            wire.TaskCommitted(task="t", document=DOCUMENT),
            {
                "type": "task_committed",
                "task": "t",
                "document": {
                    "era": 0,
                    "version": 7,
                    "m": 1,
                    "size": 4096,
                    "chain": ["l-1"],
                    "head": "l-1",
                    "body": "{}",
                },
            },
        ),
    ],
)
def test_lines_to_programs(message: wire.ToProgram, line: object) -> None:
    encoded = wire.encode(message)
    assert encoded.endswith(b"\n")
    assert json.loads(encoded) == line


def test_the_two_kinds_of_work() -> None:
    assert json.loads(msgspec.json.encode(wire.SettleWork())) == {"kind": "settle"}
    move = {"kind": "move", "source": "r", "target": "s"}
    assert json.loads(msgspec.json.encode(wire.MoveWork(source="r", target="s"))) == move
