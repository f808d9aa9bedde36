//! A needed replica that does not answer for too long has failed (docs/protocol.md, Write: "too late").

use super::api::Effect;
use super::{Engine, State};
use crate::{Nanos, ReplicaIndex, ReplicaSet};

/// While a replica syncs a disk, everything it was asked may take this many times longer.
const SYNC_PATIENCE: u64 = 4;

impl Engine {
    pub(super) fn silence_span(&self) -> Nanos {
        Nanos::from_millis(self.order.silence_ms)
    }

    /// Looks at what is unanswered. The timer runs only while something is, and is set once for many requests.
    pub(super) fn check_silence(&mut self, now: Nanos, out: &mut Vec<Effect>) {
        let span = self.silence_span();
        let mut oldest: Vec<Option<Nanos>> = vec![None; self.order.targets.len()];
        let mut syncing = ReplicaSet::EMPTY;
        for (_, call) in self.calls.iter() {
            for replica in call.waiting.iter() {
                let sent = &mut oldest[replica.index()];
                *sent = Some(sent.map_or(call.sent, |sent| sent.min(call.sent)));
            }
            if call.work.syncs() {
                syncing = syncing.union(call.waiting);
            }
        }
        self.silence = None;
        for (index, sent) in oldest.into_iter().enumerate() {
            let replica = ReplicaIndex(index as u8);
            let Some(sent) = sent.filter(|_| !self.leave.is_committed(replica)) else {
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
            } else if matches!(self.state, State::Sealing) {
                self.sealer.hang_up(ReplicaSet::only(replica), out);
                self.unsealed(now, replica, "it does not answer".to_owned(), out);
            } else {
                return self.fail(now, replica, "it does not answer", out);
            }
        }
    }
}
