"""The steps in which something fails while clients go on: a replica program, then a whole node with its engine."""

from pathlib import Path

from tests.support.cluster import Cluster, lives
from tests.support.foreign import Fio
from tests.support.nbd import socket_of
from tests.support.register_clients import RegisterClients, slots
from tools.demo.steps import Steps, check, state, timed

FENCE_S = 10.0
"""Bound on a detach from a node that does not answer: found unreachable after 5 s, fenced after 1.1 T = 2.2 s."""

HEALTHY_S = 90.0


def lose_a_replica(cluster: Cluster, folder: Path, steps: Steps, name: str) -> None:
    """Kill a replica program under fio, of a node that is not the engine's. The volume is attached at n3."""
    with (
        steps.step(
            "fio writes and verifies; kill -9 of n1's replica program: I/O goes on, then resync"
        ) as result,
        Fio(folder, cluster.endpoint(name), writes=30_000, writes_per_s=3000, seed=3) as fio,
    ):
        epoch, before = cluster.volume(name)["epoch"], fio.figures()
        fio.goes_on(2000)
        cluster.kill(r"shorthorn-replica .*nodes/n1/")
        degraded = cluster.wait(lambda: state(cluster, name) == "attached degraded", "attached degraded", 20)
        at_fault = fio.figures().written
        paused = fio.goes_on(1000)
        check(fio.runs, "fio still runs")
        result.append(
            f"degraded after {degraded:.1f} s; {at_fault - before.written} blocks written before, "
            f"{fio.figures().written - at_fault} more {paused:.1f} s after that"
        )
        healthy = cluster.wait(lambda: state(cluster, name) == "attached healthy", "healthy again", HEALTHY_S)
        end = fio.finish()
        check(cluster.volume(name)["epoch"] == epoch, "the session is the same")
        check(_all_in_sync(cluster, name), "three replicas are in-sync")
        result.append(
            f"resynced and healthy after {healthy:.1f} s more; fio: {end.verified} blocks verified, no error"
        )


def lose_a_node(cluster: Cluster, steps: Steps, name: str) -> None:
    """Stop every program of n3 under clients, fence it, go on at n1; continue it, and it does no harm."""
    clients = RegisterClients(socket_of(cluster.endpoint(name)), name, slots())
    clients.clear()
    with clients:
        clients.goes_on(200)
        with (
            steps.step("SIGSTOP every program of n3 under a client: detach by fence, attach at n1") as result,
            cluster.stopped(lambda: cluster.of_node("n3")) as programs,
        ):
            engine = cluster.engine(name)
            check(engine in programs, "the engine is one of the programs that were stopped")
            frozen = _frozen(clients)
            took = timed(lambda: cluster.cli("volume", "detach", name))
            check(state(cluster, name).startswith("detached"), f"detached, not {state(cluster, name)}")
            check(took < FENCE_S, f"detached within {FENCE_S:g} s, not after {took:.1f} s")
            check("fence_held" in _events(cluster, name), "it was detached by a fence")
            result.append(f"{len(programs)} programs stopped; detached by fence after {took:.1f} s")
            took = timed(lambda: cluster.cli("volume", "attach", name, "--node", "n1"))
            clients.another_session_serves()
            new = socket_of(cluster.endpoint(name))
            clients.verify(new, name)
            check(state(cluster, name) == "attached degraded", f"degraded, not {state(cluster, name)}")
            result.append(
                f"attached at n1 after {took:.1f} s, degraded; all {frozen} answered requests hold there"
            )
        with steps.step("SIGCONT: the old engine completes nothing, n3's replica is resynced") as result:
            gone = cluster.wait(lambda: not lives(engine), "the old engine's process has ended", 60)
            cut = clients.all_cut()
            late = clients.told_late(frozen)
            clients.verify(new, name)
            result.append(
                f"engine {engine} ended after {gone:.1f} s, {late} requests answered"
                f"{' that were decided before the stop' if late else ''}, "
                f"{sum(clients.errors.values())} failed, {cut} connections cut"
            )
            took = cluster.wait(lambda: state(cluster, name) == "attached healthy", "healthy", HEALTHY_S)
            check(_all_in_sync(cluster, name), "three replicas are in-sync")
            check(_events(cluster, name)[-1] == "replica_synced", "that was by resync")
            clients.verify(new, name)
            result.append(f"resynced and healthy after {took:.1f} s more")


def _frozen(clients: RegisterClients) -> int:
    """How many requests were answered. Answers that had been sent before the engine stopped are in by then."""
    clients.stands(still_s=0.5)
    return clients.answered


def _all_in_sync(cluster: Cluster, name: str) -> bool:
    return [r["phase"] for r in cluster.volume(name)["replicas"]] == ["in_sync"] * 3


def _events(cluster: Cluster, name: str) -> list[str]:
    return [event["event"] for event in cluster.json("volume", "history", name)["events"]]
