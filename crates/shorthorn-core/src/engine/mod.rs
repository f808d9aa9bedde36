//! One session of one volume: seal, equalise, open, serve, close (docs/protocol.md).
//!
//! The engine never does I/O and never decides who is in-sync: it asks the record, and needs every replica that the record
//! may count as in-sync. See [`Event`] for how a program drives it.

mod api;

pub use api::{
    ClientAnswer, ClientError, ClientId, ClientOp, ClientRequest, Effect, Event, Status,
};

use shorthorn_wire::agent::{SessionOrder, Target};

use crate::{BadOrder, Nanos, ReplicaIndex};

/// The engine of one session.
#[derive(Debug)]
pub struct Engine {
    order: SessionOrder,
}

impl Engine {
    /// An engine for this order, before [`Event::Start`].
    ///
    /// `engine`: its id, one a process and session, never reused.
    pub fn new(order: SessionOrder, engine: String) -> Result<Self, BadOrder> {
        let _ = engine;
        Ok(Self { order })
    }

    /// Takes one event; appends what is to be done to `out`.
    pub fn handle(&mut self, now: Nanos, event: Event, out: &mut Vec<Effect>) {
        let _ = (now, event, out);
    }

    /// The target of the order that is meant.
    pub fn target(&self, replica: ReplicaIndex) -> &Target {
        &self.order.targets[replica.index()]
    }

    /// Whether more client requests may be delivered now. Ask after every batch; it turns true again only by
    /// [`Event::Reply`] or [`Event::ClientGone`].
    pub fn can_take(&self) -> bool {
        true
    }

    /// Bytes of the client requests that are not decided yet.
    pub fn in_flight_bytes(&self) -> u64 {
        0
    }
}
