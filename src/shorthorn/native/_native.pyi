# ruff: noqa: PYI021 - what a user of the module has to know stands here, once
"""The cores of engine, copier and replica, and the disk code on simulated disks (crates/shorthorn-py).

A machine takes one event and gives its effects, in order. It never does anything itself: whoever drives it carries the
effects out and delivers what comes of them. Times are nanoseconds of a clock that only goes forward; nothing here reads
one. `replica` is an index into the targets of the machine's order. JSON has the fields of docs/formats/wire.md, as in
`shorthorn.links.program_lines`. Requests, replies, work and outcomes are opaque: they are passed on as they are.

Every error is an exception class of its own. One machine, one thread at a time.
Source: docs/protocol.md; crates/shorthorn-core (`engine/api.rs`, `copier/api.rs`, `replica/api.rs`).
"""

from os import PathLike
from typing import Literal, TypeAlias, final

__all__ = [
    "AgentConnected",
    "Answered",
    "Ask",
    "Cancel",
    "ClientBlockStatus",
    "ClientData",
    "ClientDone",
    "ClientExtents",
    "ClientFlush",
    "ClientGone",
    "ClientRead",
    "ClientRefused",
    "ClientWrite",
    "ClientZero",
    "Close",
    "Committed",
    "Connected",
    "Copier",
    "CopierEffect",
    "CopierEvent",
    "CorruptError",
    "DamagedError",
    "Dial",
    "Disconnected",
    "DiskError",
    "DiskIoError",
    "Do",
    "Done",
    "End",
    "Ended",
    "Engine",
    "EngineEffect",
    "EngineEvent",
    "ExistsError",
    "Exit",
    "Failed",
    "FailedError",
    "Finished",
    "HangUp",
    "HeadSumError",
    "InvalidError",
    "JsonError",
    "KindError",
    "Leave",
    "MagicError",
    "MalformedError",
    "MisalignedError",
    "MissingError",
    "NativeError",
    "NewerFormatError",
    "NoSpaceError",
    "NoTargetError",
    "OrderError",
    "OtherLayoutError",
    "OutOfRangeError",
    "Outcome",
    "PayloadJsonError",
    "PayloadSumError",
    "Progress",
    "Ready",
    "Replica",
    "ReplicaEffect",
    "ReplicaEvent",
    "ReplicaFiles",
    "Replied",
    "Reply",
    "Request",
    "Requested",
    "RolesError",
    "Send",
    "SendReply",
    "Serve",
    "SimDisk",
    "SizeError",
    "Start",
    "Status",
    "Stop",
    "StopServing",
    "SyncHandle",
    "Targets",
    "Timer",
    "TooBigError",
    "TooLongError",
    "TooManyTargetsError",
    "TwiceError",
    "UnknownReplicaError",
    "UnmarkedError",
    "Unreachable",
    "WakeAt",
    "WireError",
    "Work",
    "versions",
]

_Path: TypeAlias = str | PathLike[str]

def versions() -> tuple[str, int, int]:
    """Version of this package, of the wire languages, of the on-disk format."""

# Machines

@final
class Engine:
    """One session of one volume. `order`: JSON of a `SessionOrder`; `engine_id`: never used before."""

    def __new__(cls, order_json: bytes, engine_id: str) -> Engine:
        """Raises `JsonError`, `OrderError`."""

    def handle(self, now_ns: int, event: EngineEvent) -> list[EngineEffect]:
        """Raises `JsonError`, `UnknownReplicaError`; then nothing has happened."""

    @property
    def can_take(self) -> bool:
        """Whether more client requests may be delivered now. If they are, they are refused in the end."""

    def target(self, replica: int) -> tuple[str, str]:
        """Id and node of a replica that an effect named, for people."""

@final
class Copier:
    """One task on a detached volume. `order`: JSON of a `CopyOrder`; `engine_id`: never used before."""

    def __new__(cls, order_json: bytes, engine_id: str) -> Copier:
        """Raises `JsonError`, `OrderError`."""

    def handle(self, now_ns: int, event: CopierEvent) -> list[CopierEffect]:
        """Raises `JsonError`, `UnknownReplicaError`; then nothing has happened."""

