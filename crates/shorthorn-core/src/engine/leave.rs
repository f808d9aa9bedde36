//! A replica leaves the session on order (docs/protocol.md, Leave).
//!
//! It stays needed for everything until its removal is committed and the others have stored that: so no acknowledgement
//! ever rests on a removal that the record, or the remaining members, do not know.

use shorthorn_wire::agent::Ask;
use shorthorn_wire::message::{Document, Member, Request, Role};

use super::api::Effect;
use super::work::Work;
use super::{Engine, Queue, State};
use crate::{Nanos, ReplicaIndex, ReplicaSet};

/// Where the removal under way is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The others flush.
    Flushing,
    /// ReplicaLost is asked.
    Asked,
    /// It is committed; the others store it.
    Storing,
}

/// Replicas that are to leave; one at a time.
#[derive(Debug, Default)]
pub(super) struct Leave {
    queue: Queue,
    under_way: Option<(ReplicaIndex, Stage)>,
    /// It is committed and its connection has ended: nothing is sent any more, but it is needed until that is stored.
    down: ReplicaSet,
}

impl Leave {
    /// Who is leaving now.
    pub fn leaving(&self) -> ReplicaSet {
        let under_way = self.under_way.iter();
        under_way.map(|(replica, _)| *replica).collect()
    }

    /// Nothing can be sent to these.
    pub fn down(&self) -> ReplicaSet {
        self.down
    }

    /// Its removal is committed.
    pub fn is_committed(&self, replica: ReplicaIndex) -> bool {
        self.under_way == Some((replica, Stage::Storing))
    }

    /// Its connection has ended. True: its removal is committed, so that is no failure.
    pub fn goes_down(&mut self, replica: ReplicaIndex) -> bool {
        let committed = self.is_committed(replica);
        if committed {
            self.down.insert(replica);
        }
        committed
    }

    /// A removal is not over.
    pub fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }
}

impl Engine {
    /// Order: this one leaves.
    pub(super) fn leave(&mut self, now: Nanos, replica: &str, out: &mut Vec<Effect>) {
        let Some(replica) = self.sealer.find(replica) else {
            return;
        };
        let closing = matches!(
            self.state,
            State::Draining | State::Closing | State::Ending { .. } | State::Over
        );
        let known = self.leave.leaving().contains(replica) || self.leave.queue.contains(&replica);
        if closing || known {
            return;
        }
        self.leave.queue.push_back(replica);
        self.next_leave(now, out);
    }

    /// Begins the next removal, if the session is open and none is under way. Never the last one's (S5).
    pub(super) fn next_leave(&mut self, now: Nanos, out: &mut Vec<Effect>) {
        let open = matches!(self.state, State::Serving | State::Broken);
        if !open || self.leave.under_way.is_some() {
            return;
        }
        while let Some(replica) = self.leave.queue.pop_front() {
            let others = self.needed.without(ReplicaSet::only(replica));
            if !self.needed.contains(replica) || others.is_empty() {
                continue;
            }
            self.leave.under_way = Some((replica, Stage::Flushing));
            let request = Request::Flush { seq: self.seq };
            return self.call(now, Work::LeaveFlush, others, request, out);
        }
    }

    /// All others have flushed; any of them is a witness.
    pub(super) fn leave_flushed(&mut self, out: &mut Vec<Effect>) {
        let Some((replica, Stage::Flushing)) = self.leave.under_way else {
            return;
        };
        let others = self.needed.without(ReplicaSet::only(replica));
        let Some(witness) = others.first() else {
            return;
        };
        self.leave.under_way = Some((replica, Stage::Asked));
        let target = self.sealer.target(replica);
        let ask = Ask::ReplicaLost {
            epoch: self.order.epoch,
            replica: target.replica.clone(),
            attempt: target.attempt,
            witness: self.sealer.target(witness).replica.clone(),
            why: "it leaves on order".to_owned(),
        };
        self.asks.ask(ask, out);
        self.tell_status(out);
    }

    /// The record has removed it.
    pub(super) fn leave_committed(
        &mut self,
        now: Nanos,
        document: Document,
        out: &mut Vec<Effect>,
    ) {
        let Some((replica, Stage::Asked)) = self.leave.under_way else {
            return;
        };
        self.document = document;
        self.leave.under_way = Some((replica, Stage::Storing));
        let others = self.needed.without(ReplicaSet::only(replica));
        let member = Member {
            role: Role::Member,
            document: self.document.clone(),
        };
        self.call(now, Work::LeaveMember, others, Request::Member(member), out);
    }

    /// The others have stored that: it is not needed any more.
    pub(super) fn leave_stored(&mut self, now: Nanos, out: &mut Vec<Effect>) {
        let Some((replica, Stage::Storing)) = self.leave.under_way.take() else {
            return;
        };
        let gone = ReplicaSet::only(replica);
        self.needed.remove(replica);
        self.pinging.remove(replica);
        self.leave.down.remove(replica);
        self.sealer.hang_up(gone, out);
        for key in self.calls.forget(replica) {
            self.completed(now, key, out);
        }
        self.next_leave(now, out);
        self.tell_status(out);
        self.drained(now, out);
    }

    /// The session closes: who has not left by now stays needed to its end, also if the record removes it meanwhile.
    pub(super) fn forget_leaves(&mut self) {
        self.leave.queue.clear();
        if !matches!(self.leave.under_way, Some((_, Stage::Storing))) {
            self.leave.under_way = None;
        }
    }
}
