//! Work on a detached volume without a session: settle, and move without attach (docs/protocol.md).
//!
//! A copier seals what it works on at the record's epoch, makes content equal and durable, and waits for the record to say
//! so. It never serves anybody and never changes who is in-sync. Any refusal or broken connection ends it.

mod api;

pub use api::{Effect, Event};

use shorthorn_wire::agent::{CopyOrder, Target};

use crate::{BadOrder, Nanos, ReplicaIndex};

/// The copier of one task.
#[derive(Debug)]
pub struct Copier {
    order: CopyOrder,
}

impl Copier {
    /// A copier for this order, before [`Event::Start`].
    ///
    /// `engine`: its id on its connections, one a process and task, never reused.
    pub fn new(order: CopyOrder, engine: String) -> Result<Self, BadOrder> {
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
}
