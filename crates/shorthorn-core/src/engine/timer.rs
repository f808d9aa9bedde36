//! One timer for everything that waits for a moment.

use super::api::Effect;
use super::{Engine, State};
use crate::Nanos;

impl Engine {
    /// The time has come for something, or for nothing.
    pub(super) fn timer(&mut self, now: Nanos, out: &mut Vec<Effect>) {
        self.armed = None;
        let due = |moment: Option<Nanos>| moment.is_some_and(|moment| moment <= now);
        if due(self.bound) {
            self.bound_reached(now, out);
        }
        if due(self.grace) {
            self.weigh(now, out);
        }
        if due(self.silence) {
            self.check_silence(now, out);
        }
        if due(self.held) {
            self.hold_over(now, out);
        }
        if due(self.space.moment) {
            self.space_due(now, out);
        }
        if due(self.progress) {
            self.show_progress(now);
        }
        if due(self.copies_at) {
            self.copies_due(now, out);
        }
        self.dial(now, out);
        self.clear_due(now, out);
        self.asks.repeat_due(now, out);
    }

    /// Sets the timer if something is due before it. One that is set too early comes for nothing, once: that costs less than
    /// setting it anew with every request.
    pub(super) fn arm(&mut self, out: &mut Vec<Effect>) {
        let Some(next) = self.next_moment() else {
            return;
        };
        if self.armed.is_none_or(|armed| next < armed) {
            self.armed = Some(next);
            out.push(Effect::WakeAt(next));
        }
    }

    fn serving_moment(&self) -> Option<Nanos> {
        let joiners = earlier(self.sealer.next_dial(), earlier(self.held, self.progress));
        earlier(joiners, earlier(self.copies_at, self.space.moment))
    }

    fn next_moment(&self) -> Option<Nanos> {
        let state = match self.state {
            State::Over => return None,
            State::Sealing => earlier(self.grace, self.sealer.next_dial()),
            State::Serving => earlier(self.marks.next(), self.serving_moment()),
            State::Broken => self.marks.next(),
            _ => None,
        };
        let about_replies = earlier(self.silence, state);
        earlier(about_replies, earlier(self.bound, self.asks.next()))
    }
}

/// The earlier of two moments, as far as there are any.
pub(super) fn earlier(one: Option<Nanos>, other: Option<Nanos>) -> Option<Nanos> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
