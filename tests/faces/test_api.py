"""The API against bad input: one clear line as problem details, nothing changed, the server goes on."""

import http.client
import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.faces.conftest import Server

NO_HEADERS: Mapping[str, str] = {}


def call(
    server: Server, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] = NO_HEADERS
) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(*server.address, timeout=10)
    try:
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        text = response.read()
        if response.status >= 400:
            assert response.headers["Content-Type"] == "application/problem+json"
            problem = json.loads(text)
            assert problem["status"] == response.status
            assert problem["detail"]
            assert "\n" not in problem["detail"]
        return response.status, json.loads(text) if text else None
    finally:
        connection.close()


def journal_end(server: Server) -> int:
    status, answer = call(server, "GET", "/v1/status")
    assert status == 200
    return int(answer["journal_end"])


def volume(**fields: object) -> bytes:
    return json.dumps({"name": "v1", "size": 1 << 30, "replicas": 1} | fields).encode()


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v1/volumes", volume(size=0), 400),
        ("POST", "/v1/volumes", volume(size=-4096), 400),
        ("POST", "/v1/volumes", volume(size=4097), 400),
        ("POST", "/v1/volumes", volume(size=1 << 62), 400),
        ("POST", "/v1/volumes", volume(size="big"), 400),
        ("POST", "/v1/volumes", volume(name=""), 400),
        ("POST", "/v1/volumes", volume(name="Not/A/Name"), 400),
        ("POST", "/v1/volumes", volume(name="a" * 300), 400),
        ("POST", "/v1/volumes", volume(name="ünï"), 400),
        ("POST", "/v1/volumes", volume(replicas=0), 400),
        ("POST", "/v1/volumes", volume(replicas=1000), 400),
        ("POST", "/v1/volumes", volume(nonsense=1), 400),
        ("POST", "/v1/volumes", b"{", 400),
        ("POST", "/v1/volumes", b"", 400),
        ("POST", "/v1/volumes", b"\xff\xfe\x00", 400),
        ("POST", "/v1/volumes", b"[" * 100_000, 400),
        ("POST", "/v1/volumes", b" " * (5 << 20), 400),
        ("GET", "/v1/volumes/none", None, 404),
        ("DELETE", "/v1/volumes/none", None, 404),
        ("PUT", "/v1/volumes/none/attachments/h", b'{"node":"n1"}', 404),
        ("DELETE", "/v1/volumes/none/attachments/h", None, 404),
        ("PUT", "/v1/nodes/none/cordon", None, 404),
        ("PUT", "/v1/nodes/none/eviction", None, 404),
        ("GET", "/v1/nodes/none", None, 404),
        ("GET", "/v1/events?after=x", None, 400),
        ("GET", "/v1/events?after=-1", None, 400),
        ("POST", "/v1/agents/n1/beat", b'{"node":"n2","boot_id":"b","sequence":1}', 400),
        ("POST", "/v1/agents/n1/beat", b'{"node":"n1","boot_id":"b","sequence":1}', 404),
        ("GET", "/v1/agents/n1/orders", None, 404),
        ("PATCH", "/v1/status", None, 405),
        ("GET", "/v2", None, 404),
    ],
)
def test_bad_requests_are_refused_in_one_line_and_change_nothing(
    server: Server, method: str, path: str, body: bytes | None, status: int
) -> None:
    before = journal_end(server)
    assert call(server, method, path, body)[0] == status
    assert journal_end(server) == before
    assert call(server, "GET", "/v1/volumes")[1] == {"volumes": []}


def test_garbage_on_the_socket_does_not_stop_the_server(server: Server) -> None:
    for garbage in (
        b"\x00" * 4096,
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/volumes HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"A" * (1 << 20),
    ):
        with socket.create_connection(server.address, timeout=10) as peer:
            try:
                peer.sendall(garbage)
                peer.shutdown(socket.SHUT_WR)
                while peer.recv(65536):
                    pass
            except OSError:
                pass  # the server may hang up at once
    assert call(server, "GET", "/healthz")[0] == 204


def test_a_truncated_request_changes_nothing(server: Server) -> None:
    before = journal_end(server)
    with socket.create_connection(server.address, timeout=10) as peer:
        body = volume()
        head = f"POST /v1/volumes HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body) + 10}\r\n\r\n"
        peer.sendall(head.encode() + body)
    assert journal_end(server) == before


@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example"}, {"Host": "127.0.0.1", "Origin": "http://evil.example"}]
)
def test_calls_of_other_sites_pages_are_refused(server: Server, headers: dict[str, str]) -> None:
    assert call(server, "GET", "/v1/status", headers=headers)[0] == 403


def test_the_document_served_is_the_one_checked_in(server: Server) -> None:
    served = call(server, "GET", "/openapi.json")[1]
    assert served == json.loads((Path(__file__).parents[2] / "api" / "openapi.json").read_text())
    assert "/v1/volumes/{name}/attachments/{holder}" in served["paths"]


def test_a_port_in_use_is_one_clear_line(server: Server, tmp_path: Path, run_shorthorn: Any) -> None:
    port = server.address[1]
    done = run_shorthorn("server", "--data", str(tmp_path), "--listen", f"127.0.0.1:{port}")
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_listening_beyond_loopback_needs_a_word(tmp_path: Path, run_shorthorn: Any) -> None:
    done = run_shorthorn("server", "--data", str(tmp_path), "--listen", "0.0.0.0:0")
    assert done.returncode == 1
    assert "no authentication" in done.stderr
