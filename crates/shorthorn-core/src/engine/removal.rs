//! A member leaves the session: on order, or because it failed (docs/protocol.md, Write and Leave; A15, B6).
//!
//! It stays needed for everything until its removal is committed and the others have stored that: so no acknowledgement
//! ever rests on a removal that the record, or the remaining members, do not know. One that failed is not spoken to any
//! more from that moment on; what waits for it goes on when it is not needed any more, and nothing goes on before.
//!
//! One removal at a time, failures first. A failure needs a witness: another member that answers something sent after it.

use std::collections::VecDeque;

use shorthorn_wire::agent::Ask;
use shorthorn_wire::message::{Document, Member, Request, Role};

use super::api::Effect;
use super::joiners::Joiner;
use super::work::Work;
use super::{Engine, State};
use crate::{Nanos, ReplicaIndex, ReplicaSet};

/// Where the removal under way is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// On order: the others flush. After a failure: the first of them that answers is the witness.
    Witness,
    /// ReplicaLost is asked.
    Asked,
    /// It is committed; the others store it.
    Storing,
}

#[derive(Debug)]
struct UnderWay {
    replica: ReplicaIndex,
    /// None: on order.
    failure: Option<String>,
    stage: Stage,
    /// Tells its requests from those of a removal that was put off.
    turn: u64,
}

/// Members that are to leave; one at a time.
#[derive(Debug, Default)]
pub(super) struct Removals {
    ordered: VecDeque<ReplicaIndex>,
    /// With the reason, for people.
    failures: VecDeque<(ReplicaIndex, String)>,
    under_way: Option<UnderWay>,
    turn: u64,
    /// Needed, but never spoken to again.
    failed: ReplicaSet,
    /// ReplicaLost was asked: the record may not count these as in-sync any more.
    asked: ReplicaSet,
}

impl Removals {
    /// Nothing is sent to these, and nothing they say counts.
    pub fn failed(&self) -> ReplicaSet {
        self.failed
    }

    /// Nobody is read from these, if it can be helped.
    pub fn leaving(&self) -> ReplicaSet {
        let under_way = self.under_way.iter().map(|removal| removal.replica);
        let leaving: ReplicaSet = under_way.collect();
        leaving.union(self.failed).union(self.asked)
    }

    /// Not a member any more, by the record.
    pub fn committed(&self) -> ReplicaSet {
        let storing = self.under_way.iter();
        let storing = storing.filter(|removal| removal.stage == Stage::Storing);
        storing.map(|removal| removal.replica).collect()
    }

    /// A removal is not over.
    pub fn is_pending(&self) -> bool {
        self.under_way.is_some() || !self.failures.is_empty()
    }

    /// Of this one, what it is there for.
    fn of(&self, replica: ReplicaIndex) -> Option<Stage> {
        let removal = self.under_way.as_ref();
        removal
            .filter(|removal| removal.replica == replica)
            .map(|removal| removal.stage)
    }

    /// A failure goes first: a leave that has asked nothing yet is put off, and one of the same replica becomes that failure.
    pub fn add_failure(&mut self, replica: ReplicaIndex, why: &str) {
        self.failed.insert(replica);
        match &self.under_way {
            Some(removal) if removal.stage == Stage::Witness && removal.failure.is_none() => {
                if removal.replica != replica {
                    self.ordered.push_front(removal.replica);
                }
                self.under_way = None;
            }
            // It is on its way out already.
            Some(removal) if removal.replica == replica => return,
            _ => {}
        }
        self.failures.push_back((replica, why.to_owned()));
    }

    fn begin(&mut self, replica: ReplicaIndex, failure: Option<String>) -> u64 {
        self.turn += 1;
        self.under_way = Some(UnderWay {
            replica,
            failure,
            stage: Stage::Witness,
            turn: self.turn,
        });
        self.turn
    }

    fn at(&mut self, stage: Stage, turn: u64) -> Option<&mut UnderWay> {
        let removal = self.under_way.as_mut()?;
        (removal.stage == stage && removal.turn == turn).then_some(removal)
    }
}

impl Engine {
    /// Who can be spoken to, and is in-sync by the record: a witness, and somebody to go on with.
    pub(super) fn witnesses(&self) -> ReplicaSet {
        let gone = self.removals.failed.union(self.removals.asked);
        self.needed.without(gone).without(self.joining)
    }

