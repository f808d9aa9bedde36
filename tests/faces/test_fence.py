"""A volume whose node falls silent, as people see it: what it waits for, what is refused, when it is detached."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faces.agents import Agent, show, until
from tests.faces.conftest import Server
from tests.faces.test_api import call, journal_end

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Server]:
    """A server that takes a node for unreachable after 3 s."""
    server = Server(tmp_path)
    try:
        server.wait()
        assert call(server, "PATCH", "/v1/settings/unreachable_after_s", b'{"value":3}')[0] == 200
        yield server
    finally:
        server.end()


@pytest.fixture
def cli(quick: Server, run_shorthorn: Run) -> Run:
    """Run a command against the server."""
    return lambda *arguments: run_shorthorn(*arguments, "--data", str(quick.data))


def attached(server: Server, *agents: Agent) -> dict[str, Any]:
    """A volume with a replica on each node, attached at the first."""
    body = {"name": "v1", "size": 1 << 30, "replicas": len(agents)}
    status, volume = call(server, "POST", "/v1/volumes", json.dumps(body).encode())
    assert status == 201, volume
    volume = until(server, "v1", lambda v: len(v["replicas"]) == len(agents), *agents)
    for agent in agents:
        agent.holds(volume)
    until(server, "v1", lambda v: v["state"] == "detached", *agents)
    at = agents[0]
    attach = json.dumps({"node": at.name}).encode()
    assert call(server, "PUT", "/v1/volumes/v1/attachments/manual", attach)[0] == 200
    volume = until(server, "v1", lambda v: v["node"] is not None and v["epoch"] > 0, *agents)
    members = [r["id"] for r in volume["replicas"]]
    answer = at.ask(volume, "session_opened", members=members, broken=False, endpoint="/tmp/none.sock")
    assert answer["outcome"] == "committed", answer
    at.engines = [{"volume": volume["uid"], "epoch": volume["epoch"], "state": "serving"}]
    for agent in agents:
        agent.holds(volume, empty=False, sealed=[volume["epoch"], 1], m=1)
    return until(server, "v1", lambda v: v["state"] == "attached", *agents)


def silent(server: Server, gone: Agent, *others: Agent) -> None:
    """One falls silent, the others speak."""
    until(
        server,
        "v1",
        lambda _: call(server, "GET", f"/v1/nodes/{gone.name}")[1]["reach"] == "unreachable",
        *others,
    )


def fence_holds(server: Server, *agents: Agent) -> None:
    """The programs of these nodes have sealed their replicas and waited."""
    volume = show(server, "v1")
    for agent in agents:
        agent.holds(volume, sealed=[volume["epoch"], 1], fenced=volume["epoch"])


def test_a_volume_of_a_silent_node_is_detached_by_a_fence(quick: Server, cli: Run) -> None:
    n1, n2 = Agent(quick, "n1"), Agent(quick, "n2")
    before = attached(quick, n1, n2)
    silent(quick, n1, n2)
    volume = show(quick, "v1")
    assert volume["state"] == "attached", "its consumer may be alive there"
    done = cli("volume", "detach", "v1", "--timeout", "0")
    assert done.returncode == 1
    assert "still detaching" in done.stderr
    assert "n1 is unreachable" in done.stderr
    until(quick, "v1", lambda v: v["epoch"] == before["epoch"] + 1, n2)
    now = journal_end(quick)
    done = cli("volume", "attach", "v1", "--node", "n2")
    assert done.returncode == 1
    assert done.stderr == (
        "shorthorn: v1 is being fenced at n1, which can't be asked; attach it once it is detached, in some seconds\n"
    )
    assert journal_end(quick) == now
    assert "being fenced" in cli("volume", "explain", "v1").stdout
    fence_holds(quick, n2)
    until(quick, "v1", lambda v: v["state"] == "detached", n2)
    assert "ended by the fence" in cli("volume", "history", "v1").stdout


def test_a_held_volume_of_a_dead_node_is_fenced_and_its_loss_is_told(quick: Server, cli: Run) -> None:
    n1, n2 = Agent(quick, "n1"), Agent(quick, "n2")
    attached(quick, n1, n2)
    silent(quick, n1, n2)
    done = cli("node", "declare-dead", "n1", "--why", "burnt down", "--who", "ada")
    assert done.returncode == 0, done.stderr
    assert "volume v1: its session there is fenced" in done.stdout
    assert "volume v1: detach manual, which held it there" in done.stdout
    assert "volume v1: its replica there is given up and made anew from n2" in done.stdout
    until(quick, "v1", lambda v: v["state"] == "detaching", n2)
    fence_holds(quick, n2)
    until(quick, "v1", lambda v: "ended by the fence" in cli("volume", "history", "v1").stdout, n2)


def test_detaching_twice_is_one_line_and_no_error(quick: Server, cli: Run) -> None:
    n1 = Agent(quick, "n1")
    volume = attached(quick, n1)
    first = cli("volume", "detach", "v1", "--no-wait")
    assert (first.returncode, first.stdout) == (0, "volume v1: detaching\n")
    again = cli("volume", "detach", "v1", "--no-wait")
    assert (again.returncode, again.stdout) == (0, "volume v1: detaching\n")
    assert n1.ask(volume, "session_closed", clean=True, evidence="its own word")["outcome"] == "committed"
    done = cli("volume", "detach", "v1")
    assert (done.returncode, done.stdout, done.stderr) == (0, "volume v1: detached\n", "")


def test_a_resync_is_shown_with_its_progress_and_time_left(quick: Server, cli: Run) -> None:
    n1, n2 = Agent(quick, "n1"), Agent(quick, "n2")
    volume = attached(quick, n1, n2)
    lost = next(r for r in volume["replicas"] if r["node"] == "n2")
    witness = next(r for r in volume["replicas"] if r["node"] == "n1")
    answer = n1.ask(
        volume,
        "replica_lost",
        replica=lost["id"],
        attempt=lost["attempt"],
        witness=witness["id"],
        why="silent",
    )
    assert answer["outcome"] == "committed", answer
    volume = until(quick, "v1", lambda v: v["health"] == "degraded", n1, n2)
    (resync,) = volume["resyncs"]
    assert (resync["replica"], resync["total"], resync["left_s"]) == (lost["id"], 0, None)
    assert resync["waits_for"]

    def report(done: int, waits_for: str = "") -> None:
        attempt = show(quick, "v1")["resyncs"][0]["attempt"]
        progress = {
            "replica": lost["id"],
            "attempt": attempt,
            "done": done,
            "total": 1 << 30,
            "waits_for": waits_for,
        }
        n1.engines[0]["resyncs"] = [progress]
        n1.say()

    report(0)
    done = 0

    def moved(volume: dict[str, Any]) -> bool:
        nonlocal done
        done += 1 << 20
        report(done)
        return volume["resyncs"][0]["left_s"] is not None

    until(quick, "v1", moved, n2)
    assert "left" in cli("volume", "show", "v1").stdout
    assert "% resynced" in cli("volume", "list").stdout
    explained = cli("volume", "explain", "v1").stdout
    assert "  resync: replica" in explained
    assert explained.count("is being resynced") == 1, "what is a reason is not told again as a wait"
    report(done, "space on n2")
    n2.say()
    assert "waits for space on n2" in cli("volume", "show", "v1").stdout
    shown = json.loads(cli("volume", "explain", "v1", "--output", "json").stdout)
    assert shown["resyncs"][0]["waits_for"] == "space on n2"
    wrong = n1.ask(
        volume, "replica_synced", replica=lost["id"], attempt=resync["attempt"], base={"chain": [], "size": 1}
    )
    assert wrong["outcome"] == "refused", "made of something else"
