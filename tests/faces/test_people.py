"""What people ask of a cluster beside volumes: settings and the death of nodes. A refusal is one line and changes nothing."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.faces.conftest import Server
from tests.faces.test_api import call, journal_end

Run = Callable[..., Any]


@pytest.fixture
def cli(server: Server, run_shorthorn: Run) -> Run:
    """Run a command against the server."""
    return lambda *arguments: run_shorthorn(*arguments, "--data", str(server.data))


def register(server: Server, name: str) -> None:
    body = {
        "node": name,
        "machine_id": f"m-{name}",
        "boot_id": "b",
        "disks": [{"uid": f"d-{name}", "size": 1 << 40}],
    }
    status, _ = call(server, "POST", f"/v1/agents/{name}/register", json.dumps(body).encode())
    assert status == 200


def sight(server: Server, name: str) -> None:
    body = {
        "node": name,
        "machine_id": f"m-{name}",
        "boot_id": "b",
        "sequence": 1,
        "disks": [],
        "engines": [],
        "tasks": [],
    }
    status, _ = call(server, "POST", f"/v1/agents/{name}/sighting", json.dumps(body).encode())
    assert status == 204


def reach(server: Server, name: str) -> str:
    return str(call(server, "GET", f"/v1/nodes/{name}")[1]["reach"])


def one_line(done: Any, *words: str) -> None:
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    for word in words:
        assert word in lines[0]


# Settings.


def settings(server: Server) -> dict[str, Any]:
    status, answer = call(server, "GET", "/v1/settings")
    assert status == 200
    return {setting["name"]: setting["value"] for setting in answer["settings"]}


def test_a_setting_is_changed_journaled_and_in_force_at_once(server: Server, cli: Run) -> None:
    before = journal_end(server)
    done = cli("setting", "set", "unreachable_after_s", "4")
    assert (done.returncode, done.stdout) == (0, "unreachable_after_s is 4\n")
    assert settings(server)["unreachable_after_s"] == 4
    status, page = call(server, "GET", f"/v1/events?after={before}")
    assert status == 200
    (event,) = page["events"]
    assert event["line"] == "unreachable_after_s set to 4, was 5"
    register(server, "s1")
    sight(server, "s1")
    assert reach(server, "s1") == "reachable"
    began_s = time.monotonic()
    while reach(server, "s1") == "reachable":
        assert time.monotonic() - began_s < 15
        time.sleep(0.05)
    assert 3.5 <= time.monotonic() - began_s <= 4.9
    again = journal_end(server)
    assert cli("setting", "set", "unreachable_after_s", "4").returncode == 0
    assert journal_end(server) == again, "a repeat changes nothing"
    assert cli("setting", "set", "unreachable_after_s", "5").returncode == 0


def test_agents_hear_of_new_settings_with_their_orders(server: Server, cli: Run) -> None:
    assert cli("setting", "set", "space_wait_s", "7.5").returncode == 0
    register(server, "s2")
    body = {"node": "s2", "machine_id": "m-s2", "boot_id": "b", "disks": []}
    status, registered = call(server, "POST", "/v1/agents/s2/register", json.dumps(body).encode())
    assert status == 200
    assert registered["settings"]["space_wait_s"] == 7.5
    assert cli("setting", "set", "space_wait_s", "forever").stdout == "space_wait_s is forever\n"
    assert settings(server)["space_wait_s"] is None


def test_settings_are_listed_for_people_and_programs(cli: Run) -> None:
    text = cli("setting", "list").stdout
    assert "replace_after_s" in text
    assert "can't be changed: a fence waits" in text
    listed = json.loads(cli("setting", "list", "--output", "json").stdout)["settings"]
    grant = next(setting for setting in listed if setting["name"] == "grant_s")
    assert (grant["value"], bool(grant["fixed"])) == (2.0, True)


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("nonsense", "1", "there is no setting"),
        ("cluster", "1", "there is no setting"),
        ("grant_s", "1", "can't be changed"),
        ("unreachable_after_s", "0", "from 3 to 3600"),
        ("unreachable_after_s", "soon", "takes a number"),
        ("unreachable_after_s", "nan", "takes a number"),
        ("unreachable_after_s", "inf", "takes a number"),
        ("unreachable_after_s", "forever", "must be a number"),
        ("rebuilds_max", "1.5", "whole number"),
        ("rebuilds_max", "1e9", "from 1 to 1024"),
        ("replace_after_s", "1e99", "from 0 to 2592000"),
    ],
)
def test_a_setting_that_can_not_be_is_refused(
    server: Server, cli: Run, name: str, value: str, word: str
) -> None:
    before, now = journal_end(server), settings(server)
    one_line(cli("setting", "set", name, value), word)
    assert (journal_end(server), settings(server)) == (before, now)


@pytest.mark.parametrize(
    "body", [b"{}", b'{"value":"4"}', b'{"value":true}', b'{"value":4,"more":1}', b"[4]", b""]
)
def test_a_body_that_is_no_setting_is_refused(server: Server, body: bytes) -> None:
    before = journal_end(server)
    assert call(server, "PATCH", "/v1/settings/unreachable_after_s", body)[0] == 400
    assert journal_end(server) == before


# Deaths.


def test_a_node_that_is_heard_is_not_declared_dead_without_force(server: Server, cli: Run) -> None:
    register(server, "d1")
    sight(server, "d1")
    before = journal_end(server)
    one_line(
        cli("node", "declare-dead", "d1", "--why", "gone"), "d1 is reachable (heard ", "cordon and evict"
    )
    assert journal_end(server) == before
    done = cli("node", "declare-dead", "d1", "--why", "scrapped", "--who", "ada", "--force")
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == "d1 is declared dead by ada: scrapped"
    assert "nothing waits for d1 any more" in done.stdout
    again = journal_end(server)
    assert again > before
    assert cli("node", "declare-dead", "d1", "--why", "scrapped").returncode == 0, "idempotent, forced or not"
    assert journal_end(server) == again
    assert "declared dead by ada: scrapped" in cli("node", "show", "d1").stdout
    sight(server, "d1")  # the commands before may have taken longer than a node may be silent
    assert "d1: reachable, not schedulable" in cli("node", "show", "d1").stdout
    line = next(line for line in cli("node", "list").stdout.splitlines() if line.startswith("d1 "))
    assert line.split()[1:4] == ["dead", "(scrapped)", "no"], "nothing new is placed there"
    node = json.loads(cli("node", "show", "d1", "--output", "json").stdout)
    assert (node["dead"], node["dead_by"]) == ("scrapped", "ada")


def test_a_death_is_taken_back(server: Server, cli: Run) -> None:
    register(server, "d2")
    assert cli("node", "declare-dead", "d2", "--why", "lost", "--force").returncode == 0
    done = cli("node", "declare-dead", "d2", "--cancel", "--who", "bob")
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == "d2 is not declared dead"
    assert "stays done" in done.stdout
    assert call(server, "GET", "/v1/nodes/d2")[1]["dead"] == ""
    before = journal_end(server)
    again = cli("node", "declare-dead", "d2", "--cancel")
    assert (again.returncode, again.stdout) == (0, "d2 is not declared dead\n"), (
        "nothing was done to be told of"
    )
    assert journal_end(server) == before


def test_a_node_that_is_silent_for_long_enough_may_be_declared_dead(server: Server, cli: Run) -> None:
    assert cli("setting", "set", "unreachable_after_s", "3").returncode == 0
    register(server, "d3")
    before = journal_end(server)
    one_line(cli("node", "declare-dead", "d3", "--why", "gone"), "not long enough to know", "--force")
    assert journal_end(server) == before
    end_s = time.monotonic() + 15
    while reach(server, "d3") != "unreachable":
        assert time.monotonic() < end_s
        time.sleep(0.05)
    assert cli("node", "declare-dead", "d3", "--why", "gone").returncode == 0
    assert cli("setting", "set", "unreachable_after_s", "5").returncode == 0


def test_what_is_no_declaration_is_refused(server: Server, cli: Run) -> None:
    register(server, "d4")
    before = journal_end(server)
    one_line(cli("node", "declare-dead", "nobody", "--why", "gone", "--force"), "no node named nobody")
    one_line(cli("node", "declare-dead", "d4", "--force"), "--why TEXT")
    one_line(cli("node", "declare-dead", "d4", "--why", "x" * 300, "--force"), "longer than")
    one_line(cli("node", "declare-dead", "d4", "--why", "a\nb", "--force"), "cannot be printed")
    one_line(cli("node", "declare-dead", "d4", "--why", "", "--force"), "is empty")
    for body in (b"{}", b'{"who":"a","why":"b","more":1}', b'{"who":"","why":"b","force":true}'):
        assert call(server, "POST", "/v1/nodes/d4/declare-dead", body)[0] == 400
    assert journal_end(server) == before


# Reads.


def test_reads_are_granted_or_strict(server: Server, cli: Run) -> None:
    register(server, "r1")
    sight(server, "r1")
    done = cli("volume", "create", "careful", "--size", "1GiB", "--replicas", "1", "--reads", "strict")
    assert done.returncode == 0, done.stderr
    assert "reads     strict" in cli("volume", "show", "careful").stdout
    status, _ = call(server, "POST", "/v1/volumes", b'{"name":"plain","size":1073741824,"replicas":1}')
    assert status == 201
    assert call(server, "GET", "/v1/volumes/plain")[1]["reads"] == "granted"
    before = journal_end(server)
    status, problem = call(server, "POST", "/v1/volumes", b'{"name":"odd","size":1073741824,"reads":"fast"}')
    assert (status, "granted or strict" in problem["detail"]) == (400, True)
    assert cli("volume", "create", "odd", "--size", "1GiB", "--reads", "fast").returncode == 2
    assert journal_end(server) == before


def test_a_number_of_replicas_leaves_the_reads_as_they_are(server: Server) -> None:
    assert call(server, "PATCH", "/v1/volumes/careful", b'{"replicas":2}')[0] == 200
    volume = call(server, "GET", "/v1/volumes/careful")[1]
    assert (volume["replicas_wanted"], volume["reads"], volume["resyncs"]) == (2, "strict", [])
