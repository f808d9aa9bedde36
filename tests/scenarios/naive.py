"""The naive cluster as a stage, for stories that need neither data nor time: until the simulator is there."""

from collections.abc import Callable, Sequence
from typing import Never

import msgspec

from shorthorn.core.lifecycle.events import (
    Cordoned,
    DeathWithdrawn,
    DeclaredDead,
    DeleteRequested,
    EvictCancelled,
    EvictRequested,
    NodeEvent,
    SpecChanged,
    Uncordoned,
)
from shorthorn.core.model.ids import NodeName
from shorthorn.core.model.sighting import EngineState
from shorthorn.core.model.volume import Spec
from shorthorn.core.model.world import World
from shorthorn.sim.scenario.stage import Call, Kind, NotHere, Plan, Program
from tests.core.cluster import Cluster


class Naive:
    """Adapts `tests.core.cluster.Cluster` to `Stage`."""

    def __init__(self, plan: Plan) -> None:
        self.cluster = Cluster(plan.nodes, plan.disk_bytes)

    def add_node(self, name: str, disk_bytes: int, labels: dict[str, str]) -> None:
        self.cluster.add_node(name, disk_bytes, **labels)

    def create(self, volume: str, size: int, spec: Spec) -> str:
        if f"{volume}-uid" in self.cluster.volumes:
            raise NotHere("a name that is used again")
        self.cluster.create(volume, size=size, spec=spec)
        return ""

    def attach(self, volume: str, node: str, holder: str) -> str:
        return self.cluster.attach(volume, node, holder)

    def detach(self, volume: str, holder: str) -> str:
        return self.cluster.detach(volume, holder)

    def scale(self, volume: str, replicas: int | None) -> str:
        spec = msgspec.structs.replace(self.cluster.volume(volume).spec, replicas=replicas)
        return self.cluster.apply(volume, SpecChanged(spec=spec))

    def delete(self, volume: str) -> str:
        return self.cluster.apply(volume, DeleteRequested())

    def node_request(self, verb: str, node: str) -> str:
        return self.cluster.node_event(node, NODE_EVENTS[verb])

    def setting(self, name: str, value: float | None) -> str:
        raise NotHere(name)

    def has_device(self, volume: str, node: str) -> bool:
        raise NotHere("no data")

    def write(self, volume: str, block: int, value: int, *, node: str, fua: bool) -> Call:
        raise NotHere("no data")

    def read(self, volume: str, block: int, *, node: str) -> Call:
        raise NotHere("no data")

    def flush(self, volume: str, *, node: str) -> Call:
        raise NotHere("no data")

    def power_off(self, node: str) -> None:
        self.cluster.down(node)

    def power_on(self, node: str) -> None:
        self.cluster.up(node)

    def kill(self, program: Program) -> None:
        match program.kind:
            case Kind.ENGINE:
                for name in self.engines(program.of):
                    self.cluster.kill_engines(name)
            case Kind.CONTROL:
                self.cluster.forget_seen()
            case _:
                raise NotHere(program.kind)

    def start(self, program: Program) -> None:
        if program.kind is not Kind.CONTROL:
            raise NotHere(program.kind)

    def cut(self, one: str, other: str, *, one_way: bool) -> None:
        if other or one_way:
            raise NotHere("cuts between two")
        self.cluster.cut(one)

    def join(self, one: str, other: str) -> None:
        self.cluster.join(one)

    def damage(self, volume: str, node: str) -> None:
        folders = self.cluster.machines[NodeName(node)].folders
        for replica, folder in folders.items():
            folders[replica] = msgspec.structs.replace(folder, damaged="header checksum")

    def run_for(self, seconds: float) -> None:
        self.cluster.passes(seconds)

    def run_until(self, condition: Callable[[], bool], within_s: float) -> bool:
        for _ in range(200):
            if condition():
                return True
            for name in sorted(self.cluster.machines):
                self.cluster.act(name)
            self.cluster.report_all()
            self.cluster.carry_out(self.cluster.plan(), limit=1)
        return condition()

    def rest(self, within_s: float) -> None:
        self.cluster.rest(rounds=200)

    def world(self) -> World:
        return self.cluster.world()

    def journal(self) -> Sequence[str]:
        return self.cluster.journal

    def engines(self, volume: str) -> Sequence[str]:
        return [
            m.name
            for m in self.cluster.machines.values()
            if any(v == f"{volume}-uid" and e.state is EngineState.SERVING for (v, _), e in m.engines.items())
        ]

    def folders(self, node: str) -> Sequence[str]:
        folders = self.cluster.machines[NodeName(node)].folders.values()
        return sorted(folder.volume.removesuffix("-uid") for folder in folders)

    def end(self) -> None:
        pass

    def not_here(self, *_: object, **__: object) -> Never:
        raise NotHere("not on this stage")

    pause = resume = lead = fill = free = rot = slow = clock = not_here


NODE_EVENTS: dict[str, NodeEvent] = {
    "cordon": Cordoned(),
    "uncordon": Uncordoned(),
    "evict": EvictRequested(),
    "cancel-evict": EvictCancelled(),
    "dead": DeclaredDead(who="operator", why="will not come back"),
    "undead": DeathWithdrawn(who="operator"),
}
