"""What is not yet as it should be while nothing is broken: L1-L6 of docs/design.md, each with a bound in virtual seconds.

Pure: a view of the records in, what is undone out. `Watch` follows what is undone over time and raises when something
takes longer than its bound. Bounds follow from the settings, and stand here for everybody to doubt.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from shorthorn.core.model.node import Node
from shorthorn.core.model.volume import SessionPhase, Volume
from shorthorn.core.model.world import Settings, World
from shorthorn.sim.judges.registers import Violation


class Rule(StrEnum):
    """A liveness rule."""

    DETACHED = "L1"
    ATTACHED = "L2"
    REDUNDANT = "L3"
    EVICTED = "L4"
    NO_TASK = "L5"
    DELETED = "L6"


@dataclass(frozen=True, slots=True)
class Undone:
    """Something that has to happen by itself. `waits`: who waits for what, in the system's own words."""

    rule: Rule
    subject: str
    what: str


def bounds(settings: Settings, pause_s: float = 60.0) -> Mapping[Rule, float]:
    """Seconds that each may take once nothing is broken.

    L1: a node is unreachable, its silence noticed, its session closed within its bound and the agent's slack, or fenced.
    L2: the old session's end, the longest pause between two sessions that ended, then an open with its grace times.
    L3, L4: as L1 and L2, then copying, one volume after the other, with pauses after a failed try. L6 as these.
    """
    end_s = settings.unreachable_after_s + settings.silence_s + settings.close_s + 10.0 + 5.0
    open_s = settings.open_grace_s + settings.open_grace_torn_s + 4 * settings.silence_s
    copied_s = end_s + open_s + pause_s + 120.0
    return {
        Rule.DETACHED: end_s + 20.0,
        Rule.ATTACHED: end_s + pause_s + open_s + 20.0,
        Rule.REDUNDANT: copied_s,
        Rule.EVICTED: copied_s + 60.0,
        Rule.NO_TASK: copied_s,
        Rule.DELETED: copied_s,
    }


def undone(world: World, served: Callable[[Volume], bool]) -> Iterator[Undone]:
    """What is left to do, in a world in which every node runs. `served`: whether the session serves, by the truth.

    A broken session waits for its consumers to let go (A2), also with its resyncs: that is nobody's to bound.
    """
    for volume in world.volumes.values():
        if volume.deleting:
            yield Undone(Rule.DELETED, volume.name, "is deleted and not gone")
            continue
        yield from _held(volume, served)
        if not any(a.stale for a in volume.attachments):
            yield from _redundant(world, volume)
    for node in world.nodes.values():
        if node.evicting:
            yield from _evicted(world, node)


def _held(volume: Volume, served: Callable[[Volume], bool]) -> Iterator[Undone]:
    session = volume.session
    if not volume.attachments and session is not None:
        yield Undone(
            Rule.DETACHED, volume.name, f"nobody holds it; session {session.epoch} is {session.phase}"
        )
    if volume.attachments and any(not a.stale for a in volume.attachments) and volume.m > 0:
        stale = any(a.stale for a in volume.attachments)
        if session is None:
            yield Undone(Rule.ATTACHED, volume.name, "it is held and has no session")
        elif not stale and not (session.phase is SessionPhase.OPEN and served(volume)):
            yield Undone(
                Rule.ATTACHED, volume.name, f"it is held; session {session.epoch} is {session.phase}"
            )


def _redundant(world: World, volume: Volume) -> Iterator[Undone]:
    if volume.m == 0:
        yield Undone(Rule.REDUNDANT, volume.name, "it is not formed")
        return
    want = volume.spec.replicas or min(world.settings.replicas_auto_max, len(world.nodes))
    good = {r.node for r in volume.in_sync if not _must_go(world, r.node)}
    places = good | {n.name for n in world.nodes.values() if _takes(n, volume)}
    if len(good) < min(want, len(places)):
        yield Undone(Rule.REDUNDANT, volume.name, f"{len(good)} replicas in-sync of {want}")
    if volume.session is None and not volume.settled:
        yield Undone(Rule.REDUNDANT, volume.name, "it is not settled")
    if volume.session is None and volume.tasks:
        yield Undone(Rule.NO_TASK, volume.name, f"task {volume.tasks[0].kind} goes on")
    if volume.tombstones:
        yield Undone(Rule.NO_TASK, volume.name, f"{len(volume.tombstones)} folders are to go")
    if len(volume.replicas) > want and len(good) >= want:
        yield Undone(Rule.NO_TASK, volume.name, f"{len(volume.replicas)} replicas, {want} are wanted")


def _must_go(world: World, name: str) -> bool:
    node = next((n for n in world.nodes.values() if n.name == name), None)
    return node is None or node.evicting or node.dead is not None


def _takes(node: Node, volume: Volume) -> bool:
    if node.cordoned or node.evicting or node.dead:
        return False
    return any(not disk.disabled and disk.free >= volume.size for disk in node.disks)


def _evicted(world: World, node: Node) -> Iterator[Undone]:
    """Blocked is allowed where no other place exists: then the node keeps what nobody else can take."""
    for volume in world.volumes.values():
        if volume.deleting or not any(r.node == node.name for r in volume.replicas):
            continue
        there = {r.node for r in volume.replicas}
        elsewhere = [n for n in world.nodes.values() if n.name not in there and _takes(n, volume)]
        good = [r for r in volume.in_sync if not _must_go(world, r.node)]
        want = volume.spec.replicas or min(world.settings.replicas_auto_max, len(world.nodes))
        if elsewhere or len(good) >= want:
            yield Undone(Rule.EVICTED, node.name, f"{volume.name} is still there")


@dataclass
class Watch:
    """Follows what is undone; call `look` often. `explain`: the system's own words about a subject."""

    bounds: Mapping[Rule, float]
    explain: Callable[[Undone], str]
    _since: dict[tuple[Rule, str], float] = field(default_factory=dict)

    def look(self, now_s: float, left: list[Undone]) -> None:
        """Raises `Violation` when something has been undone for longer than its bound."""
        keys = {(u.rule, u.subject): u for u in left}
        self._since = {key: self._since.get(key, now_s) for key in keys}
        for key, since_s in self._since.items():
            if now_s - since_s > self.bounds[key[0]]:
                item = keys[key]
                raise Violation(
                    f"{item.rule}: {item.subject}: {item.what} for {now_s - since_s:.0f} s without faults; {self.explain(item)}"
                )
