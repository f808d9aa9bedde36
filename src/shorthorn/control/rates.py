"""How fast each resync goes, from what engines report, so that people are told how long it will still take.

Kept in memory only; nothing is decided on it.
"""

from collections import deque
from collections.abc import Mapping

from shorthorn.core.model.ids import Attempt, NodeName, ReplicaId, VolumeUid
from shorthorn.core.model.sighting import NodeSighting, ResyncSighting

WINDOW_S = 30.0
"""Progress older than this says nothing about the rate now."""

SAMPLE_S = 1.0
"""Two samples are at least this far apart, so that their number is bounded."""

Key = tuple[VolumeUid, ReplicaId, Attempt]


class Rates:
    """The recent progress of each resync that nodes report."""

    def __init__(self) -> None:
        self._by_node: dict[NodeName, dict[Key, deque[tuple[float, int]]]] = {}

    def note(self, sighting: NodeSighting, now_s: float) -> None:
        """Take in a sighting, heard at `now_s`; what it does not name any more is forgotten."""
        before: Mapping[Key, deque[tuple[float, int]]] = self._by_node.get(sighting.node, {})
        after: dict[Key, deque[tuple[float, int]]] = {}
        for engine in sighting.engines:
            for resync in engine.resyncs:
                key = (engine.volume, resync.replica, resync.attempt)
                after[key] = _with(before.get(key), resync, now_s)
        self._by_node[sighting.node] = after

    def left_s(self, node: NodeName, volume: VolumeUid, resync: ResyncSighting, now_s: float) -> float | None:
        """Seconds until the resync will have gone through everything; None while nobody can tell.

        `node` is the session's. The first window after a pause is slower than what follows, never faster.
        """
        samples = self._by_node.get(node, {}).get((volume, resync.replica, resync.attempt))
        if not samples or resync.waits_for or not resync.total:
            return None
        (first_s, first), (last_s, last) = samples[0], samples[-1]
        if last <= first or now_s - last_s > WINDOW_S:
            return None
        rate = (last - first) / (last_s - first_s)
        return max(0.0, (resync.total - last) / rate - (now_s - last_s))


def _with(
    samples: deque[tuple[float, int]] | None, resync: ResyncSighting, now_s: float
) -> deque[tuple[float, int]]:
    """A resync that began anew, or whose numbers fell, has no past."""
    if samples is None or resync.done < samples[-1][1]:
        return deque([(now_s, resync.done)])
    if now_s - samples[-1][0] >= SAMPLE_S:
        samples.append((now_s, resync.done))
        while len(samples) > 2 and now_s - samples[0][0] > WINDOW_S:
            samples.popleft()
    return samples
