//! A replica that does not answer for too long has failed (docs/protocol.md, Write: "too late").

use super::api::Effect;
use super::{Engine, State};
use crate::{Nanos, ReplicaIndex, ReplicaSet};

/// While a replica syncs a disk, everything it was asked may take this many times longer.
const SYNC_PATIENCE: u64 = 4;

/// A look that comes later than this was kept from looking, and perhaps from hearing: answers get as long again, once.
const LATE: Nanos = Nanos::from_millis(1000);

impl Engine {
    pub(super) fn silence_span(&self) -> Nanos {
        Nanos::from_millis(self.order.silence_ms)
    }

    /// Looks at what is unanswered. The timer runs only while something is, and is set once for many requests.
    pub(super) fn check_silence(&mut self, now: Nanos, out: &mut Vec<Effect>) {
        if self.was_kept(now) {
            return;
        }
        let span = self.silence_span();
        let mut oldest: Vec<Option<Nanos>> = vec![None; self.granted.len()];
        let mut syncing = ReplicaSet::EMPTY;
        let failed = self.removals.failed();
        for (_, call) in self.calls.iter() {
            for replica in call.waiting.without(failed).iter() {
                let sent = &mut oldest[replica.index()];
                *sent = Some(sent.map_or(call.sent, |sent| sent.min(call.sent)));
            }
            if call.work.syncs() {
                syncing = syncing.union(call.waiting);
            }
        }
        self.silence = None;
        let mut silent = ReplicaSet::EMPTY;
        for (index, sent) in oldest.into_iter().enumerate() {
            let replica = ReplicaIndex(index as u8);
            let Some(sent) = sent else {
                continue;
            };
            let patience = if syncing.contains(replica) {
                SYNC_PATIENCE
            } else {
                1
            };
            let until = sent + Nanos(span.0.saturating_mul(patience));
            if until > now {
                self.silence = Some(self.silence.map_or(until, |silence| silence.min(until)));
            } else {
                silent.insert(replica);
            }
        }
        for replica in silent.iter() {
            self.fell_silent(now, replica, out);
        }
    }

    fn fell_silent(&mut self, now: Nanos, replica: ReplicaIndex, out: &mut Vec<Effect>) {
        match self.state {
            State::Ending { .. } | State::Over => {}
            State::Sealing => {
                self.sealer.hang_up(ReplicaSet::only(replica), out);
                self.unsealed(now, replica, "it does not answer".to_owned(), out);
            }
            _ => self.fail(now, replica, "it does not answer", out),
        }
    }

    /// The engine itself stood still: what it did not hear may wait to be read.
    fn was_kept(&mut self, now: Nanos) -> bool {
        let late = self.silence.is_some_and(|silence| now - silence > LATE);
        let kept = late && !self.kept;
        self.kept = kept;
        if kept {
            self.silence = Some(now + LATE);
        }
        kept
    }
}
