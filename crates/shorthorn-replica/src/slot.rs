//! One replica: its core, its files and the connections that talk to it, behind one lock.
//!
//! Everything that happens to a replica goes through [`Inner::deliver`], which carries out the core's effects in order.
//! Replies are only queued under the lock; the caller sends them afterwards.

use std::collections::BTreeMap;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use shorthorn_core::Nanos;
use shorthorn_core::replica::{ConnId, Effect, Event, Outcome, Replica, Start, Token, Work};
use shorthorn_disk::{RealDisk, ReplicaFiles};
use shorthorn_wire::Encoder;
use shorthorn_wire::agent::Held;
use shorthorn_wire::message::{Attempt, Epoch, Refusal, RegionRun, Reply};

use crate::clock;
use crate::disk_work::{carry_out, durable};
use crate::fence;
use crate::log;
use crate::outbox::Outbox;
use crate::reports::Reports;
use crate::syncer::{self, Job};

/// An agent wants to know whether and about where regions are dirty, not each of them.
const REPORTED_RUNS_MAX: usize = 16;

/// A replica that is served.
#[derive(Debug)]
pub struct Slot {
    /// Its id: the folder's name.
    pub name: String,
    inner: Mutex<Inner>,
    /// The core is no longer busy, or the slot is closed.
    idle: Condvar,
}

/// What the lock protects.
pub struct Inner {
    core: Replica,
    files: ReplicaFiles<RealDisk>,
    outboxes: BTreeMap<ConnId, Arc<Outbox>>,
    /// Connections of this program itself, without a socket.
    inside: BTreeMap<ConnId, Sender<Reply>>,
    /// The newest fence whose seal is durable here.
    fenced: Option<Fenced>,
    syncer: Option<Sender<Job>>,
    encoder: Encoder,
    reports: Arc<Reports>,
    revision: u64,
    /// Deleted, or the program ends: nothing is delivered any more.
    closed: bool,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner")
            .field("core", &self.core)
            .finish_non_exhaustive()
    }
}

/// A fence's seal, and since when it is known to be durable.
#[derive(Clone, Copy, Debug)]
pub struct Fenced {
    /// (epoch, attempt) of the fence.
    pub sealed: (Epoch, Attempt),
    /// By [`crate::clock`].
    pub since: Nanos,
}

/// Connections that have something to be sent.
#[derive(Debug, Default)]
#[must_use = "replies wait until they are flushed"]
pub struct Replies(Vec<Arc<Outbox>>);

impl Replies {
    /// Sends them, without any lock: those of `own` are waited for, by its own thread. Who can't be reached notices that
    /// itself.
    pub fn flush(&mut self, own: Option<ConnId>) {
        for outbox in self.0.drain(..) {
            let flushed = if own == Some(outbox.conn) {
                outbox.flush()
            } else {
                outbox.flush_aside()
            };
            if let Err(error) = flushed {
                log::info(
                    "a reply could not be sent",
                    &[("conn", &outbox.conn.0), ("why", &error)],
                );
            }
        }
    }

    /// Also these.
    pub fn add(&mut self, mut other: Self) {
        for outbox in other.0.drain(..) {
            self.push(&outbox);
        }
    }

    fn push(&mut self, outbox: &Arc<Outbox>) {
        if !self.0.iter().any(|known| Arc::ptr_eq(known, outbox)) {
            self.0.push(Arc::clone(outbox));
        }
    }
}

impl Slot {
    /// A replica whose folder was opened under this boot.
    pub fn new(
        name: String,
        boot: &str,
        files: ReplicaFiles<RealDisk>,
        reports: Arc<Reports>,
    ) -> Arc<Self> {
        let header = files.header();
        let identity = shorthorn_core::replica::Identity {
            cluster: header.identity.cluster.clone(),
            volume: header.identity.volume.clone(),
            replica: header.identity.replica.clone(),
        };
        let core = Replica::new(Start {
            identity,
            boot: boot.to_owned(),
            durable: durable(header),
            failed: header.failed.as_ref().map(|failed| failed.reason.clone()),
            document: files.document().clone(),
            marks: files.marks(),
        });
        // A fence that is found was durable before this moment.
        let fenced = fence::is_one(&header.engine).then(|| Fenced {
            sealed: header.sealed,
            since: clock::now(),
        });
        let inner = Inner {
            revision: core.revision(),
            core,
            files,
            outboxes: BTreeMap::new(),
            inside: BTreeMap::new(),
            fenced,
            syncer: None,
            encoder: Encoder::new(),
            reports,
            closed: false,
        };
        Arc::new(Self {
            name,
            inner: Mutex::new(inner),
            idle: Condvar::new(),
        })
    }