    /// The record was asked to count somebody as in-sync: there may soon be somebody to go on with.
    pub(super) fn has_hope(&self) -> bool {
        let joining = self.joining.without(self.removals.failed);
        joining
            .iter()
            .any(|replica| self.joiner(replica).is_some_and(Joiner::is_asked))
    }

    /// The record has said that the session is open, and nobody was told that it is closed: members may be removed.
    pub(super) fn may_remove(&self) -> bool {
        match self.state {
            State::Storing | State::Serving | State::Broken | State::Draining => true,
            // Who was told has let go: no witness can answer any more (B13: it may end unclean, not hang).
            State::Closing => !self
                .calls
                .iter()
                .any(|(_, call)| matches!(call.work, Work::Close)),
            _ => false,
        }
    }

    /// Order: this one leaves.
    pub(super) fn leave(&mut self, now: Nanos, replica: &str, out: &mut Vec<Effect>) {
        let Some(replica) = self.sealer.find(replica) else {
            return;
        };
        let closing = matches!(
            self.state,
            State::Draining | State::Closing | State::Ending { .. } | State::Over
        );
        let removals = &mut self.removals;
        if closing || removals.leaving().contains(replica) || removals.ordered.contains(&replica) {
            return;
        }
        removals.ordered.push_back(replica);
        self.next_removal(now, out);
    }

    /// Begins the next removal, if there is one and none is under way. Never the last one's (S5).
    pub(super) fn next_removal(&mut self, now: Nanos, out: &mut Vec<Effect>) {
        let witnesses = self.witnesses();
        if self.removals.under_way.is_some() || !self.may_remove() || witnesses.is_empty() {
            return;
        }
        if let Some((replica, why)) = self.removals.failures.pop_front() {
            let turn = self.removals.begin(replica, Some(why));
            return self.call(now, Work::Witness(turn), witnesses, Request::Ping, out);
        }
        if !matches!(self.state, State::Serving | State::Broken) {
            return;
        }
        while let Some(replica) = self.removals.ordered.pop_front() {
            let only = ReplicaSet::only(replica);
            let last = witnesses.without(only).is_empty();
            if !self.needed.contains(replica) || (last && self.joining.is_empty()) {
                continue;
            }
            if last || self.untold.contains(replica) {
                // Not before it, or somebody else, is told to be a member.
                return self.removals.ordered.push_front(replica);
            }
            let others = self.needed.without(only);
            let turn = self.removals.begin(replica, None);
            let request = Request::Flush { seq: self.seq };
            return self.call(now, Work::LeaveFlush(turn), others, request, out);
        }
    }

    /// On order: all others have flushed; any of them is a witness.
    pub(super) fn leave_flushed(&mut self, turn: u64, out: &mut Vec<Effect>) {
        let Some(removal) = self.removals.at(Stage::Witness, turn) else {
            return;
        };
        let leaving = ReplicaSet::only(removal.replica);
        if let Some(witness) = self.witnesses().without(leaving).first() {
            self.ask_lost(witness, out);
        }
    }

    /// After a failure: this one has answered what was sent after it.
    pub(super) fn witnessed(&mut self, turn: u64, witness: ReplicaIndex, out: &mut Vec<Effect>) {
        let may = self.witnesses().contains(witness);
        if may && self.removals.at(Stage::Witness, turn).is_some() {
            self.ask_lost(witness, out);
        }
    }

    /// All that were asked for a sign of life have failed: the removal waits until there is another witness.
    pub(super) fn no_witness(&mut self, now: Nanos, turn: u64, out: &mut Vec<Effect>) {
        if self.removals.at(Stage::Witness, turn).is_some() {
            let removal = self.removals.under_way.take();
            if let Some((replica, why)) =
                removal.and_then(|gone| Some((gone.replica, gone.failure?)))
            {
                self.removals.failures.push_front((replica, why));
            }
            self.next_removal(now, out);
        }
    }

    fn ask_lost(&mut self, witness: ReplicaIndex, out: &mut Vec<Effect>) {
        let Some(removal) = &mut self.removals.under_way else {
            return;
        };
        removal.stage = Stage::Asked;
        self.removals.asked.insert(removal.replica);
        let target = self.sealer.target(removal.replica);
        let why = removal.failure.clone();
        let ask = Ask::ReplicaLost {
            epoch: self.order.epoch,
            replica: target.replica.clone(),
            attempt: target.attempt,
            witness: self.sealer.target(witness).replica.clone(),
            why: why.unwrap_or_else(|| "it leaves on order".to_owned()),
        };
        self.asks.ask(ask, out);
        self.tell_status(out);
    }

