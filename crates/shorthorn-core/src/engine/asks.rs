//! What the engine has asked of the record and not heard of.
//!
//! An ask is repeated, under a new id, after an answer that decides nothing and whenever the link to the agent comes
//! back: every event of the record may be repeated (docs/protocol.md, "Commit unknown").

use shorthorn_wire::agent::{Answer, Ask};
use shorthorn_wire::message::Document;

use super::api::Effect;
use crate::Nanos;

/// Pause after an answer that decides nothing.
const ASK_PAUSE: Nanos = Nanos::from_millis(500);

#[derive(Debug)]
struct Asked {
    id: u64,
    ask: Ask,
    /// Asked again then.
    again: Option<Nanos>,
}

/// An ask that was decided.
#[derive(Debug)]
pub(super) struct Decided {
    pub ask: Ask,
    /// What was committed, or why it was refused for good.
    pub outcome: Result<Committed, String>,
}

/// The record after a commit.
#[derive(Debug)]
pub(super) struct Committed {
    pub document: Document,
    /// Nobody is served.
    pub broken: bool,
}

/// All that was asked.
#[derive(Debug, Default)]
pub(super) struct Asks {
    asked: Vec<Asked>,
    last_id: u64,
}

impl Asks {
    pub fn ask(&mut self, ask: Ask, out: &mut Vec<Effect>) {
        self.last_id += 1;
        let id = self.last_id;
        out.push(Effect::Ask {
            id,
            ask: ask.clone(),
        });
        self.asked.push(Asked {
            id,
            ask,
            again: None,
        });
    }

    /// Nobody waits for what was asked before.
    pub fn forget(&mut self) {
        self.asked.clear();
    }

    /// What was asked about this replica is not waited for any more.
    pub fn forget_replica(&mut self, name: &str) {
        self.asked.retain(|asked| match &asked.ask {
            Ask::ReplicaLost { replica, .. } | Ask::ReplicaSynced { replica, .. } => {
                replica != name
            }
            _ => true,
        });
    }

    pub fn answer(&mut self, now: Nanos, id: u64, answer: Answer) -> Option<Decided> {
        let place = self.asked.iter().position(|asked| asked.id == id)?;
        let outcome = match answer {
            Answer::Committed { document, broken } => Ok(Committed { document, broken }),
            Answer::Refused { why } => Err(why),
            Answer::Unknown { .. } => {
                self.asked[place].again = Some(now + ASK_PAUSE);
                return None;
            }
        };
        let ask = self.asked.remove(place).ask;
        Some(Decided { ask, outcome })
    }

    /// The link came back: all is asked again.
    pub fn repeat_all(&mut self, out: &mut Vec<Effect>) {
        for asked in &mut self.asked {
            self.last_id += 1;
            asked.id = self.last_id;
            asked.again = None;
            out.push(Effect::Ask {
                id: asked.id,
                ask: asked.ask.clone(),
            });
        }
    }

    /// Asks again what is due.
    pub fn repeat_due(&mut self, now: Nanos, out: &mut Vec<Effect>) {
        for asked in &mut self.asked {
            if asked.again.is_some_and(|again| again <= now) {
                self.last_id += 1;
                asked.id = self.last_id;
                asked.again = None;
                out.push(Effect::Ask {
                    id: asked.id,
                    ask: asked.ask.clone(),
                });
            }
        }
    }

    pub fn next(&self) -> Option<Nanos> {
        self.asked.iter().filter_map(|asked| asked.again).min()
    }
}
