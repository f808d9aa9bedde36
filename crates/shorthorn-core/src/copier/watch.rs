//! What a copier does about time, and what it tells: silence, the timer, progress.

use super::api::Effect;
use super::{Copier, REPLY_SPAN, State};
use crate::{Nanos, ReplicaSet};

impl Copier {
    pub(super) fn timer(&mut self, now: Nanos, out: &mut Vec<Effect>) {
        self.armed = None;
        if self.silence.is_some_and(|silence| silence <= now) {
            self.check_silence(now, out);
        }
        self.dial(now, out);
    }

    pub(super) fn check_silence(&mut self, now: Nanos, out: &mut Vec<Effect>) {
        let unanswered = self
            .calls
            .iter()
            .filter_map(|(_, call)| Some((call.sent, call.waiting.first()?)));
        let oldest = unanswered.min();
        self.silence = oldest.map(|(sent, _)| sent + REPLY_SPAN);
        let Some((sent, replica)) = oldest else {
            return;
        };
        if sent + REPLY_SPAN > now {
            return;
        }
        let why = "it does not answer".to_owned();
        if matches!(self.state, State::Sealing) {
            self.sealer.hang_up(ReplicaSet::only(replica), out);
            self.unsealed(now, replica, why);
            // Others may be late too: looked at at once.
            self.silence = Some(now);
        } else {
            self.fail_with(replica, &why, out);
        }
    }

    /// Tells how far it is, on change.
    pub(super) fn tell(&mut self, out: &mut Vec<Effect>) {
        let waits_for = match self.state {
            State::Over | State::New => return,
            State::Sealing => {
                let missing = self.wanted.without(self.sealer.all_sealed());
                self.sealer.explain(missing)
            }
            State::Ready => "the record".to_owned(),
            _ => String::new(),
        };
        if self.told.as_ref() != Some(&waits_for) {
            out.push(Effect::Progress {
                done: self.done,
                total: self.total,
                waits_for: Some(waits_for.clone()).filter(|why| !why.is_empty()),
            });
            self.told = Some(waits_for);
        }
    }

    /// Sets the timer if something is due before it.
    pub(super) fn arm(&mut self, out: &mut Vec<Effect>) {
        let dial = match self.state {
            State::Over => return,
            State::Sealing => self.sealer.next_dial(),
            _ => None,
        };
        let Some(next) = dial.into_iter().chain(self.silence).min() else {
            return;
        };
        if self.armed.is_none_or(|armed| next < armed) {
            self.armed = Some(next);
            out.push(Effect::WakeAt(next));
        }
    }
}
