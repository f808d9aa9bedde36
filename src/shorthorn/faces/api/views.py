"""What the API shows of records and sightings. Sizes in bytes; derived states by their names in docs/design.md."""

from typing import dataclass_transform

import msgspec


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class View(msgspec.Struct, frozen=True, kw_only=True):
    """The base of all answers."""


class ReplicaView(View):
    """A replica. `seen` is what its node last reported: ok, open, missing, damaged: …, unreachable, unknown."""

    id: str
    node: str
    disk: str
    phase: str
    attempt: int
    leaving: str
    seen: str
    used: int


class AttachmentView(View):
    """Who holds the volume, and where."""

    holder: str
    node: str
    mode: str


class TaskView(View):
    """Work without a session, with progress in bytes."""

    id: str
    kind: str
    place: str
    state: str
    done: int
    total: int


class ResyncView(View):
    """A replica that is being resynced in the session, in bytes looked at. `left_s` null: nobody can tell yet.

    `waits_for`: why it does not go on, empty while it does.
    """

    replica: str
    node: str
    attempt: int
    done: int
    total: int
    left_s: float | None
    waits_for: str


class VolumeView(View):
    """A volume. `reasons` say what it waits for and what would free it, in plain words."""

    name: str
    uid: str
    size: int
    state: str
    health: str | None
    reasons: tuple[str, ...]
    replicas_wanted: int
    replicas: tuple[ReplicaView, ...]
    attachments: tuple[AttachmentView, ...]
    node: str | None
    endpoint: str | None
    epoch: int
    m: int
    settled: bool
    broken: bool
    reads: str
    resyncs: tuple[ResyncView, ...]
    tasks: tuple[TaskView, ...]
    version: int


class VolumesView(View):
    """All volumes, by name."""

    volumes: tuple[VolumeView, ...]


class DiskView(View):
    """A disk of a node. `free` is what its file system has left, as last seen."""

    uid: str
    size: int
    committed: int
    free: int
    address: str
    replicas: int
    trouble: str


class NodeView(View):
    """A node. `dead`: why it was declared dead, and by whom; both empty when it was not. `eviction` is "", "done", or "blocked" / "moving" with the lines that say why."""

    name: str
    reach: str
    cordoned: bool
    evicting: bool
    dead: str
    dead_by: str
    machine_id: str
    boot_id: str
    disks: tuple[DiskView, ...]
    eviction: str
    eviction_lines: tuple[str, ...]


class DeathView(View):
    """A node that was declared dead, or is no longer, and what follows from that, in plain words."""

    node: NodeView
    effects: tuple[str, ...]


class SettingView(View):
    """A setting. `value` null: for as long as it takes. `fixed`: why it can't be changed, empty when it can."""

    name: str
    value: float | None
    default: float | None
    least: float
    most: float
    meaning: str
    fixed: str


class SettingsView(View):
    """All settings."""

    settings: tuple[SettingView, ...]


class NodesView(View):
    """All nodes, by name."""

    nodes: tuple[NodeView, ...]


class EventView(View):
    """One line of the journal."""

    number: int
    at: float
    subject: str
    name: str
    event: str
    line: str
    cause: str
    version: int


class EventsView(View):
    """Journal lines after a number, oldest first. Ask again with `after` = `last` for the next ones."""

    events: tuple[EventView, ...]
    last: int


class ExplainView(View):
    """Why a volume is as it is, and what happens next."""

    name: str
    state: str
    health: str | None
    reasons: tuple[str, ...]
    intents: tuple[str, ...]
    waits: tuple[str, ...]
    resyncs: tuple[ResyncView, ...]


class StatusView(View):
    """The cluster in a few numbers."""

    cluster: str
    version: str
    insecure_network: bool
    journal_end: int
    nodes: dict[str, int]
    volumes: dict[str, int]
    health: dict[str, int]
    waits: tuple[str, ...]


class CheckView(View):
    """Differences between what is recorded and what runs, and broken invariants. Both empty: all is well."""

    findings: tuple[str, ...]
    unknown: tuple[str, ...]


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base of all bodies of requests: what is not known is refused, not ignored."""


class CreateVolume(Body):
    """The body of a creation. `size` in bytes; `replicas` None: auto."""

    name: str
    size: int
    replicas: int | None = 3
    domain_keys: tuple[str, ...] = ()
    reads: str = "granted"


class ChangeVolume(Body):
    """The body of a change; what is left out stays."""

    size: int | None = None
    replicas: int | None = None


class Attach(Body):
    """The body of an attachment."""

    node: str
    mode: str = "rw"


class DeclareDead(Body):
    """The body of a declaration of death. `force`: also of a node that is heard, or not yet known to be unreachable."""

    who: str
    why: str
    force: bool = False


class ChangeSetting(Body):
    """The body of a change of a setting; null: for as long as it takes."""

    value: float | None