    /// The record has removed it: the others store that.
    pub(super) fn removal_committed(
        &mut self,
        now: Nanos,
        replica: ReplicaIndex,
        document: Document,
        out: &mut Vec<Effect>,
    ) {
        if self.removals.of(replica) != Some(Stage::Asked) {
            return;
        }
        self.adopt(document);
        let Some(removal) = &mut self.removals.under_way else {
            return;
        };
        removal.stage = Stage::Storing;
        let turn = removal.turn;
        // Another one that failed is still needed; nobody waits for what it stores.
        let others = self
            .needed
            .without(ReplicaSet::only(replica))
            .without(self.removals.failed);
        let others = others.without(self.joining);
        if others.is_empty() {
            // All have failed but for one that may become a member: that one stores it then (`removal_told`).
            return self.tell_status(out);
        }
        let member = Member {
            role: Role::Member,
            document: self.document.clone(),
        };
        self.call(
            now,
            Work::RemovalStore(turn),
            others,
            Request::Member(member),
            out,
        );
        self.tell_status(out);
    }

    /// The record refuses a removal: what it says and what the engine needs differ for good.
    pub(super) fn removal_refused(
        &mut self,
        now: Nanos,
        replica: ReplicaIndex,
        why: &str,
        out: &mut Vec<Effect>,
    ) {
        if self.removals.of(replica) == Some(Stage::Asked) {
            if self.joining.both(self.given_up).contains(replica) {
                // It was never in-sync, and the record knows it no more.
                let document = self.document.clone();
                return self.removal_committed(now, replica, document, out);
            }
            let why = format!("the record refused a removal: {why}");
            self.end(now, false, why, out);
        }
    }

    /// Somebody has stored, as its first word of being a member, the newest document: so a removal that nobody else could.
    pub(super) fn removal_told(&mut self, now: Nanos, out: &mut Vec<Effect>) {
        let storing = |call: &Work| matches!(call, Work::RemovalStore(_));
        if self.calls.iter().any(|(_, call)| storing(&call.work)) {
            return;
        }
        if let Some(turn) = self.removals.under_way.as_ref().map(|removal| removal.turn) {
            self.removal_stored(now, turn, out);
        }
    }

    /// The others have stored that: it is not needed any more.
    pub(super) fn removal_stored(&mut self, now: Nanos, turn: u64, out: &mut Vec<Effect>) {
        let Some(removal) = self.removals.at(Stage::Storing, turn) else {
            return;
        };
        let (replica, ordered) = (removal.replica, removal.failure.is_none());
        self.removals.under_way = None;
        self.removals.failed.remove(replica);
        self.removals.asked.remove(replica);
        self.needed.remove(replica);
        self.pinging.remove(replica);
        self.joining.remove(replica);
        self.untold.remove(replica);
        self.joiner_over(now, replica);
        self.sealer.hang_up(ReplicaSet::only(replica), out);
        let attempt = self.sealer.target(replica).attempt + 1;
        self.sealer.set_syncing(replica, attempt);
        self.release(now, replica, out);
        self.space_may_be_there(now);
        if !ordered {
            self.rejoin(now, replica, out);
        }
        self.next_removal(now, out);
        self.tell_status(out);
        self.drained(now, out);
    }

    /// The session closes: nobody else leaves on order. What was asked already is carried through, for a clean close says
    /// that the members have stored the newest membership, and the record may have committed it.
    pub(super) fn forget_leaves(&mut self) {
        let removals = &mut self.removals;
        removals.ordered.clear();
        let unasked =
            |removal: &mut UnderWay| removal.failure.is_none() && removal.stage == Stage::Witness;
        removals.under_way.take_if(unasked);
    }

    /// What a removal waits for, for people.
    pub(super) fn removal_waits_for(&self) -> Option<String> {
        let removal = self.removals.under_way.as_ref()?;
        let target = self.sealer.target(removal.replica);
        let who = format!("the removal of {} on {}", target.replica, target.node);
        let what = match (removal.stage, &removal.failure) {
            (Stage::Witness, None) => format!("a flush before {who}"),
            (Stage::Witness, Some(_)) => format!("an answer of another replica, for {who}"),
            (Stage::Asked, _) => format!("the record's answer to {who}"),
            (Stage::Storing, _) => format!("the other replicas to store {who}"),
        };
        Some(match &removal.failure {
            None => what,
            Some(why) => format!("{what} ({why}); writes wait"),
        })
    }
}
