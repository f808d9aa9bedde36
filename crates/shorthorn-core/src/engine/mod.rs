//! One session of one volume: seal, equalise, open, serve, close (docs/protocol.md).
//!
//! The engine never does I/O and never decides who is in-sync: it asks the record, and needs every replica that the record
//! may count as in-sync. A member that fails is removed before anything is acknowledged without it; the session ends, unclean,
//! when nobody is left to go on with. See [`Event`] for how a program drives it.
//!
//! One struct owns all state; each file here is one of its concerns, in the order of a session's life: `open`, `requests`
//! (with `reads`, `grants`, `strict`, `mend`, `space`, `repair`), `marks`, `failure`,
//! `removal`, `joiners` (with `targets`, `mirror`, `resync`, `crowded`, `join`), `close`. `silence` and `timer` are about time alone.

mod api;
mod asks;
mod close;
mod crowded;
mod failure;
mod grants;
mod join;
mod joiners;
mod marks;
mod mend;
mod mirror;
mod open;
mod progress;
mod reads;
mod removal;
mod repair;
mod replies;
mod requests;
mod resync;
mod silence;
mod space;
mod status;
mod strict;
mod targets;
mod timer;
mod work;

use shorthorn_wire::agent::{Answer, Ask, SessionOrder, Target};
use shorthorn_wire::frame::RUNS_MAX;
use shorthorn_wire::message::{Document, Membership, RegionRun, Request, Sequence};

pub use api::{
    ClientAnswer, ClientError, ClientId, ClientOp, ClientRequest, Effect, Event, Status,
};

use crate::calls::{Calls, Key};
use crate::equaliser::Equaliser;
use crate::order;
use crate::post::Post;
use crate::ranges::Ranges;
use crate::sealer::{Identity, Sealer};
use crate::{BadOrder, Nanos, ReplicaIndex, ReplicaSet};

use asks::Asks;
use joiners::{Joiner, Stage};
use marks::Marks;
use removal::Removals;
use space::Space;
use strict::Rounds;
use work::Work;

/// Where the session is. Changed only through [`Engine::enter`], and only from earlier to later.
#[derive(Debug)]
enum State {
    /// Before [`Event::Start`].
    New,
    /// Reaching and sealing the in-sync replicas.
    Sealing,
    /// Making marked regions equal.
    Equalising(Box<Equaliser>),
    /// What was copied becomes durable.
    Syncing,
    /// SessionOpened is asked.
    Opening,
    /// The members store it.
    Storing,
    Serving,
    /// Open, but for nobody: unflushed writes may be gone.
    Broken,
    /// Closing: what is in flight is decided.
    Draining,
    /// Closing: the last flush, then the last clear, then the replicas are told.
    Closing,
    /// SessionClosed is asked.
    Ending {
        clean: bool,
        why: String,
    },
    /// [`Effect::Exit`] is out.
    Over,
}

/// The engine of one session.
#[derive(Debug)]
pub struct Engine {
    order: SessionOrder,
    /// The newest that the engine knows.
    document: Document,
    state: State,
    sealer: Sealer,
    calls: Calls<Work>,
    asks: Asks,
    /// Needed for every acknowledgement, flush and grant: contains the record's in-sync set at every moment.
    needed: ReplicaSet,
    /// Syncing replicas, by index.
    joiners: Vec<Option<Box<Joiner>>>,
    /// By index: when one that had joined was a member at last, and its pause should it be lost soon after (B14).
    joined: Vec<Option<(Nanos, Nanos)>>,
    /// Syncing replicas that get every change, and for which nobody waits.
    mirrors: ReplicaSet,
    /// Needed, and not in-sync as far as the record has answered.
    joining: ReplicaSet,
    /// Needed, and not yet told that they are members: those, and who is in-sync since a moment.
    untold: ReplicaSet,
    /// Not on the record's last list of targets.
    given_up: ReplicaSet,
    /// Mirrored changes that are not answered, and their bytes.
    mirrored: usize,
    mirrored_bytes: u64,
    /// Clients have been held back for them long enough then.
    held: Option<Nanos>,
    /// The progress of resyncs is told then.
    progress: Option<Nanos>,
    /// Ranges of joiners that had no space go on then.
    copies_at: Option<Nanos>,
    /// Reads for which nobody is left but who is not yet told that it is a member.
    unread: Vec<Key>,
    /// On the engine's own node.
    local: ReplicaSet,
    /// Last change sent; every replica gets every change under the same number.
    seq: Sequence,
    ranges: Ranges<Key>,
    marks: Marks,
    removals: Removals,
    /// Until the record has answered: all that were sealed were torn, and marks existed. From then on: nobody is served.
    broken: bool,
    /// A close was ordered before the session was open.
    close_wanted: bool,
    /// Have answered the close; their connections may end.
    closed: ReplicaSet,

