//! A replica that does not answer for too long has failed (docs/protocol.md, Write: "too late").
//!
//! A disk may take longer than a program: what syncs is given more time. A program that stands still under a sync is told from a
//! disk that is slow by a ping, for a replica answers others while it syncs, but for what marks or records first.

use super::api::Effect;
use super::timer::earlier;
use super::{Engine, State};
use crate::{Nanos, ReplicaIndex, ReplicaSet};

/// What syncs a disk may take this many times longer; and so may everything else, while the connection is kept by such work.
const SYNC_PATIENCE: u64 = 4;

/// A look that comes later than this was kept from looking, and perhaps from hearing: answers get as long again, once.
const LATE: Nanos = Nanos::from_millis(1000);

/// What one replica has not answered.
#[derive(Clone, Copy, Debug, Default)]
struct Unanswered {
    /// When the oldest was sent that does not sync.
    plain: Option<Nanos>,
    /// The same, of what syncs.
    syncing: Option<Nanos>,
    /// Some of it keeps the connection, so nothing that was sent after it says anything.
    blocked: bool,
}

impl Unanswered {
    fn add(&mut self, sent: Nanos, syncs: bool, blocks: bool) {
        let oldest = if syncs {
            &mut self.syncing
        } else {
            &mut self.plain
        };
        *oldest = Some(oldest.map_or(sent, |oldest| oldest.min(sent)));
        self.blocked |= blocks;
    }

    /// It is silent then.
    fn until(&self, span: Nanos) -> Option<Nanos> {
        let patient = Nanos(span.0.saturating_mul(SYNC_PATIENCE));
        let plain = if self.blocked { patient } else { span };
        earlier(
            self.plain.map(|sent| sent + plain),
            self.syncing.map(|sent| sent + patient),
        )
    }

    /// It has only syncs to do and was not heard since (`heard`: when the newest was sent that it answered): it is pinged
    /// then. None: it needs no ping, or could not answer one.
    fn ping_at(&self, heard: Option<Nanos>, span: Nanos) -> Option<Nanos> {
        let alone = self.plain.is_none() && !self.blocked;
        let since = self.syncing.filter(|_| alone)?;
        Some(heard.map_or(since, |heard| heard.max(since)) + half(span))
    }
}

fn half(span: Nanos) -> Nanos {
    Nanos(span.0 / 2)
}

impl Engine {
    fn silence_span(&self) -> Nanos {
        Nanos::from_millis(self.order.silence_ms)
    }

    /// Something was sent. The timer runs only while something is unanswered, and is set once for many requests.
    pub(super) fn watch_silence(&mut self, now: Nanos) {
        if self.silence.is_none() {
            self.silence = Some(now + half(self.silence_span()));
        }
    }

    /// Looks at what is unanswered.
    pub(super) fn check_silence(&mut self, now: Nanos, out: &mut Vec<Effect>) {
        if self.was_kept(now) {
            return;
        }
        let span = self.silence_span();
        let mut next: Option<Nanos> = None;
        let (mut silent, mut quiet) = (ReplicaSet::EMPTY, ReplicaSet::EMPTY);
        for (index, unanswered) in self.unanswered().into_iter().enumerate() {
            let replica = ReplicaIndex(index as u8);
            let Some(until) = unanswered.until(span) else {
                continue;
            };
            if until <= now {
                silent.insert(replica);
                continue;
            }
            next = earlier(next, Some(until));
            if let Some(moment) = unanswered.ping_at(self.granted[index], span) {
                if moment <= now {
                    quiet.insert(replica);
                }
                // Not just when the ping is due to be answered: the program may stop after that.
                let look = if moment > now {
                    moment
                } else {
                    now + half(span)
                };
                next = earlier(next, Some(look));
            }
        }
        self.silence = next;
        self.ping(now, quiet, out);
        for replica in silent.iter() {
            self.fell_silent(now, replica, out);
        }
    }

    /// By replica.
    fn unanswered(&self) -> Vec<Unanswered> {
        let mut all = vec![Unanswered::default(); self.granted.len()];
        let failed = self.removals.failed();
        for (_, call) in self.calls.iter() {
            let (syncs, blocks) = (call.work.syncs(), call.work.blocks());
            for replica in call.waiting.without(failed).iter() {
                all[replica.index()].add(call.sent, syncs, blocks);
            }
        }
        all
    }

    fn fell_silent(&mut self, now: Nanos, replica: ReplicaIndex, out: &mut Vec<Effect>) {
        match self.state {
            State::Ending { .. } | State::Over => {}
            State::Sealing => {
                self.sealer.hang_up(ReplicaSet::only(replica), out);
                self.unsealed(now, replica, "it does not answer".to_owned(), out);
            }
            _ => self.fail(now, replica, "it does not answer", out),
        }
    }

    /// The engine itself stood still: what it did not hear may wait to be read.
    fn was_kept(&mut self, now: Nanos) -> bool {
        let late = self.silence.is_some_and(|silence| now - silence > LATE);
        let kept = late && !self.kept;
        self.kept = kept;
        if kept {
            self.silence = Some(now + LATE);
        }
        kept
    }
}
