//! What is told of resyncs: how far they are, and what they wait for.

use shorthorn_wire::REGION_BYTES;
use shorthorn_wire::agent::Resync;

use super::Engine;
use super::joiners::Stage;
use crate::{Nanos, ReplicaSet};

/// How often progress is told.
const TELL: Nanos = Nanos::from_millis(500);

impl Engine {
    /// Progress is told only so often.
    pub(super) fn show_progress(&mut self, now: Nanos) {
        let copying = self
            .joiners
            .iter_mut()
            .flatten()
            .filter(|joiner| joiner.copies());
        self.progress = None;
        for joiner in copying {
            joiner.shown = joiner.todo.missing() * REGION_BYTES;
            self.progress = Some(now + TELL);
        }
    }

    pub(super) fn resyncs(&self) -> Vec<Resync> {
        let total = self.document.size;
        let mut resyncs = Vec::new();
        for replica in self.all_joiners().iter() {
            let (Some(joiner), target) = (self.joiner(replica), self.sealer.target(replica)) else {
                continue;
            };
            let waits_for = match joiner.stage {
                Stage::Reaching if joiner.why.is_some() => joiner.why.clone(),
                Stage::Reaching => Some(self.sealer.explain(ReplicaSet::only(replica))),
                Stage::Breaking => {
                    let why = joiner.why.clone().unwrap_or_default();
                    Some(format!(
                        "the record's answer to the end of an attempt: {why}"
                    ))
                }
                Stage::Copying | Stage::Settling => {
                    joiner.crowded.map(|_| "space on its disk".to_owned())
                }
                Stage::Asked => Some("the record's answer to ReplicaSynced".to_owned()),
                _ => None,
            };
            let whole = joiner.is_asked() || joiner.stage == Stage::Flushing;
            resyncs.push(Resync {
                replica: target.replica.clone(),
                attempt: target.attempt,
                done: if whole {
                    total
                } else {
                    joiner.shown.min(total)
                },
                total,
                waits_for,
            });
        }
        resyncs
    }
}
