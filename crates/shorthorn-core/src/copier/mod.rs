//! Work on a detached volume without a session: settle, and move without attach (docs/protocol.md).
//!
//! A copier seals what it works on at the record's epoch, makes content equal and durable, and waits for the record to say
//! so. It never serves anybody and never changes who is in-sync. A replica that can't be reached is waited for; any refusal,
//! and any connection that breaks once all are sealed, ends it. It may be started again at any time.

mod api;
mod steps;
mod watch;

use shorthorn_wire::agent::{CopyOrder, CopyWork, Target};
use shorthorn_wire::message::{RegionRun, Reply, Request, Tag};

pub use api::{Effect, Event};

use crate::calls::Calls;
use crate::equaliser::{Equaliser, Sending};
use crate::order;
use crate::post::{Post, complaint, is_final};
use crate::sealer::{Identity, Sealer};
use crate::{BadOrder, Nanos, ReplicaIndex, ReplicaSet};

/// A replica that does not answer for this long has failed: nobody waits for a copier, so it may be long.
const REPLY_SPAN: Nanos = Nanos::from_millis(60_000);

/// Where the task is; goes on only from earlier to later, in [`Copier::enter`].
#[derive(Debug)]
enum State {
    New,
    /// Reaching and sealing all that are needed.
    Sealing,
    /// Comparing and copying.
    Working(Box<Equaliser>),
    /// What was copied becomes durable.
    Syncing,
    /// Settle: a member that has not heard of the record's membership number does, so that the stamps can be that.
    Updating,
    /// Settle: no mark is left.
    Clearing,
    /// Settle: that becomes durable.
    SyncingAgain,
    /// The record is to say so.
    Ready,
    /// The members store it.
    Telling,
    /// Move: the new member's marks go, under the membership number at which it became in-sync. Settle without a member,
    /// or of what lost power only: all marks go, now that the record says that the copies are equal.
    Stamping,
    /// That becomes durable: a mark that came back by a power loss would make the next open say broken for nothing.
    SyncingLast,
    Over,
}

#[derive(Debug)]
enum Work {
    Hello,
    /// What it is before its seal.
    Probe,
    Seal,
    Equalise(usize),
    /// What the state says, on all that were asked.
    Step,
}

/// The copier of one task.
#[derive(Debug)]
pub struct Copier {
    order: CopyOrder,
    state: State,
    sealer: Sealer,
    calls: Calls<Work>,
    /// All that the work needs.
    wanted: ReplicaSet,
    /// Settle: all that was marked anywhere. Move: everything.
    runs: Vec<RegionRun>,
    /// How many of them were asked to be cleared.
    cleared: usize,
    total: u64,
    /// Bytes that were looked at, as told last.
    done: u64,
    /// The membership number after the commit.
    m: u64,
    silence: Option<Nanos>,
    armed: Option<Nanos>,
    told: Option<String>,
}

impl Copier {
    /// A copier for this order, before [`Event::Start`].
    ///
    /// `engine`: its id on its connections, one a process and task, never reused.
    pub fn new(order: CopyOrder, engine: String) -> Result<Self, BadOrder> {
        order::check(&order.targets, &order.document)?;
        let identity = Identity {
            cluster: order.cluster.clone(),
            volume: order.volume.clone(),
            engine,
            epoch: order.epoch,
            opened_epoch: order.opened_epoch,
        };
        let sealer = Sealer::new(identity, order.targets.clone());
        let wanted = match &order.work {
            CopyWork::Settle => {
                let without = |target: &Target| order.without.contains(&target.replica);
                sealer.targets(|target| target.in_sync && !without(target))
            }
            CopyWork::Move { source, target } => {
                let source = sealer.find(source).ok_or(BadOrder::NoTarget)?;
                let target = sealer.find(target).ok_or(BadOrder::NoTarget)?;
                let roles = (sealer.target(source), sealer.target(target));
                if !roles.0.in_sync || roles.1.in_sync {
                    return Err(BadOrder::Roles);
                }
                ReplicaSet::from_iter([source, target])
            }
        };
        if wanted.is_empty() {
            return Err(BadOrder::NoTarget);
        }
        Ok(Self {
            m: order.document.m,
            state: State::New,
            sealer,
            calls: Calls::default(),
            wanted,
            runs: Vec::new(),
            cleared: 0,
            total: 0,
            done: 0,
            silence: None,
            armed: None,
            told: None,
            order,
        })
    }

    /// Takes one event; appends what is to be done to `out`.
    pub fn handle(&mut self, now: Nanos, event: Event, out: &mut Vec<Effect>) {
        if matches!(self.state, State::Over) {
            return;
        }
        match event {
            Event::Start => self.start(now, out),
            Event::Connected { replica } => {
                if let Some(hello) = self.sealer.connected(replica) {
                    self.call(now, Work::Hello, ReplicaSet::only(replica), hello, out);
                }
            }
            Event::Unreachable { replica, why } => self.sealer.lost(now, replica, why),
            Event::Disconnected { replica, why } => self.disconnected(now, replica, why, out),
            Event::Reply {
                replica,
                tag,
                reply,
            } => self.reply(now, replica, tag, reply, out),
            Event::Targets { targets } => {
                self.sealer.addresses(now, targets);
                self.dial(now, out);
            }
            Event::Committed { document } => self.committed(now, document, out),
            Event::Cancel => self.fail("it was cancelled".to_owned(), out),
            Event::Timer => self.timer(now, out),
        }
        self.tell(out);
        self.arm(out);
    }

