"""What a program (engine or replica program) and the agent of its node tell each other: one JSON object a line.

The same types as `crates/shorthorn-wire/src/agent.rs`, which rules; `tests/agent/test_program_lines.py` holds the
spellings. What comes from a program is checked when it is decoded, and unknown fields are ignored: a newer program
may say more. Never does I/O. Source: docs/formats/wire.md.
"""

from enum import StrEnum
from typing import Annotated, dataclass_transform

import msgspec

WIRE_VERSION = 1
"""Of the data path and of these lines; a program with another one is refused at its hello."""

LINE_BYTES_MAX = 4 << 20
"""Longest line: a document of a volume with thousands of snapshots fits."""

UNASKED = 0
"""Id of a result that no order asked for: the replicas of a disk, after one of them changed what it durably is."""

Number = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
Small = Annotated[int, msgspec.Meta(ge=0, le=(1 << 32) - 1)]


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a line."""


class Document(Line):
    """The volume's document as far as a replica obeys it, and whole (`body`, JSON) for keeping."""

    era: Number
    version: Number
    m: Number
    size: Number
    chain: tuple[str, ...]
    head: str
    body: str


class Target(Line):
    """A replica as an engine or copier needs to know it. `address` is `host:port`, None while unknown."""

    replica: str
    node: str
    address: str | None
    attempt: Number
    in_sync: bool
    stored_m: Number
    local: bool


class SessionOrder(Line):
    """Everything an engine must know to serve one session: its order file. Times in milliseconds."""

    cluster: str
    volume: str
    name: str
    epoch: Number
    opened_epoch: Number
    settled: bool
    read_only: bool
    targets: tuple[Target, ...]
    document: Document
    endpoint: str
    agent: str
    open_grace_ms: Number
    open_grace_torn_ms: Number
    grant_ms: Number
    silence_ms: Number
    close_ms: Number
    space_wait_ms: Number | None
    strict_reads: bool


class SettleWork(Line, tag_field="kind", tag="settle"):
    """Make all in-sync replicas equal."""


class MoveWork(Line, tag_field="kind", tag="move"):
    """Copy everything from an in-sync replica to a syncing one."""

    source: str
    target: str


class CopyOrder(Line):
    """Everything a copier must know to do one task without a session."""

    task: str
    cluster: str
    volume: str
    epoch: Number
    opened_epoch: Number
    work: SettleWork | MoveWork
    targets: tuple[Target, ...]
    without: tuple[str, ...]
    document: Document


# From a program: its hello, then the rest.


class EngineHello(Line, tag_field="program", tag="engine"):
    """An engine dials."""

    wire: Small
    volume: str
    epoch: Number
    engine: str
    pid: Small


class ReplicaHello(Line, tag_field="program", tag="replica"):
    """A replica program dials. `address` is where it listens for engines, `host:port`."""

    wire: Small
    disk: str
    address: str
    pid: Small


Hello = EngineHello | ReplicaHello


class Phase(StrEnum):
    """Where an engine is in its life."""

    SEALING = "sealing"
    EQUALISING = "equalising"
    OPENING = "opening"
    SERVING = "serving"
    BROKEN = "broken"
    CLOSING = "closing"


class AskOpened(Line, tag_field="event", tag="session_opened"):
    """May the session be recorded as open?"""

    epoch: Number
    members: tuple[str, ...]
    broken: bool
    endpoint: str


class AskLost(Line, tag_field="event", tag="replica_lost"):
    """May the replica be recorded as lost?"""

    epoch: Number
    replica: str
    attempt: Number
    witness: str
    why: str = ""


class Base(Line):
    """What a resynced replica was made of."""

    chain: tuple[str, ...]
    size: Number


class AskSynced(Line, tag_field="event", tag="replica_synced"):
    """May the replica be recorded as in-sync?"""

    epoch: Number
    replica: str
    attempt: Number
    base: Base


class AskClosed(Line, tag_field="event", tag="session_closed"):
    """The session is over."""

    epoch: Number
    clean: bool
    why: str = ""


class Ask(Line, tag_field="type", tag="ask"):
    """An event for the record; asked again, with a new id, when the link ends before the answer."""

    id: Number
    ask: AskOpened | AskLost | AskSynced | AskClosed


class Resync(Line):
    """The resync of one replica in a session, in bytes looked at. `waits_for`: why it does not go on."""

    replica: str
    attempt: Number
    done: Number
    total: Number
    waits_for: str | None = None


class Status(Line, tag_field="type", tag="status"):
    """An engine's state."""

    phase: Phase
    waits_for: str | None = None
    needed: tuple[str, ...] = ()
    clients: Small = 0
    resyncs: tuple[Resync, ...] = ()


