//! What a program (engine or replica program) and the agent of its node tell each other: one JSON object a line.
//!
//! The program dials the agent's unix socket, says [`Hello`] first, and dials again whenever the link ends: an agent may
//! restart at any time, and nothing that a client of the volume does depends on this link while all needed replicas
//! answer. Each side may send at any time. Lines are at most [`crate::LINE_BYTES_MAX`] long.
//! Source: docs/formats/wire.md.

use serde::{Deserialize, Serialize};

use crate::message::{Attempt, Document, Epoch, Membership, Standing};

/// A replica as an engine or copier needs to know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Id of the replica.
    pub replica: String,
    /// Name of its node, for people.
    pub node: String,
    /// Where its replica program listens, `host:port`; none while unknown.
    pub address: Option<String>,
    /// By the record.
    pub attempt: Attempt,
    /// In-sync by the record.
    pub in_sync: bool,
    /// Least membership number that it must have stored to count as a source.
    pub stored_m: Membership,
    /// On the asker's own node: read from it first.
    pub local: bool,
}

/// Everything an engine must know to serve one session. Written as a file before the engine is started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionOrder {
    /// Uid of the cluster.
    pub cluster: String,
    /// Uid of the volume.
    pub volume: String,
    /// Name of the volume: the NBD export's name.
    pub name: String,
    /// The session.
    pub epoch: Epoch,
    /// Epoch of the last session that was opened, or of a later settling: an in-sync replica sealed older than this is no
    /// source (A17).
    pub opened_epoch: Epoch,
    /// False: marked regions must be made equal. True: there should be none.
    pub settled: bool,
    /// Every attachment is read-only.
    pub read_only: bool,
    /// The in-sync and syncing replicas.
    pub targets: Vec<Target>,
    /// The document.
    pub document: Document,
    /// Unix socket path at which NBD is served once the session is open.
    pub endpoint: String,
    /// Unix socket path of the agent.
    pub agent: String,
    /// How long to wait for in-sync replicas that do not answer when opening, milliseconds.
    pub open_grace_ms: u64,
    /// The same when every one that answered is torn, milliseconds.
    pub open_grace_torn_ms: u64,
    /// T: how long a grant lasts, milliseconds (docs/protocol.md, Read).
    pub grant_ms: u64,
    /// A needed replica that has not answered for this long is lost, milliseconds.
    pub silence_ms: u64,
    /// Bound on a close, milliseconds; then the engine exits and the close is unclean (B13).
    pub close_ms: u64,
    /// How long a change that a replica has no space for waits before it fails, milliseconds. None: as long as it takes;
    /// 0: it fails at once.
    pub space_wait_ms: Option<u64>,
    /// `reads: strict`: a read completes only when every needed replica has answered something that was sent after the read
    /// came (docs/protocol.md, Read).
    pub strict_reads: bool,
}

/// Everything a copier must know to do one task without a session, on order, in a replica program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyOrder {
    /// Id of the task; the copier's `engine` id is derived from it and the process.
    pub task: String,
    /// Uid of the cluster.
    pub cluster: String,
    /// Uid of the volume.
    pub volume: String,
    /// The record's epoch; every seal is at it.
    pub epoch: Epoch,
    /// See [`SessionOrder::opened_epoch`].
    pub opened_epoch: Epoch,
    /// What to do.
    pub work: CopyWork,
    /// Everybody that is needed.
    pub targets: Vec<Target>,
    /// In-sync replicas that a settle goes without, because their nodes were declared dead: then one that is sealed must not be
    /// torn (docs/protocol.md, Settle).
    pub without: Vec<String>,
    /// The document.
    pub document: Document,
}

/// The kinds of work without a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum CopyWork {
    /// Make all in-sync replicas equal (docs/protocol.md, Settle).
    Settle,
    /// Copy everything from an in-sync replica to a syncing one (docs/protocol.md, Move without attach).
    Move {
        /// Replica id of the source.
        source: String,
        /// Replica id of the target.
        target: String,
    },
}