    /// For each target: when its newest request that was answered had been sent.
    granted: Vec<Option<Nanos>>,
    /// Have a ping under way.
    pinging: ReplicaSet,
    /// Of pings, for strict reads.
    rounds: Rounds,
    /// Reads that have their data and wait for grants.
    awaiting: Vec<Key>,
    /// For each target: reads under way.
    reading: Vec<u32>,
    /// Changes that wait for it.
    space: Space,

    client_calls: usize,
    in_flight_bytes: u64,
    repairs: usize,
    /// Scratch: who may run after a range was left.
    ready: Vec<Key>,

    /// Since when somebody is sealed, without a gap.
    sealed_since: Option<Nanos>,
    /// Opening goes on without the missing then.
    grace: Option<Nanos>,
    /// Close or end is over then.
    bound: Option<Nanos>,
    /// Unanswered requests are looked at then.
    silence: Option<Nanos>,
    /// The last look at them came too late to count.
    kept: bool,
    /// The last [`Effect::WakeAt`], until it came.
    armed: Option<Nanos>,
    /// The last [`Effect::Status`].
    told: Option<Status>,
}

impl Engine {
    /// An engine for this order, before [`Event::Start`].
    ///
    /// `engine`: its id, one a process and session, never reused.
    pub fn new(order: SessionOrder, engine: String) -> Result<Self, BadOrder> {
        order::check(&order.targets, &order.document)?;
        let identity = Identity {
            cluster: order.cluster.clone(),
            volume: order.volume.clone(),
            engine,
            epoch: order.epoch,
            opened_epoch: order.opened_epoch,
        };
        let sealer = Sealer::new(identity, order.targets.clone());
        let targets = order.targets.len();
        Ok(Self {
            document: order.document.clone(),
            state: State::New,
            calls: Calls::default(),
            asks: Asks::default(),
            needed: ReplicaSet::EMPTY,
            joiners: (0..targets).map(|_| None).collect(),
            joined: vec![None; targets],
            mirrors: ReplicaSet::EMPTY,
            joining: ReplicaSet::EMPTY,
            untold: ReplicaSet::EMPTY,
            given_up: ReplicaSet::EMPTY,
            mirrored: 0,
            mirrored_bytes: 0,
            held: None,
            progress: None,
            copies_at: None,
            unread: Vec::new(),
            local: sealer.targets(|target| target.local),
            seq: 0,
            ranges: Ranges::default(),
            marks: Marks::of(order.document.size),
            removals: Removals::default(),
            broken: false,
            close_wanted: false,
            closed: ReplicaSet::EMPTY,
            granted: vec![None; targets],
            pinging: ReplicaSet::EMPTY,
            rounds: Rounds::default(),
            awaiting: Vec::new(),
            reading: vec![0; targets],
            space: Space::default(),
            client_calls: 0,
            in_flight_bytes: 0,
            repairs: 0,
            ready: Vec::new(),
            sealed_since: None,
            grace: None,
            bound: None,
            silence: None,
            kept: false,
            armed: None,
            told: None,
            sealer,
            order,
        })
    }

    /// Takes one event; appends what is to be done to `out`.
    pub fn handle(&mut self, now: Nanos, event: Event, out: &mut Vec<Effect>) {
        if matches!(self.state, State::Over) {
            return;
        }
        match event {
            Event::Reply {
                replica,
                tag,
                reply,
            } => self.reply(now, replica, tag, reply, out),
            Event::Client {
                client,
                cookie,
                request,
            } => self.client_request(now, client, cookie, request, out),
            rare => {
                self.handle_rare(now, rare, out);
                self.tell_status(out);
            }
        }
        self.arm(out);
    }

