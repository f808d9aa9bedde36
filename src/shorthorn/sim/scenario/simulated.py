"""The simulator's cluster as a stage: the requests, faults and looks of scenarios, in its terms."""

from collections.abc import Callable, Sequence
from typing import Final

from shorthorn.core.model.ids import NodeName, ReplicaId, VolumeUid
from shorthorn.core.model.sighting import Reach
from shorthorn.core.model.volume import Replica, Spec, Volume
from shorthorn.core.model.world import World
from shorthorn.sim.cluster.cluster import Cluster
from shorthorn.sim.cluster.faults import Faults
from shorthorn.sim.cluster.node import session_of
from shorthorn.sim.judges.histories import BLOCK
from shorthorn.sim.machine.kernel import NotReached
from shorthorn.sim.machine.process import Process
from shorthorn.sim.programs.drive import FOLDER, Drive, Times
from shorthorn.sim.scenario.devices import Devices, Told
from shorthorn.sim.scenario.stage import Kind, Plan, Program

JOIN_S: Final = 60.0
"""So long a node may take to be heard, and another server to lead."""

LOOK_S: Final = 0.002

STILL_S: Final = 70.0
"""Nothing has changed for so long: at rest. Longer than every pause and bound in the system but `replace_after_s`."""

SILENCE: Final = 0xFF
"""Bits that are flipped in a rotten byte."""

VERBS: Final = {"dead": "declare-dead", "undead": "withdraw-death"}


