"""What runs on the node, as one frozen view: the input of `reconcile` and of `sighting`."""

from collections.abc import Mapping
from typing import Final

import msgspec

from shorthorn.core.model.ids import DiskUid, Epoch, NodeName, TaskId, VolumeUid
from shorthorn.links.program_lines import Held, Status, Target, TaskReport

Told = tuple[str, ...]
"""Names something that was told to a program on its present link, such as ("leave", replica)."""


LIST: Final[Told] = ("list",)
"""The order to list every folder of a disk."""


class EngineRuns(msgspec.Struct, frozen=True, kw_only=True):
    """An engine that was started here. `evidence` is how its end was confirmed, empty while it may live.

    `ending`: the agent is ending it by signals. `closing`: the bound on its close runs. `targets` are those it was
    told last on its present link. `trouble` is for people.
    """

    volume: VolumeUid
    epoch: Epoch
    evidence: str = ""
    ending: bool = False
    closing: bool = False
    linked: bool = False
    status: Status | None = None
    told: frozenset[Told] = frozenset()
    targets: tuple[Target, ...] | None = None
    trouble: str = ""


class TaskRuns(msgspec.Struct, frozen=True, kw_only=True):
    """A task as its program reported it last; `for_s` is how long it has been in that state, in seconds."""

    task: TaskId
    report: TaskReport
    for_s: float


class DiskRuns(msgspec.Struct, frozen=True, kw_only=True):
    """A disk and its replica program. `held` is sorted by replica, None until the program has listed its folders.

    `probes` are the removals that each replica answered a probe for last, `fences` the greatest epoch at which each was
    held for a fence; `awaited` are the orders, the list among them, that the program has not answered yet. All of these,
    `told`, and the `targets` of each task, are of the present link.
    """

    uid: DiskUid
    size: int
    free: int = 0
    address: str = ""
    linked: bool = False
    held: tuple[Held, ...] | None = None
    probes: Mapping[str, str] = msgspec.field(default_factory=dict)
    fences: Mapping[str, int] = msgspec.field(default_factory=dict)
    awaited: frozenset[Told] = frozenset()
    told: frozenset[Told] = frozenset()
    targets: Mapping[str, tuple[Target, ...]] = msgspec.field(default_factory=dict)
    tasks: tuple[TaskRuns, ...] = ()
    trouble: str = ""


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """Everything. `last` is the greatest epoch of each volume that was started or refused here; `held_back` says why
    an ordered engine is not started yet.
    """

    node: NodeName
    machine_id: str
    boot_id: str
    disks: tuple[DiskRuns, ...] = ()
    engines: tuple[EngineRuns, ...] = ()
    last: Mapping[VolumeUid, Epoch] = msgspec.field(default_factory=dict)
    held_back: Mapping[tuple[VolumeUid, Epoch], str] = msgspec.field(default_factory=dict)
