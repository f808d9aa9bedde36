"""Since when the replica program of each disk is not heard, for planning to have patience before it replaces what is there.

Kept in memory only: a server that starts anew counts from its start, so it is never hasty. Decides nothing.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from shorthorn.core.model.ids import DiskUid, NodeName
from shorthorn.core.model.node import Node
from shorthorn.core.model.sighting import Reach
from shorthorn.core.model.world import Seen
from shorthorn.ports.clock import Clock

Key = tuple[NodeName, DiskUid]


class Away:
    """What `note` has seen of each disk."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since_s: dict[Key, float] = {}

    def forget(self) -> None:
        """Begin as a server that has just started."""
        self._since_s.clear()

    def note(
        self,
        nodes: Mapping[NodeName, Node],
        seen: Mapping[NodeName, Seen],
        silent_s: Callable[[NodeName], float],
    ) -> Mapping[Key, float]:
        """The disks that are away now, with the seconds since; may be called as often as one likes.

        `silent_s`: how long a node has not been heard. A disk is away while its node is unreachable, or does not know where
        its replica program listens. One of a node of which this server knows nothing yet is neither away nor back.
        """
        now_s = self._clock.monotonic_s()
        away: dict[Key, float] = {}
        for name in sorted(nodes):
            reach = seen[name].reach if name in seen else Reach.UNKNOWN
            heard = _addresses(seen[name]) if reach is Reach.REACHABLE else {}
            for disk in nodes[name].disks:
                key = (name, disk.uid)
                if reach is Reach.UNKNOWN or not heard.get(disk.uid):
                    known_s = now_s if reach is Reach.REACHABLE else now_s - silent_s(name)
                    away[key] = self._since_s.get(key, known_s)
        self._since_s = away
        return MappingProxyType(
            {key: now_s - since_s for key, since_s in away.items() if _known(seen.get(key[0]))}
        )


def _known(seen: Seen | None) -> bool:
    return seen is not None and seen.reach is not Reach.UNKNOWN


def _addresses(seen: Seen) -> dict[DiskUid, str]:
    return {} if seen.sighting is None else {disk.uid: disk.address for disk in seen.sighting.disks}
