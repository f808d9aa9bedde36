//! A syncing replica that has everything becomes a member (docs/protocol.md, Resync; A7).
//!
//! From before the record is asked the engine needs it for every acknowledgement, flush and grant, and it is flushed after
//! that began and before it asks; so whatever the record says of it, and whenever, is right. A lost answer changes nothing.

use shorthorn_wire::agent::{Ask, Base};
use shorthorn_wire::message::{Document, Member, Request, Role};

use super::Engine;
use super::api::Effect;
use super::joiners::Stage;
use super::work::Work;
use crate::mutants::{self, Mutant};
use crate::{Nanos, ReplicaIndex, ReplicaSet};

impl Engine {
    /// Every range was copied or is being: once none is under way it is needed.
    pub(super) fn all_copied(&mut self, now: Nanos, replica: ReplicaIndex, out: &mut Vec<Effect>) {
        let early = mutants::active(Mutant::JoinUnfinished);
        let Some(joiner) = self
            .joiner_mut(replica)
            .filter(|joiner| joiner.lanes == 0 || early)
        else {
            return;
        };
        if joiner.stage == Stage::Copying {
            joiner.stage = Stage::Settling;
            if !mutants::active(Mutant::JoinOnAnswer) {
                self.need(replica);
            }
        }
        self.settle(now, replica, out);
    }

    fn need(&mut self, replica: ReplicaIndex) {
        self.mirrors.remove(replica);
        self.needed.insert(replica);
        self.joining.insert(replica);
        self.untold.insert(replica);
        self.rounds.widen();
    }

    /// What was sent before it was needed is decided, and it has that too: it is flushed.
    pub(super) fn settle(&mut self, now: Nanos, replica: ReplicaIndex, out: &mut Vec<Effect>) {
        let early = mutants::active(Mutant::JoinUnfinished);
        let settling = |joiner: &super::joiners::Joiner| {
            let copied = joiner.lanes == 0 && joiner.todo.is_empty();
            joiner.stage == Stage::Settling && (copied || early)
        };
        if !self.joiner(replica).is_some_and(settling) {
            return;
        }
        let unneeded = mutants::active(Mutant::JoinOnAnswer);
        let undecided = self.mirrors_of(replica, None) || self.mirrored_under_way(replica);
        if undecided && !unneeded {
            return;
        }
        self.set_stage(replica, Stage::Flushing);
        if mutants::active(Mutant::JoinNoFlush) {
            return self.ask_synced(replica, out);
        }
        let request = Request::Flush { seq: self.seq };
        let only = ReplicaSet::only(replica);
        self.call(now, Work::JoinFlush(replica), only, request, out);
        self.tell_status(out);
    }

    /// Whether a change is not decided that was mirrored to it.
    fn mirrored_under_way(&self, replica: ReplicaIndex) -> bool {
        self.calls.iter().any(|(_, call)| match &call.work {
            Work::Client(call) => call.mirrors.contains(replica),
            _ => false,
        })
    }

    /// It has everything, durably.
    pub(super) fn ask_synced(&mut self, replica: ReplicaIndex, out: &mut Vec<Effect>) {
        if !self
            .joiner(replica)
            .is_some_and(|joiner| joiner.stage == Stage::Flushing)
        {
            return;
        }
        self.set_stage(replica, Stage::Asked);
        let target = self.sealer.target(replica);
        let ask = Ask::ReplicaSynced {
            epoch: self.order.epoch,
            replica: target.replica.clone(),
            attempt: target.attempt,
            base: Base {
                chain: self.document.chain.clone(),
                size: self.document.size,
            },
        };
        self.asks.ask(ask, out);
        self.tell_status(out);
    }

    /// The record has answered.
    pub(super) fn synced(
        &mut self,
        now: Nanos,
        replica: ReplicaIndex,
        outcome: Result<Document, String>,
        out: &mut Vec<Effect>,
    ) {
        let asked = self
            .joiner(replica)
            .is_some_and(|joiner| joiner.stage == Stage::Asked);
        if !asked || self.removals.failed().contains(replica) {
            return;
        }
        let document = match outcome {
            Ok(document) => document,
            Err(why) => {
                // It stays needed until the record says that this attempt is over.
                let why = format!("the record refused that it is in-sync: {why}");
                return self.fail(now, replica, &why, out);
            }
        };
        self.adopt(document);
        if mutants::active(Mutant::JoinOnAnswer) {
            self.need(replica);
        }
        self.joining.remove(replica);
        self.sealer.set_in_sync(replica);
        self.set_stage(replica, Stage::Telling);
        let member = Member {
            role: Role::Member,
            document: self.document.clone(),
        };
        let members = self
            .needed
            .without(self.joining)
            .without(self.removals.committed());
        let members = members.without(self.removals.failed());
        self.call(
            now,
            Work::JoinStore(replica),
            members,
            Request::Member(member),
            out,
        );
        self.next_removal(now, out);
        self.tell_status(out);
    }

    /// All have stored that it is a member: it is read from, and its marks are cleared with the others'.
    pub(super) fn told(&mut self, now: Nanos, replica: ReplicaIndex, out: &mut Vec<Effect>) {
        let telling = self
            .joiner(replica)
            .is_some_and(|joiner| joiner.stage == Stage::Telling);
        if !telling || self.removals.failed().contains(replica) {
            return;
        }
        self.untold.remove(replica);
        if let Some(joiner) = self.joiner_over(now, replica) {
            self.marks.dirty_mut().insert_all(&joiner.marked);
        }
        self.removal_told(now, out);
        for key in std::mem::take(&mut self.unread) {
            self.begin(now, key, out);
        }
        for other in self.all_joiners().iter() {
            self.fill_lanes(now, other, out);
        }
        self.next_removal(now, out);
        self.tell_status(out);
        self.drained(now, out);
    }

    pub(super) fn set_stage(&mut self, replica: ReplicaIndex, stage: Stage) {
        if let Some(joiner) = self.joiner_mut(replica) {
            joiner.stage = stage;
        }
    }
}