    /// The lock.
    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until requests are taken again. False: not on this connection, it has ended.
    pub fn wait_ready<'a>(
        &self,
        inner: MutexGuard<'a, Inner>,
        conn: ConnId,
    ) -> (MutexGuard<'a, Inner>, bool) {
        let waits = |inner: &mut Inner| {
            !inner.closed && inner.core.is_busy() && inner.outboxes.contains_key(&conn)
        };
        let inner = self
            .idle
            .wait_while(inner, waits)
            .unwrap_or_else(PoisonError::into_inner);
        let goes_on = !inner.closed && inner.outboxes.contains_key(&conn);
        (inner, goes_on)
    }

    /// Waits until nothing exclusive is being recorded.
    pub fn lock_idle(&self) -> MutexGuard<'_, Inner> {
        let busy = |inner: &mut Inner| !inner.closed && inner.core.is_busy();
        self.idle
            .wait_while(self.lock(), busy)
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// A new connection. False: this replica is not served any more.
    pub fn join(&self, outbox: &Arc<Outbox>) -> bool {
        let mut inner = self.lock();
        if !inner.closed {
            inner.outboxes.insert(outbox.conn, Arc::clone(outbox));
        }
        !inner.closed
    }

    /// A connection is over.
    pub fn leave(self: &Arc<Self>, conn: ConnId) {
        let mut replies = {
            let mut inner = self.lock();
            if inner.outboxes.remove(&conn).is_none() || inner.closed {
                return;
            }
            inner.deliver(self, Event::Ended { conn })
        };
        replies.flush(None);
    }

    /// Ends all connections and delivers nothing any more.
    pub fn close(&self, inner: &mut Inner) {
        inner.closed = true;
        for outbox in std::mem::take(&mut inner.outboxes).into_values() {
            outbox.end();
        }
        inner.inside.clear();
        inner.syncer = None;
        self.idle.notify_all();
    }
}

impl Inner {
    /// Takes one event to the core and does what it says.
    pub fn deliver(&mut self, slot: &Arc<Slot>, event: Event) -> Replies {
        let mut replies = Replies::default();
        if self.closed {
            return replies;
        }
        let (mut effects, mut next) = (Vec::new(), Vec::new());
        self.core.handle(event, &mut effects);
        while !effects.is_empty() {
            for effect in effects.drain(..) {
                match effect {
                    Effect::Do {
                        token,
                        work: Work::Sync,
                    } => self.sync(slot, token, &mut next),
                    Effect::Do { token, work } => {
                        let outcome = carry_out(&mut self.files, work);
                        self.core.handle(Event::Done { token, outcome }, &mut next);
                    }
                    Effect::Send { conn, tag, reply } => {
                        self.note(slot, &reply);
                        if let Some(inside) = self.inside.get(&conn) {
                            // Fails only if nobody waits for it any more.
                            let _given_up = inside.send(reply);
                        } else if let Some(outbox) = self.outboxes.get(&conn) {
                            if let Err(error) = self.encoder.reply(tag, &reply, &mut outbox.queue())
                            {
                                log::error(
                                    "a reply does not fit its frame: a bug",
                                    &[("what", &error)],
                                );
                                outbox.end();
                            }
                            replies.push(outbox);
                        }
                    }
                    Effect::End { conn, why } => {
                        log::info(
                            "connection ended",
                            &[("replica", &slot.name), ("conn", &conn.0), ("why", &why)],
                        );
                        self.inside.remove(&conn);
                        if let Some(outbox) = self.outboxes.remove(&conn) {
                            // Its own thread sends what is queued before it goes.
                            outbox.end_requests();
                        }
                    }
                }
            }
            std::mem::swap(&mut effects, &mut next);
        }
        self.encoder.forget();
        self.rest();
        self.tell();
        if !self.core.is_busy() {
            slot.idle.notify_all();
        }
        replies
    }

