//! A replica fails: what becomes of it, and of what waits for it (docs/protocol.md, Write).
//!
//! A member is removed (`removal`); a syncing replica only loses its attempt (`joiners`). What can be asked of another is, at
//! once; everything else waits until the failed one is not needed any more.

use shorthorn_wire::message::Reply;

use super::Engine;
use super::api::Effect;
use super::work::Work;
use crate::calls::Key;
use crate::mutants::{self, Mutant};
use crate::post::{complaint, is_final};
use crate::{Nanos, ReplicaIndex, ReplicaSet};

impl Engine {
    /// An answer that can't be counted: who gives it has failed. Its request is not answered by it.
    pub(super) fn fail_reply(
        &mut self,
        now: Nanos,
        key: Key,
        replica: ReplicaIndex,
        reply: &Reply,
        out: &mut Vec<Effect>,
    ) {
        let joins = self
            .joiner(replica)
            .is_some_and(|joiner| !joiner.is_asked());
        if is_final(reply) && !joins {
            // Somebody newer is in charge; the record would refuse everything from now on.
            let why = self.named(replica, &complaint(reply));
            return self.end(now, false, why, out);
        }
        self.fail_call(now, key, replica, &complaint(reply), out);
    }

    /// The same, for another reason.
    pub(super) fn fail_call(
        &mut self,
        now: Nanos,
        key: Key,
        replica: ReplicaIndex,
        why: &str,
        out: &mut Vec<Effect>,
    ) {
        if let Some(call) = self.calls.get_mut(key) {
            call.waiting.insert(replica);
        }
        self.fail(now, replica, why, out);
    }

    /// A member failed: it is removed, and never spoken to again. The session ends, unclean, if nobody is left to go on
    /// with, or if nobody could be removed now.
    pub(super) fn fail(
        &mut self,
        now: Nanos,
        replica: ReplicaIndex,
        why: &str,
        out: &mut Vec<Effect>,
    ) {
        if self.removals.failed().contains(replica) {
            return;
        }
        if self
            .joiner(replica)
            .is_some_and(|joiner| !joiner.is_asked())
        {
            return self.break_attempt(now, replica, why, out);
        }
        if !self.may_remove() {
            return self.end(now, false, self.named(replica, why), out);
        }
        if !self.needed.contains(replica) {
            return;
        }
        self.sealer.hang_up(ReplicaSet::only(replica), out);
        self.removals.add_failure(replica, why);
        if self.joiner(replica).is_some() {
            // Whether the record has heard of it or not: a removal of this attempt ends both.
            self.asks
                .forget_replica(&self.sealer.target(replica).replica);
        }
        if self.witnesses().is_empty() && !self.has_hope() {
            let why = format!(
                "{}; no replica is left to go on with",
                self.named(replica, why)
            );
            return self.end(now, false, why, out);
        }
        if mutants::active(Mutant::AckBeforeRemoval) {
            self.needed.remove(replica);
            self.release(now, replica, out);
        }
        self.desert(now, replica, out);
        self.next_removal(now, out);
        self.tell_status(out);
    }

    /// What can be asked of another, or is nothing without it, does not wait for its removal.
    fn desert(&mut self, now: Nanos, replica: ReplicaIndex, out: &mut Vec<Effect>) {
        let deserted = self.calls.forget_if(replica, Work::lets_go);
        self.go_on(now, deserted, out);
    }

    /// It is not needed any more: what waited only for it goes on.
    pub(super) fn release(&mut self, now: Nanos, replica: ReplicaIndex, out: &mut Vec<Effect>) {
        let released = self.calls.forget(replica);
        self.go_on(now, released, out);
        self.complete_awaiting(now, out);
    }

    fn go_on(&mut self, now: Nanos, keys: Vec<Key>, out: &mut Vec<Effect>) {
        for key in keys {
            // One before it may have ended it, or all.
            let call = self.calls.get_mut(key);
            if call.is_some_and(|call| call.waiting.is_empty()) {
                self.completed(now, key, out);
            }
        }
    }
}
