"""Volumes for tests: named apart, deleted after the test, asked short questions."""

import itertools
from typing import Any

from tests.support.cluster import Cluster
from tests.support.nbd import Recorder, socket_of
from tests.support.register_clients import RegisterClients, slots

_NUMBERS = itertools.count(1)


class Volumes:
    """The volumes that one test made in a cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._names: list[str] = []

    def create(self, size: str = "16MiB", replicas: int = 3) -> str:
        """A new volume, formed; its name."""
        name = f"v{next(_NUMBERS)}"
        self.cluster.cli("volume", "create", name, "--size", size, "--replicas", str(replicas), "--wait")
        self._names.append(name)
        return name

    def attached(self, node: str = "n1", size: str = "16MiB", replicas: int = 3) -> str:
        """A new volume, attached at `node` by the holder `manual`."""
        name = self.create(size, replicas)
        self.cluster.cli("volume", "attach", name, "--node", node)
        return name

    def recorder(self, name: str) -> Recorder:
        """A client at the volume's endpoint."""
        return Recorder(socket_of(self.cluster.endpoint(name)), name)

    def clients(self, name: str, **options: Any) -> RegisterClients:
        """Several clients at the volume's endpoint."""
        return RegisterClients(socket_of(self.cluster.endpoint(name)), name, slots(stride=1 << 20), **options)

    def delete(self) -> None:
        """Detach and delete all that are still there."""
        there = {v["name"]: v for v in self.cluster.get("/v1/volumes")["volumes"]}
        for name in self._names:
            for attachment in there.get(name, {}).get("attachments", ()):
                self.cluster.cli("volume", "detach", name, "--holder", attachment["holder"])
            if name in there:
                self.cluster.cli("volume", "delete", name)


def state(cluster: Cluster, name: str) -> str:
    """State and health, such as `attached healthy`."""
    volume = cluster.volume(name)
    return f"{volume['state']} {volume['health']}"


def history(cluster: Cluster, name: str) -> list[str]:
    """The kinds of events of a volume, oldest first."""
    return [event["event"] for event in cluster.get(f"/v1/volumes/{name}/history")["events"]]


def sessions(cluster: Cluster, name: str) -> int:
    """How many sessions a volume has had."""
    return history(cluster, name).count("session_started")


def nodes_of(cluster: Cluster, name: str) -> list[str]:
    """The nodes of its in-sync replicas."""
    return sorted(r["node"] for r in cluster.volume(name)["replicas"] if r["phase"] == "in_sync")


def reasons(cluster: Cluster, name: str) -> str:
    """What is said of its state and of what is held back, in one line."""
    explained: dict[str, Any] = cluster.get(f"/v1/volumes/{name}/explain")
    return "; ".join((*explained["reasons"], *explained["waits"]))


def membership(cluster: Cluster, name: str) -> tuple[object, ...]:
    """Who is in-sync, by which attempt, in which session."""
    volume = cluster.volume(name)
    replicas = tuple((r["id"], r["phase"], r["attempt"]) for r in volume["replicas"])
    return replicas, volume["m"], volume["epoch"]
