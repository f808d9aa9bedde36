"""The view that planning decides over: recorded and seen, side by side and never mixed. Always old.

The mappings are sorted by key and never changed once built; nothing iterates them in another order.
"""

from collections.abc import Mapping

import msgspec

from shorthorn.core.model.ids import ClusterUid, NodeName, VolumeUid
from shorthorn.core.model.node import Node
from shorthorn.core.model.record import Record
from shorthorn.core.model.sighting import NodeSighting, Reach
from shorthorn.core.model.volume import Volume


class Settings(Record):
    """The cluster's settings. Times in seconds, limits in counts."""

    cluster: ClusterUid
    replicas_auto_max: int = 3
    rebuilds_per_node_max: int = 2
    rebuilds_max: int = 16
    unreachable_after_s: float = 5.0
    grant_s: float = 2.0
    silence_s: float = 15.0
    open_grace_s: float = 5.0
    open_grace_torn_s: float = 15.0
    close_s: float = 30.0


class Seen(Record):
    """What is known of a node beside its record. `sighting` is the newest one, None when there was none."""

    reach: Reach
    sighting: NodeSighting | None = None


class World(msgspec.Struct, frozen=True, kw_only=True):
    """Recorded documents and the newest sightings at one moment."""

    settings: Settings
    volumes: Mapping[VolumeUid, Volume]
    nodes: Mapping[NodeName, Node]
    seen: Mapping[NodeName, Seen]
