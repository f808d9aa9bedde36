"""The boundary itself: typed errors, opaque messages, hostile bytes, patterns, versions."""

import contextlib
import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shorthorn.links import program_lines as lines
from shorthorn.native import _native as native
from tests.native.record import Record
from tests.native.world import SIZE, World

ROOT = Path(__file__).parents[2]


def order(**changes: object) -> bytes:
    made = Record(SIZE, [True, True]).session_order(0)
    return msgspec.json.encode(msgspec.structs.replace(made, **changes))


def document(**changes: object) -> bytes:
    return msgspec.json.encode(msgspec.structs.replace(Record(SIZE, [True]).document(), **changes))


IDENTITY = b'{"cluster": "c", "volume": "v", "replica": "r0", "disk": "d0", "era": 1}'


def files(sim: native.SimDisk, root: str = "/r0", **changes: object) -> native.ReplicaFiles:
    return native.ReplicaFiles.create(
        sim, root, identity=IDENTITY, attempt=1, document=document(**changes), boot="boot-1"
    )


def test_the_versions_are_those_of_the_project() -> None:
    version, wire, disk = native.versions()
    stated = re.search(r'^version = "(.+)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)
    assert stated is not None
    assert version == stated[1]
    assert wire == lines.WIRE_VERSION
    assert disk == 1


def test_events_and_effects_are_matched_by_place_and_read_by_name() -> None:
    match native.Dial(1, "n1:1"):
        case native.Dial(replica, address):
            assert (replica, address) == (1, "n1:1")
    made = native.ClientWrite(client=1, cookie=2, offset=4096, data=b"x", fua=True)
    assert repr(made) == "ClientWrite(client=1, cookie=2, offset=4096, data=b'x', fua=True)"
    with pytest.raises(AttributeError):
        made.offset = 0  # type: ignore[misc]


def test_a_machine_takes_only_its_own_events_of_its_own_replicas() -> None:
    engine = native.Engine(order(), "e1")
    with pytest.raises(TypeError, match="an engine takes no Cancel"):
        engine.handle(0, native.Cancel())  # type: ignore[arg-type]
    with pytest.raises(native.UnknownReplicaError, match="replica 2 of an order with 2"):
        engine.handle(0, native.Connected(2))
    with pytest.raises(native.JsonError, match="answer"):
        engine.handle(0, native.Answered(1, b"{}"))
    with pytest.raises(OverflowError):
        native.Connected(256)
    replica = native.Replica(files(native.SimDisk()))
    with pytest.raises(TypeError, match="a replica takes no Start"):
        replica.handle(native.Start())  # type: ignore[arg-type]
    assert [type(effect) for effect in engine.handle(0, native.Start())][:2] == [native.Dial] * 2


def target(name: str, **changes: object) -> lines.Target:
    made = Record(SIZE, [True]).session_order(0).targets[0]
    return msgspec.structs.replace(made, replica=name, **changes)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"targets": ()}, native.NoTargetError),
        ({"targets": (target("r0"), target("r0"))}, native.TwiceError),
        ({"targets": tuple(target(f"r{index}") for index in range(33))}, native.TooManyTargetsError),
        ({"document": Record(4095, [True]).document()}, native.SizeError),
        ({"epoch": -1}, native.JsonError),
    ],
)
def test_an_order_that_makes_no_sense_has_an_error_of_its_own(
    changes: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error) as raised:
        native.Engine(order(**changes), "e1")
    assert type(raised.value) is error


def test_a_move_needs_a_source_that_is_in_sync_and_a_target_that_is_not() -> None:
    made = Record(SIZE, [True, True]).copy_order(0, lines.MoveWork(source="r0", target="r1"))
    with pytest.raises(native.RolesError):
        native.Copier(msgspec.json.encode(made), "k1")


def test_each_error_of_the_disk_is_a_class_of_its_own() -> None:
    sim = native.SimDisk()
    with pytest.raises(native.MissingError):
        native.ReplicaFiles.open(sim, "/r0", boot="boot-1")
    made = files(sim)
    with pytest.raises(native.ExistsError):
        files(sim)
    with pytest.raises(native.InvalidError):
        files(sim, "/..")
    with pytest.raises(native.OutOfRangeError):
        made.read(SIZE, 1)
    sim.rot("/r0/document.0", 30, 1)
    with pytest.raises(native.DamagedError):
        native.ReplicaFiles.open(sim, "/r0", boot="boot-1")
    sim.set_capacity(sim.used)
    with pytest.raises(native.NoSpaceError):
        files(sim, "/r1")
    with pytest.raises(FileNotFoundError):
        sim.names("/nothing")
    sim.delete("/r0")
    assert sim.replicas("/") == []


