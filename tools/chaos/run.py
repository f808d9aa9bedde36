"""A whole run: a cluster, three volumes, their clients, faults until the bounds are reached, then everything is looked at."""

import contextlib
import filecmp
import functools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from tests.support.foreign import storage_daemon
from tests.support.namespaces import Loopback, Namespaces, network
from tests.support.register_clients import RegisterClients, SawWrong, slots
from tests.support.spaced import SERVER, SpacedCluster, small_disk, why_no_small_disks
from tools.chaos.consumer import Consumer
from tools.chaos.faults import NEEDS_CUTS, NEEDS_SMALL_DISKS, Cast, episodes
from tools.chaos.inject import SENSITIVE, Injector
from tools.chaos.loads import FioRounds, Load
from tools.chaos.play import Player

SIZES = {SENSITIVE: "64MiB", "near": "16MiB", "far": "16MiB"}
AT = {SENSITIVE: "n1", "near": "n2", "far": "n3"}
"""Where the volumes are attached first; fio's stays there."""

RANGES = {"near": slots(), "far": slots(blocks=48, stride=1 << 18)}
"""Few blocks, close together; and more, each in a region of its own."""

SETTINGS = {"silence_s": "3", "replace_after_s": "25"}
"""Shorter than the defaults, so that a minute holds many removals, and now and then a replacement."""

DISK_MIB = 384
TOO_LONG, MORE_MINUTES = 3, 20
"""A run that has not reached its bounds in so many times its minutes, and so many more, has failed."""


class Bounds(NamedTuple):
    """What a run must have seen, all at least."""

    faults: int = 100
    sessions: int = 30
    writes: int = 50_000


class Options(NamedTuple):
    """`minutes` of faults at least, until `bounds` are reached, on `nodes` nodes, chosen by `seed`.

    `folder` is for all files and short, sockets lie in it. `shorthorn`: how the command is called, with `environment`
    in addition.
    """

    minutes: float
    nodes: int
    seed: int
    folder: Path
    bounds: Bounds = Bounds()
    shorthorn: Sequence[str] = ()
    environment: Mapping[str, str] = MappingProxyType({})


class Outcome(NamedTuple):
    """What a run has seen. `wrong`: what a client was shown or a copy held that may not be; empty when there was nothing."""

    seconds: float
    faults: dict[str, int]
    requests: dict[str, int]
    sessions: int
    writes: int
    heals: int
    longest_s: float
    figures: dict[str, Any]
    wrong: str = ""

    def reached(self, bounds: Bounds) -> bool:
        """All of them."""
        counts = Bounds(sum(self.faults.values()), self.sessions, self.writes)
        return all(count >= bound for count, bound in zip(counts, bounds, strict=True))


def run(options: Options, say: Callable[[str], None]) -> Outcome:
    """One run. Raises `AssertionError` when nothing goes on or the bounds are not reached; what is wrong is in the outcome."""
    hosts = (SERVER, *(f"n{i}" for i in range(1, options.nodes + 1)))
    net, why = network(hosts)
    say(f"seed {options.seed}, {options.nodes} nodes in {net.kind}" + (f" ({why}): no cuts" if why else ""))
    with contextlib.ExitStack() as stack:
        stack.enter_context(net)
        data = options.folder / "data"
        no_disks = why_no_small_disks(options.folder)
        for name in () if no_disks else hosts[1:]:
            stack.enter_context(small_disk(data / "nodes" / name / "disks" / "d1", DISK_MIB))
        if no_disks:
            say(f"no disk is full: {no_disks}")
        cluster = SpacedCluster(
            data, net, options.nodes, f"{DISK_MIB}MiB", options.shorthorn, options.environment
        )
        stack.enter_context(cluster)
        return _Run(options, cluster, net, say, small=not no_disks).run()


