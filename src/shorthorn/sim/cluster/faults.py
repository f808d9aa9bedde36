"""What breaks a simulated cluster, one verb each. Faults of what is not there do nothing and say so by their answer.

Network faults count: a link that two faults cut is whole again when both are over.
"""

import itertools
from collections import Counter
from typing import Final

from shorthorn.core.model.volume import Volume
from shorthorn.sim.cluster.cluster import Cluster
from shorthorn.sim.cluster.node import NodeHost, session_of
from shorthorn.sim.machine.process import Process
from shorthorn.sim.programs.drive import Drive, Times

SLOW_LINK: Final = {"delay_s": 0.25, "jitter_s": 0.5, "bytes_per_s": 2e5}
GOOD_LINK: Final = {"delay_s": 0.0001, "jitter_s": 0.0004, "bytes_per_s": 1e9}
SLOW_DISK: Final = 60.0
"""Times slower."""


class Faults:
    """Over one cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._cuts: Counter[tuple[str, str]] = Counter()
        self._chance = cluster.kernel.chance("faults")

    # Power

    def power_off(self, node: str) -> bool:
        """A machine loses power, with everything on it."""
        host = self._cluster.nodes[node]
        if not host.machine.powered:
            return False
        host.machine.power_off()
        self._cluster.truth.power_lost(node)
        self._cluster.clients.lost(node)
        return True

    def power_on(self, node: str) -> bool:
        """It boots, and its agent starts."""
        host = self._cluster.nodes[node]
        if host.machine.powered:
            return False
        host.machine.power_on()
        self._cluster.clients.boot(host.machine)
        host.start_agent()
        return True

    # Processes

    def engine(self, volume: str) -> Process | None:
        """The newest engine of a volume that lives anywhere."""
        found = self._cluster.volume(volume)
        return None if found is None else self._engine(found)

    def replica(self, node: str) -> Process | None:
        """The replica program of a node."""
        return next(iter(self._cluster.nodes[node].replica_programs()), None)

    def agent(self, node: str) -> Process | None:
        """The agent of a node."""
        agent = self._cluster.nodes[node].agent
        return None if agent is None or agent.ended else agent

    def server(self, name: str) -> Process | None:
        """A server's process."""
        process = self._cluster.servers[name].process
        return None if process is None or process.ended else process

    def kill_server(self, name: str) -> bool:
        """SIGKILL; a store of one server's own dies with it."""
        process = self.server(name)
        if process is None:
            return False
        process.kill()
        if len(self._cluster.servers) == 1:
            self._cluster.store.crash()
        return True

    # Network

    def cut(self, a: str, b: str, *, one_way: bool = False) -> None:
        """Nothing passes any more; with `one_way` from `a` to `b`."""
        for pair in ((a, b),) if one_way else ((a, b), (b, a)):
            self._cuts[pair] += 1
            if self._cuts[pair] == 1:
                self._cluster.network.cut(*pair, one_way=True)

    def join(self, a: str, b: str, *, one_way: bool = False) -> None:
        """The end of one `cut`."""
        for pair in ((a, b),) if one_way else ((a, b), (b, a)):
            self._cuts[pair] -= 1
            if self._cuts[pair] == 0:
                self._cluster.network.route(*pair).join(self._cluster.kernel)

    def isolate(self, node: str) -> None:
        """From everybody."""
        for other in self._others(node):
            self.cut(node, other)

    def rejoin(self, node: str) -> None:
        """The end of one `isolate`."""
        for other in self._others(node):
            self.join(node, other)

    def join_all(self) -> None:
        """The end of every cut and every slow link."""
        self._cuts.clear()
        for a, b in itertools.combinations([*self._cluster.nodes, *self._cluster.servers], 2):
            self._cluster.network.join(a, b)
            self._cluster.network.set_link(a, b, **GOOD_LINK)

    def slow_link(self, a: str, b: str, *, slow: bool) -> None:
        """A quarter of a second and more each way, and little bandwidth."""
        self._cluster.network.set_link(a, b, **(SLOW_LINK if slow else GOOD_LINK))

    def reset(self, a: str, b: str) -> bool:
        """Every connection between two machines breaks."""
        return self._cluster.network.break_connections(a, b) > 0

    # Disks

    def fill(self, node: str) -> None:
        """Hardly anything fits any more."""
        drive = self._drive(node)
        drive.set_capacity(drive.used + self._chance.choice((0, 4096, 20_000, 200_000)))

    def free(self, node: str) -> None:
        """There is space again."""
        self._drive(node).set_capacity(None)

    def slow_disk(self, node: str, *, slow: bool) -> None:
        """Everything takes far longer."""
        times = Times()
        if slow:
            for name, value in vars(times).items():
                if name.endswith("_s"):
                    setattr(times, name, value * SLOW_DISK)
        self._drive(node).times = times

    def stall(self, node: str, seconds: float) -> None:
        """Nothing is done for a while."""
        self._drive(node).stall(seconds)

    def fail_sync(self, node: str) -> None:
        """The next sync fails."""
        self._drive(node).fail_sync()

    def fail_write(self, node: str) -> None:
        """The next write fails."""
        self._drive(node).fail_write()

    def fail_no_more(self, node: str) -> None:
        """What was to fail next, and has not yet, won't."""
        self._drive(node).fail_no_more()

    def writeback(self, node: str) -> None:
        """The kernel writes back some of what is not synced."""
        self._drive(node).sim.writeback(self._chance.getrandbits(64))

    def rot(self, volume: str, node: str) -> bool:
        """Bits flip in a copy, if at least one other that is in-sync and not rotten is left."""
        found = self._cluster.volume(volume)
        replica = next((r for r in found.replicas if r.node == node), None) if found else None
        if found is None or replica is None or sum(1 for r in found.in_sync if r.node != node) < 1:
            return False
        self._cluster.truth.rotten[found.uid] = None
        return bool(self._drive(node).rot(replica.id))

    # Clocks

    def clock_rate(self, node: str, ppm: int) -> None:
        """Its clocks run faster or slower."""
        self._cluster.nodes[node].machine.set_clock_rate(ppm)

    def clock_jump(self, node: str, seconds: float) -> None:
        """Somebody sets its clock."""
        self._cluster.nodes[node].machine.jump_wall_clock(seconds)

    # Within

    def _others(self, node: str) -> list[str]:
        return [name for name in (*self._cluster.nodes, *self._cluster.servers) if name != node]

    def _engine(self, volume: Volume) -> Process | None:
        hosts: list[NodeHost] = list(self._cluster.nodes.values())
        living = [
            (session_of(p)[1], p) for host in hosts for p in host.engines() if session_of(p)[0] == volume.uid
        ]
        return max(living, key=lambda pair: pair[0])[1] if living else None

    def _drive(self, node: str) -> Drive:
        return self._cluster.nodes[node].drive
