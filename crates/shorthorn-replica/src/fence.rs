//! One fence: seal a replica against the engine that nobody can ask, then wait until that engine's reads are over.
//!
//! The seal goes through the core as any engine's does, on a connection without a socket, so every rule of a seal holds:
//! what is older is refused and ended at once, what was accepted before is drained, synced and recorded. Grants given
//! before the seal last for T; the time that is waited runs from the seal (docs/protocol.md, Fence and B10).
//!
//! What bounds it: a disk that works through what it had accepted before the seal, at most a batch of each connection, and
//! then syncs the replica. A disk that never answers never holds a fence; another replica then does.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use shorthorn_core::Nanos;
use shorthorn_core::replica::{ConnId, Event};
use shorthorn_wire::WIRE_VERSION;
use shorthorn_wire::agent::Held;
use shorthorn_wire::message::{Epoch, Hello, Membership, Reply, Request, Seal, Tag};

use crate::clock;
use crate::log;
use crate::slot::{Fenced, Inner, Slot};
use crate::store::{OrderError, Store};

/// Every fence's engine id begins so: no engine's or copier's does.
const PREFIX: &str = "fence-";
const HELLO: Tag = 1;
const SEAL: Tag = 2;

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Fence {
    /// Which replica.
    pub replica: String,
    /// At what, with which document.
    pub seal: Seal,
    /// The least epoch that it must have been sealed for before.
    pub opened_epoch: Epoch,
    /// The least membership number that it must have stored.
    pub stored_m: Membership,
    /// From the durable seal to the answer, milliseconds.
    pub wait_ms: u64,
}

/// Why a replica does not hold a fence.
#[derive(Debug, thiserror::Error)]
pub enum FenceError {
    /// There is nothing to be sealed.
    #[error("{0}")]
    Replica(#[from] OrderError),
    /// The core's guards, or the disk.
    #[error("replica {replica} was not sealed for the fence of epoch {epoch}: {why}")]
    NotSealed {
        /// Which.
        replica: String,
        /// Of the fence.
        epoch: Epoch,
        /// For people.
        why: String,
    },
    /// Something newer came while the fence waited, or the replica went.
    #[error(
        "replica {replica} was sealed for something newer, or deleted, while the fence of epoch {epoch} waited"
    )]
    Overtaken {
        /// Which.
        replica: String,
        /// Of the fence.
        epoch: Epoch,
    },
}

/// Who seals for the fence of an epoch: the same for each repeat of the order, so that the core takes it again.
fn name(epoch: Epoch) -> String {
    format!("{PREFIX}{epoch}")
}

/// Whether this engine id is a fence's.
pub fn is_one(engine: &str) -> bool {
    engine.starts_with(PREFIX)
}

impl Fence {
    /// Seals and waits. Blocks for as long as both take.
    ///
    /// # Errors
    /// It is not sealed so, or not any more.
    pub fn hold(&self, store: &Store) -> Result<Held, FenceError> {
        let slot = store.find(&self.replica)?;
        let since = self.seal(store, &slot)?;
        wait_until(since + Nanos::from_millis(self.wait_ms));
        let inner = slot.lock();
        if !self.is_sealed(&inner) {
            return Err(FenceError::Overtaken {
                replica: self.replica.clone(),
                epoch: self.seal.epoch,
            });
        }
        Ok(inner.held(&slot))
    }

    fn is_sealed(&self, inner: &Inner) -> bool {
        let Seal { epoch, attempt, .. } = self.seal;
        !inner.is_closed() && inner.core().is_sealed(epoch, attempt, &name(epoch))
    }

    /// Returns since when the seal is durable. A repeat seals again, for the guards' and the document's sake, but the time
    /// goes on from the first.
    fn seal(&self, store: &Store, slot: &Arc<Slot>) -> Result<Nanos, FenceError> {
        let before = {
            let inner = slot.lock();
            let sealed = (self.seal.epoch, self.seal.attempt);
            let known = inner.fenced().filter(|known| known.sealed == sealed);
            known.filter(|_| self.is_sealed(&inner))
        };
        let conn = store.next_conn();
        let sealed = self.ask(slot, conn);
        let since = before.map_or_else(clock::now, |known| known.since);
        let mut replies = {
            let mut inner = slot.lock();
            if sealed.is_ok() {
                inner.note_fenced(Fenced {
                    sealed: (self.seal.epoch, self.seal.attempt),
                    since,
                });
            }
            inner.leave_inside(slot, conn)
        };
        replies.flush(None);
        sealed.map(|()| since)
    }

    fn ask(&self, slot: &Arc<Slot>, conn: ConnId) -> Result<(), FenceError> {
        let (sender, replies) = channel();
        let mut sent = {
            let mut inner = slot.lock();
            if !inner.join_inside(conn, sender) {
                return Err(self.not_sealed("it is being deleted, or its program ends".to_owned()));
            }
            if let Some(why) = self.why_behind(&inner) {
                // Its content is older than the record says, and the seal would hide that (A17).
                return Err(self.not_sealed(why));
            }
            let identity = inner.core().identity();
            let hello = Request::Hello(Hello {
                wire: WIRE_VERSION,
                cluster: identity.cluster.clone(),
                volume: identity.volume.clone(),
                replica: identity.replica.clone(),
                engine: name(self.seal.epoch),
            });
            let seal = Request::Seal(self.seal.clone());
            let mut sent = inner.deliver(slot, request(conn, HELLO, hello));
            sent.add(inner.deliver(slot, request(conn, SEAL, seal)));
            sent
        };
        // What others are told of it, the ended engine above all.
        sent.flush(None);
        for reply in replies {
            match reply {
                Reply::Done => {}
                Reply::Standing(_) => return Ok(()),
                Reply::Refused { detail, .. } | Reply::Failed { detail, .. } => {
                    return Err(self.not_sealed(detail));
                }
                other => {
                    log::error(
                        "a seal's reply is none: a bug",
                        &[("reply", &format!("{other:?}"))],
                    );
                    return Err(self.not_sealed("a bug in the replica program".to_owned()));
                }
            }
        }
        Err(self.not_sealed("something newer ended it, or it is being deleted".to_owned()))
    }

    fn why_behind(&self, inner: &Inner) -> Option<String> {
        let standing = inner.core().standing();
        shorthorn_core::why_behind(
            &standing,
            self.opened_epoch,
            self.seal.attempt,
            self.stored_m,
        )
    }

    fn not_sealed(&self, why: String) -> FenceError {
        FenceError::NotSealed {
            replica: self.replica.clone(),
            epoch: self.seal.epoch,
            why,
        }
    }
}

fn request(conn: ConnId, tag: Tag, request: Request) -> Event {
    Event::Request { conn, tag, request }
}

/// A sleep does not count a suspend, the clock does: so it is asked again.
fn wait_until(due: Nanos) {
    loop {
        let left = due - clock::now();
        if left == Nanos::default() {
            return;
        }
        thread::sleep(Duration::from_nanos(left.0));
    }
}