@final
class Replica:
    """One replica, as its files say it is, without connections."""

    def __new__(cls, files: ReplicaFiles) -> Replica: ...
    def handle(self, event: ReplicaEvent) -> list[ReplicaEffect]: ...
    def deliver(self, event: ReplicaEvent, files: ReplicaFiles) -> list[ReplicaEffect]:
        """As `handle`, and all work but syncs is done with its files at once: what the replica program does under its lock.

        What is left: replies, ends, and `Do` of syncs.
        """

    def identity(self) -> tuple[str, str, str]:
        """Uid of the cluster and of the volume, id of the replica."""

    def is_sealed(self, epoch: int, attempt: int, engine: str) -> bool:
        """Whether this engine's seal is the one that holds."""

    def why_behind(self, opened_epoch: int, attempt: int, stored_m: int) -> str | None:
        """Why its content is older than the record requires (docs/protocol.md, A17). None: it is not."""

    def standing(self) -> bytes:
        """What it durably is, and its dirty regions: JSON of a `Standing`."""

    def document(self) -> bytes:
        """The document that it keeps: JSON of a `Document`."""

    @property
    def is_open(self) -> bool:
        """Whether a connection is open for a session now."""

    @property
    def is_busy(self) -> bool:
        """Whether requests only wait: something exclusive is being recorded."""

    @property
    def revision(self) -> int:
        """Grows whenever something changed that an agent should hear of."""

    def may_delete(self, era: int, version: int) -> bool:
        """Whether a tombstone whose document is (era, version) allows to delete the folder."""

# Messages

@final
class Request:
    """A request to a replica. Equal if the contents are."""

    @staticmethod
    def from_json(kind: Literal["hello", "seal"], json: bytes) -> Request:
        """One with this content. Raises `JsonError`."""

    @property
    def payload(self) -> int:
        """Bytes of its data: what makes it slow on a network."""

    @staticmethod
    def decode(data: bytes) -> tuple[int, Request, bytes] | None:
        """Take one frame off the front: tag, message, the rest. None: more bytes are needed. Raises `WireError`."""

    def encode(self, tag: int) -> bytes:
        """The frame. Raises `TooBigError`."""

    @property
    def kind(
        self,
    ) -> Literal[
        "hello",
        "seal",
        "open",
        "member",
        "probe",
        "ping",
        "write",
        "zero",
        "flush",
        "read",
        "extents",
        "clear",
        "hash",
        "fetch",
        "copy",
        "close",
    ]: ...
    @property
    def offset(self) -> int | None: ...
    @property
    def length(self) -> int | None: ...
    @property
    def seq(self) -> int | None:
        """Its place among the changes, or the last one that it covers."""

    @property
    def data(self) -> bytes | None:
        """Content of a write; of a copy that of the blocks that are not zero, joined."""

    @property
    def json(self) -> bytes | None:
        """Content of a hello, seal, open or member."""

    def __eq__(self, other: object, /) -> bool: ...

@final
class Reply:
    """A replica's reply. Equal if the contents are."""

    @staticmethod
    def unknown(detail: str) -> Reply:
        """The refusal of who wants a replica that is not served."""

    @property
    def payload(self) -> int:
        """Bytes of its data: what makes it slow on a network."""

    @staticmethod
    def decode(data: bytes) -> tuple[int, Reply, bytes] | None:
        """Take one frame off the front: tag, message, the rest. None: more bytes are needed. Raises `WireError`."""

    def encode(self, tag: int) -> bytes:
        """The frame. Raises `TooBigError`."""

    @property
    def kind(
        self,
    ) -> Literal["done", "standing", "data", "corrupt", "extents", "hash", "blocks", "refused", "failed"]: ...
    @property
    def data(self) -> bytes | None:
        """What was read; of a fetch the content of the blocks that are not zero, joined."""

    @property
    def json(self) -> bytes | None:
        """Content of a standing."""

    @property
    def why(self) -> str | None:
        """The rule of a refusal, the kind of a failure, as JSON spells them."""

    @property
    def detail(self) -> str | None:
        """What a refusal or failure says to people."""

    def __eq__(self, other: object, /) -> bool: ...

