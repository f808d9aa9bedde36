"""Garbage, truncated and oversized messages on every socket, while a client writes and reads.

The programs stay, the client notices nothing, and what is served stays right. Not a proof (the parsers have their own
tests): the real programs, all of their sockets, at once.
"""

import json
import random
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from tests.integration.volumes import Volumes, state
from tests.support.cluster import Cluster
from tests.support.crc32c import crc32c
from tests.support.nbd import OPTION_MAGIC, REQUEST_MAGIC, Recorder

GARBAGE = random.Random(1).randbytes(100_000)
SILENT = 60
"""Connections that say nothing."""


@pytest.fixture(scope="module")
def recorder(cluster: Cluster) -> Iterator[Recorder]:
    """A client that is there all the time. At the end: it was never cut, and no program ended."""
    volumes = Volumes(cluster)
    name = volumes.attached(node="n1")
    programs = cluster.pids("shorthorn-(engine|replica) |shorthorn (server|node) ")
    with volumes.recorder(name) as recorder:
        recorder.goes_on()
        yield recorder
        recorder.goes_on()
    assert recorder.reconnects == 0
    recorder.verify(recorder.path, name)
    assert cluster.pids("shorthorn-(engine|replica) |shorthorn (server|node) ") == programs
    assert state(cluster, name) == "attached healthy"
    volumes.delete()


def option(number: int, data: bytes, length: int | None = None) -> bytes:
    return struct.pack(">QII", OPTION_MAGIC, number, len(data) if length is None else length) + data


def request(command: int, offset: int, length: int, data: bytes = b"", flags: int = 0) -> bytes:
    return struct.pack(">IHHQQI", REQUEST_MAGIC, flags, command, 7, offset, length) + data


READY = struct.pack(">I", 3) + option(7, struct.pack(">IH", 0, 0))
"""A handshake that ends in transmission; what follows are requests."""

NBD_MESSAGES = {
    "garbage": GARBAGE,
    "nothing": b"",
    "unknown client flags": struct.pack(">I", 0xFFFFFFFF),
    "a bad option magic": struct.pack(">IQ", 3, 1) + GARBAGE,
    "an option of 4 GiB": struct.pack(">I", 3) + option(7, GARBAGE, 0xFFFFFFFF),
    "a name longer than its option": struct.pack(">I", 3) + option(7, struct.pack(">I", 0xFFFFFFFF) + b"x"),
    "10000 options": struct.pack(">I", 3) + option(3, b"") * 10_000,
    "half an option": struct.pack(">I", 3) + option(7, b"", 4096)[:13],
    "garbage for requests": READY + GARBAGE,
    "a write of 4 GiB": READY + request(1, 0, 0xFFFFFFFF, GARBAGE),
    "half a write": READY + request(1, 0, 2**20, GARBAGE[:1000]),
    "a write far beyond the end": READY + request(1, 2**63, 4096, bytes(4096)),
    "a write that wraps around": READY + request(1, 2**64 - 4096, 8192, bytes(8192)),
    "a read of 4 GiB": READY + request(0, 0, 0xFFFFFFFF),
    "unknown commands": READY + b"".join(request(number, 0, 0) for number in range(8, 200)),
    "unknown flags": READY + request(0, 0, 512, flags=0xFFFF),
}


@pytest.mark.parametrize("what", NBD_MESSAGES)
def test_nbd(cluster: Cluster, recorder: Recorder, what: str) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(recorder.path)
        talk(client, NBD_MESSAGES[what])
    recorder.goes_on(5)


def test_nbd_clients_that_say_nothing_or_read_nothing(recorder: Recorder) -> None:
    with ExitStack() as stack:
        for number in range(SILENT):
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(recorder.path)
            client.settimeout(0.05)
            if number < 10:
                push(client, READY + request(0, 0, 2**20) * 2000)
        recorder.goes_on(20)


def frame(kind: int, payload: bytes = b"", announced: int | None = None, flags: int = 0) -> bytes:
    """See docs/formats/wire.md."""
    length = len(payload) if announced is None else announced
    fields = (kind, flags, 0, 1, length, 0, 0, 0, crc32c(payload) if payload else 0)
    head = b"SHR1" + struct.pack("<BBHIIQQQI", *fields)
    return head + struct.pack("<I", crc32c(head)) + payload


def hello(fields: dict[str, Any], **other: Any) -> bytes:
    """The first message of an engine, with some fields other than they should be."""
    return frame(1, json.dumps(fields | other).encode())


