//! Grants: who has answered something that was sent less than T ago (docs/protocol.md, Read; B10).

use shorthorn_wire::message::Request;

use super::Engine;
use super::api::{ClientAnswer, Effect};
use super::work::{Step, Work};
use crate::calls::Key;
use crate::mutants::{self, Mutant};
use crate::{Nanos, ReplicaSet};

impl Engine {
    /// Needed replicas whose grant has ended by now.
    pub(super) fn stale(&self, now: Nanos) -> ReplicaSet {
        if mutants::active(Mutant::NoGrants) {
            return ReplicaSet::EMPTY;
        }
        self.older(now, Nanos::from_millis(self.order.grant_ms))
    }

    /// A change or flush is done on every needed replica. The client is told under the grants of all, as for a read: an
    /// engine that stood still meanwhile may have been fenced, and completes nothing.
    pub(super) fn acknowledge(&mut self, now: Nanos, key: Key, out: &mut Vec<Effect>) {
        let stale = self.stale(now);
        if stale.is_empty() {
            return self.finish(now, key, Ok(ClientAnswer::Done), out);
        }
        self.awaiting.push(key);
        self.ping(now, stale, out);
    }

    /// A grant may have come: what waits for it is looked at again.
    pub(super) fn complete_awaiting(&mut self, now: Nanos, out: &mut Vec<Effect>) {
        if self.awaiting.is_empty() {
            return;
        }
        let stale = self.stale(now);
        if !stale.is_empty() {
            return self.ping(now, stale, out);
        }
        for key in std::mem::take(&mut self.awaiting) {
            let Some(call) = self.calls.get_mut(key) else {
                continue;
            };
            let decided = call.waiting.is_empty();
            match &call.work {
                Work::Client(client) if matches!(client.step, Step::Read(_)) => {
                    self.complete_read(now, key, out);
                }
                Work::Client(_) if decided => self.client_completed(now, key, out),
                _ => {}
            }
        }
    }

    /// Needed replicas whose newest answered request was sent this long ago, or longer.
    fn older(&self, now: Nanos, age: Nanos) -> ReplicaSet {
        let old = self.needed.iter().filter(|replica| {
            let granted = self.granted[replica.index()];
            granted.is_none_or(|sent| now - sent >= age)
        });
        old.collect()
    }

    /// A read begins: grants that would end soon are renewed while it is under way, so that it seldom waits.
    pub(super) fn refresh_grants(&mut self, now: Nanos, out: &mut Vec<Effect>) {
        let half = Nanos(Nanos::from_millis(self.order.grant_ms).0 / 2);
        let old = self.older(now, half);
        if !old.is_empty() {
            self.ping(now, old, out);
        }
    }

    /// Asks these for a grant, but who is asked already.
    pub(super) fn ping(&mut self, now: Nanos, replicas: ReplicaSet, out: &mut Vec<Effect>) {
        let ask = replicas
            .without(self.pinging)
            .without(self.removals.failed());
        if !ask.is_empty() {
            self.pinging = self.pinging.union(ask);
            self.call(now, Work::Ping, ask, Request::Ping, out);
        }
    }
}
