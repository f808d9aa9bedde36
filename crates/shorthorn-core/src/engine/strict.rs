//! `reads: strict`: rounds of pings (docs/protocol.md, Read; B10).
//!
//! A strict read completes only when every needed replica has answered something that was sent after the read came, so that
//! no clock has to be trusted. All of them, and not one: a fence may have sealed any one, and the others do not know. Reads
//! that come while a round is under way share the next one.

use shorthorn_wire::message::Request;

use super::Engine;
use super::api::Effect;
use super::work::Work;
use crate::Nanos;

/// Rounds by number; one at a time.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    started: u64,
    finished: u64,
    /// The last that somebody waits for.
    wanted: u64,
    /// Somebody became needed while it was under way: it says nothing of that one.
    again: bool,
}

impl Rounds {
    /// Reads that joined this round, or an earlier one, may complete.
    pub fn finished(&self) -> u64 {
        self.finished
    }

    /// Somebody else is needed from now on.
    pub fn widen(&mut self) {
        self.again = self.started > self.finished;
    }
}

impl Engine {
    /// A read came: the round that must be over before it completes. 0: none, it is not strict.
    pub(super) fn join_round(&mut self, now: Nanos, out: &mut Vec<Effect>) -> u64 {
        if !self.order.strict_reads {
            return 0;
        }
        let round = self.rounds.started + 1;
        self.rounds.wanted = round;
        if self.rounds.started == self.rounds.finished {
            self.start_round(now, out);
        }
        round
    }

    fn start_round(&mut self, now: Nanos, out: &mut Vec<Effect>) {
        self.rounds.started = self.rounds.finished + 1;
        self.rounds.again = false;
        self.call(now, Work::Round, self.needed, Request::Ping, out);
    }

    /// Every needed replica has answered.
    pub(super) fn round_finished(&mut self, now: Nanos, out: &mut Vec<Effect>) {
        if !self.rounds.again {
            self.rounds.finished = self.rounds.started;
        }
        if self.rounds.wanted > self.rounds.finished {
            self.start_round(now, out);
        }
        // The reads themselves are looked at after every reply and removal.
    }
}