@final
class Work:
    """Something to do on disk. Equal if the contents are."""

    @property
    def kind(
        self,
    ) -> Literal[
        "record",
        "note_failed",
        "mark",
        "clear",
        "write",
        "zero",
        "copy",
        "read",
        "extents",
        "hash",
        "fetch",
        "sync",
    ]: ...
    @property
    def offset(self) -> int | None: ...
    @property
    def length(self) -> int | None: ...
    def __eq__(self, other: object, /) -> bool: ...

@final
class Outcome:
    """How work went. Equal if the contents are."""

    @property
    def kind(
        self,
    ) -> Literal["done", "data", "extents", "hash", "blocks", "corrupt", "no_space", "invalid", "disk"]: ...
    @property
    def detail(self) -> str | None:
        """What went wrong, for people."""

    def __eq__(self, other: object, /) -> bool: ...

# Disks

@final
class SimDisk:
    """A disk in memory that loses, tears, rots, fills up and fails. All that looks random follows from the seeds."""

    def __new__(cls) -> SimDisk: ...
    @property
    def steps(self) -> int:
        """Calls so far that change or sync something."""

    @property
    def syncs(self) -> int:
        """Syncs of files and folders so far."""

    def crash_at(self, step: int) -> None:
        """The process dies in the middle of the step with this number (the next one is `steps`): a part of it happens,
        and every later call fails until `crash_process` or `power_loss`.
        """

    @property
    def is_down(self) -> bool:
        """Whether the step of `crash_at` has come."""

    def crash_process(self) -> None:
        """The process is gone, its files are closed; the page cache stays."""

    def power_loss(self, seed: int) -> None:
        """The power is gone: what was not synced is there or not, sector by sector."""

    def writeback(self, seed: int) -> None:
        """The kernel writes back some of what is not synced."""

    def set_capacity(self, capacity_bytes: int | None) -> None:
        """How many bytes fit; None: any number."""

    @property
    def used(self) -> int:
        """Bytes that its files take."""

    def fail_write(self, skip: int) -> None:
        """The write after `skip` others fails, and changes nothing."""

    def fail_sync(self, skip: int) -> None:
        """The file sync after `skip` others fails; what it was to make durable never will be."""

    def rot(self, path: _Path, offset: int, mask: int) -> None:
        """Flip the bits of `mask` in one byte, on the disk and in the page cache. Raises `OSError`."""

    def rot_somewhere(self, path: _Path, seed: int) -> int | None:
        """Flip one bit somewhere in what a file holds: the offset; None when it holds nothing. Raises `OSError`."""

    def create_dir(self, path: _Path) -> None:
        """Make a folder; its parent exists. Raises `OSError`."""

    def sync_dir(self, path: _Path) -> None:
        """Make the names in a folder durable. Raises `OSError`."""

    def names(self, path: _Path) -> list[str]:
        """Names in a folder, sorted; a folder's name ends in `/`. Raises `OSError`."""

    def replicas(self, folder: _Path) -> list[str]:
        """Names of the replica folders in a folder, sorted. Raises `DiskError`."""

    def sweep(self, folder: _Path) -> None:
        """Remove what crashes left of folders that were being made or deleted. Raises `DiskError`."""

    def delete(self, root: _Path) -> None:
        """Delete a replica folder for good; one that is gone already is fine. Raises `DiskError`."""

@final
class SyncHandle:
    """A sync to be done, as the replica program's thread does it."""

    def sync(self) -> Outcome: ...

@final
class ReplicaFiles:
    """One replica's files on a simulated disk, through the code that ships."""

    @staticmethod
    def create(
        sim: SimDisk, root: _Path, *, identity: bytes, attempt: int, document: bytes, boot: str
    ) -> ReplicaFiles:
        """Make a new, empty, durable replica folder, syncing, sealed (0, `attempt`); its parent exists.

        `identity`: JSON of cluster, volume, replica, disk and era; `document`: of a `Document`.
        Raises `JsonError`, `DiskError`.
        """

    @staticmethod
    def open(sim: SimDisk, root: _Path, *, boot: str) -> ReplicaFiles:
        """Open a folder; records durably that it is torn if it was open in another boot. Raises `DiskError`."""

    def carry_out(self, work: Work) -> Outcome:
        """Do a replica's work, as the replica program does. Errors of the disk are outcomes."""

    def sync_handle(self) -> SyncHandle:
        """All that was written before this call, to be synced beside other work."""

    def header(self) -> bytes:
        """What is durable beside document, marks and content: JSON (docs/formats/disk.md)."""

    def document(self) -> bytes:
        """The volume's last known document: JSON."""

    @property
    def size(self) -> int:
        """Of the volume, bytes."""

    def marks(self) -> list[tuple[int, int]]:
        """Dirty regions as (first, count), in order, joined."""

    def stamp(self, region: int) -> int:
        """Membership number of a region's last clear; 0 if never, 2**64 - 1 if its entry was damaged."""

    def read(self, offset: int, length: int) -> bytes:
        """Content, for checkers. Raises `DiskError`."""

    def used_bytes(self) -> int:
        """Space that the folder takes. Raises `DiskError`."""

