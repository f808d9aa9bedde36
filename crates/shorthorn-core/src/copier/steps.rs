//! The work itself, from the last seal to the stored commit (docs/protocol.md, Settle and "Move without attach").

use shorthorn_wire::REGION_BYTES;
use shorthorn_wire::agent::CopyWork;
use shorthorn_wire::frame::RUNS_MAX;
use shorthorn_wire::message::{Document, Member, RegionRun, Reply, Request, Role};

use super::api::Effect;
use super::{Copier, State, Work};
use crate::calls::Key;
use crate::equaliser::{Equaliser, Roles};
use crate::mutants::{self, Mutant};
use crate::{Nanos, ReplicaIndex, ReplicaSet};

impl Copier {
    /// All are sealed: content is made equal.
    pub(super) fn work(&mut self, now: Nanos, out: &mut Vec<Effect>) {
        let size = self.order.document.size;
        let roles = match &self.order.work {
            CopyWork::Settle => {
                self.runs = self.marked(self.wanted);
                if self.loses_what_is_away() {
                    let why = "all replicas that can be reached lost power, and regions are marked: only one on a node \
                               declared dead may hold what was flushed last; bring it back, or accept the loss";
                    return self.fail(why.to_owned(), out);
                }
                let local = self.sealer.targets(|target| target.local);
                Roles::choose(self.wanted, self.sealer.all_torn(), local)
            }
            CopyWork::Move { source, .. } => {
                let source = self.sealer.find(source);
                let first = 0;
                let count = size.div_ceil(REGION_BYTES);
                self.runs = vec![RegionRun { first, count }];
                // Marks of the source say nothing here: of a settled volume they are left over (a clear is not synced).
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
        let unequal = mutants::active(Mutant::SettleUnequal);
        let runs = match self.order.work {
            CopyWork::Settle if unequal => Vec::new(),
            _ => self.runs.clone(),
        };
        let mut equaliser = Box::new(Equaliser::new(roles, size, runs));
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

    /// A settle goes without a member on a node declared dead only if one that is sealed isn't torn (docs/protocol.md,
    /// Settle). Where nothing is marked nothing is lost.
    fn loses_what_is_away(&self) -> bool {
        !self.order.without.is_empty() && self.loses_what_was_not_flushed()
    }

    /// All lost power while open, and regions are marked: what was not flushed may be gone (A2).
    fn loses_what_was_not_flushed(&self) -> bool {
        self.sealer.all_torn() == self.wanted && !self.runs.is_empty()
    }

    /// All regions that are marked on any of these, inside the volume, in order and joined.
    pub(super) fn marked(&self, replicas: ReplicaSet) -> Vec<RegionRun> {
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

    pub(super) fn range_reply(
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
    pub(super) fn step_done(&mut self, now: Nanos, out: &mut Vec<Effect>) {
        match self.state {
            State::Syncing if self.clears_before_ready() => self.update(now, out),
            State::Updating => {
                self.enter(State::Clearing);
                self.clear(now, self.wanted, out);
            }
            State::Clearing if self.cleared < self.runs.len() => self.clear(now, self.wanted, out),
            State::Clearing => self.sync(now, State::SyncingAgain, out),
            State::Syncing | State::SyncingAgain => {
                self.enter(State::Ready);
                let sealed = self.sealer.names(self.wanted);
                out.push(Effect::Ready { sealed });
            }
            State::Telling | State::Stamping if self.cleared < self.runs.len() => {
                let still_marked = self.still_marked();
                self.enter(State::Stamping);
                self.clear(now, still_marked, out);
            }
            State::Stamping => {
                let still_marked = self.still_marked();
                self.sync_on(now, State::SyncingLast, still_marked, out);
            }
            State::Telling | State::SyncingLast => self.finish(out),
            _ => {}
        }
    }

    /// A settle of all in-sync replicas: nobody differs from them any more. While somebody who is in-sync by the record is
    /// left out, the marks say where that one may differ, should it come back before the record has removed it. And should
    /// this settle be cut off, they tell the next open that unflushed changes may be gone.
    fn clears_before_ready(&self) -> bool {
        let settles = self.order.work == CopyWork::Settle;
        let all = self.order.without.is_empty() && !self.loses_what_was_not_flushed();
        settles && all && !self.runs.is_empty()
    }

    /// Whose marks go only when the record has decided: a move's target's, and everybody's after a settle without some or that may have lost something.
    fn still_marked(&self) -> ReplicaSet {
        match &self.order.work {
            CopyWork::Settle => self.wanted,
            CopyWork::Move { target, .. } => self.sealer.find(target).into_iter().collect(),
        }
    }

    /// All are equal and durable.
    pub(super) fn update(&mut self, now: Nanos, out: &mut Vec<Effect>) {
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

    pub(super) fn sync(&mut self, now: Nanos, state: State, out: &mut Vec<Effect>) {
        self.sync_on(now, state, self.wanted, out);
    }

    fn sync_on(&mut self, now: Nanos, state: State, on: ReplicaSet, out: &mut Vec<Effect>) {
        self.enter(state);
        if mutants::active(Mutant::MoveUnsynced) {
            return self.step_done(now, out);
        }
        let request = Request::Flush { seq: 0 };
        self.call(now, Work::Step, on, request, out);
    }

    /// All runs, as many with one request as it may carry.
    pub(super) fn clear(&mut self, now: Nanos, to: ReplicaSet, out: &mut Vec<Effect>) {
        let end = self.runs.len().min(self.cleared + RUNS_MAX);
        let request = Request::Clear {
            m: self.m,
            seq: 0,
            regions: self.runs[self.cleared..end].to_vec(),
        };
        self.cleared = end;
        self.call(now, Work::Step, to, request, out);
    }

    /// The record says so: the members store it.
    pub(super) fn committed(&mut self, now: Nanos, document: Document, out: &mut Vec<Effect>) {
        if !matches!(self.state, State::Ready) {
            return;
        }
        self.m = document.m;
        self.enter(State::Telling);
        let role = Role::Member;
        let request = Request::Member(Member { role, document });
        self.call(now, Work::Step, self.wanted, request, out);
    }
}