    /// Everything but requests and replies.
    fn handle_rare(&mut self, now: Nanos, event: Event, out: &mut Vec<Effect>) {
        match event {
            Event::Start => self.start(now, out),
            Event::Connected { replica } => self.connected(now, replica, out),
            Event::Unreachable { replica, why } => match self.state {
                State::Sealing => self.sealer.lost(now, replica, why),
                _ => self.joiner_unreachable(now, replica, why),
            },
            Event::Disconnected { replica, why } => self.disconnected(now, replica, why, out),
            Event::ClientGone { client } => self.client_gone(now, client, out),
            Event::AgentConnected => {
                self.told = None;
                self.asks.repeat_all(out);
            }
            Event::Answer { id, answer } => self.answered(now, id, answer, out),
            Event::Close => self.close(now, out),
            Event::Leave { replica } => self.leave(now, &replica, out),
            Event::Targets { targets, document } => self.retarget(now, targets, document, out),
            Event::Stop => self.exit(false, "it was told to stop".to_owned(), out),
            Event::Timer => self.timer(now, out),
            Event::Reply { .. } | Event::Client { .. } => {}
        }
    }

    /// The record has decided something.
    fn answered(&mut self, now: Nanos, id: u64, answer: Answer, out: &mut Vec<Effect>) {
        let Some(decided) = self.asks.answer(now, id, answer) else {
            return;
        };
        match (decided.ask, decided.outcome) {
            (Ask::SessionOpened { .. }, Ok(record)) => self.opened(now, record, out),
            (Ask::SessionOpened { .. }, Err(why)) => {
                self.exit(false, format!("the record refused to open: {why}"), out);
            }
            (
                Ask::ReplicaLost {
                    replica, attempt, ..
                },
                outcome,
            ) => {
                let Some(replica) = self.sealer.find(&replica) else {
                    return;
                };
                let breaking = |joiner: &Joiner| joiner.stage == Stage::Breaking;
                if self.joiner(replica).is_some_and(breaking) {
                    let outcome = outcome.map(|record| record.document);
                    return self.attempt_broken(now, replica, attempt, outcome, out);
                }
                match outcome {
                    Ok(record) => self.removal_committed(now, replica, record.document, out),
                    Err(why) => self.removal_refused(now, replica, &why, out),
                }
            }
            (Ask::ReplicaSynced { replica, .. }, outcome) => {
                if let Some(replica) = self.sealer.find(&replica) {
                    let outcome = outcome.map(|record| record.document);
                    self.synced(now, replica, outcome, out);
                }
            }
            (Ask::SessionClosed { .. }, _) => self.ended(out),
        }
    }

    /// The only place where the session goes on.
    fn enter(&mut self, state: State) {
        self.state = state;
    }

    /// The target of the order that is meant.
    pub fn target(&self, replica: ReplicaIndex) -> &Target {
        self.sealer.target(replica)
    }

    /// How many targets there are: those of the order, and those that came with later addresses.
    pub fn target_count(&self) -> usize {
        self.sealer.count()
    }

    /// A new request to these replicas.
    fn call(
        &mut self,
        now: Nanos,
        work: Work,
        to: ReplicaSet,
        request: Request,
        out: &mut Vec<Effect>,
    ) {
        let key = self.calls.insert(work);
        self.send(now, key, to, request, out);
    }

    /// Sends a call's (next) request.
    fn send(
        &mut self,
        now: Nanos,
        key: Key,
        to: ReplicaSet,
        request: Request,
        out: &mut Vec<Effect>,
    ) {
        let tag = self.calls.send(key, to, now);
        for replica in to.without(self.removals.failed()).iter() {
            out.send(replica, tag, request.clone());
        }
        self.watch_silence(now);
    }

    /// A flush on every needed replica.
    fn flush(&mut self, now: Nanos, work: Work, out: &mut Vec<Effect>) {
        let request = Request::Flush { seq: self.seq };
        self.call(now, work, self.needed, request, out);
    }

    /// A clear on every member. What is too much for one request follows when it is done (`clear_rest`).
    fn clear(
        &mut self,
        now: Nanos,
        work: Work,
        seq: Sequence,
        mut regions: Vec<RegionRun>,
        out: &mut Vec<Effect>,
    ) {
        let m: Membership = self.document.m;
        self.marks
            .keep_rest(regions.split_off(regions.len().min(RUNS_MAX)));
        let request = Request::Clear { m, seq, regions };
        let members = self
            .needed
            .without(self.removals.committed())
            .without(self.untold);
        self.call(now, work, members, request, out);
    }

    /// The record's answers may overtake each other: only a newer document counts.
    fn adopt(&mut self, document: Document) {
        let version = |document: &Document| (document.era, document.version);
        if version(&document) > version(&self.document) {
            self.document = document;
        }
    }

    /// Something about a replica, for people.
    fn named(&self, replica: ReplicaIndex, why: &str) -> String {
        let target = self.sealer.target(replica);
        format!("{} on {}: {why}", target.replica, target.node)
    }
}
