"""A whole cluster on virtual time: servers over one store, agents, programs, clients; judged at every commit and answer.

Everything in it is what ships, but for machines, disks, networks and the two programs' I/O. All that differs between two
runs follows from the seed. `faults` of this package break it; `faults.act` and scenarios use both.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from shorthorn.control.lease import LeaseTimes
from shorthorn.core.lifecycle.state import explain
from shorthorn.core.model.volume import Mode, Replica, Spec, Volume
from shorthorn.core.model.world import World
from shorthorn.core.planning.planner import plan_volume
from shorthorn.native._native import DiskError, ReplicaFiles
from shorthorn.ports.store import Batch
from shorthorn.sim.cluster.clients import Clients
from shorthorn.sim.cluster.node import NodeHost
from shorthorn.sim.cluster.outside import SimIds
from shorthorn.sim.cluster.requests import PATIENCE_S, Office
from shorthorn.sim.cluster.server import API, ServerHost
from shorthorn.sim.cluster.shared_store import SharedStore
from shorthorn.sim.cluster.truth import Truth
from shorthorn.sim.judges.copies import Content
from shorthorn.sim.machine.kernel import Kernel, NotReached
from shorthorn.sim.machine.machine import Machine
from shorthorn.sim.machine.network import Network
from shorthorn.sim.programs.drive import FOLDER
from shorthorn.sim.programs.surroundings import Surroundings

REST_S: Final = 5.0
"""Without a new journal entry, and with nothing planned, for so long: the cluster is at rest."""


class Cluster:
    """See the module. `tell` gets what people may read: who, what. `counted` hears of what clients were told."""

    def __init__(  # noqa: PLR0913 - what a cluster is made of, each with its default
        self,
        seed: int,
        *,
        nodes: int = 3,
        disk_bytes: int = 64 << 20,
        controls: int = 1,
        store: Path | None = None,
        settings: Mapping[str, float | None] | None = None,
        tell: Callable[[str, str], None] = lambda _who, _what: None,
        counted: Callable[[str, str], None] = lambda _what, _kind: None,
        programs_tell: Callable[[str], None] | None = None,
        made: Callable[["Cluster"], object] = lambda _cluster: None,
    ) -> None:
        """`store`: the folder of an SQLite store; None: in memory. `made` gets the cluster before anything runs in it."""
        self.kernel = Kernel(seed)
        made(self)
        self.network = Network(self.kernel)
        self.around = Surroundings(self.kernel, self.network, told=programs_tell)
        self.ids = SimIds(self.kernel.chance("ids"))
        self.nodes: dict[str, NodeHost] = {}
        self.servers: dict[str, ServerHost] = {}
        self.tell = tell
        self.counted = counted
        self.truth = Truth(self.nodes, self._note, lambda what: counted("session", what), self.content)
        self.store = SharedStore(self.kernel, store)
        self.store.on_commit = self._committed
        self.clients = Clients(
            self.kernel, self.network, self.truth.histories, self.truth.records.named, self._client_told
        )
        self.office = Office(Machine(self.kernel, self.network, "office"), self.network)
        self.disk_bytes = disk_bytes
        lease = LeaseTimes() if controls > 1 else None
        for number in range(1, controls + 1):
            machine = Machine(self.kernel, self.network, f"c{number}")
            host = self.servers[machine.name] = ServerHost(machine, self.network, self.store, self.ids, lease)
            self.office.knows(f"{machine.name}/{API}")
            host.start()
        for name, value in (settings or {}).items():
            self._must(self.setting(name, value))
        for number in range(1, nodes + 1):
            self.add_node(f"n{number}", disk_bytes, {})

    # People and consumers. Each waits for the answer: the refusal's words, empty when it was done.

    def add_node(self, name: str, disk_bytes: int, labels: Mapping[str, str]) -> None:
        """Another machine, whose agent joins by itself."""
        machine = Machine(self.kernel, self.network, name)
        addresses = tuple(f"{server}/{API}" for server in self.servers)
        self.nodes[name] = NodeHost(
            machine,
            self.around,
            self.ids,
            addresses,
            disk_bytes=disk_bytes,
            labels=tuple(sorted(labels.items())),
            began=self.truth.program_began,
        )
        self.clients.boot(machine)
        self.nodes[name].start_agent()

    def create(self, volume: str, size: int, spec: Spec) -> str:
        """A volume."""
        return self.ask("create", volume, size, spec)

    def attach(self, volume: str, node: str, holder: str, mode: str = Mode.READ_WRITE.value) -> str:
        """A consumer wants it."""
        return self.ask("attach", volume, holder, node, mode)

    def detach(self, volume: str, holder: str) -> str:
        """A consumer lets go."""
        return self.ask("detach", volume, holder)

    def scale(self, volume: str, replicas: int | None) -> str:
        """Another number of replicas."""
        return self.ask("scale", volume, replicas)

    def expand(self, volume: str, size: int) -> str:
        """Another size."""
        return self.ask("expand", volume, size)

    def delete(self, volume: str) -> str:
        """It is to go."""
        return self.ask("delete", volume)

    def node_request(self, verb: str, node: str) -> str:
        """Cordon, uncordon, evict, cancel-evict, declare-dead, declare-dead-by-force, withdraw-death."""
        return self.ask("node", verb, node)

    def setting(self, name: str, value: float | None) -> str:
        """Change one."""
        return self.ask("setting", name, value)

    def ask(self, name: str, *arguments: object) -> str:
        """Ask and wait for the answer."""
        words: list[str] = []
        self.office.ask(words.append, name, *arguments)
        self.kernel.run_until(lambda: bool(words), PATIENCE_S + 20.0)
        return words[0]

    # Time

    def run_for(self, seconds: float) -> None:
        """Let virtual time pass."""
        self.kernel.run_for(seconds)

    def run_until(self, condition: Callable[[], bool], within_s: float) -> bool:
        """Until it holds; False when the time is over first."""
        try:
            self.kernel.run_until(condition, within_s, every_s=0.05)
        except NotReached:
            return False
        return True

    def rest(self, within_s: float = 600.0) -> None:
        """Until nothing changes any more. Raises `NotReached` with who waits for what."""
        still_since = [self.kernel.now_s, float(self.truth.records.entries)]

        def still() -> bool:
            now_s, entries = self.kernel.now_s, float(self.truth.records.entries)
            if entries != still_since[1] or not self._nothing_planned():
                still_since[:] = [now_s, entries]
            return now_s - still_since[0] >= REST_S

        try:
            self.kernel.run_until(still, within_s, every_s=0.2)
        except NotReached as error:
            raise NotReached(f"no rest within {within_s:g} s: {'; '.join(self.waits())}") from error

    # What is so

    @property
    def leader(self) -> ServerHost | None:
        """A server that leads as far as it knows; the first of them."""
        return next((host for host in self.servers.values() if host.leads), None)

    def world(self) -> World:
        """What the leading server knows. Without one: the records, and nothing seen."""
        leader = self.leader
        if leader is None or leader.control is None:
            return self.truth.records.world()
        return leader.control.loop.world()

    def volume(self, name: str) -> Volume | None:
        """A volume by the record, now."""
        return self.truth.records.named(name)

    def content(self, replica: Replica) -> Content | None:
        """A replica's content as it is on its disk, whoever serves it. None: there is none to be read now."""
        host = self.nodes[replica.node]
        try:
            return ReplicaFiles.open(host.drive.sim, f"{FOLDER}/{replica.id}", boot=host.machine.boot_id)
        except DiskError:
            return None

    def explain(self, volume: Volume) -> str:
        """State, health and reasons of a volume, and what its plan waits for, in the system's own words."""
        world = self.world()
        known = world.volumes.get(volume.uid)
        if known is None:
            return "the leading server does not know it"
        said = explain(world, known)
        waits = plan_volume(world, known, lambda kind: f"{kind}-new").waits
        words = [*said.reasons, *(wait.describe() for wait in waits)]
        return f"{said.state}, {said.health or 'no health'}: {'; '.join(words) or 'waits for nothing'}"

    def waits(self) -> list[str]:
        """Who waits for what: every volume that is not at rest, every node that is not evicted yet."""
        return [f"{v.name} {self.explain(v)}" for v in self.truth.records.volumes.values()]

    def close(self) -> None:
        """The end of this world."""
        self.kernel.close()
        self.store.close()

    # Within

    def _nothing_planned(self) -> bool:
        leader = self.leader
        if leader is None or leader.control is None or self.office.under_way:
            return False
        plan = leader.control.loop.plan
        busy = any(v.tasks or v.tombstones for v in self.truth.records.volumes.values())
        moving = any(
            (v.session is not None and v.session.phase != "open") or (v.attachments and v.session is None)
            for v in self.truth.records.volumes.values()
        )
        return not plan.intents and not busy and not moving

    def _committed(self, batch: Batch) -> None:
        self.truth.records.take(batch)

    def _note(self, who: str, what: str) -> None:
        self.counted("journal", "")
        self.kernel.note(f"{who} {what}")
        self.tell(who, what)

    def _client_told(self, _uid: str, kind: str, error: str) -> None:
        self.counted("io", f"{kind} {error}" if error else kind)

    def _must(self, words: str) -> None:
        if words:
            raise AssertionError(words)
