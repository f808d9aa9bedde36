//! What goes into a copier and what comes out of it.

use shorthorn_wire::agent::Target;
use shorthorn_wire::message::{Document, Reply, Request, Tag};

use crate::{Nanos, ReplicaIndex};

/// What the program tells the copier; delivered as [`crate::engine::Event`] says.
#[derive(Clone, Debug)]
pub enum Event {
    /// First event, once.
    Start,
    /// The connection stands; nothing has been sent on it.
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
    /// The same order came again, perhaps with newer addresses.
    Targets {
        /// All targets.
        targets: Vec<Target>,
    },
    /// The record says so now (`ToProgram::TaskCommitted`).
    Committed {
        /// The document after the commit.
        document: Document,
    },
    /// The task is no longer wanted.
    Cancel,
    /// The time of the last [`Effect::WakeAt`] has come.
    Timer,
}

/// What the program does for the copier, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Connect; answered by [`Event::Connected`] or [`Event::Unreachable`].
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
    /// How far it is; comes once a region, the program thins it out.
    Progress {
        /// Bytes that were looked at.
        done: u64,
        /// Bytes in all.
        total: u64,
        /// What it waits for, for people.
        waits_for: Option<String>,
    },
    /// Content is equal and durable: the record may say so.
    Ready {
        /// Sealed replicas, by id.
        sealed: Vec<String>,
    },
    /// The members have stored the new document. Last effect.
    Finished,
    /// It ended before [`Effect::Finished`]. Last effect.
    Failed {
        /// For people.
        why: String,
    },
    /// Deliver [`Event::Timer`] then. Replaces the one before.
    WakeAt(Nanos),
}
