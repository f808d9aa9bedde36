"""The newest sighting of each node, and how long ago it was heard.

Kept in memory only: what is seen is never recorded. Sightings of another boot than the recorded one, or older than
the one held, are refused.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import msgspec

from shorthorn.control.rates import Rates
from shorthorn.core.model.ids import NodeName, VolumeUid
from shorthorn.core.model.sighting import NodeSighting, Reach, ResyncSighting
from shorthorn.core.model.world import Seen
from shorthorn.links.messages import Beat
from shorthorn.ports.clock import Clock


class _Heard(msgspec.Struct):
    at_s: float
    received_s: float
    sighting: NodeSighting


class Sightings:
    """What agents reported. Times are the monotonic clock's, in seconds. `limit_s`: silence that makes a node unreachable."""

    def __init__(self, clock: Clock, unreachable_after_s: float) -> None:
        self._clock = clock
        self.limit_s = unreachable_after_s
        self.begin_anew()

    def begin_anew(self) -> None:
        """This server has just started, or begun to lead: it knows of no node yet."""
        self._started_s = self._clock.monotonic_s()
        self._heard: dict[NodeName, _Heard] = {}
        self._registered_s: dict[NodeName, float] = {}
        self._rates = Rates()

    def take(self, sighting: NodeSighting) -> bool:
        """Keep a whole sighting. False: it is older than the one held."""
        now = self._clock.monotonic_s()
        held = self._heard.get(sighting.node)
        same = held is not None and held.sighting.boot_id == sighting.boot_id
        if held is not None and same and sighting.sequence < held.sighting.sequence:
            return False
        self._heard[sighting.node] = _Heard(now, now, sighting)
        self._rates.note(sighting, now)
        return True

    def beat(self, beat: Beat) -> bool:
        """Note that nothing changed. False: the sighting it speaks of is not held."""
        held = self._heard.get(beat.node)
        if held is None or held.sighting.boot_id != beat.boot_id or held.sighting.sequence != beat.sequence:
            return False
        held.at_s = self._clock.monotonic_s()
        return True

    def forget(self, node: NodeName) -> None:
        """The node's agent registered anew: what was seen before is void. It has spoken, so its silence begins now."""
        self._heard.pop(node, None)
        self._registered_s[node] = self._clock.monotonic_s()

    def reach(self, node: NodeName) -> Reach:
        """Whether the node is heard (docs/design.md section 7)."""
        if self.silent_s(node) >= self.limit_s:
            return Reach.UNREACHABLE
        return Reach.REACHABLE if node in self._heard else Reach.UNKNOWN

    def silent_s(self, node: NodeName) -> float:
        """Seconds since the node was heard; one that was not since this server started or began to lead, since then."""
        return self._clock.monotonic_s() - self._last_s(node)

    def left_s(self, node: NodeName, volume: VolumeUid, resync: ResyncSighting) -> float | None:
        """Seconds that a resync of a session on `node` will still take; None while nobody can tell."""
        return self._rates.left_s(node, volume, resync, self._clock.monotonic_s())

    def seen(self, nodes: Iterable[NodeName]) -> Mapping[NodeName, Seen]:
        """The newest of every node, with the ages of its tasks carried on to now."""
        return MappingProxyType(
            {name: Seen(reach=self.reach(name), sighting=self._current(name)) for name in sorted(nodes)}
        )

    def next_change_s(self, nodes: Iterable[NodeName]) -> float | None:
        """In how many seconds a node could stop being heard, or being unknown; None when none can."""
        now = self._clock.monotonic_s()
        ends = [self._started_s + self.limit_s, *(self._last_s(name) + self.limit_s for name in nodes)]
        left = [end - now for end in ends if end > now]
        return min(left, default=None)

    def _last_s(self, node: NodeName) -> float:
        held = self._heard.get(node)
        return self._registered_s.get(node, self._started_s) if held is None else held.at_s

    def _current(self, name: NodeName) -> NodeSighting | None:
        held = self._heard.get(name)
        if held is None:
            return None
        age_s = self._clock.monotonic_s() - held.received_s
        tasks = tuple(msgspec.structs.replace(task, for_s=task.for_s + age_s) for task in held.sighting.tasks)
        return msgspec.structs.replace(held.sighting, tasks=tasks) if tasks else held.sighting
