//! Flushes: which sync answers which of them (docs/protocol.md, "Flush, FUA").
//!
//! One sync is under way at a time; those who come meanwhile share the next one.

use std::collections::VecDeque;

use shorthorn_wire::message::{Failure, Reply, Sequence, Tag};

use super::api::{ConnId, Effect, Outcome, Token, Work};
use super::machine::Replica;
use crate::mutants::{self, Mutant};

/// Somebody who waits for what was applied to be durable.
#[derive(Clone, Copy, Debug)]
struct Waiter {
    conn: ConnId,
    tag: Tag,
    /// Everything before this must be applied when the sync starts.
    after: Token,
    /// Counts as synced then.
    seq: Sequence,
    /// So many copies count as synced then.
    copies: u64,
}

#[derive(Debug)]
struct Running {
    token: Token,
    waiters: Vec<Waiter>,
}

/// Flushes that wait and the sync under way.
#[derive(Debug, Default)]
pub(super) struct Syncs {
    waiting: VecDeque<Waiter>,
    running: Option<Running>,
}

impl Syncs {
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running.is_none()
    }
}

impl Replica {
    /// A flush: all that was accepted before it is to be durable. Changes after it have a greater sequence than its own.
    pub(super) fn flush(&mut self, conn: ConnId, tag: Tag, seq: Sequence) {
        let after = self.token();
        self.syncs.waiting.push_back(Waiter {
            conn,
            tag,
            after,
            seq,
            copies: self.copies,
        });
    }

    /// A change with FUA, applied just now: it is to be durable.
    pub(super) fn flush_own(&mut self, conn: ConnId, tag: Tag) {
        self.syncs.waiting.push_back(Waiter {
            conn,
            tag,
            after: Token(0),
            seq: 0,
            copies: 0,
        });
    }

    /// Starts a sync for those whose changes are all applied.
    pub(super) fn start_sync(&mut self, out: &mut Vec<Effect>) {
        if self.syncs.running.is_some() {
            return;
        }
        let first = self.first_change();
        let ready = |waiter: &Waiter| first.is_none_or(|change| waiter.after < change);
        let count = self
            .syncs
            .waiting
            .iter()
            .take_while(|waiter| ready(waiter))
            .count();
        if count == 0 {
            return;
        }
        let waiters = self.syncs.waiting.drain(..count).collect();
        let token = self.token();
        self.syncs.running = Some(Running { token, waiters });
        out.push(Effect::Do {
            token,
            work: Work::Sync,
        });
    }

    /// Whether this was the end of a sync that flushes wait for.
    pub(super) fn sync_done(
        &mut self,
        token: Token,
        outcome: &Outcome,
        out: &mut Vec<Effect>,
    ) -> bool {
        let Some(running) = self.syncs.running.take_if(|running| running.token == token) else {
            return false;
        };
        let reply = match (outcome, &self.failed) {
            (Outcome::Done, None) => Reply::Done,
            // A sync that succeeds after a failure proves nothing: the failed one may have dropped what it could not write.
            (_, Some(reason)) => Reply::Failed {
                why: Failure::Disk,
                detail: reason.clone(),
            },
            (outcome, None) => super::content::reply_to(outcome.clone()),
        };
        if reply == Reply::Done {
            let copies = running.waiters.iter().map(|waiter| waiter.copies);
            self.copies_synced = copies.fold(self.copies_synced, u64::max);
            let seqs = running
                .waiters
                .iter()
                .filter(|waiter| self.is_holder(waiter.conn))
                .map(|waiter| waiter.seq);
            self.synced_seq = seqs.fold(self.synced_seq, Sequence::max);
            if mutants::active(Mutant::OwnClear) {
                self.clear_own(out);
            }
        }
        for waiter in running.waiters {
            self.send(waiter.conn, waiter.tag, reply.clone(), out);
        }
        true
    }
}