# Events

@final
class Start:
    """First event, once."""

    __match_args__ = ()
    def __new__(cls) -> Start: ...

@final
class Connected:
    """The connection stands; nothing has been sent on it. Answers `Dial`."""

    __match_args__ = ("replica",)
    def __new__(cls, replica: int) -> Connected: ...
    @property
    def replica(self) -> int: ...

@final
class Unreachable:
    """A dial failed, or took too long. Answers `Dial`."""

    __match_args__ = ("replica", "why")
    def __new__(cls, replica: int, why: str) -> Unreachable: ...
    @property
    def replica(self) -> int: ...
    @property
    def why(self) -> str: ...

@final
class Disconnected:
    """A connection ended, or sent what could not be understood. Not after `HangUp`."""

    __match_args__ = ("replica", "why")
    def __new__(cls, replica: int, why: str) -> Disconnected: ...
    @property
    def replica(self) -> int: ...
    @property
    def why(self) -> str: ...

@final
class Replied:
    """A replica's reply to the request with this tag; those of one replica in the order in which they were sent."""

    __match_args__ = ("replica", "tag", "reply")
    def __new__(cls, replica: int, tag: int, reply: Reply) -> Replied: ...
    @property
    def replica(self) -> int: ...
    @property
    def tag(self) -> int: ...
    @property
    def reply(self) -> Reply: ...

@final
class Targets:
    """Where the targets are to be found now: JSON of a list of `Target`, and of the document that names them.

    A copier looks at no document.
    """

    __match_args__ = ("targets", "document")
    def __new__(cls, targets: bytes, document: bytes | None) -> Targets: ...
    @property
    def targets(self) -> bytes: ...
    @property
    def document(self) -> bytes | None: ...

@final
class Timer:
    """The time of the last `WakeAt` has come. May come late, early or for nothing."""

    __match_args__ = ()
    def __new__(cls) -> Timer: ...