/// First line of a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "program")]
pub enum Hello {
    /// An engine.
    Engine {
        /// [`crate::WIRE_VERSION`].
        wire: u32,
        /// Uid of its volume.
        volume: String,
        /// Its session.
        epoch: Epoch,
        /// Its id.
        engine: String,
        /// Its process id.
        pid: u32,
    },
    /// A replica program.
    Replica {
        /// [`crate::WIRE_VERSION`].
        wire: u32,
        /// Uid of its disk.
        disk: String,
        /// Where it listens for engines, `host:port`.
        address: String,
        /// Its process id.
        pid: u32,
    },
}

/// Where an engine is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Connecting and sealing.
    Sealing,
    /// Making marked regions equal.
    Equalising,
    /// SessionOpened is asked or being stored by the members.
    Opening,
    /// Serving.
    Serving,
    /// Open, but it serves nobody: unflushed writes may be gone (broken).
    Broken,
    /// Closing.
    Closing,
}

/// An engine's ask: an event for the record. Answered by [`ToProgram::Answer`] with the same id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Ask {
    /// docs/protocol.md, Open.
    SessionOpened {
        /// The session.
        epoch: Epoch,
        /// Replica ids that are sealed and equal.
        members: Vec<String>,
        /// Unflushed writes may be gone.
        broken: bool,
        /// Path of the NBD socket.
        endpoint: String,
    },
    /// docs/protocol.md, Write and Leave.
    ReplicaLost {
        /// The session.
        epoch: Epoch,
        /// The lost one.
        replica: String,
        /// Its attempt.
        attempt: Attempt,
        /// Another in-sync replica that answered something sent after the failure.
        witness: String,
        /// For people.
        why: String,
    },
    /// docs/protocol.md, Resync: the engine needs it already.
    ReplicaSynced {
        /// The session.
        epoch: Epoch,
        /// The one that has everything, durably.
        replica: String,
        /// Its attempt.
        attempt: Attempt,
        /// What it was made of.
        base: Base,
    },
    /// docs/protocol.md, Close.
    SessionClosed {
        /// The session.
        epoch: Epoch,
        /// Flushed, marks clear, replicas told.
        clean: bool,
        /// For people.
        why: String,
    },
}

/// What a resynced or copied replica was made of: with another chain or size its end is void.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// Layer ids, the oldest first.
    pub chain: Vec<String>,
    /// Bytes.
    pub size: u64,
}

/// The resync of one replica in a session, as its engine sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resync {
    /// Replica id.
    pub replica: String,
    /// Its attempt.
    pub attempt: Attempt,
    /// Bytes that were compared or copied.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
    /// Why it does not go on, for people; none while it does.
    pub waits_for: Option<String>,
}

/// What a program sends after its hello.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum ToAgent {
    /// An event for the record; the program asks again, with a new id, when the link ends before the answer.
    Ask {
        /// Chosen by the program.
        id: u64,
        /// The event.
        ask: Ask,
    },
    /// An engine's state; sent after hello and on change.
    Status {
        /// Where it is.
        phase: Phase,
        /// What it waits for, for people.
        waits_for: Option<String>,
        /// Replica ids that it needs.
        needed: Vec<String>,
        /// NBD clients connected.
        clients: u32,
        /// Syncing replicas; progress is told at most a few times a second.
        resyncs: Vec<Resync>,
    },
    /// Result of an order with an id.
    Result {
        /// Of the order.
        id: u64,
        /// None: done.
        error: Option<String>,
        /// To list and probe: the replicas.
        replicas: Vec<Held>,
    },
    /// A replica program's task report: sent on change, at most a few a second.
    Task {
        /// The task.
        task: String,
        /// Bytes that were looked at.
        done: u64,
        /// Bytes in all.
        total: u64,
        /// What comes next.
        state: TaskState,
    },
}

/// Where a task without a session is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum TaskState {
    /// Under way.
    Running,
    /// Content is equal and durable: the record may say so. The program waits for [`ToProgram::TaskCommitted`].
    Ready {
        /// Sealed replicas, by id.
        sealed: Vec<String>,
    },
    /// The members have stored the new document; over.
    Finished,
    /// It ended without an effect on the record; a new order may try again.
    Failed {
        /// For people.
        why: String,
    },
}

