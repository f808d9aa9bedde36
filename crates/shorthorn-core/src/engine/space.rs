//! Changes that wait for space on a replica (docs/protocol.md, No space; A12).
//!
//! Such a change is decided first: what others applied of it is taken back, under its range lock. Then it waits outside the
//! range, as if it had just come, so that reads, other changes and resyncs of the range go on. From time to time the oldest is
//! tried again, and the next as soon as that one got through. It ends without effect when its time is over, its client is gone
//! or the session closes.

use super::api::{ClientError, Effect};
use super::requests::{REQUEST_BYTES_MAX, REQUESTS_MAX, blocks_of};
use super::work::{ClientCall, Step, Work};
use super::{Engine, State};
use crate::calls::Key;
use crate::{Nanos, ReplicaSet};

/// Between two tries.
const TRY: Nanos = Nanos::from_millis(1000);

/// What waits for space.
#[derive(Debug, Default)]
pub(super) struct Space {
    parked: Vec<Key>,
    bytes: u64,
    /// One of them is tried again.
    trying: Option<Key>,
    /// The next try, or the end of a wait.
    pub moment: Option<Nanos>,
    /// Who refused last.
    full: ReplicaSet,
}

impl Space {
    /// Besides what is under way so much may wait; then nothing more is taken.
    pub fn has_room(&self) -> bool {
        self.parked.len() < REQUESTS_MAX / 2 && self.bytes < REQUEST_BYTES_MAX
    }

    fn waits(&self) -> bool {
        !self.parked.is_empty() || self.trying.is_some()
    }
}

impl Engine {
    /// A change was refused for space by these, and nothing is left of it anywhere.
    pub(super) fn no_space(
        &mut self,
        now: Nanos,
        key: Key,
        full: ReplicaSet,
        out: &mut Vec<Effect>,
    ) {
        let serving = matches!(self.state, State::Serving);
        let wait = self.order.space_wait_ms.map(Nanos::from_millis);
        let Some(call) = self.client_mut(key) else {
            return;
        };
        let since = *call.refused.get_or_insert(now);
        let over = wait.is_some_and(|wait| now - since >= wait);
        if self.space.trying == Some(key) {
            self.space.trying = None;
        }
        let gone = self.client_mut(key).is_some_and(|call| call.gone);
        if over || gone || !serving {
            return self.finish(now, key, Err(ClientError::NoSpace), out);
        }
        self.park(now, key, out);
        self.space.full = full;
        self.wait_for_space(now);
        self.tell_status(out);
    }

    /// It is decided, so it keeps neither marks from being cleared nor clients from being heard.
    fn park(&mut self, now: Nanos, key: Key, out: &mut Vec<Effect>) {
        let Some(call) = self.client_mut(key) else {
            return;
        };
        call.step = match std::mem::replace(&mut call.step, Step::Flush) {
            Step::Mend(mend) => Step::Parked(mend.op),
            other => other,
        };
        call.mixed = false;
        let mirrors = std::mem::take(&mut call.mirrors);
        let (range, payload) = ((call.offset, call.length), call.payload);
        self.marks.decided(now);
        self.client_calls -= 1;
        self.in_flight_bytes -= payload;
        self.space.parked.push(key);
        self.space.bytes += payload;
        self.leave_range(now, key, out);
        self.mirrored_decided(now, mirrors, Some(range), out);
    }

    /// It is under way again, or at its end.
    fn unpark(&mut self, key: Key) {
        self.space.parked.retain(|parked| *parked != key);
        let payload = self.client_mut(key).map_or(0, |call| call.payload);
        self.space.bytes -= payload;
        self.client_calls += 1;
        self.in_flight_bytes += payload;
    }

    fn wait_for_space(&mut self, now: Nanos) {
        let wait = self.order.space_wait_ms.map(Nanos::from_millis);
        let oldest = self.oldest_parked().map(|(since, _)| since);
        let over = wait.and_then(|wait| oldest.map(|since| since + wait));
        let next = now + TRY;
        self.space.moment = self
            .space
            .waits()
            .then(|| over.map_or(next, |over| over.min(next)));
    }

    fn oldest_parked(&mut self) -> Option<(Nanos, Key)> {
        let Self { space, calls, .. } = self;
        let waits = space
            .parked
            .iter()
            .filter_map(|key| match &calls.get_mut(*key)?.work {
                Work::Client(call) => Some((call.refused?, *key)),
                _ => None,
            });
        waits.min()
    }

    /// The time has come to try again, or to give up.
    pub(super) fn space_due(&mut self, now: Nanos, out: &mut Vec<Effect>) {
        let wait = self.order.space_wait_ms.map(Nanos::from_millis);
        while let Some((since, key)) = self.oldest_parked() {
            if wait.is_none_or(|wait| now - since < wait) {
                break;
            }
            self.end_parked(now, key, out);
        }
        if self.space.trying.is_none() {
            self.try_again(now, out);
        }
        self.wait_for_space(now);
    }

    fn try_again(&mut self, now: Nanos, out: &mut Vec<Effect>) {
        let Some((_, key)) = self.oldest_parked() else {
            return;
        };
        self.unpark(key);
        self.space.trying = Some(key);
        let Some(call) = self.client_mut(key) else {
            return;
        };
        call.step = match std::mem::replace(&mut call.step, Step::Flush) {
            Step::Parked(op) => Step::Queued(op),
            other => other,
        };
        let (first, end) = blocks_of(call.offset, call.length);
        if self.ranges.enter(key, first, end, true) {
            self.begin(now, key, out);
        }
    }

    /// A request is over: if it was the one that was tried, the next is.
    pub(super) fn tried(&mut self, now: Nanos, key: Key, out: &mut Vec<Effect>) {
        if self.space.trying == Some(key) {
            self.space.trying = None;
            self.try_again(now, out);
            self.wait_for_space(now);
            self.tell_status(out);
        }
    }

    fn end_parked(&mut self, now: Nanos, key: Key, out: &mut Vec<Effect>) {
        self.unpark(key);
        self.finish(now, key, Err(ClientError::NoSpace), out);
    }

    /// The session closes, or a client is gone: what waits for space ends, all or that client's.
    pub(super) fn end_all_parked(
        &mut self,
        now: Nanos,
        of: impl Fn(&ClientCall) -> bool,
        out: &mut Vec<Effect>,
    ) {
        for key in self.space.parked.clone() {
            if self.client_mut(key).is_some_and(|call| of(call)) {
                self.end_parked(now, key, out);
            }
        }
        self.wait_for_space(now);
    }

    /// A replica was removed: perhaps it was the one without space.
    pub(super) fn space_may_be_there(&mut self, now: Nanos) {
        if self.space.waits() {
            self.space.moment = Some(now);
        }
    }

    /// For people.
    pub(super) fn space_waits_for(&self) -> Option<String> {
        let full = self.space.full.both(self.needed);
        if !self.space.waits() || full.is_empty() {
            return None;
        }
        let named = full.iter().map(|replica| {
            let target = self.sealer.target(replica);
            format!("{} on {}", target.replica, target.node)
        });
        let named: Vec<String> = named.collect();
        Some(format!("space for {}; changes wait", named.join(", ")))
    }
}