class Role(StrEnum):
    """What a replica is to its volume, as last told."""

    MEMBER = "member"
    SYNCING = "syncing"


class Standing(Line):
    """What a replica durably is. Its marks are not read here."""

    sealed: tuple[Number, Number]
    m: Number
    torn: bool
    failed: str | None = None
    role: Role | None = None


class Held(Line):
    """A replica folder as its program sees it."""

    replica: str
    volume: str
    empty: bool
    document_version: Number
    used: Number
    open: bool
    damaged: str | None = None
    standing: Standing | None = None


class Result(Line, tag_field="type", tag="result"):
    """Result of an order with an id."""

    id: Number
    error: str | None = None
    replicas: tuple[Held, ...] = ()


class TaskRunning(Line, tag_field="state", tag="running"):
    """Under way."""


class TaskReady(Line, tag_field="state", tag="ready"):
    """Equal and durable: the record may say so."""

    sealed: tuple[str, ...]


class TaskFinished(Line, tag_field="state", tag="finished"):
    """The members have stored the new document; over."""


class TaskFailed(Line, tag_field="state", tag="failed"):
    """Ended without an effect on the record."""

    why: str


class TaskReport(Line, tag_field="type", tag="task"):
    """Progress of a task, in bytes looked at."""

    task: str
    done: Number
    total: Number
    state: TaskRunning | TaskReady | TaskFinished | TaskFailed


FromProgram = Ask | Status | Result | TaskReport


# To a program.


class Committed(Line, tag_field="outcome", tag="committed"):
    """Committed, now or before: the document after it. `broken`: the session serves nobody, by the record (A2)."""

    document: Document
    broken: bool = False


class Refused(Line, tag_field="outcome", tag="refused"):
    """Refused for good: the engine ends."""

    why: str


class Answer(Line, tag_field="type", tag="answer"):
    """To an ask."""

    id: int
    answer: Committed | Refused


class Close(Line, tag_field="type", tag="close"):
    """Close the session cleanly."""


class Leave(Line, tag_field="type", tag="leave"):
    """Remove this replica once the others have answered a flush."""

    replica: str


class Targets(Line, tag_field="type", tag="targets"):
    """The replicas of the record now, with their addresses and attempts: new ones are to be resynced.

    `document` is the one that names them.
    """

    targets: tuple[Target, ...]
    document: Document | None = None


class Create(Line, tag_field="type", tag="create"):
    """Make an empty replica folder."""

    id: int
    replica: str
    cluster: str
    volume: str
    attempt: int
    document: Document


class Delete(Line, tag_field="type", tag="delete"):
    """Delete a folder for a tombstone."""

    id: int
    replica: str
    era: int
    version: int


class List(Line, tag_field="type", tag="list"):
    """Report every replica folder."""

    id: int


class Probe(Line, tag_field="type", tag="probe"):
    """Read one replica's standing now."""

    id: int
    replica: str
    drop: str


class Fence(Line, tag_field="type", tag="fence"):
    """Seal a replica for a fence, unless it is older than the record requires; answered once `wait_ms` have passed since."""

    id: int
    replica: str
    epoch: int
    attempt: int
    opened_epoch: int
    stored_m: int
    document: Document
    wait_ms: int


class Copy(Line, tag_field="type", tag="copy"):
    """Start a task; the same again changes nothing."""

    order: CopyOrder


class CancelTask(Line, tag_field="type", tag="cancel_task"):
    """Stop a task."""

    task: str


class TaskCommitted(Line, tag_field="type", tag="task_committed"):
    """The record says so now; tell the members."""

    task: str
    document: Document


class Stop(Line, tag_field="type", tag="stop"):
    """End now; a replica program when no replica is open."""


ToProgram = (
    Answer
    | Close
    | Leave
    | Targets
    | Create
    | Delete
    | List
    | Probe
    | Fence
    | Copy
    | CancelTask
    | TaskCommitted
    | Stop
)

_hello: msgspec.json.Decoder[Hello] = msgspec.json.Decoder(Hello)
_from_program: msgspec.json.Decoder[FromProgram] = msgspec.json.Decoder(FromProgram)


class BadLine(ValueError):
    """A line that is not of this language."""


def decode_hello(line: bytes) -> Hello:
    """The first line of a program. Raises `BadLine` for anything else."""
    try:
        return _hello.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadLine(str(error)) from error


def decode(line: bytes) -> FromProgram:
    """A later line of a program. Raises `BadLine` for anything else."""
    try:
        return _from_program.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadLine(str(error)) from error


def encode(message: ToProgram) -> bytes:
    """A line for a program, with its end."""
    return msgspec.json.encode(message) + b"\n"
