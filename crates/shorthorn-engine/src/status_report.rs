//! What the agent is told of the engine's state, and when: a change at once, the progress of resyncs a few times a second.

use shorthorn_core::Nanos;
use shorthorn_core::engine::Status;
use shorthorn_wire::agent::{Resync, ToAgent};

/// Between two reports that differ in the progress of resyncs only.
const PROGRESS_GAP: Nanos = Nanos::from_millis(250);

/// The core's last status, and whether the agent is still to be told.
#[derive(Debug, Default)]
pub struct StatusReport {
    status: Option<Status>,
    /// Something changed that is told at once.
    changed: bool,
    /// A resync got on.
    progressed: bool,
    told_at: Nanos,
}

impl StatusReport {
    /// A newer status. True: something else changed than how far resyncs are.
    pub fn note(&mut self, status: Status) -> bool {
        let changed = match &self.status {
            None => true,
            Some(known) => without_progress(known) != without_progress(&status),
        };
        self.changed |= changed;
        self.progressed |= self.status.as_ref() != Some(&status);
        self.status = Some(status);
        changed
    }

    /// Say it again, or for the first time on this link.
    pub fn tell_now(&mut self) {
        self.changed = true;
    }

    /// What is to be said now.
    pub fn due(&mut self, now: Nanos, clients: usize) -> Option<ToAgent> {
        let due = self.changed || self.deadline().is_some_and(|at| at <= now);
        let status = self.status.as_ref().filter(|_| due)?;
        (self.changed, self.progressed, self.told_at) = (false, false, now);
        Some(ToAgent::Status {
            phase: status.phase,
            waits_for: status.waits_for.clone(),
            needed: status.needed.clone(),
            clients: clients as u32,
            resyncs: status.resyncs.clone(),
        })
    }

    /// When progress is to be told although nothing else happens.
    pub fn deadline(&self) -> Option<Nanos> {
        self.progressed.then(|| self.told_at + PROGRESS_GAP)
    }
}

fn without_progress(status: &Status) -> Status {
    let still = |resync: &Resync| Resync {
        done: 0,
        ..resync.clone()
    };
    Status {
        resyncs: status.resyncs.iter().map(still).collect(),
        ..status.clone()
    }
}

#[cfg(test)]
mod tests {
    use shorthorn_wire::agent::Phase;

    use super::*;

    fn status(done: u64, waits_for: Option<&str>) -> Status {
        Status {
            phase: Phase::Serving,
            waits_for: None,
            needed: vec!["r1".to_owned()],
            resyncs: vec![Resync {
                replica: "r2".to_owned(),
                attempt: 2,
                done,
                total: 100,
                waits_for: waits_for.map(str::to_owned),
            }],
        }
    }

    fn done(line: Option<ToAgent>) -> Option<u64> {
        match line? {
            ToAgent::Status { resyncs, .. } => Some(resyncs[0].done),
            other => panic!("no status: {other:?}"),
        }
    }

    #[test]
    fn progress_is_told_a_few_times_a_second_and_the_last_is_not_lost() {
        let (mut report, at) = (StatusReport::default(), Nanos::from_millis);
        assert!(report.note(status(1, None)));
        assert_eq!(done(report.due(at(1_000), 0)), Some(1));
        for progress in 2..50 {
            assert!(!report.note(status(progress, None)));
            assert_eq!(done(report.due(at(1_000 + progress), 0)), None);
        }
        assert_eq!(report.deadline(), Some(at(1_250)));
        assert_eq!(done(report.due(at(1_250), 0)), Some(49));
        assert_eq!(
            (report.deadline(), done(report.due(at(9_000), 0))),
            (None, None)
        );
    }

    #[test]
    fn anything_else_is_told_at_once() {
        let (mut report, at) = (StatusReport::default(), Nanos::from_millis);
        assert_eq!(done(report.due(at(1), 0)), None);
        report.note(status(1, None));
        assert_eq!(done(report.due(at(1_000), 0)), Some(1));
        assert!(report.note(status(2, Some("space"))));
        assert_eq!(done(report.due(at(1_001), 0)), Some(2));
        report.tell_now();
        assert_eq!(done(report.due(at(1_002), 0)), Some(2));
    }
}