def test_every_error_is_one_of_the_module() -> None:
    errors = [
        found for found in vars(native).values() if isinstance(found, type) and issubclass(found, Exception)
    ]
    assert len(errors) > 25
    assert all(issubclass(error, native.NativeError) and error.__doc__ for error in errors)


def messages() -> tuple[list[tuple[int, native.Request]], list[tuple[int, native.Reply]]]:
    """What is said in a session, by kind."""
    requests: dict[str, tuple[int, native.Request]] = {}
    replies: dict[str, tuple[int, native.Reply]] = {}
    sim = native.SimDisk()
    replica = native.Replica(made := files(sim))
    engine = native.Engine(order(targets=(target("r0"),)), "e1")
    events: list[object] = [native.Start()]
    now = 0
    while events:
        now += 1
        event = events.pop(0)
        if isinstance(event, native.Requested | native.Done):
            for effect in replica.handle(event):
                match effect:
                    case native.Do(token, work):
                        events.append(native.Done(token, made.carry_out(work)))
                    case native.SendReply(_, tag, reply):
                        replies.setdefault(reply.kind, (tag, reply))
                        events.append(native.Replied(0, tag, reply))
            continue
        for done in engine.handle(now, event):  # type: ignore[arg-type]
            match done:
                case native.Dial(index, _):
                    events.append(native.Connected(index))
                case native.Send(_, tag, request):
                    requests.setdefault(request.kind, (tag, request))
                    events.append(native.Requested(1, tag, request))
                case native.Ask(ask_id, _):
                    answer = lines.Committed(
                        document=msgspec.json.decode(document(m=2, version=9), type=lines.Document)
                    )
                    events.append(native.Answered(ask_id, msgspec.json.encode(answer)))
                case native.Serve():
                    events.append(native.ClientWrite(1, 1, 0, b"x" * 4096, True))
                    events.append(native.ClientRead(1, 2, 0, 4096))
                    events.append(native.ClientBlockStatus(1, 3, 0, SIZE))
                case native.ClientExtents(_, _, extents):
                    assert extents == [(4096, True), (SIZE - 4096, False)]
                    events.append(native.Close())
    return list(requests.values()), list(replies.values())


def test_messages_survive_their_frames() -> None:
    requests, replies = messages()
    assert {"hello", "seal", "open", "write", "read", "extents", "flush", "clear", "close"} <= {
        request.kind for _, request in requests
    }
    assert {reply.kind for _, reply in replies} == {"done", "standing", "data", "extents"}
    for tag, request in requests:
        frame = request.encode(tag)
        assert native.Request.decode(frame + b"rest") == (tag, request, b"rest")
        assert native.Request.decode(frame[:-1]) is None
    for tag, reply in replies:
        assert native.Reply.decode(reply.encode(tag)) == (tag, reply, b"")


REQUESTS, REPLIES = messages()


@given(st.binary(max_size=200))
def test_bytes_of_anybody_are_a_message_or_an_error_of_the_wire(data: bytes) -> None:
    for decode in (native.Request.decode, native.Reply.decode):
        # Anything else that it raises fails the test.
        with contextlib.suppress(native.WireError):
            decode(data)


@given(st.sampled_from(REQUESTS + REPLIES), st.data())
def test_a_flipped_bit_is_never_a_message(
    message: tuple[int, native.Request | native.Reply], data: st.DataObject
) -> None:
    tag, said = message
    frame = bytearray(said.encode(tag))
    at = data.draw(st.integers(0, len(frame) - 1))
    frame[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(native.WireError):
        said.decode(bytes(frame))


@given(st.lists(st.tuples(st.sampled_from(REQUESTS), st.integers(1, 3)), max_size=30))
def test_requests_in_any_order_never_break_a_replica(
    sent: list[tuple[tuple[int, native.Request], int]],
) -> None:
    made = files(native.SimDisk())
    replica = native.Replica(made)
    for (tag, request), conn in sent:
        queue: list[native.Requested | native.Done] = [native.Requested(conn, tag, request)]
        while queue:
            works = [effect for effect in replica.handle(queue.pop(0)) if isinstance(effect, native.Do)]
            queue += [native.Done(work.token, made.carry_out(work.work)) for work in works]


def test_a_replica_tells_an_agent_what_it_holds() -> None:
    world = World(seed=None)
    session = world.open(0)
    replica = world.nodes[1].replica
    assert replica is not None
    assert replica.is_open
    assert not replica.is_busy
    standing = msgspec.json.decode(replica.standing(), type=lines.Standing)
    assert standing.sealed == (session.epoch, 1)
    stored = msgspec.json.decode(replica.document(), type=lines.Document)
    assert stored == world.record.document()
    assert not replica.may_delete(1, stored.version - 1)
    assert replica.may_delete(1, stored.version)
