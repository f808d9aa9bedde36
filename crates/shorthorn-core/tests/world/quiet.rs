//! Once faults are over, everything becomes whole: a session serves, writes are acknowledged, every replica is in-sync, and a
//! close is clean. All within a bound of the world's time (docs/protocol.md, L1 to L8: what must happen in the end).

use shorthorn_core::Nanos;
use shorthorn_core::engine::Event;

use super::actors::Machine;
use super::record::Phase;
use super::{Violation, World};

/// Everything becomes whole within this: pauses between attempts are longest here.
const WHOLE: Nanos = Nanos::from_millis(60_000);
/// Steps are shorter now: the machine is not busy.
const STEPS: usize = 3_000_000;
/// Writes that are acknowledged before everything counts as whole.
const WRITES: usize = 3;

impl World {
    /// Stops all faults, and waits for everything to become whole.
    pub(super) fn become_whole(&mut self) -> Result<(), Violation> {
        self.relieve();
        let since = self.now;
        let until = since + WHOLE;
        let before = self.stats.writes_in_quiet;
        let mut steps = 0;
        while !self.is_whole(before) {
            if self.now > until || steps > STEPS {
                let (now, left) = (self.now - since, self.what_is_missing());
                return Err(Violation(format!("not whole {now:?} after faults: {left}")));
            }
            steps += 1;
            self.step()?;
        }
        let ms = (self.now - since).0 / 1_000_000;
        self.stats.whole_after_ms = self.stats.whole_after_ms.max(ms);
        self.end_cleanly()
    }

    fn is_whole(&self, writes_before: usize) -> bool {
        let session = self.record.session;
        let Some((epoch, Phase::Open)) = session else {
            return false;
        };
        let fenced = self.record.epoch != epoch;
        let mut actors = self.actors.values();
        let serves = actors.any(|actor| actor.epoch == epoch && actor.serving);
        let written = self.stats.writes_in_quiet >= writes_before + WRITES;
        serves && !fenced && written && self.record.syncing().is_empty()
    }

    fn what_is_missing(&self) -> String {
        let mut lines = vec![format!("session {:?}", self.record.session)];
        for known in self.record.replicas.iter().filter(|known| known.placed) {
            let phase = if known.in_sync { "in-sync" } else { "syncing" };
            lines.push(format!("{} {phase} {}", known.name, known.attempt));
        }
        for actor in self.actors.values() {
            lines.push(format!(
                "epoch {}: {}, connections {:?}, asks {:?}, wakes at {:?} of {:?}",
                actor.epoch, actor.status, actor.reaches, actor.asks, actor.wake, self.now
            ));
        }
        lines.push(format!("clients {:?}", self.clients));
        lines.join("\n")
    }

    /// A close without faults is clean: then all in-sync replicas are equal, without marks.
    fn end_cleanly(&mut self) -> Result<(), Violation> {
        let Some((epoch, _)) = self.record.session else {
            return Ok(());
        };
        let clean = self.stats.clean;
        let until = self.now + WHOLE;
        self.order_close(epoch)?;
        while self.record.session.is_some_and(|(known, _)| known == epoch) {
            if self.now > until {
                let left = self.what_is_missing();
                return Err(Violation(format!("a close hangs: {left}")));
            }
            self.step()?;
        }
        if self.stats.clean == clean {
            return Err(Violation("a close without faults is unclean".to_owned()));
        }
        Ok(())
    }

    /// Control orders a session to close.
    pub(super) fn order_close(&mut self, epoch: u64) -> Result<(), Violation> {
        let found = self.actors_where(|actor| {
            actor.epoch == epoch && matches!(actor.machine, Machine::Engine(_))
        });
        self.record.closing();
        for id in found {
            if let Some(actor) = self.actors.get_mut(&id) {
                actor.closing = true;
            }
            self.engine(id, Event::Close)?;
        }
        Ok(())
    }
}
