"""Has one fault happen, and end: each is a context that lasts as long as the fault does."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator

from tests.support.cluster import lives
from tests.support.namespaces import Namespaces
from tests.support.spaced import SERVER, SpacedCluster, empty, fill
from tools.chaos.consumer import Consumer
from tools.chaos.faults import ALL, Fault, Kind, Role

SENSITIVE = "fio"
"""The volume whose engine is never asked to end, but killed: one that is asked closes its session in order and tells its
clients so (NBD's ESHUTDOWN), which fio takes for a failed disk. The other volumes' clients are asked to bear it."""

ENDS_S = 60.0
"""Bound on the end of an agent or a server that was asked to end."""

STAYERS = 2
STAY_S, ASK_S = 2.0, 1.0
"""So long clients stay at the old engine after its session is over, and so long again once it hears of that; in between every
range is read there."""


class Injector:
    """Knows how each kind of fault is done. What people ask goes on beside; `requests_done` waits for it."""

    def __init__(self, cluster: SpacedCluster, network: Namespaces | None, consumer: Consumer) -> None:
        """`network` None: no link can be cut here."""
        self._cluster, self._network, self._consumer = cluster, network, consumer
        self._asking: list[threading.Thread] = []
        self._failures: list[BaseException] = []
        self._uids: dict[str, str] = {}

    def hit(self, fault: Fault, ends: contextlib.ExitStack) -> bool:
        """Whether there was anybody to hit: a program may just be starting again. Closing `ends` ends the fault."""
        match fault.kind:
            case Kind.KILL | Kind.RESTART:
                return self._end_programs(fault, ends)
            case Kind.STOP:
                return bool(ends.enter_context(self._cluster.stopped(lambda: self._victims(fault))))
            case Kind.POWER:
                ends.callback(self._cluster.revive)
                self._darken(fault.where, ends)
                self._cluster.lose_power(fault.where)
            case Kind.FULL:
                ends.callback(empty, self._cluster.disk(fault.where))
                fill(self._cluster.disk(fault.where))
            case Kind.MOVE:
                self._ask(lambda: self._consumer.move(fault.where, fault.other))
            case Kind.EVICT | Kind.EVICT_CANCELLED:
                after_s = fault.for_s if fault.kind is Kind.EVICT_CANCELLED else None
                self._ask(lambda: self._consumer.evict(fault.where, after_s))
            case Kind.FENCE:
                self._cut_off_and_move(fault)
            case _:
                ends.enter_context(self._on_link(fault))
        return True

    def learn(self, volumes: Iterable[str]) -> None:
        """Ask for their uids, while there is a server to ask."""
        self._uids = {name: str(self._cluster.volume(name)["uid"]) for name in volumes}

    def requests_done(self) -> None:
        """Wait until what was asked has its effect. Raises what became of it else."""
        for thread in self._asking:
            thread.join()
        self._asking.clear()
        if self._failures:
            raise self._failures[0]

    def engines_of(self, volume: str) -> list[int]:
        """The engines of a volume that run, of whatever epoch."""
        return self._cluster.pids(rf"shorthorn-engine .*{self._uids[volume]}\.")

    def _end_programs(self, fault: Fault, ends: contextlib.ExitStack) -> bool:
        """An agent or a server that was ended stays so until the fault ends; the agents start the others again."""
        if fault.role in (Role.AGENT, Role.SERVER, Role.NODE):
            ends.callback(self._cluster.revive)
            self._darken(fault.where or SERVER, ends)
        victims, own = self._victims(fault), self._started_here(fault)
        engines = self.engines_of(SENSITIVE)
        for pid in victims:
            number = signal.SIGTERM if fault.kind is Kind.RESTART and pid not in engines else signal.SIGKILL
            with contextlib.suppress(ProcessLookupError):  # it ended by itself, just now
                os.kill(pid, number)
                os.kill(pid, signal.SIGCONT)  # it may stand still by another fault, and not hear SIGTERM
        self._cluster.wait(lambda: not any(map(lives, own)), f"it has ended: {fault}", ENDS_S)
        return bool(victims)

    def _started_here(self, fault: Fault) -> list[int]:
        """Agent or server: what we start again, once it has ended."""
        if fault.role is Role.SERVER:
            return self._cluster.server()
        return self._cluster.agent(fault.where) if fault.role in (Role.AGENT, Role.NODE) else []

    def _darken(self, host: str, ends: contextlib.ExitStack) -> None:
        if host not in self._cluster.dark:
            self._cluster.dark.add(host)
            ends.callback(self._cluster.dark.discard, host)

    def _victims(self, fault: Fault) -> list[int]:
        match fault.role:
            case Role.REPLICA:
                return self._cluster.pids(rf"shorthorn-replica .*nodes/{fault.where}/")
            case Role.ENGINE:
                return self.engines_of(fault.where)
            case Role.AGENT:
                return self._cluster.agent(fault.where)
            case Role.SERVER:
                return self._cluster.server()
            case _:
                return self._cluster.of_node(fault.where)

    @contextlib.contextmanager
    def _on_link(self, fault: Fault) -> Iterator[None]:
        assert self._network is not None, "no link can be cut here"
        both = fault.kind is not Kind.ONE_WAY
        links = [
            pair
            for other in (self._others(fault.where) if fault.other == ALL else [fault.other])
            for pair in ((fault.where, other), (other, fault.where))[: 1 + both]
        ]
        match fault.kind:
            case Kind.SLOW:
                affected = self._network.slow(fault.where)
            case Kind.LOSSY:
                affected = self._network.lossy(links)
            case _:
                affected = self._network.cut(links)
        with affected:
            yield

    def _cut_off_and_move(self, fault: Fault) -> None:
        """The node of a volume's engine can't be reached; the volume is moved all the same, which needs a fence.

        Some clients were forgotten there: what its engine tells them from now on is judged with what the others see.
        """
        assert self._network is not None, "no link can be cut here"
        volume = fault.where
        old = self._consumer.where[volume]
        new = fault.other if fault.other != old else next(n for n in self._cluster.names if n != old)
        links = [pair for other in self._others(old) for pair in ((old, other), (other, old))]
        clients = self._consumer.clients[volume]
        left = clients.path
        with self._network.cut(links):
            time.sleep(fault.for_s)
            self._consumer.move(volume, new, stay=STAYERS)
            time.sleep(STAY_S)
            clients.ask_old(left, ASK_S)
        time.sleep(STAY_S)
        clients.leave_old_paths()

    def _others(self, host: str) -> list[str]:
        return [name for name in (*self._cluster.names, SERVER) if name != host]

    def _ask(self, what: Callable[[], object]) -> None:
        def run() -> None:
            try:
                what()
            except BaseException as error:  # noqa: BLE001 - raised by `requests_done`
                self._failures.append(error)

        thread = threading.Thread(target=run, name="a request")
        thread.start()
        self._asking.append(thread)
