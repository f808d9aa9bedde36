"""The view that planning decides over: recorded and seen, side by side and never mixed. Always old.

The mappings are sorted by key and never changed once built; nothing iterates them in another order.
"""

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from shorthorn.core.model.ids import ClusterUid, DiskUid, Epoch, NodeName, ReplicaId, VolumeUid
from shorthorn.core.model.node import Node
from shorthorn.core.model.record import Record
from shorthorn.core.model.sighting import (
    DiskSighting,
    EngineSighting,
    NodeSighting,
    Reach,
    ReplicaSighting,
    TaskSighting,
)
from shorthorn.core.model.volume import Task, Volume


class Settings(Record):
    """The cluster's settings. Times in seconds, limits in counts.

    `replace_after_s`: how long a replica may be away before another one is placed. `space_wait_s`: how long a change
    waits for space before it fails; None: as long as it takes, 0: not at all.
    """

    cluster: ClusterUid
    replicas_auto_max: int = 3
    rebuilds_per_node_max: int = 2
    rebuilds_max: int = 16
    unreachable_after_s: float = 5.0
    grant_s: float = 2.0
    silence_s: float = 8.0
    open_grace_s: float = 5.0
    open_grace_torn_s: float = 15.0
    close_s: float = 30.0
    replace_after_s: float = 600.0
    space_wait_s: float | None = None


class Seen(Record):
    """What is known of a node beside its record. `sighting` is the newest one, None when there was none."""

    reach: Reach
    sighting: NodeSighting | None = None


class Ended(Record):
    """Ends of a volume's sessions while it was held, one soon after the other, as this server saw them.

    `count` of them, the last one `ago_s` seconds ago.
    """

    count: int
    ago_s: float


NOBODY_AWAY: Mapping[tuple[NodeName, DiskUid], float] = MappingProxyType({})

NO_ENDS: Mapping[VolumeUid, Ended] = MappingProxyType({})


class World(msgspec.Struct, frozen=True, kw_only=True):
    """Recorded documents and the newest sightings at one moment.

    `away_s`: for each disk whose replica program is not heard, how long this server has known that, in seconds.
    `folders` is an index, filled as it is asked for.
    """

    settings: Settings
    volumes: Mapping[VolumeUid, Volume]
    nodes: Mapping[NodeName, Node]
    seen: Mapping[NodeName, Seen]
    ended: Mapping[VolumeUid, Ended] = NO_ENDS
    away_s: Mapping[tuple[NodeName, DiskUid], float] = NOBODY_AWAY
    folders: dict[tuple[NodeName, DiskUid], dict[ReplicaId, ReplicaSighting]] = msgspec.field(
        default_factory=dict
    )

    def reach(self, node: NodeName) -> Reach:
        """Whether the node is heard; one that nobody has looked for is unknown."""
        seen = self.seen.get(node)
        return seen.reach if seen else Reach.UNKNOWN

    def heard(self, node: NodeName) -> NodeSighting | None:
        """The newest sighting of a node that is reachable."""
        seen = self.seen.get(node)
        return seen.sighting if seen and seen.reach is Reach.REACHABLE else None

    def disk_seen(self, node: NodeName, disk: DiskUid) -> DiskSighting | None:
        """A disk of a reachable node as last seen."""
        sighting = self.heard(node)
        return next((d for d in sighting.disks if d.uid == disk), None) if sighting else None

    def replica_seen(self, node: NodeName, disk: DiskUid, replica: ReplicaId) -> ReplicaSighting | None:
        """A replica's folder on a reachable node as last seen. None is "not seen", never "not there"."""
        folders = self.folders.get((node, disk))
        if folders is None:
            there = self.disk_seen(node, disk)
            folders = {r.replica: r for r in there.replicas} if there else {}
            self.folders[node, disk] = folders
        return folders.get(replica)

    def engine_seen(self, node: NodeName, volume: VolumeUid, epoch: Epoch) -> EngineSighting | None:
        """The engine of one session, as its reachable node last saw it."""
        sighting = self.heard(node)
        engines = sighting.engines if sighting else ()
        return next((e for e in engines if e.volume == volume and e.epoch == epoch), None)

    def task_seen(self, volume: VolumeUid, task: Task) -> TaskSighting | None:
        """A task of the record as its reachable place last saw it, of the same epoch."""
        sighting = self.heard(task.place)
        tasks = sighting.tasks if sighting else ()
        return next((t for t in tasks if (t.task, t.volume, t.epoch) == (task.id, volume, task.epoch)), None)