/// A replica folder as its program sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Replica id.
    pub replica: String,
    /// Uid of its volume.
    pub volume: String,
    /// Never held any data: formed from nothing, never sealed.
    pub empty: bool,
    /// Version of the document it keeps.
    pub document_version: u64,
    /// Bytes on disk.
    pub used: u64,
    /// Open for a session now.
    pub open: bool,
    /// Why it can't be read (damaged header, newer format, …); the other fields are then what could be read.
    pub damaged: Option<String>,
    /// What it durably is; none when damaged.
    pub standing: Option<Standing>,
}

/// What the agent sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum ToProgram {
    /// Answer to [`ToAgent::Ask`].
    Answer {
        /// Of the ask.
        id: u64,
        /// What became of it.
        answer: Answer,
    },
    /// To an engine: close the session cleanly.
    Close,
    /// To an engine: remove this replica once the others have answered a flush (docs/protocol.md, Leave).
    Leave {
        /// Replica id.
        replica: String,
    },
    /// To an engine: the replicas of the record now, with their addresses and attempts. One that the engine does not know yet
    /// was placed since and is to be resynced; a syncing one that is missing was given up.
    Targets {
        /// All targets of the session.
        targets: Vec<Target>,
        /// The document that names them: a replica that was placed since knows none that is older.
        #[serde(default)]
        document: Option<Document>,
    },
    /// To a replica program: make an empty replica folder (idempotent for the same identity).
    Create {
        /// Of this order.
        id: u64,
        /// Replica id.
        replica: String,
        /// Uid of the cluster.
        cluster: String,
        /// Uid of the volume.
        volume: String,
        /// By the record.
        attempt: Attempt,
        /// The document.
        document: Document,
    },
    /// To a replica program: delete a folder for a tombstone; refused if sealed or stored newer.
    Delete {
        /// Of this order.
        id: u64,
        /// Replica id.
        replica: String,
        /// Era of the tombstone's document.
        era: u64,
        /// Version of the tombstone's document.
        version: u64,
    },
    /// To a replica program: report every replica folder.
    List {
        /// Of this order.
        id: u64,
    },
    /// To a replica program: read one replica's standing now (the probe for a removal).
    Probe {
        /// Of this order.
        id: u64,
        /// Replica id.
        replica: String,
        /// The removal.
        drop: String,
    },
    /// To a replica program: seal this replica for a fence, and answer once `wait_ms` have passed since that seal was durable, or
    /// since the program's start if that came later (docs/protocol.md, Fence). May be repeated.
    Fence {
        /// Of this order.
        id: u64,
        /// Replica id.
        replica: String,
        /// The epoch of the fence.
        epoch: Epoch,
        /// By the record.
        attempt: Attempt,
        /// See [`SessionOrder::opened_epoch`]. One that was sealed for less has gone back in time: it is not sealed (A17).
        opened_epoch: Epoch,
        /// See [`Target::stored_m`].
        stored_m: Membership,
        /// The document.
        document: Document,
        /// 1.1 T, milliseconds.
        wait_ms: u64,
    },
    /// To a replica program: start a task; the same task again changes nothing.
    Copy {
        /// What.
        order: CopyOrder,
    },
    /// To a replica program: stop a task that is no longer wanted.
    CancelTask {
        /// The task.
        task: String,
    },
    /// To a replica program: the record says so now; tell the members.
    TaskCommitted {
        /// The task.
        task: String,
        /// The document after the commit.
        document: Document,
    },
    /// To a program: end now; a replica program when no replica is open.
    Stop,
}

/// What became of an ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Answer {
    /// Committed (now or before): the document after it.
    Committed {
        /// The document.
        document: Document,
        /// The record calls the session broken: clients from before a loss hold on, so nobody is served (A2). Theirs may
        /// be a loss before this session, and there may be a loss now without any such client.
        #[serde(default)]
        broken: bool,
    },
    /// Refused for good: the engine ends.
    Refused {
        /// For people.
        why: String,
    },
    /// Not known, or control is away: ask again.
    Unknown {
        /// For people.
        why: String,
    },
}
