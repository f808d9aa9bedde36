//! The end of a session, clean or not (docs/protocol.md, Close; B13).

use shorthorn_wire::agent::Ask;
use shorthorn_wire::message::Request;

use super::api::Effect;
use super::space::Space;
use super::work::Work;
use super::{Engine, State};
use crate::mutants::{self, Mutant};
use crate::{Nanos, ReplicaSet};

impl Engine {
    /// Order: close cleanly.
    pub(super) fn close(&mut self, now: Nanos, out: &mut Vec<Effect>) {
        match self.state {
            State::New | State::Sealing | State::Equalising(_) | State::Syncing => {
                let why = "closed before it was open".to_owned();
                self.end(now, false, why, out);
            }
            // The record may say that it is open by now: it is opened, and closed at once.
            State::Opening | State::Storing => {
                self.close_wanted = true;
                self.limit(now);
            }
            State::Serving | State::Broken => self.begin_close(now, out),
            State::Draining | State::Closing | State::Ending { .. } | State::Over => {}
        }
    }

    /// From now on it may not take longer than the order's bound.
    fn limit(&mut self, now: Nanos) {
        let bound = now + Nanos::from_millis(self.order.close_ms);
        self.bound = self.bound.or(Some(bound));
    }

    /// Takes no more requests; those in flight are decided.
    pub(super) fn begin_close(&mut self, now: Nanos, out: &mut Vec<Effect>) {
        self.limit(now);
        if matches!(self.state, State::Serving) {
            out.push(Effect::StopServing {
                break_clients: false,
            });
        }
        self.enter(State::Draining);
        self.forget_leaves();
        self.forget_joiners(now, out);
        self.end_all_parked(now, |_| true, out);
        self.drained(now, out);
        self.tell_status(out);
    }

    /// Something was decided: if it was the last, the close goes on.
    pub(super) fn drained(&mut self, now: Nanos, out: &mut Vec<Effect>) {
        let busy = self.client_calls > 0 || self.repairs > 0 || !self.marks.is_quiet();
        // A removal is finished first: its replica may be gone already.
        if !matches!(self.state, State::Draining) || busy || self.membership_changes() {
            return;
        }
        self.enter(State::Closing);
        if mutants::active(Mutant::ClearUnflushed) {
            return self.close_flushed(now, out);
        }
        self.flush(now, Work::CloseFlush, out);
        self.tell_status(out);
    }

    /// A removal is not over, or one that may be in-sync is not told so.
    fn membership_changes(&self) -> bool {
        self.removals.is_pending() || !self.all_joiners().is_empty()
    }

    pub(super) fn close_flushed(&mut self, now: Nanos, out: &mut Vec<Effect>) {
        let runs = self.marks.runs();
        if runs.is_empty() {
            return self.close_cleared(now, out);
        }
        self.clear(now, Work::CloseClear, self.seq, runs, out);
    }

    pub(super) fn close_cleared(&mut self, now: Nanos, out: &mut Vec<Effect>) {
        let rest = self.marks.take_rest();
        if !rest.is_empty() {
            return self.clear(now, Work::CloseClear, self.seq, rest, out);
        }
        if self.removals.is_pending() {
            // It had answered all this and failed then; its removal is waited for before anybody lets go.
            return self.flush(now, Work::CloseFlush, out);
        }
        self.closed = ReplicaSet::EMPTY;
        self.call(now, Work::Close, self.needed, Request::Close, out);
    }

    pub(super) fn close_told(&mut self, now: Nanos, out: &mut Vec<Effect>) {
        // The record gets as long again to hear of it.
        self.bound = None;
        self.end(now, true, "closed on order".to_owned(), out);
    }

    /// Nothing is served or answered any more; the record is told, and the engine exits.
    pub(super) fn end(&mut self, now: Nanos, clean: bool, why: String, out: &mut Vec<Effect>) {
        if matches!(self.state, State::Ending { .. } | State::Over) {
            return;
        }
        if !clean {
            out.push(Effect::StopServing {
                break_clients: true,
            });
            self.bound = None;
        }
        self.let_go(out);
        self.limit(now);
        self.asks.forget();
        let ask = Ask::SessionClosed {
            epoch: self.order.epoch,
            clean,
            why: why.clone(),
        };
        self.enter(State::Ending { clean, why });
        self.asks.ask(ask, out);
        self.tell_status(out);
    }

    /// No replica is spoken to any more.
    fn let_go(&mut self, out: &mut Vec<Effect>) {
        let all = self.sealer.targets(|_| true);
        self.sealer.hang_up(all, out);
        self.calls.clear();
        self.awaiting.clear();
        self.unread.clear();
        self.space = Space::default();
        self.joiners.fill_with(|| None);
        self.mirrors = ReplicaSet::EMPTY;
        (self.mirrored, self.mirrored_bytes) = (0, 0);
        (self.held, self.progress) = (None, None);
        self.client_calls = 0;
        self.in_flight_bytes = 0;
        self.repairs = 0;
        self.silence = None;
        self.grace = None;
    }

    /// The bound of a close is over.
    pub(super) fn bound_reached(&mut self, now: Nanos, out: &mut Vec<Effect>) {
        self.bound = None;
        if matches!(self.state, State::Ending { .. }) {
            // The program's end is evidence too: its lock is free (docs/protocol.md, section 3).
            return self.ended(out);
        }
        let why = "the close took longer than its bound".to_owned();
        self.end(now, false, why, out);
    }

    /// The record has heard of the end, or can't be waited for.
    pub(super) fn ended(&mut self, out: &mut Vec<Effect>) {
        if let State::Ending { clean, why } = &self.state {
            let (clean, why) = (*clean, why.clone());
            self.exit(clean, why, out);
        }
    }

    /// The end, without asking anybody.
    pub(super) fn exit(&mut self, clean: bool, why: String, out: &mut Vec<Effect>) {
        if !matches!(self.state, State::Ending { .. }) {
            out.push(Effect::StopServing {
                break_clients: true,
            });
            self.let_go(out);
        }
        self.asks.forget();
        self.enter(State::Over);
        out.push(Effect::Exit { clean, why });
    }
}
