//! What the agent is told about the session.

use shorthorn_wire::agent::Phase;

use super::api::{Effect, Status};
use super::{Engine, State};

impl Engine {
    /// Replica ids that it needs for every acknowledgement: what a simulator compares with the record's in-sync set.
    pub fn needed(&self) -> Vec<String> {
        self.sealer.names(self.needed)
    }

    /// Tells the agent, if anything is different from what it was told last.
    pub(super) fn tell_status(&mut self, out: &mut Vec<Effect>) {
        let Some(phase) = self.phase() else {
            return;
        };
        let status = Status {
            phase,
            waits_for: self.waits_for(),
            needed: self.sealer.names(self.needed),
            resyncs: self.resyncs(),
        };
        if self.told.as_ref() != Some(&status) {
            self.told = Some(status.clone());
            out.push(Effect::Status(status));
        }
    }

    fn phase(&self) -> Option<Phase> {
        Some(match self.state {
            State::New | State::Over => return None,
            State::Sealing => Phase::Sealing,
            State::Equalising(_) | State::Syncing => Phase::Equalising,
            State::Opening | State::Storing => Phase::Opening,
            State::Serving => Phase::Serving,
            State::Broken => Phase::Broken,
            State::Draining | State::Closing | State::Ending { .. } => Phase::Closing,
        })
    }

    fn waits_for(&self) -> Option<String> {
        let removal = self.removal_waits_for();
        match &self.state {
            State::Storing | State::Serving | State::Draining | State::Closing
                if removal.is_some() =>
            {
                removal
            }
            State::Serving => self.space_waits_for(),
            State::Sealing => {
                let wanted = self.sealer.targets(|target| target.in_sync);
                Some(
                    self.sealer
                        .explain(wanted.without(self.sealer.all_sealed())),
                )
            }
            State::Opening => Some("the record's answer to SessionOpened".to_owned()),
            State::Broken => Some(
                "unflushed writes may be gone: attachments made before must be removed".to_owned(),
            ),
            State::Draining => Some("requests in flight".to_owned()),
            State::Closing => Some("the last flush and the replicas' close".to_owned()),
            State::Ending { clean: false, why } => Some(why.clone()),
            State::Ending { .. } => Some("the record's answer to SessionClosed".to_owned()),
            _ => None,
        }
        .filter(|why| !why.is_empty())
    }
}
