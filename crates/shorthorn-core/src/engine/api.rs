//! What goes into an engine and what comes out of it.

use bytes::Bytes;
use shorthorn_wire::agent::{Answer, Ask, Phase, Resync, Target};
use shorthorn_wire::message::{Document, Extent, Reply, Request, Tag};

use crate::{Nanos, ReplicaIndex};

/// A connected client of the device; never reused while the engine lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientId(pub u64);

/// What a client asks of the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientRequest {
    /// First byte; unused for a flush.
    pub offset: u64,
    /// Bytes; for a write the length of its data; unused for a flush. At most [`shorthorn_wire::PAYLOAD_BYTES_MAX`]
    /// for reads and writes.
    pub length: u64,
    /// What to do.
    pub op: ClientOp,
}

/// The kinds of client requests (NBD: read, write, trim and write-zeroes, flush, block status).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientOp {
    /// Answered by [`ClientAnswer::Data`].
    Read,
    /// Answered by [`ClientAnswer::Done`].
    Write {
        /// Content.
        data: Bytes,
        /// On every disk before the answer.
        fua: bool,
    },
    /// The range reads as zeroes afterwards. Answered by [`ClientAnswer::Done`].
    Zero {
        /// Give the space back (trim, write-zeroes without NO_HOLE).
        punch: bool,
        /// On every disk before the answer.
        fua: bool,
    },
    /// Every write that was answered before is on every disk. Answered by [`ClientAnswer::Done`].
    Flush,
    /// Answered by [`ClientAnswer::Extents`].
    BlockStatus,
}

impl ClientOp {
    /// On every disk before the answer, by the client's wish.
    pub fn fua(&self) -> bool {
        matches!(
            self,
            Self::Write { fua: true, .. } | Self::Zero { fua: true, .. }
        )
    }
}

/// A client's request, done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientAnswer {
    /// Nothing to say.
    Done,
    /// What was read, exactly as long as asked.
    Data(Bytes),
    /// In order, without gaps, together exactly as long as asked.
    Extents(Vec<Extent>),
}

/// A client's request that was not done. Nothing of it was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientError {
    /// Out of range, empty or too long (EINVAL).
    Invalid,
    /// A change, and every attachment is read-only (EPERM).
    ReadOnly,
    /// A replica has no space; no copy was dropped for it (ENOSPC).
    NoSpace,
    /// No replica has content of the range whose checksum fits (EIO).
    Io,
    /// The session is closing, or not open yet (ESHUTDOWN).
    NotServing,
}

/// What the program tells the engine.
///
/// The program delivers events one at a time, and the events of one replica in the order in which they happened. After
/// [`Effect::HangUp`] nothing of that connection is delivered any more, also not its end. Each [`Effect::Dial`] is answered
/// by exactly one `Connected` or `Unreachable`, unless `HangUp` comes first; each `Connected` is followed by exactly one
/// `Disconnected`, unless `HangUp` comes first.
#[derive(Clone, Debug)]
pub enum Event {
    /// First event, once.
    Start,
    /// The connection stands; nothing has been sent on it (the engine says hello itself).
    Connected {
        /// Who.
        replica: ReplicaIndex,
    },
    /// A dial failed, or took too long.
    Unreachable {
        /// Who.
        replica: ReplicaIndex,
        /// For people.
        why: String,
    },
    /// A connection ended, or sent what could not be understood.
    Disconnected {
        /// Who.
        replica: ReplicaIndex,
        /// For people.
        why: String,
    },
    /// A replica's reply.
    Reply {
        /// Who.
        replica: ReplicaIndex,
        /// Of the request.
        tag: Tag,
        /// What it said.
        reply: Reply,
    },
    /// A client's request. Taken only while [`super::Engine::can_take`] says so, else later.
    Client {
        /// Who.
        client: ClientId,
        /// Chosen by the program, given back with the answer.
        cookie: u64,
        /// What.
        request: ClientRequest,
    },
    /// A client's connection ended. What it sent and was not started is forgotten; the rest is decided, and its answers
    /// still come out (for the program to drop).
    ClientGone {
        /// Who.
        client: ClientId,
    },
    /// The link to the agent stands (again) and the hello was said. The engine tells its status and asks all that was not
    /// answered again, under new ids. What it asks or tells while no link stands, the program drops.
    AgentConnected,
    /// The agent's answer. One to an id that is not outstanding changes nothing.
    Answer {
        /// Of the ask.
        id: u64,
        /// What became of it.
        answer: Answer,
    },
    /// Order: close the session cleanly. May be repeated.
    Close,
    /// Order: remove this member once the others have flushed. May be repeated.
    Leave {
        /// Replica id.
        replica: String,
    },
    /// The replicas of the record now. Addresses are taken over; a syncing one that is not known yet is resynced from now on
    /// (it gets the next [`crate::ReplicaIndex`]); a greater attempt of a syncing one begins anew; a syncing one that is
    /// missing was given up.
    Targets {
        /// All targets.
        targets: Vec<Target>,
        /// The document that names them.
        document: Option<Document>,
    },
    /// Order: end now, unclean, without asking anybody.
    Stop,
    /// The time of the last [`Effect::WakeAt`] has come. May come late, early or for nothing.
    Timer,
}

/// What the program does for the engine, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Connect to where [`super::Engine::target`] says; also while serving, to syncing replicas. Answered by [`Event::Connected`] or [`Event::Unreachable`] within a bound of the program's (a few seconds).
    Dial {
        /// Whom.
        replica: ReplicaIndex,
        /// `host:port`.
        address: String,
    },
    /// End the connection, or stop dialling; nothing more of it is delivered.
    HangUp {
        /// Whose.
        replica: ReplicaIndex,
    },
    /// Send a request on the replica's connection, after all that was sent before.
    Send {
        /// To whom.
        replica: ReplicaIndex,
        /// Comes back with the reply.
        tag: Tag,
        /// What.
        request: Request,
    },
    /// Answer a client's request.
    Answer {
        /// Whose.
        client: ClientId,
        /// Of the request.
        cookie: u64,
        /// What became of it.
        result: Result<ClientAnswer, ClientError>,
    },
    /// Ask for an event of the record, through the agent. Dropped while no link stands ([`Event::AgentConnected`]).
    Ask {
        /// Greater than every one before.
        id: u64,
        /// What.
        ask: Ask,
    },
    /// Start to accept clients.
    Serve {
        /// Unix socket path.
        endpoint: String,
    },
    /// Accept no clients and take no requests any more.
    StopServing {
        /// Also end every client's connection now, without an answer. Otherwise they stay, for answers under way, until
        /// [`Effect::Exit`].
        break_clients: bool,
    },
    /// Tell the agent, on change. Dropped while no link stands.
    Status(Status),
    /// Last effect: write out what is still to be sent, and end.
    Exit {
        /// All replicas are flushed, without marks, and closed (whether or not the record has heard of it).
        clean: bool,
        /// For people.
        why: String,
    },
    /// Deliver [`Event::Timer`] then. Replaces the one before; an engine without need sets none.
    WakeAt(Nanos),
}

/// Where an engine is in its life. The program adds the number of clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Where.
    pub phase: Phase,
    /// What it waits for, for people.
    pub waits_for: Option<String>,
    /// Replica ids that it needs for every acknowledgement.
    pub needed: Vec<String>,
    /// Syncing replicas.
    pub resyncs: Vec<Resync>,
}
