"""What agents and the server tell each other over HTTP, as records (JSON bodies).

| call | body | answer |
| --- | --- | --- |
| `POST /v1/agents/{node}/register` | Registration | Registered |
| `GET /v1/agents/{node}/orders` | - | stream of lines: NodeOrders, whole, at start and on change; an empty line every 2 s |
| `POST /v1/agents/{node}/sighting` | NodeSighting | 204 |
| `POST /v1/agents/{node}/beat` | Beat | 204; 409 when the server does not hold that sighting: send it whole |
| `POST /v1/agents/{node}/events` | EngineEvent | EngineAnswer |

Refusals are problem details (RFC 9457).
"""

from enum import StrEnum

from shorthorn.core.lifecycle.events import ReplicaLost, ReplicaSynced, SessionClosed, SessionOpened
from shorthorn.core.model.ids import ClusterUid, NodeName, VolumeUid
from shorthorn.core.model.node import Disk
from shorthorn.core.model.record import Record
from shorthorn.core.model.volume import Volume
from shorthorn.core.model.world import Settings


class Registration(Record):
    """An agent says who it is. `disks` come without commitments."""

    node: NodeName
    machine_id: str
    boot_id: str
    disks: tuple[Disk, ...]
    labels: tuple[tuple[str, str], ...] = ()
    wire: int = 1


class Registered(Record):
    """The cluster that the node is now part of."""

    cluster: ClusterUid
    settings: Settings


class Beat(Record):
    """Nothing changed since the sighting of this sequence."""

    node: NodeName
    boot_id: str
    sequence: int


class EngineEvent(Record):
    """An engine's ask, passed on by its agent."""

    volume: VolumeUid
    event: SessionOpened | ReplicaLost | ReplicaSynced | SessionClosed


class EngineOutcome(StrEnum):
    """Unknown: ask again; never act on it."""

    COMMITTED = "committed"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class EngineAnswer(Record):
    """`volume` is the document after the commit, when committed (now or before)."""

    outcome: EngineOutcome
    why: str = ""
    volume: Volume | None = None