    /// The target of the order that is meant.
    pub fn target(&self, replica: ReplicaIndex) -> &Target {
        self.sealer.target(replica)
    }

    /// The only place where the task goes on.
    fn enter(&mut self, state: State) {
        self.state = state;
    }

    fn start(&mut self, now: Nanos, out: &mut Vec<Effect>) {
        if matches!(self.state, State::New) {
            self.enter(State::Sealing);
            self.sealer.want(now, self.wanted);
            self.dial(now, out);
        }
    }

    fn dial(&mut self, now: Nanos, out: &mut Vec<Effect>) {
        if matches!(self.state, State::Sealing) {
            self.sealer.dial_due(now, out);
        }
    }

    fn disconnected(
        &mut self,
        now: Nanos,
        replica: ReplicaIndex,
        why: String,
        out: &mut Vec<Effect>,
    ) {
        if matches!(self.state, State::Sealing) {
            self.unsealed(now, replica, why);
        } else {
            self.sealer.ended(replica);
            self.fail_with(replica, &why, out);
        }
    }

    /// While sealing, a lost connection is only a missing replica.
    fn unsealed(&mut self, now: Nanos, replica: ReplicaIndex, why: String) {
        for key in self.calls.forget(replica) {
            self.calls.remove(key);
        }
        self.sealer.lost(now, replica, why);
    }

    fn reply(
        &mut self,
        now: Nanos,
        replica: ReplicaIndex,
        tag: Tag,
        reply: Reply,
        out: &mut Vec<Effect>,
    ) {
        let Some((key, call)) = self.calls.answered(tag, replica) else {
            return;
        };
        let last = call.waiting.is_empty();
        match (&call.work, reply) {
            (Work::Equalise(_), reply) => self.range_reply(now, key, replica, reply, last, out),
            (Work::Hello, Reply::Done) => {
                self.calls.remove(key);
                let only = ReplicaSet::only(replica);
                self.call(now, Work::Probe, only, Sealer::probe(), out);
            }
            (Work::Probe, Reply::Standing(standing)) => {
                self.calls.remove(key);
                if !self.sealer.found(replica, &standing, out) {
                    let why = self.sealer.explain(ReplicaSet::only(replica));
                    return self.fail(why, out);
                }
                let seal = self.sealer.seal(replica, &self.order.document);
                self.call(now, Work::Seal, ReplicaSet::only(replica), seal, out);
            }
            (Work::Seal, Reply::Standing(standing)) => {
                self.calls.remove(key);
                if !self.sealer.sealed(replica, standing, out) {
                    let why = self.sealer.explain(ReplicaSet::only(replica));
                    return self.fail(why, out);
                }
                if self.sealer.all_sealed() == self.wanted {
                    self.work(now, out);
                }
            }
            (Work::Step, Reply::Done) => {
                if last {
                    self.calls.remove(key);
                    self.step_done(now, out);
                }
            }
            // The folder may be on its way.
            (Work::Hello, reply) if !is_final(&reply) => {
                self.sealer.hang_up(ReplicaSet::only(replica), out);
                self.unsealed(now, replica, complaint(&reply));
            }
            (_, reply) => self.fail_with(replica, &complaint(&reply), out),
        }
    }

    fn finish(&mut self, out: &mut Vec<Effect>) {
        self.let_go(out);
        out.push(Effect::Finished);
    }

    fn fail_with(&mut self, replica: ReplicaIndex, why: &str, out: &mut Vec<Effect>) {
        let target = self.sealer.target(replica);
        let why = format!("{} on {}: {why}", target.replica, target.node);
        self.fail(why, out);
    }

    fn fail(&mut self, why: String, out: &mut Vec<Effect>) {
        self.let_go(out);
        out.push(Effect::Failed { why });
    }

    fn let_go(&mut self, out: &mut Vec<Effect>) {
        self.enter(State::Over);
        self.calls.clear();
        self.sealer.hang_up(self.wanted, out);
    }

    fn send_range(&mut self, now: Nanos, sending: Sending, out: &mut Vec<Effect>) {
        let work = Work::Equalise(sending.lane);
        self.call(now, work, sending.to, sending.request, out);
    }

    fn call(
        &mut self,
        now: Nanos,
        work: Work,
        to: ReplicaSet,
        request: Request,
        out: &mut Vec<Effect>,
    ) {
        let key = self.calls.insert(work);
        let tag = self.calls.send(key, to, now);
        for replica in to.iter() {
            out.send(replica, tag, request.clone());
        }
        if self.silence.is_none() {
            self.silence = Some(now + REPLY_SPAN);
        }
    }
}