    /// What the agent is told of this replica.
    pub fn held(&self, slot: &Slot) -> Held {
        let standing = self.core.standing();
        let used = self.files.used_bytes();
        let damaged = used.as_ref().err().map(ToString::to_string);
        Held {
            replica: slot.name.clone(),
            volume: self.core.identity().volume.clone(),
            empty: standing.sealed.0 == 0,
            document_version: self.core.document().version,
            used: used.unwrap_or_default(),
            open: self.core.is_open(),
            standing: damaged.is_none().then(|| {
                let marks = shortened(&standing.marks);
                shorthorn_wire::message::Standing { marks, ..standing }
            }),
            damaged,
        }
    }

    /// The core, to be asked.
    pub fn core(&self) -> &Replica {
        &self.core
    }

    /// A connection of this program itself; its replies go to `replies`, which is dropped when it ends. False: this replica is
    /// not served any more.
    pub fn join_inside(&mut self, conn: ConnId, replies: Sender<Reply>) -> bool {
        if !self.closed {
            self.inside.insert(conn, replies);
        }
        !self.closed
    }

    /// Such a connection is over.
    pub fn leave_inside(&mut self, slot: &Arc<Slot>, conn: ConnId) -> Replies {
        match self.inside.remove(&conn) {
            Some(_) => self.deliver(slot, Event::Ended { conn }),
            None => Replies::default(),
        }
    }

    /// Deleted, or the program ends.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// The newest fence whose seal is durable here.
    pub fn fenced(&self) -> Option<Fenced> {
        self.fenced
    }

    /// A fence's seal is durable.
    pub fn note_fenced(&mut self, fenced: Fenced) {
        self.fenced = Some(fenced);
    }

    /// Syncs everything before the program ends; says what went wrong.
    pub fn sync_all(&mut self) -> Outcome {
        carry_out(&mut self.files, Work::Sync)
    }

    fn sync(&mut self, slot: &Arc<Slot>, token: Token, next: &mut Vec<Effect>) {
        let job = Job {
            token,
            handle: self.files.sync_handle(),
        };
        let sender = match self.syncer.take() {
            Some(sender) => Ok(sender),
            None => syncer::start(slot),
        };
        let unsent = match sender {
            Ok(sender) => {
                let unsent = sender.send(job).is_err();
                self.syncer = Some(sender);
                unsent
            }
            Err(error) => {
                log::warn(
                    "no thread for syncs, syncing here",
                    &[("replica", &slot.name), ("why", &error)],
                );
                true
            }
        };
        if unsent {
            let outcome = carry_out(&mut self.files, Work::Sync);
            self.core.handle(Event::Done { token, outcome }, next);
        }
    }

    /// Nobody is connected: no thread is needed. It does what it was given before it ends.
    fn rest(&mut self) {
        if self.outboxes.is_empty() && self.inside.is_empty() {
            self.syncer = None;
        }
    }

    fn tell(&mut self) {
        let revision = self.core.revision();
        if std::mem::replace(&mut self.revision, revision) != revision {
            self.reports.replicas_changed();
        }
    }

    /// What people should hear of.
    fn note(&self, slot: &Slot, reply: &Reply) {
        match reply {
            Reply::Refused {
                why: Refusal::OldDocument,
                detail,
            } => {
                log::error(
                    "an order with an old document was refused",
                    &[("replica", &slot.name), ("why", detail)],
                );
            }
            Reply::Refused { why, detail } => {
                let why = format!("{why:?}");
                log::warn(
                    "request refused",
                    &[("replica", &slot.name), ("rule", &why), ("why", detail)],
                );
            }
            Reply::Corrupt { offset } => {
                log::error(
                    "a block does not fit its checksum",
                    &[("replica", &slot.name), ("offset", offset)],
                );
            }
            _ => {}
        }
    }
}

/// At most so many runs, the last one covering the rest.
fn shortened(runs: &[RegionRun]) -> Vec<RegionRun> {
    let mut kept: Vec<RegionRun> = runs.iter().take(REPORTED_RUNS_MAX).copied().collect();
    if let (Some(last), Some(end)) = (kept.last_mut(), runs.last()) {
        last.count = (end.first + end.count - last.first).max(last.count);
    }
    kept
}
