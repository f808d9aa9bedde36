"""Agents as a server knows them, played by the test over HTTP: they say what the test wants them to have seen."""

import json
import time
from collections.abc import Callable
from typing import Any

from tests.faces.conftest import Server
from tests.faces.test_api import call

BOUND_S = 15.0


class Agent:
    """One node with one disk. `say` sends a whole sighting of what stands here now."""

    def __init__(self, server: Server, name: str) -> None:
        self.server = server
        self.name = name
        self.replicas: dict[str, dict[str, Any]] = {}
        self.engines: list[dict[str, Any]] = []
        self._sequence = 0
        disks = [{"uid": f"d-{name}", "size": 1 << 40}]
        self._post("register", {"node": name, "machine_id": f"m-{name}", "boot_id": "b", "disks": disks}, 200)
        self.say()

    def say(self) -> None:
        """Everything seen, now."""
        self._sequence += 1
        disk = {
            "uid": f"d-{self.name}",
            "size": 1 << 40,
            "free": 1 << 40,
            "address": "127.0.0.1:9",
            "complete": True,
            "replicas": list(self.replicas.values()),
        }
        body = {"node": self.name, "machine_id": f"m-{self.name}", "boot_id": "b", "sequence": self._sequence}
        self._post("sighting", {**body, "disks": [disk], "engines": self.engines}, 204)

    def holds(self, volume: dict[str, Any], **changes: object) -> None:
        """The folders of the volume's replicas here, as their program lists them."""
        for replica in volume["replicas"]:
            if replica["node"] == self.name:
                seen = self.replicas.get(replica["id"], {"empty": True})
                named = {"replica": replica["id"], "volume": volume["uid"], "attempt": replica["attempt"]}
                self.replicas[replica["id"]] = {**seen, **named, **changes}
        self.say()

    def ask(self, volume: dict[str, Any], kind: str, **fields: object) -> dict[str, Any]:
        """An engine's ask; the server's answer."""
        event = {"volume": volume["uid"], "event": {"type": kind, "epoch": volume["epoch"], **fields}}
        answer: dict[str, Any] = self._post("events", event, 200)
        return answer

    def _post(self, what: str, body: object, expected: int) -> Any:
        status, answer = call(
            self.server, "POST", f"/v1/agents/{self.name}/{what}", json.dumps(body).encode()
        )
        assert status == expected, answer
        return answer


def show(server: Server, name: str) -> dict[str, Any]:
    """A volume."""
    status, volume = call(server, "GET", f"/v1/volumes/{name}")
    assert status == 200, volume
    return dict(volume)


def until(
    server: Server, name: str, met: Callable[[dict[str, Any]], bool], *speaking: Agent
) -> dict[str, Any]:
    """Wait until a volume is such, while the agents speak; fails after a bound, with the volume."""
    end_s = time.monotonic() + BOUND_S
    while not met(volume := show(server, name)):
        assert time.monotonic() < end_s, volume
        for agent in speaking:
            agent.say()
        time.sleep(0.05)
    return volume