class _Run:
    def __init__(
        self,
        options: Options,
        cluster: SpacedCluster,
        net: Namespaces | Loopback,
        say: Callable[[str], None],
        *,
        small: bool,
    ) -> None:
        self._options, self._cluster, self._say = options, cluster, say
        self._consumer = Consumer(cluster)
        self._injector = Injector(cluster, net if isinstance(net, Namespaces) else None, self._consumer)
        without = (frozenset() if net.cuts else NEEDS_CUTS) | (frozenset() if small else NEEDS_SMALL_DISKS)
        self._cast = Cast(cluster.names, tuple(SIZES), tuple(RANGES), without)
        self._journal = _Journal(cluster)
        self._began = time.monotonic()

    def run(self) -> Outcome:
        paths = self._make_volumes()
        self._injector.learn(SIZES)
        for name, ranges in RANGES.items():
            seed = self._options.seed + len(self._consumer.clients)
            self._consumer.clients[name] = RegisterClients(paths[name], name, ranges, seed=seed, stall_s=180)
        with self._fio() as rounds:
            loads: dict[str, Load] = {SENSITIVE: rounds, **self._consumer.clients}
            self._player = Player(self._cluster, self._injector, self._consumer, loads, self._say)
            self._rounds = rounds
            self._began = time.monotonic()
            try:
                with contextlib.ExitStack() as stack:
                    stack.enter_context(rounds)
                    for clients in self._consumer.clients.values():
                        stack.enter_context(clients)
                    self._play()
                self._say("faults are over, all that was written is read back")
                rounds.verify()
            except SawWrong as wrong:
                return self._outcome(str(wrong))
        try:
            self._look()
        except SawWrong as wrong:
            return self._outcome(str(wrong))
        return self._outcome()

    def _make_volumes(self) -> dict[str, str]:
        for name, value in SETTINGS.items():
            self._cluster.setting(name, value)
        for name, size in SIZES.items():
            self._cluster.cli("volume", "create", name, "--size", size, "--replicas", "3", "--wait")
        return {name: self._consumer.attach(name, AT[name]) for name in SIZES}

    @contextlib.contextmanager
    def _fio(self) -> Iterator[FioRounds]:
        socket = self._options.folder / "qsd.sock"
        endpoint = self._cluster.endpoint(SENSITIVE)
        with storage_daemon(endpoint, SENSITIVE, socket, reconnect_s=300) as uri:
            yield FioRounds(self._options.folder, uri)

    def _play(self) -> None:
        end = time.monotonic() + 60 * self._options.minutes
        too_late = time.monotonic() + 60 * (TOO_LONG * self._options.minutes + MORE_MINUTES)
        for episode in episodes(self._options.seed, self._cast):
            self._player.play(episode)
            now = time.monotonic()
            outcome = self._outcome()
            if now > end and outcome.reached(self._options.bounds):
                break
            assert now < too_late, f"only {outcome}, bounds are {self._options.bounds}"
        self._player.heal()

    def _outcome(self, wrong: str = "") -> Outcome:
        """Of what was until now."""
        clients = self._consumer.clients
        told = Counter[str]()
        for each in clients.values():
            told += each.counts
        if not wrong:
            self._journal.read()
        return Outcome(
            seconds=time.monotonic() - self._began,
            faults=dict(sorted(self._player.faults.items())),
            requests=dict(sorted(self._player.requests.items())),
            sessions=self._journal.events["session_started"],
            writes=told["writes"] + told["trims"],
            heals=self._player.heals,
            longest_s=max(self._player.longest_s, *(each.longest_s for each in clients.values())),
            figures={
                "events": dict(sorted(self._journal.events.items())),
                "clients": dict(sorted(told.items())),
                "fio": {
                    "rounds": self._rounds.rounds,
                    "written": self._rounds.written,
                    "verified": self._rounds.verified,
                },
                "evictions": dict(sorted(self._consumer.evictions.items())),
                "nobody there": self._player.missed,
            },
            wrong=wrong,
        )

    def _look(self) -> None:
        """Detached and settled, all copies are equal, what runs is what is recorded, and each copy serves the same."""
        for name in SIZES:
            if name in self._consumer.clients:
                self._consumer.clients[name].verify(
                    self._consumer.attach(name, self._consumer.where[name]), name
                )
            self._consumer.detach(name)
            self._cluster.wait(functools.partial(self._is_settled, name), f"{name} is settled")
            self._compare(name)
        self._cluster.rest(timeout_s=120)
        findings = self._cluster.get("/v1/check?wait_s=20")["findings"]
        assert not findings, f"what runs is not what is recorded: {findings}"
        for name, clients in self._consumer.clients.items():
            for replica in self._cluster.volume(name)["replicas"]:
                clients.verify(self._consumer.attach(name, replica["node"]), name)
                self._consumer.detach(name)

    def _is_settled(self, name: str) -> bool:
        return bool(self._cluster.volume(name)["settled"])

    def _compare(self, name: str) -> None:
        copies = [
            next(p for p in self._cluster.layers(replica["node"], name) if p.suffix == ".data")
            for replica in self._cluster.volume(name)["replicas"]
            if replica["phase"] == "in_sync"
        ]
        assert len(copies) >= 2, f"{name} has {len(copies)} replicas"
        for copy in copies[1:]:
            if not filecmp.cmp(copies[0], copy, shallow=False):
                raise SawWrong(f"{name}: {copies[0]} and {copy} differ")


class _Journal:
    """Counts events, as they come."""

    def __init__(self, cluster: SpacedCluster) -> None:
        self.events: Counter[str] = Counter()
        self._cluster, self._after = cluster, 0

    def read(self) -> None:
        """What came since; when the server is away just now, later."""
        with contextlib.suppress(AssertionError):
            while (page := self._cluster.get(f"/v1/events?after={self._after}"))["events"]:
                self.events.update(event["event"] for event in page["events"])
                self._after = page["last"]


def counted(counts: dict[str, int]) -> str:
    """In one line."""
    return ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())) or "none"


def summary(outcome: Outcome) -> str:
    """For people."""
    events = outcome.figures["events"]
    fio = outcome.figures["fio"]
    kinds = ("session_started", "replica_lost", "replica_synced", "fence_held", "replica_placed")
    lines = [
        f"{sum(outcome.faults.values())} faults: {counted(outcome.faults)}",
        f"requests: {counted(outcome.requests)}; evictions: {counted(outcome.figures['evictions'])}",
        f"{outcome.heals} times healthy again, each time what ran was what is recorded",
        f"{outcome.sessions} sessions; events: {counted({k: events[k] for k in kinds if events.get(k)})}",
        f"{outcome.writes} acknowledged writes of judged clients: {counted(outcome.figures['clients'])}",
        f"fio: {fio['rounds']} rounds, {fio['written']} blocks written, {fio['verified']} verified",
        f"longest wait for progress or an answer: {outcome.longest_s:.1f} s; {outcome.seconds:.0f} s altogether",
    ]
    if outcome.wrong:
        lines.append(f"WRONG: {outcome.wrong}")
    else:
        lines.append("no read was wrong, no acknowledged write is lost, all copies are equal")
    return "\n".join(lines)
