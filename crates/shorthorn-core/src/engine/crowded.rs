//! A syncing replica whose disk is full (docs/protocol.md, No space).
//!
//! Nothing is journaled for it and its attempt goes on: what it refused is left for later, and its ranges pause, for longer and
//! longer while it refuses. Once there is space they go on by themselves. What waits of changes for a needed replica is `space`.

use super::Engine;
use super::api::Effect;
use super::timer::earlier;
use crate::calls::Key;
use crate::{Nanos, ReplicaIndex};

/// First pause after a range that was refused; doubles up to [`PAUSE_MAX`].
const PAUSE: Nanos = Nanos::from_millis(1000);
const PAUSE_MAX: Nanos = Nanos::from_millis(30_000);

/// A pause of a joiner's ranges.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crowded {
    until: Nanos,
    pause: Nanos,
}

impl Crowded {
    /// No range is begun.
    pub fn pauses(&self, now: Nanos) -> bool {
        now < self.until
    }
}

impl Engine {
    /// It has no space for a range: that is left for later.
    pub(super) fn copy_refused(
        &mut self,
        now: Nanos,
        key: Key,
        replica: ReplicaIndex,
        out: &mut Vec<Effect>,
    ) {
        if let Some(joiner) = self.joiner_mut(replica) {
            let last = joiner.crowded;
            // Ranges that were under way beside the first that was refused say nothing new.
            if !last.is_some_and(|last| last.pauses(now)) {
                let pause = last.map_or(PAUSE, |last| (last.pause + last.pause).min(PAUSE_MAX));
                let until = now + pause;
                joiner.crowded = Some(Crowded { until, pause });
                self.copies_at = earlier(self.copies_at, Some(until));
            }
        }
        self.put_back(now, key, out);
        self.tell_status(out);
    }

    /// A range was copied to it: if that came after a pause, there is space again.
    pub(super) fn copy_taken(&mut self, now: Nanos, replica: ReplicaIndex, out: &mut Vec<Effect>) {
        let Some(joiner) = self.joiner_mut(replica) else {
            return;
        };
        if joiner
            .crowded
            .take_if(|crowded| !crowded.pauses(now))
            .is_some()
        {
            self.tell_status(out);
        }
    }

    /// Pauses may be over.
    pub(super) fn copies_due(&mut self, now: Nanos, out: &mut Vec<Effect>) {
        self.copies_at = None;
        for replica in self.all_joiners().iter() {
            self.fill_lanes(now, replica, out);
            let Some(joiner) = self.joiner(replica).filter(|joiner| joiner.copies()) else {
                continue;
            };
            let next = match joiner.crowded {
                Some(crowded) if crowded.pauses(now) => crowded.until,
                // Nothing could be begun, for another reason.
                Some(_) if joiner.lanes == 0 => now + PAUSE,
                _ => continue,
            };
            self.copies_at = earlier(self.copies_at, Some(next));
        }
    }
}