def replica_messages(cluster: Cluster, node: str) -> dict[str, bytes]:
    volume = cluster.get("/v1/volumes")["volumes"][0]
    true = {
        "wire": 1,
        "cluster": cluster.get("/v1/status")["cluster"],
        "volume": volume["uid"],
        "replica": next(r["id"] for r in volume["replicas"] if r["node"] == node),
        "engine": "e0-hostile",
    }
    known = hello(true)
    half = frame(7, bytes(8192))
    return {
        "garbage": GARBAGE,
        "nothing": b"",
        "an HTTP request": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "half a head": known[:20],
        "a head with a bad checksum": known[:44] + b"\0\0\0\0" + known[48:],
        "a payload with a bad checksum": known[:-1] + b"?",
        "a payload of 4 GiB": frame(1, b"", announced=0xFFFFFFFF) + GARBAGE,
        "half a payload": known + half[: len(half) // 2],
        "an unknown kind": frame(200),
        "unknown flags": frame(6, flags=0xFF),
        "no JSON": frame(1, b"{" * 50_000),
        "another cluster": hello(true, cluster="c-00000000000000000000"),
        "another volume": hello(true, volume="v-00000000000000000000"),
        "a replica that is a path": hello(true, replica="../../../etc"),
        "a newer wire": hello(true, wire=2),
        "a stranger that writes": known + frame(7, bytes(4096)),
        "a stranger that closes": known + frame(16),
        "a stranger that clears": known + frame(12, b'[{"first":0,"count":1}]'),
        "a stranger that seals nonsense": known + frame(2, b'{"epoch":0}'),
        "hello twice": known + known,
    }


@pytest.mark.parametrize("node", ["n1", "n2", "n3"])
def test_replication(cluster: Cluster, recorder: Recorder, node: str) -> None:
    """The engine's own connection is not touched by any of these: only a seal, greater and whole, would end it."""
    for what, message in replica_messages(cluster, node).items():
        with _to_replica_program(cluster, node) as peer:
            talk(peer, message)
        recorder.goes_on(3)
        assert recorder.reconnects == 0, what
    with ExitStack() as stack:
        for _ in range(SILENT):
            stack.enter_context(_to_replica_program(cluster, node))
        recorder.goes_on(10)


AGENT_MESSAGES = {
    "garbage": GARBAGE,
    "nothing": b"",
    "a line of 6 MB without an end": b"x" * 6_000_000,
    "half a line": b'{"program":"engine","wire":1,',
    "deep JSON": b"[" * 100_000 + b"\n",
    "no hello": b'{"type":"status","phase":"serving"}\n',
    "an unknown program": b'{"program":"virus","wire":1}\n',
    "an engine that nobody started": b'{"program":"engine","wire":1,"volume":"v-0","epoch":1,"engine":"e","pid":1}\n',
    "a replica program of no disk": b'{"program":"replica","wire":1,"disk":"d-0","address":"127.0.0.1:1","pid":1}\n',
    "zeroes": bytes(10_000),
    "many lines": b"{}\n" * 10_000,
}


@pytest.mark.parametrize("what", AGENT_MESSAGES)
def test_agent(cluster: Cluster, recorder: Recorder, what: str) -> None:
    with socket.socket(socket.AF_UNIX) as program:
        program.connect(str(cluster.data / "nodes" / "n1" / "agent.sock"))
        talk(program, AGENT_MESSAGES[what])
    recorder.goes_on(3)
    assert cluster.node("n1")["reach"] == "reachable"


POST = b"POST /v1/volumes HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"

API_MESSAGES = {
    "garbage": GARBAGE,
    "nothing": b"",
    "an endless header": b"GET / HTTP/1.1\r\nHost: " + b"x" * 500_000,
    "half a body": POST + b'Content-Length: 5000\r\n\r\n{"name":',
    "a body of 6 MB": POST + b"Content-Length: 6000000\r\n\r\n" + b"1" * 6_000_000,
    "deep JSON": POST + b"Content-Length: 100000\r\n\r\n" + b"[" * 100_000,
    "no JSON": POST + b"Content-Length: 100000\r\n\r\n" + GARBAGE,
    "a negative length": POST + b"Content-Length: -1\r\n\r\n{}",
    "bad chunks": POST + b"Transfer-Encoding: chunked\r\n\r\nffffffffff\r\n" + GARBAGE,
    "a path out of the world": b"GET /v1/volumes/..%2f..%2fetc%2fpasswd HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "NUL in a path": b"GET /v1/volumes/%00 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "a sighting that is none": b"POST /v1/agents/n1/sighting HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n{}",
}


@pytest.mark.parametrize("what", API_MESSAGES)
def test_api(cluster: Cluster, recorder: Recorder, what: str) -> None:
    before = cluster.get("/v1/status")["journal_end"]
    with socket.create_connection(_address(cluster.url.removeprefix("http://"))) as client:
        talk(client, API_MESSAGES[what])
    assert cluster.get("/v1/status")["journal_end"] == before
    recorder.goes_on(3)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b'{"name":"x"}', 400),
        (b'{"name":"x","size":"big"}', 400),
        (b'{"name":"x","size":0}', 400),
        (b'{"name":"x","size":8192,"extra":1}', 400),
        (b'{"name":"X","size":8192}', 400),
        (b'{"name":"x","size":1e400}', 400),
    ],
)
def test_the_api_answers_with_problem_details(
    cluster: Cluster, recorder: Recorder, body: bytes, status: int
) -> None:
    with socket.create_connection(_address(cluster.url.removeprefix("http://"))) as client:
        head = POST + f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        answer = talk(client, head + body, half_close=False)
    first, _, rest = answer.partition(b"\r\n")
    headers, _, content = rest.partition(b"\r\n\r\n")
    assert int(first.split()[1]) == status
    assert b"application/problem+json" in headers
    problem = json.loads(content)
    assert problem["status"] == status
    assert problem["detail"]
    assert "\n" not in problem["detail"]


def talk(peer: socket.socket, message: bytes, *, half_close: bool = True) -> bytes:
    """Send all that is taken, say that no more comes, read until the other side closes or has nothing more to say."""
    peer.settimeout(2)
    answer = bytearray()
    push(peer, message)
    try:
        if half_close:
            peer.shutdown(socket.SHUT_WR)
        while part := peer.recv(65536):
            answer += part
    except OSError:
        pass  # cut, as it should be, or silent: the caller looks at what goes on
    return bytes(answer)


def push(peer: socket.socket, message: bytes) -> None:
    """Send until it is all sent, or the other side takes no more."""
    with suppress(OSError):  # it is free to cut at any byte, or to stop reading
        peer.sendall(message)


def _to_replica_program(cluster: Cluster, node: str) -> socket.socket:
    return socket.create_connection(_address(cluster.node(node)["disks"][0]["address"]))


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)
