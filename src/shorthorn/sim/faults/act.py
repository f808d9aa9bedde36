"""Carries out a schedule on a cluster: each step when its time comes, and takes it back when its time is over.

A step that finds nothing to do does nothing and is not counted. Nothing here waits: requests are answered later.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from shorthorn.core.model.volume import Reads, Spec
from shorthorn.sim.cluster.cluster import Cluster
from shorthorn.sim.cluster.faults import Faults
from shorthorn.sim.faults.schedule import Step
from shorthorn.sim.machine.kernel import NS
from shorthorn.sim.machine.process import Process

VOLUME_BYTES: Final = 4 << 20

Undo = Callable[[], object]


def nothing() -> None:
    """There is nothing to take back."""


@dataclass
class Watcher:
    """Who is told of what happens: a story's line; a fault; a request with its answer's words."""

    story: Callable[[str, str], None] = lambda _who, _what: None
    fault: Callable[[str], None] = lambda _kind: None
    request: Callable[[str, str], None] = lambda _kind, _words: None
    counts: Counter[str] = field(default_factory=Counter)


class Actor:
    """Over one cluster and its faults. `without`: a rule of the faults to leave out, for tests of this simulator."""

    def __init__(self, cluster: Cluster, watcher: Watcher) -> None:
        self.cluster = cluster
        self.faults = Faults(cluster)
        self._watcher = watcher
        self._lasting: dict[int, tuple[Step, Undo]] = {}
        self._number = 0
        self._paused: Counter[Process] = Counter()
        self._pauses: list[Process] = []
        self._failed: dict[str, None] = {}

    def post(self, step: Step) -> None:
        """Have it happen at its time, or now if that has passed."""
        self.cluster.kernel.at(int(step.at_s * NS), self.begin, step)

    def begin(self, step: Step) -> None:
        """Now."""
        verb = getattr(self, "_" + step.do.replace("-", "_"), None)
        if verb is None:
            raise ValueError(f"there is no step {step.do!r}")
        undo: Undo | None = verb(step)
        if undo is None:
            return
        if step.do in FAULTS:
            self._watcher.fault(step.do)
            self._watcher.story("fault", str(step))
        if step.for_s and undo is not nothing:
            self._number += 1
            self._lasting[self._number] = (step, undo)
            self.cluster.kernel.after(int(step.for_s * NS), self._end, self._number)

    def heal(self) -> None:
        """Every fault is over, now: machines run, nothing is cut, disks have space, nobody is stopped or dead.

        A machine whose disk had failed boots again: a replica that could not sync is not trusted before that (A13).
        """
        for number in list(self._lasting):
            if self._lasting[number][0].do in FAULTS:
                self._end(number)
        self.faults.join_all()
        for process in self._pauses:
            process.resume()
        self._pauses.clear()
        self._paused.clear()
        for name in self._failed:
            self.faults.power_off(name)
        self._failed.clear()
        for name, node in self.cluster.nodes.items():
            self.faults.fail_no_more(name)
            self.faults.power_on(name)
            node.start_agent()
            self.faults.free(name)
            self.faults.slow_disk(name, slow=False)
            self.faults.stall(name, 0)
            self.faults.clock_rate(name, 0)
        for server in self.cluster.servers.values():
            server.start()
        store = self.cluster.store
        store.lose_answers = store.lose_requests = 0.0
        for name, record in list(self.cluster.truth.records.nodes.items()):
            if record.dead is not None:
                self.request("node", "withdraw-death", name)

    def _end(self, number: int) -> None:
        found = self._lasting.pop(number, None)
        if found is not None:
            step, undo = found
            undo()
            if step.do in FAULTS:
                self._watcher.story("fault", f"{step.do} {' '.join(step.of)} is over")

    # Requests

    def request(self, name: str, *arguments: object) -> None:
        """Somebody asks for something; the answer comes later."""
        said = " ".join(str(a.replicas) if isinstance(a, Spec) else str(a) for a in (name, *arguments))
        self._watcher.story("asks", said)

        def told(words: str) -> None:
            self._watcher.request(name if name != "node" else str(arguments[0]), words)
            self._watcher.story("answer", f"{said}: {words or 'done'}")

        self.cluster.office.ask(told, name, *arguments)

    def _create(self, step: Step) -> Undo:
        name, replicas, reads = step.of
        self.request("create", name, VOLUME_BYTES, Spec(replicas=int(replicas), reads=Reads(reads)))
        return nothing

    def _attach(self, step: Step) -> Undo:
        volume, node, holder, mode = step.of
        self.request("attach", volume, holder, node, mode)
        return nothing

    def _detach(self, step: Step) -> Undo:
        self.request("detach", *step.of)
        return nothing

    def _release(self, step: Step) -> Undo:
        """Whoever holds it lets go."""
        volume = self.cluster.volume(step.of[0])
        for attachment in volume.attachments if volume else ():
            self.request("detach", step.of[0], attachment.holder)
        return nothing

    def _scale(self, step: Step) -> Undo:
        volume, replicas = step.of
        self.request("scale", volume, int(replicas))
        return nothing

    def _delete(self, step: Step) -> Undo:
        self.request("delete", *step.of)
        return nothing

    def _setting(self, step: Step) -> Undo:
        name, value = step.of
        self.request("setting", name, float(value))
        return nothing

    def _evict(self, step: Step) -> Undo:
        self.request("node", "evict", *step.of)
        return partial(self.request, "node", "cancel-evict", *step.of)

    def _cordon(self, step: Step) -> Undo:
        self.request("node", "cordon", *step.of)
        return partial(self.request, "node", "uncordon", *step.of)

    def _io(self, step: Step) -> Undo:
        volume, kind = step.of
        self.cluster.clients.work(volume, kind, step.for_s)
        return nothing

    # Processes

    def _kill_engine(self, step: Step) -> Undo | None:
        return self._killed(self.faults.engine(step.of[0]))

    def _kill_replica(self, step: Step) -> Undo | None:
        return self._killed(self.faults.replica(step.of[0]))

    def _kill_agent(self, step: Step) -> Undo | None:
        if self._killed(self.faults.agent(step.of[0])) is None:
            return None
        return self.cluster.nodes[step.of[0]].start_agent

    def _kill_control(self, step: Step) -> Undo | None:
        return self.cluster.servers[step.of[0]].start if self.faults.kill_server(step.of[0]) else None

    def _pause_engine(self, step: Step) -> Undo | None:
        return self._stopped(self.faults.engine(step.of[0]))

    def _pause_replica(self, step: Step) -> Undo | None:
        return self._stopped(self.faults.replica(step.of[0]))

    def _pause_agent(self, step: Step) -> Undo | None:
        return self._stopped(self.faults.agent(step.of[0]))

    def _pause_control(self, step: Step) -> Undo | None:
        return self._stopped(self.faults.server(step.of[0]))

    def _lead(self, step: Step) -> Undo | None:
        """Whoever leads is stopped for a while, so that another does; with one server it is killed."""
        leader = self.cluster.leader
        if leader is None:
            return None
        if len(self.cluster.servers) > 1:
            return self._stopped(leader.process)
        return leader.start if self.faults.kill_server(step.of[0]) else None

    def _killed(self, process: Process | None) -> Undo | None:
        if process is None:
            return None
        process.kill()
        return nothing

    def _stopped(self, process: Process | None) -> Undo | None:
        if process is None:
            return None
        process.pause()
        self._paused[process] += 1
        self._pauses.append(process)

        def go_on() -> None:
            self._paused[process] -= 1
            if self._paused[process] == 0:
                process.resume()

        return go_on

    # Machines, networks, disks, clocks

    def _power(self, step: Step) -> Undo | None:
        return partial(self.faults.power_on, step.of[0]) if self.faults.power_off(step.of[0]) else None

    def _cut(self, step: Step) -> Undo:
        self.faults.cut(*step.of)
        return partial(self.faults.join, *step.of)

    def _cut_one_way(self, step: Step) -> Undo:
        self.faults.cut(*step.of, one_way=True)
        return partial(self.faults.join, *step.of, one_way=True)

    def _isolate(self, step: Step) -> Undo:
        self.faults.isolate(step.of[0])
        return partial(self.faults.rejoin, step.of[0])

    def _isolate_engine(self, step: Step) -> Undo | None:
        engine = self.faults.engine(step.of[0])
        if engine is None:
            return None
        self.faults.isolate(engine.machine.name)
        return partial(self.faults.rejoin, engine.machine.name)

    def _reset(self, step: Step) -> Undo | None:
        return nothing if self.faults.reset(*step.of) else None

    def _slow_link(self, step: Step) -> Undo:
        self.faults.slow_link(*step.of, slow=True)
        return partial(self.faults.slow_link, *step.of, slow=False)

    def _fill(self, step: Step) -> Undo:
        self.faults.fill(step.of[0])
        return partial(self.faults.free, step.of[0])

    def _slow_disk(self, step: Step) -> Undo:
        self.faults.slow_disk(step.of[0], slow=True)
        return partial(self.faults.slow_disk, step.of[0], slow=False)

    def _stall_disk(self, step: Step) -> Undo:
        self.faults.stall(step.of[0], step.for_s)
        return nothing

    def _fail_sync(self, step: Step) -> Undo:
        self.faults.fail_sync(step.of[0])
        self._failed[step.of[0]] = None
        return nothing

    def _fail_write(self, step: Step) -> Undo:
        self.faults.fail_write(step.of[0])
        self._failed[step.of[0]] = None
        return nothing

    def _writeback(self, step: Step) -> Undo:
        self.faults.writeback(step.of[0])
        return nothing

    def _rot(self, step: Step) -> Undo | None:
        return nothing if self.faults.rot(*step.of) else None

    def _clock_rate(self, step: Step) -> Undo:
        node, ppm = step.of
        self.faults.clock_rate(node, int(ppm))
        return partial(self.faults.clock_rate, node, 0)

    def _clock_jump(self, step: Step) -> Undo:
        node, seconds = step.of
        self.faults.clock_jump(node, float(seconds))
        return nothing

    def _declare_dead(self, step: Step) -> Undo:
        self.request("node", "declare-dead", *step.of)
        return partial(self.request, "node", "withdraw-death", *step.of)

    def _lose_commits(self, step: Step) -> Undo:
        store = self.cluster.store
        store.lose_requests, store.lose_answers = 0.1, 0.2

        def find_again() -> None:
            store.lose_requests = store.lose_answers = 0.0

        del step
        return find_again


FAULTS: Final = frozenset(
    [
        "kill-engine",
        "kill-replica",
        "kill-agent",
        "kill-control",
        "pause-engine",
        "pause-replica",
        "pause-agent",
        "pause-control",
        "lead",
        "power",
        "cut",
        "cut-one-way",
        "isolate",
        "isolate-engine",
        "reset",
        "slow-link",
        "fill",
        "slow-disk",
        "stall-disk",
        "fail-sync",
        "fail-write",
        "writeback",
        "rot",
        "clock-rate",
        "clock-jump",
        "declare-dead",
        "lose-commits",
    ]
)
"""What counts as a fault."""
