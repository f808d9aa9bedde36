"""A whole run: a cluster, two volumes, their clients, faults until the time is over, then everything is looked at."""

import filecmp
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.support.cluster import Cluster
from tests.support.foreign import storage_daemon
from tests.support.nbd import socket_of
from tests.support.register_clients import RegisterClients, slots
from tools.chaos.faults import episodes
from tools.chaos.loads import FioRounds
from tools.chaos.play import SENSITIVE, Player

FIO, REGISTERS = SENSITIVE, "registers"
SIZES = {FIO: "64MiB", REGISTERS: "16MiB"}
ENGINES = {FIO: "n1", REGISTERS: "n2"}
SETTINGS = {"silence_s": "3"}
"""Shorter than the default, so that a minute holds many removals."""


class Options(NamedTuple):
    """`minutes` of faults on `nodes` nodes, chosen by `seed`; `folder` is for all files and short, sockets lie in it."""

    minutes: float
    nodes: int
    seed: int
    folder: Path


def run(options: Options, say: Callable[[str], None]) -> str:
    """The summary. Raises `AssertionError` with what was wrong."""
    say(f"seed {options.seed}, {options.nodes} nodes, {options.minutes:g} minutes")
    with Cluster(options.folder / "data", nodes=options.nodes, disk_size="1GiB") as cluster:
        for name, value in SETTINGS.items():
            cluster.setting(name, value)
        for name, size in SIZES.items():
            cluster.cli("volume", "create", name, "--size", size, "--replicas", "3", "--wait")
            cluster.cli("volume", "attach", name, "--node", ENGINES[name])
        clients = RegisterClients(
            socket_of(cluster.endpoint(REGISTERS)), REGISTERS, slots(stride=1 << 20), seed=options.seed
        )
        socket = options.folder / "qsd.sock"
        with storage_daemon(cluster.endpoint(FIO), FIO, socket, reconnect_s=300) as uri:
            rounds = FioRounds(options.folder, uri)
            with rounds, clients:
                player = Player(cluster, {FIO: rounds, REGISTERS: clients}, ENGINES, say)
                _play(player, options)
            say("faults are over, all that was written is read back")
            blocks = rounds.verify()
        clients.verify(socket_of(cluster.endpoint(REGISTERS)), REGISTERS)
        _look(cluster, clients)
        return _summary(cluster, player, rounds, clients, blocks)


def _play(player: Player, options: Options) -> None:
    end = time.monotonic() + 60 * options.minutes
    nodes = [f"n{i}" for i in range(1, options.nodes + 1)]
    for episode in episodes(options.seed, nodes, tuple(SIZES)):
        player.play(episode)
        if time.monotonic() > end:
            break
    player.heal()


def _look(cluster: Cluster, clients: RegisterClients) -> None:
    """Detached and settled, all copies are equal, what runs is what is recorded, and another node reads the same."""
    for name in SIZES:
        cluster.cli("volume", "detach", name)
        cluster.wait(lambda name=name: bool(cluster.volume(name)["settled"]), f"{name} is settled")  # type: ignore[misc]
        copies = [
            next(p for p in cluster.layers(replica["node"], name) if p.suffix == ".data")
            for replica in cluster.volume(name)["replicas"]
        ]
        assert len(copies) == 3, f"{name} has {len(copies)} replicas"
        for copy in copies[1:]:
            assert filecmp.cmp(copies[0], copy, shallow=False), f"{name}: {copies[0]} and {copy} differ"
    cluster.rest()
    findings = cluster.get("/v1/check")["findings"]
    assert not findings, f"what runs is not what is recorded: {findings}"
    cluster.cli("volume", "attach", REGISTERS, "--node", "n3")
    clients.verify(socket_of(cluster.endpoint(REGISTERS)), REGISTERS)
    cluster.cli("volume", "detach", REGISTERS)


def _summary(
    cluster: Cluster, player: Player, rounds: FioRounds, clients: RegisterClients, blocks: int
) -> str:
    events: Counter[str] = Counter()
    for name in SIZES:
        events += Counter(e["event"] for e in cluster.json("volume", "history", name)["events"])
    lines = [
        "faults: " + _counted(player.counts),
        f"longest wait for progress: {player.longest_s:.1f} s",
        "events: "
        + _counted(
            {k: events[k] for k in ("session_started", "replica_lost", "replica_synced") if events[k]}
        ),
        f"fio: {rounds.rounds} rounds, {rounds.written} blocks written, {rounds.verified + blocks} verified",
        f"registers: {_counted(clients.counts)}; longest request {clients.longest_s:.1f} s",
        "no read was wrong, no acknowledged write is lost, all copies are equal",
    ]
    return "\n".join(lines)


def _counted(counts: dict[str, int] | Counter[str]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