@final
class ClientRead:
    """A client reads. `client`: never reused; `cookie`: comes back with the answer."""

    __match_args__ = ("client", "cookie", "offset", "length")
    def __new__(cls, client: int, cookie: int, offset: int, length: int) -> ClientRead: ...
    @property
    def client(self) -> int: ...
    @property
    def cookie(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def length(self) -> int: ...

@final
class ClientWrite:
    """A client writes; with `fua` on every disk before the answer."""

    __match_args__ = ("client", "cookie", "offset", "data", "fua")
    def __new__(cls, client: int, cookie: int, offset: int, data: bytes, fua: bool) -> ClientWrite: ...
    @property
    def client(self) -> int: ...
    @property
    def cookie(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def data(self) -> bytes: ...
    @property
    def fua(self) -> bool: ...

@final
class ClientZero:
    """A client makes a range read as zeroes; with `punch` its space is given back."""

    __match_args__ = ("client", "cookie", "offset", "length", "punch", "fua")
    def __new__(
        cls, client: int, cookie: int, offset: int, length: int, punch: bool, fua: bool
    ) -> ClientZero: ...
    @property
    def client(self) -> int: ...
    @property
    def cookie(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def length(self) -> int: ...
    @property
    def punch(self) -> bool: ...
    @property
    def fua(self) -> bool: ...

@final
class ClientFlush:
    """A client wants everything that was answered on every disk."""

    __match_args__ = ("client", "cookie")
    def __new__(cls, client: int, cookie: int) -> ClientFlush: ...
    @property
    def client(self) -> int: ...
    @property
    def cookie(self) -> int: ...

@final
class ClientBlockStatus:
    """A client asks where data and holes are."""

    __match_args__ = ("client", "cookie", "offset", "length")
    def __new__(cls, client: int, cookie: int, offset: int, length: int) -> ClientBlockStatus: ...
    @property
    def client(self) -> int: ...
    @property
    def cookie(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def length(self) -> int: ...

@final
class ClientGone:
    """A client's connection ended."""

    __match_args__ = ("client",)
    def __new__(cls, client: int) -> ClientGone: ...
    @property
    def client(self) -> int: ...

@final
class AgentConnected:
    """The link to the agent stands (again): what was not answered is asked again."""

    __match_args__ = ()
    def __new__(cls) -> AgentConnected: ...

@final
class Answered:
    """The record's answer to an `Ask`: JSON of `Committed`, `Refused`, or an unknown outcome."""

    __match_args__ = ("ask_id", "answer")
    def __new__(cls, ask_id: int, answer: bytes) -> Answered: ...
    @property
    def ask_id(self) -> int: ...
    @property
    def answer(self) -> bytes: ...

@final
class Close:
    """Order: close the session cleanly. May be repeated."""

    __match_args__ = ()
    def __new__(cls) -> Close: ...

@final
class Leave:
    """Order: remove this replica (its id) once the others have flushed. May be repeated."""

    __match_args__ = ("replica",)
    def __new__(cls, replica: str) -> Leave: ...
    @property
    def replica(self) -> str: ...

@final
class Stop:
    """Order: end now, unclean, without asking anybody."""

    __match_args__ = ()
    def __new__(cls) -> Stop: ...

@final
class Committed:
    """The record says so now: JSON of the document after the commit."""

    __match_args__ = ("document",)
    def __new__(cls, document: bytes) -> Committed: ...
    @property
    def document(self) -> bytes: ...

@final
class Cancel:
    """The task is no longer wanted."""

    __match_args__ = ()
    def __new__(cls) -> Cancel: ...

@final
class Requested:
    """A request arrived; those of one connection in the order in which they were sent."""

    __match_args__ = ("conn", "tag", "request")
    def __new__(cls, conn: int, tag: int, request: Request) -> Requested: ...
    @property
    def conn(self) -> int: ...
    @property
    def tag(self) -> int: ...
    @property
    def request(self) -> Request: ...

@final
class Done:
    """Work is done, or failed; every `Do` gets exactly one."""

    __match_args__ = ("token", "outcome")
    def __new__(cls, token: int, outcome: Outcome) -> Done: ...
    @property
    def token(self) -> int: ...
    @property
    def outcome(self) -> Outcome: ...

@final
class Ended:
    """A connection ended. Not after `End`."""

    __match_args__ = ("conn",)
    def __new__(cls, conn: int) -> Ended: ...
    @property
    def conn(self) -> int: ...

# Effects

@final
class Dial:
    """Connect to `host:port`; answered by `Connected` or `Unreachable`."""

    __match_args__ = ("replica", "address")
    def __new__(cls, replica: int, address: str) -> Dial: ...
    @property
    def replica(self) -> int: ...
    @property
    def address(self) -> str: ...

@final
class HangUp:
    """End the connection, or stop dialling; nothing more of it is delivered."""

    __match_args__ = ("replica",)
    def __new__(cls, replica: int) -> HangUp: ...
    @property
    def replica(self) -> int: ...

@final
class Send:
    """Send on the replica's connection, after all that was sent before."""

    __match_args__ = ("replica", "tag", "request")
    def __new__(cls, replica: int, tag: int, request: Request) -> Send: ...
    @property
    def replica(self) -> int: ...
    @property
    def tag(self) -> int: ...
    @property
    def request(self) -> Request: ...

@final
class WakeAt:
    """Deliver `Timer` then. Replaces the one before."""

    __match_args__ = ("at_ns",)
    def __new__(cls, at_ns: int) -> WakeAt: ...
    @property
    def at_ns(self) -> int: ...

@final
class ClientDone:
    """A client's request is done."""

    __match_args__ = ("client", "cookie")
    def __new__(cls, client: int, cookie: int) -> ClientDone: ...
    @property
    def client(self) -> int: ...
    @property
    def cookie(self) -> int: ...

@final
class ClientData:
    """What a client has read, exactly as long as asked."""

    __match_args__ = ("client", "cookie", "data")
    def __new__(cls, client: int, cookie: int, data: bytes) -> ClientData: ...
    @property
    def client(self) -> int: ...
    @property
    def cookie(self) -> int: ...
    @property
    def data(self) -> bytes: ...

@final
class ClientExtents:
    """Bytes and whether they are data, in order, without gaps."""

    __match_args__ = ("client", "cookie", "extents")
    def __new__(cls, client: int, cookie: int, extents: list[tuple[int, bool]]) -> ClientExtents: ...
    @property
    def client(self) -> int: ...
    @property
    def cookie(self) -> int: ...
    @property
    def extents(self) -> list[tuple[int, bool]]: ...

@final
class ClientRefused:
    """A client's request was not done; nothing of it was applied."""

    __match_args__ = ("client", "cookie", "error")
    def __new__(
        cls, client: int, cookie: int, error: Literal["invalid", "read_only", "no_space", "io", "not_serving"]
    ) -> ClientRefused: ...
    @property
    def client(self) -> int: ...
    @property
    def cookie(self) -> int: ...
    @property
    def error(self) -> Literal["invalid", "read_only", "no_space", "io", "not_serving"]: ...

@final
class Ask:
    """Ask for an event of the record: JSON of `AskOpened`, `AskLost`, `AskSynced` or `AskClosed`. `ask_id` grows."""

    __match_args__ = ("ask_id", "ask")
    def __new__(cls, ask_id: int, ask: bytes) -> Ask: ...
    @property
    def ask_id(self) -> int: ...
    @property
    def ask(self) -> bytes: ...

@final
class Serve:
    """Start to accept clients at this unix socket."""

    __match_args__ = ("endpoint",)
    def __new__(cls, endpoint: str) -> Serve: ...
    @property
    def endpoint(self) -> str: ...

@final
class StopServing:
    """Accept no clients and take no requests any more; perhaps end every client's connection now."""

    __match_args__ = ("break_clients",)
    def __new__(cls, break_clients: bool) -> StopServing: ...
    @property
    def break_clients(self) -> bool: ...

@final
class Status:
    """What the agent is to know, on change. `resyncs`: JSON of a list of `Resync`."""

    __match_args__ = ("phase", "waits_for", "needed", "resyncs")
    def __new__(
        cls,
        phase: Literal["sealing", "equalising", "opening", "serving", "broken", "closing"],
        waits_for: str | None,
        needed: list[str],
        resyncs: bytes,
    ) -> Status: ...
    @property
    def phase(self) -> Literal["sealing", "equalising", "opening", "serving", "broken", "closing"]: ...
    @property
    def waits_for(self) -> str | None: ...
    @property
    def needed(self) -> list[str]: ...
    @property
    def resyncs(self) -> bytes: ...

@final
class Exit:
    """Last effect of an engine."""

    __match_args__ = ("clean", "why")
    def __new__(cls, clean: bool, why: str) -> Exit: ...
    @property
    def clean(self) -> bool: ...
    @property
    def why(self) -> str: ...

@final
class Progress:
    """How far a copier is, bytes; once a region."""

    __match_args__ = ("done", "total", "waits_for")
    def __new__(cls, done: int, total: int, waits_for: str | None) -> Progress: ...
    @property
    def done(self) -> int: ...
    @property
    def total(self) -> int: ...
    @property
    def waits_for(self) -> str | None: ...

@final
class Ready:
    """Content is equal and durable on these replicas (ids): the record may say so."""

    __match_args__ = ("sealed",)
    def __new__(cls, sealed: list[str]) -> Ready: ...
    @property
    def sealed(self) -> list[str]: ...

@final
class Finished:
    """Last effect of a copier: the members have stored the new document."""

    __match_args__ = ()
    def __new__(cls) -> Finished: ...

@final
class Failed:
    """Last effect of a copier that ended before `Finished`."""

    __match_args__ = ("why",)
    def __new__(cls, why: str) -> Failed: ...
    @property
    def why(self) -> str: ...

@final
class Do:
    """Do something on disk; answered by `Done`. Finished before what follows begins, except a sync."""

    __match_args__ = ("token", "work")
    def __new__(cls, token: int, work: Work) -> Do: ...
    @property
    def token(self) -> int: ...
    @property
    def work(self) -> Work: ...

@final
class SendReply:
    """Send a reply to the request with this tag."""

    __match_args__ = ("conn", "tag", "reply")
    def __new__(cls, conn: int, tag: int, reply: Reply) -> SendReply: ...
    @property
    def conn(self) -> int: ...
    @property
    def tag(self) -> int: ...
    @property
    def reply(self) -> Reply: ...

@final
class End:
    """End a connection, after what was sent on it. Nothing more of it is delivered."""

    __match_args__ = ("conn", "why")
    def __new__(cls, conn: int, why: str) -> End: ...
    @property
    def conn(self) -> int: ...
    @property
    def why(self) -> str: ...

# Errors

class NativeError(Exception):
    """Any error of this module's own."""

class JsonError(NativeError):
    """Bytes that are not JSON of the type that is wanted."""

class UnknownReplicaError(NativeError):
    """A replica's index that the order does not have."""

class TooBigError(NativeError):
    """A message beyond a limit of the wire language."""

class OrderError(NativeError):
    """An order that no engine or copier can carry out."""

class NoTargetError(OrderError):
    """No replica to work with."""

class RolesError(OrderError):
    """A move from a replica that is not in-sync, or to one that is."""

class TooManyTargetsError(OrderError):
    """More replicas than an order may name."""

class TwiceError(OrderError):
    """One replica twice."""

class SizeError(OrderError):
    """A size that is nothing, or not whole blocks."""

class WireError(NativeError):
    """Bytes that are no frame of the wire language."""

class MagicError(WireError):
    """Not the start of a frame."""

class HeadSumError(WireError):
    """The checksum of a frame's head does not fit."""

class PayloadSumError(WireError):
    """The checksum of a frame's payload does not fit."""

class KindError(WireError):
    """No message of this direction has this kind."""

class TooLongError(WireError):
    """More payload than the kind may have."""

class MalformedError(WireError):
    """A field that the kind does not use, or fields that contradict each other."""

class PayloadJsonError(WireError):
    """A JSON payload that does not parse."""

class DiskError(NativeError):
    """A replica's files could not be used as asked."""

class NoSpaceError(DiskError):
    """The disk is full, or a quota is reached."""

class CorruptError(DiskError):
    """A block does not fit its checksum."""

class OutOfRangeError(DiskError):
    """Beyond the end of the volume."""

class MisalignedError(DiskError):
    """Whole blocks were needed."""

class UnmarkedError(DiskError):
    """A change in a region that is not marked."""

class InvalidError(DiskError):
    """Something in the request makes no sense."""

class OtherLayoutError(DiskError):
    """A document with another chain, head or size than the folder's."""

class ExistsError(DiskError):
    """There is a replica already."""

class MissingError(DiskError):
    """There is no replica."""

class DamagedError(DiskError):
    """What is on the disk is not what any version has written."""

class NewerFormatError(DiskError):
    """Written by a newer version."""

class DiskIoError(DiskError):
    """The operating system reported an error."""

class FailedError(DiskError):
    """A sync or the disk failed before, in this boot."""

# What each machine takes and gives

EngineEvent: TypeAlias = (
    Start
    | Connected
    | Unreachable
    | Disconnected
    | Replied
    | ClientRead
    | ClientWrite
    | ClientZero
    | ClientFlush
    | ClientBlockStatus
    | ClientGone
    | AgentConnected
    | Answered
    | Close
    | Leave
    | Targets
    | Stop
    | Timer
)
EngineEffect: TypeAlias = (
    Dial
    | HangUp
    | Send
    | ClientDone
    | ClientData
    | ClientExtents
    | ClientRefused
    | Ask
    | Serve
    | StopServing
    | Status
    | Exit
    | WakeAt
)

CopierEvent: TypeAlias = (
    Start | Connected | Unreachable | Disconnected | Replied | Targets | Committed | Cancel | Timer
)
CopierEffect: TypeAlias = Dial | HangUp | Send | Progress | Ready | Finished | Failed | WakeAt

ReplicaEvent: TypeAlias = Requested | Done | Ended
ReplicaEffect: TypeAlias = Do | SendReply | End
