//! Work on a detached volume without a session: settle, and move without attach (docs/protocol.md).
//!
//! A copier seals what it works on at the record's epoch, makes content equal and durable, and waits for the record to say
//! so. It never serves anybody and never changes who is in-sync. A replica that can't be reached is waited for; any refusal,
//! and any connection that breaks once all are sealed, ends it. It may be started again at any time.

mod api;

use shorthorn_wire::REGION_BYTES;
use shorthorn_wire::agent::{CopyOrder, CopyWork, Target};
use shorthorn_wire::message::{Document, Member, RegionRun, Reply, Request, Role, Tag};

pub use api::{Effect, Event};

use crate::calls::{Calls, Key};
use crate::equaliser::{Equaliser, Roles, Sending};
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
    /// Move: the new member's marks go, under the membership number at which it became in-sync.
    Stamping,
    Over,
}

#[derive(Debug)]
enum Work {
    Hello,
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
            document: order.document.clone(),
        };
        let sealer = Sealer::new(identity, order.targets.clone());
        let wanted = match &order.work {
            CopyWork::Settle => sealer.targets(|target| target.in_sync),
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
        Ok(Self {
            m: order.document.m,
            state: State::New,
            sealer,
            calls: Calls::default(),
            wanted,
            runs: Vec::new(),
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
            Event::Addresses { targets } => {
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
                let seal = self.sealer.seal(replica);
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

    /// All are sealed: content is made equal.
    fn work(&mut self, now: Nanos, out: &mut Vec<Effect>) {
        let size = self.order.document.size;
        let roles = match &self.order.work {
            CopyWork::Settle => {
                self.runs = self.marked(self.wanted);
                let local = self.sealer.targets(|target| target.local);
                Roles::choose(self.wanted, self.sealer.all_torn(), local)
            }
            CopyWork::Move { source, .. } => {
                let source = self.sealer.find(source);
                let first = 0;
                let count = size.div_ceil(REGION_BYTES);
                self.runs = vec![RegionRun { first, count }];
                if !self.marked(source.into_iter().collect()).is_empty() {
                    let why = "the source has marks: the volume is not settled".to_owned();
                    return self.fail(why, out);
                }
                source.map(|source| Roles {
                    members: self.wanted,
                    source,
                    trusted: ReplicaSet::EMPTY,
                    accept: false,
                })
            }
        };
        let Some(roles) = roles else {
            return self.fail("there is no replica to copy from".to_owned(), out);
        };
        self.total = self.runs.iter().map(|run| run.count * REGION_BYTES).sum();
        self.total = self.total.min(size);
        let mut equaliser = Box::new(Equaliser::new(roles, size, self.runs.clone()));
        let sendings = equaliser.start();
        let finished = equaliser.finished();
        self.enter(State::Working(equaliser));
        for sending in sendings {
            self.send_range(now, sending, out);
        }
        if finished {
            self.sync(now, State::Syncing, out);
        }
    }

    /// All regions that are marked on any of these, inside the volume, in order and joined.
    fn marked(&self, replicas: ReplicaSet) -> Vec<RegionRun> {
        let regions = self.order.document.size.div_ceil(REGION_BYTES);
        let mut found: Vec<RegionRun> = Vec::new();
        for replica in replicas.iter() {
            let standing = self.sealer.standing(replica);
            found.extend(standing.map_or(&[][..], |standing| &standing.marks));
        }
        found.sort_unstable();
        let mut joined: Vec<RegionRun> = Vec::new();
        for run in found {
            let end = run.first.saturating_add(run.count).min(regions);
            let first = joined
                .last()
                .map_or(run.first, |last| run.first.max(last.first + last.count));
            match joined.last_mut() {
                _ if first >= end => {}
                Some(last) if last.first + last.count == first => last.count += end - first,
                _ => joined.push(RegionRun {
                    first,
                    count: end - first,
                }),
            }
        }
        joined
    }

    fn range_reply(
        &mut self,
        now: Nanos,
        key: Key,
        replica: ReplicaIndex,
        reply: Reply,
        last: bool,
        out: &mut Vec<Effect>,
    ) {
        let (State::Working(equaliser), Some(call)) = (&mut self.state, self.calls.get_mut(key))
        else {
            return;
        };
        let Work::Equalise(lane) = call.work else {
            return;
        };
        match equaliser.reply(lane, replica, reply, last) {
            Err(fault) => self.fail_with(fault.replica, &fault.why, out),
            Ok(next) => {
                let (finished, done) = (equaliser.finished(), equaliser.done_bytes());
                if last {
                    self.calls.remove(key);
                }
                if let Some(sending) = next {
                    self.send_range(now, sending, out);
                }
                if done != self.done {
                    self.done = done;
                    self.told = None;
                }
                if finished {
                    self.sync(now, State::Syncing, out);
                }
            }
        }
    }

    /// All that were asked have done what the state says.
    fn step_done(&mut self, now: Nanos, out: &mut Vec<Effect>) {
        match self.state {
            State::Syncing if self.order.work == CopyWork::Settle && !self.runs.is_empty() => {
                self.update(now, out);
            }
            State::Updating => {
                self.enter(State::Clearing);
                self.clear(now, self.wanted, out);
            }
            State::Clearing => self.sync(now, State::SyncingAgain, out),
            State::Syncing | State::SyncingAgain => {
                self.enter(State::Ready);
                let sealed = self.sealer.names(self.wanted);
                out.push(Effect::Ready { sealed });
            }
            State::Telling => match &self.order.work {
                CopyWork::Settle => self.finish(out),
                CopyWork::Move { target, .. } => {
                    let target = self.sealer.find(target).into_iter().collect();
                    self.enter(State::Stamping);
                    self.clear(now, target, out);
                }
            },
            State::Stamping => self.finish(out),
            _ => {}
        }
    }

    /// All are equal and durable.
    fn update(&mut self, now: Nanos, out: &mut Vec<Effect>) {
        self.enter(State::Updating);
        let behind = self.wanted.iter().filter(|replica| {
            let standing = self.sealer.standing(*replica);
            standing.is_some_and(|standing| standing.m < self.m)
        });
        let behind: ReplicaSet = behind.collect();
        if behind.is_empty() {
            return self.step_done(now, out);
        }
        let request = Request::Member(Member {
            role: Role::Member,
            document: self.order.document.clone(),
        });
        self.call(now, Work::Step, behind, request, out);
    }

    fn sync(&mut self, now: Nanos, state: State, out: &mut Vec<Effect>) {
        self.enter(state);
        let request = Request::Flush { seq: 0 };
        self.call(now, Work::Step, self.wanted, request, out);
    }

    fn clear(&mut self, now: Nanos, to: ReplicaSet, out: &mut Vec<Effect>) {
        let request = Request::Clear {
            m: self.m,
            seq: 0,
            regions: self.runs.clone(),
        };
        self.call(now, Work::Step, to, request, out);
    }

    /// The record says so: the members store it.
    fn committed(&mut self, now: Nanos, document: Document, out: &mut Vec<Effect>) {
        if !matches!(self.state, State::Ready) {
            return;
        }
        self.m = document.m;
        self.enter(State::Telling);
        let role = Role::Member;
        let request = Request::Member(Member { role, document });
        self.call(now, Work::Step, self.wanted, request, out);
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

    fn timer(&mut self, now: Nanos, out: &mut Vec<Effect>) {
        self.armed = None;
        if self.silence.is_some_and(|silence| silence <= now) {
            self.check_silence(now, out);
        }
        self.dial(now, out);
    }

    fn check_silence(&mut self, now: Nanos, out: &mut Vec<Effect>) {
        let unanswered = self
            .calls
            .iter()
            .filter_map(|(_, call)| Some((call.sent, call.waiting.first()?)));
        let oldest = unanswered.min();
        self.silence = oldest.map(|(sent, _)| sent + REPLY_SPAN);
        let Some((sent, replica)) = oldest else {
            return;
        };
        if sent + REPLY_SPAN > now {
            return;
        }
        let why = "it does not answer".to_owned();
        if matches!(self.state, State::Sealing) {
            self.sealer.hang_up(ReplicaSet::only(replica), out);
            self.unsealed(now, replica, why);
            // Others may be late too: looked at at once.
            self.silence = Some(now);
        } else {
            self.fail_with(replica, &why, out);
        }
    }

    /// Tells how far it is, on change.
    fn tell(&mut self, out: &mut Vec<Effect>) {
        let waits_for = match self.state {
            State::Over | State::New => return,
            State::Sealing => {
                let missing = self.wanted.without(self.sealer.all_sealed());
                self.sealer.explain(missing)
            }
            State::Ready => "the record".to_owned(),
            _ => String::new(),
        };
        if self.told.as_ref() != Some(&waits_for) {
            out.push(Effect::Progress {
                done: self.done,
                total: self.total,
                waits_for: Some(waits_for.clone()).filter(|why| !why.is_empty()),
            });
            self.told = Some(waits_for);
        }
    }

    /// Sets the timer if something is due before it.
    fn arm(&mut self, out: &mut Vec<Effect>) {
        let dial = match self.state {
            State::Over => return,
            State::Sealing => self.sealer.next_dial(),
            _ => None,
        };
        let Some(next) = dial.into_iter().chain(self.silence).min() else {
            return;
        };
        if self.armed.is_none_or(|armed| next < armed) {
            self.armed = Some(next);
            out.push(Effect::WakeAt(next));
        }
    }
}
