"""Scenarios as an operator writes them: commands, a line, the expected answer.

One command a line; several on a line are parted by `;`. `#` begins a comment.

| command | meaning |
| --- | --- |
| `cluster nodes=3 disk=100GiB` | n1 n2 n3, each with one disk of that size |
| `node n4 [disk=…] [zone=…]` | one more node; other keys are labels |
| `volume v1 size=10GiB replicas=3 [domain=zone]` | create |
| `attach v1 n1 [holder]`, `detach v1 [holder]`, `scale v1 2`, `delete v1` | requests |
| `cordon n2`, `uncordon n2`, `evict n2`, `cancel-evict n2`, `dead n2` | of people, about nodes |
| `undead n2` | what was said by `dead` is taken back |
| `down n2`, `up n2`, `kill-engines n2`, `damage n2`, `restart-server` | what happens |
| `cut n2`, `join n2` | its programs run on, but nobody hears them; the end of that |
| `pass 600` | so many seconds pass |
| `waits v1` | adds what planning holds back for a volume to the next answer |
| `rest` | until nothing changes; fails if that never comes |
| `steps N` | N rounds of agents, sightings, and one intent of the plan |

The answer: refused commands; each volume; the evictions asked for; sessions that were started since the last `mark`.
"""

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
from shorthorn.core.model.units import parse_size
from shorthorn.core.model.volume import Spec
from shorthorn.core.planning.eviction import eviction_report
from tests.core.cluster import Cluster


class BadScenario(Exception):
    """A line that is not understood."""


class Scenario:
    """Carries out commands on a naive cluster; `answer` says what an operator would see."""

    def __init__(self) -> None:
        self.cluster = Cluster()
        self.refused: list[str] = []
        self.marked: int | None = None
        self.asked: list[str] = []

    def run(self, text: str) -> str:
        """The answer to the commands of `text`."""
        for line in text.splitlines():
            for command in line.split("#")[0].split(";"):
                if command.strip():
                    self.command(command.strip())
        return self.answer()

    def command(self, command: str) -> None:
        verb, *words = command.split()
        options = dict(word.split("=", 1) for word in words if "=" in word)
        names = [word for word in words if "=" not in word]
        try:
            refusal = self._do(verb, names, options)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise BadScenario(f"{command}: {error!r}") from error
        if refusal:
            self.refused.append(f"refused: {command}: {refusal}")

    def _do(self, verb: str, names: list[str], options: dict[str, str]) -> str:
        cluster = self.cluster
        match verb:
            case "cluster":
                for i in range(1, int(options["nodes"]) + 1):
                    cluster.add_node(f"n{i}", parse_size(options.get("disk", "100GiB")))
            case "node":
                size = parse_size(options.pop("disk", "100GiB"))
                cluster.add_node(names[0], size, **options)
            case "volume":
                keys = tuple(k for k in options.get("domain", "").split(",") if k)
                replicas = None if options["replicas"] == "auto" else int(options["replicas"])
                spec = Spec(replicas=replicas, domain_keys=keys)
                cluster.create(names[0], size=parse_size(options["size"]), spec=spec)
            case "attach":
                return cluster.attach(*names)
            case "detach":
                return cluster.detach(*names)
            case "scale":
                spec = msgspec.structs.replace(cluster.volume(names[0]).spec, replicas=int(names[1]))
                return cluster.apply(names[0], SpecChanged(spec=spec))
            case "delete":
                return cluster.apply(names[0], DeleteRequested())
            case "cordon" | "uncordon" | "evict" | "cancel-evict" | "dead" | "undead":
                return cluster.node_event(names[0], NODE_EVENTS[verb])
            case "rest":
                cluster.rest(rounds=200)
            case "steps":
                self._steps(int(names[0]))
            case _:
                self._happen(verb, names)
        return ""

    def _happen(self, verb: str, names: list[str]) -> None:
        cluster = self.cluster
        match verb:
            case "down":
                cluster.down(names[0])
            case "up":
                cluster.up(names[0])
            case "cut":
                cluster.cut(names[0])
            case "join":
                cluster.join(names[0])
            case "pass":
                cluster.passes(float(names[0]))
            case "waits":
                self.asked.append(names[0])
            case "kill-engines":
                cluster.kill_engines(names[0])
            case "damage":
                folders = cluster.machines[NodeName(names[0])].folders
                for replica, folder in folders.items():
                    folders[replica] = msgspec.structs.replace(folder, damaged="header checksum")
            case "restart-server":
                cluster.forget_seen()
            case "mark":
                self.marked = cluster.sessions_started()
            case _:
                raise ValueError("no such command")

    def _steps(self, count: int) -> None:
        for _ in range(count):
            for name in sorted(self.cluster.machines):
                self.cluster.act(name)
            self.cluster.report_all()
            self.cluster.carry_out(self.cluster.plan(), limit=1)

    def answer(self) -> str:
        cluster = self.cluster
        lines = [*self.refused, *(cluster.line(v.name) for v in cluster.world().volumes.values())]
        for name in cluster.world().nodes:
            report = eviction_report(cluster.world(), name)
            if report.state:
                lines.append(f"evict {name}: {report.state}" + "".join(f" - {line}" for line in report.lines))
        lines += [f"waits: {w}" for name in self.asked for w in cluster.waits() if w.startswith(f"{name}: ")]
        self.asked = []
        if self.marked is not None:
            lines.append(f"sessions started: {cluster.sessions_started() - self.marked}")
        return "\n".join(lines) or "nothing is left"


NODE_EVENTS: dict[str, NodeEvent] = {
    "cordon": Cordoned(),
    "uncordon": Uncordoned(),
    "evict": EvictRequested(),
    "cancel-evict": EvictCancelled(),
    "dead": DeclaredDead(who="operator", why="will not come back"),
    "undead": DeathWithdrawn(who="operator"),
}