class Simulated:
    """See `shorthorn.sim.scenario.stage.Stage`."""

    def __init__(self, plan: Plan) -> None:
        self._journal: list[str] = []
        self._uids: dict[str, list[VolumeUid]] = {}
        self._replicas: dict[ReplicaId, str] = {}
        self.cluster = Cluster(
            plan.seed,
            disk_bytes=plan.disk_bytes,
            nodes=0,
            controls=plan.controls,
            tell=self._told,
        )
        self._faults = Faults(self.cluster)
        self._devices = Devices(self.cluster)
        self._must(lambda: self.cluster.leader is not None, "no server comes to lead")
        for name, value in plan.settings.items():
            _done(not self.setting(name, value), f"{name} can't be {value}")
        for number in range(1, plan.nodes + 1):
            self.add_node(f"n{number}", plan.disk_bytes, {})

    # People and consumers

    def add_node(self, name: str, disk_bytes: int, labels: dict[str, str]) -> None:
        """Returns once the node is heard."""
        self.cluster.add_node(name, disk_bytes, labels)
        self._must(lambda: self.world().reach(NodeName(name)) is Reach.REACHABLE, f"{name} does not join")

    def create(self, volume: str, size: int, spec: Spec) -> str:
        return self.cluster.create(volume, size, spec)

    def attach(self, volume: str, node: str, holder: str) -> str:
        return self.cluster.attach(volume, node, holder)

    def detach(self, volume: str, holder: str) -> str:
        return self.cluster.detach(volume, holder)

    def scale(self, volume: str, replicas: int | None) -> str:
        return self.cluster.scale(volume, replicas)

    def delete(self, volume: str) -> str:
        return self.cluster.delete(volume)

    def node_request(self, verb: str, node: str) -> str:
        return self.cluster.node_request(VERBS.get(verb, verb), node)

    def setting(self, name: str, value: float | None) -> str:
        return self.cluster.setting(name, value)

    # Clients

    def has_device(self, volume: str, node: str) -> bool:
        return self._devices.ready(volume, node)

    def write(self, volume: str, block: int, value: int, *, node: str, fua: bool) -> Told:
        client = self._devices.of(volume, node)
        return self._devices.ask(client, lambda one: one.write((block,), fua=fua, value=value))

    def read(self, volume: str, block: int, *, node: str) -> Told:
        return self._devices.ask(self._devices.of(volume, node), lambda one: one.read((block,)))

    def flush(self, volume: str, *, node: str) -> Told:
        return self._devices.ask(self._devices.of(volume, node), lambda one: one.flush())

    # What happens

    def power_off(self, node: str) -> None:
        _done(self._faults.power_off(node), f"{node} is off already")

    def power_on(self, node: str) -> None:
        _done(self._faults.power_on(node), f"{node} is on already")

    def kill(self, program: Program) -> None:
        if program.kind is Kind.CONTROL:
            _done(self._faults.kill_server(program.of), f"{program.of} does not run")
        else:
            self._process(program).kill()

    def pause(self, program: Program) -> None:
        self._process(program).pause()

    def resume(self, program: Program) -> None:
        self._process(program).resume()

    def start(self, program: Program) -> None:
        match program.kind:
            case Kind.CONTROL:
                self.cluster.servers[program.of].start()
            case Kind.AGENT:
                self.cluster.nodes[program.of].start_agent()
            case _:
                raise ValueError("its agent starts it")

    def lead(self, control: str) -> None:
        """The others stand still until this one leads; then they run on, with what they knew."""
        chosen = self.cluster.servers[control]
        others = [
            host.process
            for host in self.cluster.servers.values()
            if host is not chosen and host.process is not None and not host.process.ended
        ]
        stopped = [process for process in others if not process.paused]
        for process in stopped:
            process.pause()
        self._must(lambda: chosen.leads, f"{control} does not come to lead")
        for process in stopped:
            process.resume()

    def cut(self, one: str, other: str, *, one_way: bool) -> None:
        for a, b in self._links(one, other):
            self.cluster.network.cut(a, b, one_way=one_way)

    def join(self, one: str, other: str) -> None:
        for a, b in self._links(one, other):
            self.cluster.network.join(a, b)

    def reset(self, one: str, other: str) -> None:
        _done(self._faults.reset(one, other), f"there is no connection between {one} and {other}")

    def fill(self, node: str) -> None:
        drive = self._drive(node)
        drive.set_capacity(drive.used)

    def free(self, node: str) -> None:
        self._drive(node).set_capacity(None)

    def rot(self, volume: str, node: str, block: int) -> None:
        folder = f"{FOLDER}/{self._replica(volume, node).id}/layers"
        drive = self._drive(node)
        (data,) = [name for name in drive.sim.names(folder) if name.endswith(".data")]
        drive.sim.rot(f"{folder}/{data}", block * BLOCK + 100, SILENCE)

    def damage(self, volume: str, node: str) -> None:
        header = f"{FOLDER}/{self._replica(volume, node).id}/header"
        for slot in (0, BLOCK):
            self._drive(node).sim.rot(header, slot + 40, SILENCE)

    def fail(self, node: str, what: str) -> None:
        self._drive(node)  # it is there
        (self._faults.fail_sync if what == "sync" else self._faults.fail_write)(node)

    def remove(self, volume: str, node: str) -> None:
        drive = self._drive(node)
        for name in drive.sim.replicas(FOLDER):
            if self._replicas.get(ReplicaId(name)) == volume:
                drive.sim.delete(f"{FOLDER}/{name}")

    def slow(self, node: str, seconds: float) -> None:
        times = Times()
        if seconds:
            times.touch_s, times.hitch = seconds, 0.0
        self._drive(node).times = times

    def clock(self, node: str, jump_s: float) -> None:
        self._faults.clock_jump(node, jump_s)

    # Time

    def run_for(self, seconds: float) -> None:
        self.cluster.run_for(seconds)

    def run_until(self, condition: Callable[[], bool], within_s: float) -> bool:
        """Looks often, so that no phase is missed."""
        try:
            self.cluster.kernel.run_until(condition, within_s, every_s=LOOK_S)
        except NotReached:
            return False
        return True

    def rest(self, within_s: float) -> None:
        last: list[object] = []
        since = [self.cluster.kernel.now_s]

        def still() -> bool:
            now = self._signs()
            if now != last or self._busy():
                last[:] = now
                since[0] = self.cluster.kernel.now_s
            return self.cluster.kernel.now_s - since[0] >= STILL_S

        self.cluster.kernel.run_until(still, within_s, every_s=0.5)

    # What is so

    def world(self) -> World:
        return self.cluster.world()

    def volume(self, name: str) -> Volume | None:
        return self.cluster.volume(name)

    def journal(self) -> Sequence[str]:
        return self._journal

    def engines(self, volume: str) -> Sequence[str]:
        living = [one for uid in self._uids.get(volume, []) for one in self.cluster.truth.engines(uid)]
        return sorted(node for node, _, _ in living)

    def folders(self, node: str) -> Sequence[str]:
        try:
            names = self._drive(node).sim.replicas(FOLDER)
        except OSError:  # no program has run there yet
            return []
        return sorted(self._replicas.get(ReplicaId(name), f"unknown {name}") for name in names)

    def end(self) -> None:
        self.cluster.close()

    # Within

    def _told(self, who: str, what: str) -> None:
        self._journal.append(f"{who}: {what}")
        for volume in self.cluster.truth.records.volumes.values():
            uids = self._uids.setdefault(volume.name, [])
            if volume.uid not in uids:
                uids.append(volume.uid)
            self._replicas.update((replica.id, volume.name) for replica in volume.replicas)

    def _signs(self) -> list[object]:
        """What must not change while the cluster is at rest: the journal, what runs and lies there, how far copies are."""
        engines = [
            (name, process.pid) for name, host in self.cluster.nodes.items() for process in host.engines()
        ]
        folders = [self.folders(name) for name in self.cluster.nodes]
        seen = [one for node in self.cluster.nodes if (one := self.world().heard(NodeName(node)))]
        resyncs = [(r.replica, r.done) for one in seen for engine in one.engines for r in engine.resyncs]
        tasks = [(task.task, task.state, task.done) for one in seen for task in one.tasks]
        return [len(self._journal), engines, folders, resyncs, tasks]

    def _busy(self) -> bool:
        """Something is certainly going to happen: a server comes to lead, a request is answered, an intent carried out."""
        leader = self.cluster.leader
        if leader is None or leader.control is None or self.cluster.office.under_way:
            return True
        return bool(leader.control.loop.plan.intents)

    def _process(self, program: Program) -> Process:
        found = self._find(program)
        if found is None:
            raise ValueError(f"no such {program.kind} runs")
        return found

    def _find(self, program: Program) -> Process | None:
        match program.kind:
            case Kind.ENGINE:
                return self._engine(program)
            case Kind.REPLICA:
                return self._faults.replica(program.of)
            case Kind.AGENT:
                return self._faults.agent(program.of)
            case Kind.CONTROL:
                return self._faults.server(program.of)

    def _engine(self, program: Program) -> Process | None:
        """The newest one of the volume, of those on that node if one is named."""
        uids = self._uids.get(program.of, [])
        living = [
            (*session_of(process), process)
            for name, host in self.cluster.nodes.items()
            if program.node in ("", name)
            for process in host.engines()
        ]
        mine = [(uids.index(VolumeUid(uid)), epoch, process) for uid, epoch, process in living if uid in uids]
        return max(mine, key=lambda one: one[:2])[2] if mine else None

    def _links(self, one: str, other: str) -> list[tuple[str, str]]:
        everybody = [*self.cluster.nodes, *self.cluster.servers]
        if one not in everybody:
            raise KeyError(f"there is no {one}")
        if other == "control":
            others = list(self.cluster.servers)
        elif other:
            others = [other]
        else:
            others = everybody
        return [(one, name) for name in others if name != one]

    def _replica(self, volume: str, node: str) -> Replica:
        found = self.cluster.volume(volume)
        for replica in found.replicas if found else ():
            if replica.node == node:
                return replica
        raise KeyError(f"{volume} has no replica on {node}")

    def _drive(self, node: str) -> Drive:
        return self.cluster.nodes[node].drive

    def _must(self, condition: Callable[[], bool], what: str) -> None:
        if not self.cluster.run_until(condition, JOIN_S):
            raise ValueError(what)


def _done(happened: bool, why: str) -> None:
    if not happened:
        raise ValueError(why)
