//! The requests that read or change content: mark, change, answer; and what their outcomes mean.

use shorthorn_wire::message::{Blocks, Failure, Refusal, RegionRun, Reply, Request, Sequence, Tag};

use super::api::{ConnId, Effect, Outcome, Token, Work};
use super::guard::blocks_len;
use super::machine::{Held, Replica};
use super::marks::{overlap, regions_of};
use crate::mutants::{self, Mutant};

/// Work under way for one request.
#[derive(Clone, Debug)]
pub(super) struct Task {
    conn: ConnId,
    tag: Tag,
    /// When its request was accepted, in the order of tokens.
    since: Token,
    step: Step,
}

#[derive(Clone, Debug)]
enum Step {
    /// The mark before a change.
    Mark {
        regions: RegionRun,
        seq: Sequence,
        change: Work,
        fua: bool,
    },
    /// A change that waits for an earlier one of the same regions, which waits for its mark.
    Behind {
        regions: RegionRun,
        seq: Sequence,
        change: Work,
        fua: bool,
    },
    /// A change.
    Change { fua: bool },
    /// Anything that changes no content.
    Look,
    /// Nobody waits for it.
    Note,
}

impl Step {
    /// Regions of a change whose place in the order is taken, but which is not handed out yet.
    fn waits_for_mark(&self) -> Option<RegionRun> {
        match self {
            Self::Mark { regions, .. } | Self::Behind { regions, .. } => Some(*regions),
            _ => None,
        }
    }
}

impl Replica {
    /// Whether a change that was accepted is not applied yet.
    pub(super) fn changes_under_way(&self) -> bool {
        self.first_change().is_some()
    }

    /// When the oldest change was accepted that is not applied yet.
    pub(super) fn first_change(&self) -> Option<Token> {
        let change = |task: &Task| {
            task.step.waits_for_mark().is_some() || matches!(task.step, Step::Change { .. })
        };
        self.tasks
            .iter()
            .filter(|(_, task)| change(task))
            .map(|(_, task)| task.since)
            .min()
    }

    pub(super) fn accept_seq(&mut self, conn: ConnId, seq: Sequence) {
        if self.holder == Some(conn) {
            self.last_seq = seq;
        }
    }

    pub(super) fn look(&mut self, conn: ConnId, tag: Tag, work: Work, out: &mut Vec<Effect>) {
        let since = self.token();
        self.start(
            Task {
                conn,
                tag,
                since,
                step: Step::Look,
            },
            work,
            out,
        );
    }

    /// Before the first change of a clean region its mark is durable (docs/protocol.md, Marks). Changes that overlap are
    /// applied in the order of their requests: a syncing replica gets them without one waiting for the other (A9).
    #[expect(clippy::too_many_arguments, reason = "one request, taken apart")]
    pub(super) fn change(
        &mut self,
        conn: ConnId,
        tag: Tag,
        regions: RegionRun,
        seq: Sequence,
        work: Work,
        fua: bool,
        out: &mut Vec<Effect>,
    ) {
        let since = self.token();
        // At once, so that no clear under way takes away what this change counts on.
        self.marks.raise(regions, seq);
        let step = Step::Behind {
            regions,
            seq,
            change: work,
            fua,
        };
        let task = Task {
            conn,
            tag,
            since,
            step,
        };
        if self.waiting_for_marks > 0 && self.is_behind(regions, since) {
            self.waiting_for_marks += 1;
            let token = self.token();
            return self.tasks.push_back((token, task));
        }
        self.hand_out(task, out);
    }

    /// Whether an earlier change of these regions is not handed out yet.
    fn is_behind(&self, regions: RegionRun, since: Token) -> bool {
        self.tasks.iter().any(|(_, task)| {
            task.since < since
                && task
                    .step
                    .waits_for_mark()
                    .is_some_and(|earlier| overlap(earlier, regions))
        })
    }

    /// Nothing is before this change: it is applied, or marked first.
    fn hand_out(&mut self, task: Task, out: &mut Vec<Effect>) {
        let Step::Behind {
            regions,
            seq,
            change,
            fua,
        } = task.step
        else {
            return;
        };
        let unmarked = self.marks.clean_in(regions);
        if mutants::active(Mutant::MarkAfterWrite) && !unmarked.is_empty() {
            self.marks.set(regions, seq);
            let step = Step::Change { fua };
            self.start(Task { step, ..task }, change, out);
            return self.note(Work::Mark(unmarked), out);
        }
        let (step, work) = if unmarked.is_empty() {
            (Step::Change { fua }, change)
        } else {
            self.waiting_for_marks += 1;
            let step = Step::Mark {
                regions,
                seq,
                change,
                fua,
            };
            (step, Work::Mark(unmarked))
        };
        self.start(Task { step, ..task }, work, out);
    }

    /// A mark is decided: what waited behind it goes on, in order.
    fn catch_up(&mut self, out: &mut Vec<Effect>) {
        while self.waiting_for_marks > 0 {
            let next = self.tasks.iter().position(|(_, task)| match &task.step {
                Step::Behind { regions, .. } => !self.is_behind(*regions, task.since),
                _ => false,
            });
            let Some((_, task)) = next.and_then(|next| self.tasks.remove(next)) else {
                return;
            };
            self.waiting_for_marks -= 1;
            self.hand_out(task, out);
        }
    }

    /// A copy may tear as a session's write may, so this boot is recorded before the first one: a copy that a power loss
    /// broke off leaves the replica torn.
    pub(super) fn copy(
        &mut self,
        conn: ConnId,
        tag: Tag,
        offset: u64,
        blocks: Blocks,
        out: &mut Vec<Effect>,
    ) {
        let recorded = self.durable.open_boot.as_ref() == Some(&self.boot);
        if !recorded && !mutants::active(Mutant::OpenUnrecorded) {
            return self.record_boot(Held {
                conn,
                tag,
                request: Request::Copy { offset, blocks },
            });
        }
        self.copies += 1;
        let regions = regions_of(offset, blocks_len(&blocks));
        self.change(
            conn,
            tag,
            regions,
            self.last_seq,
            Work::Copy { offset, blocks },
            false,
            out,
        );
    }

    pub(super) fn clear(
        &mut self,
        conn: ConnId,
        tag: Tag,
        m: u64,
        regions: &[RegionRun],
        seq: Sequence,
        out: &mut Vec<Effect>,
    ) {
        let seq = if mutants::active(Mutant::ClearUnordered) {
            Sequence::MAX
        } else {
            seq
        };
        let regions = self.marks.clear(regions, seq);
        if regions.is_empty() {
            return self.send(conn, tag, Reply::Done, out);
        }
        self.look(conn, tag, Work::Clear { m, regions }, out);
    }

    /// Mutants only: all that its own sync covers is taken for equal everywhere.
    pub(super) fn clear_own(&mut self, out: &mut Vec<Effect>) {
        let (all, m) = (self.all_regions(), self.durable.m);
        let regions = self.marks.clear(&[all], self.synced_seq);
        if !regions.is_empty() {
            self.note(Work::Clear { m, regions }, out);
        }
    }

    /// Work for nobody.
    fn note(&mut self, work: Work, out: &mut Vec<Effect>) {
        let note = Task {
            conn: ConnId(0),
            tag: 0,
            since: self.token(),
            step: Step::Note,
        };
        self.start(note, work, out);
    }

    fn start(&mut self, task: Task, work: Work, out: &mut Vec<Effect>) {
        let token = self.token();
        self.tasks.push_back((token, task));
        out.push(Effect::Do { token, work });
    }

    pub(super) fn done(&mut self, token: Token, outcome: Outcome, out: &mut Vec<Effect>) {
        if let Outcome::Disk(reason) = &outcome {
            self.fail(reason, out);
        }
        if self.sync_done(token, &outcome, out) || self.gate_done(token, &outcome, out) {
            return;
        }
        let Some(at) = self.tasks.iter().position(|(known, _)| *known == token) else {
            return;
        };
        let Some((
            _,
            Task {
                conn,
                tag,
                since,
                step,
            },
        )) = self.tasks.remove(at)
        else {
            return;
        };
        match (step, &outcome) {
            (Step::Note, _) => {}
            (
                Step::Mark {
                    regions,
                    seq,
                    change,
                    fua,
                },
                Outcome::Done,
            ) => {
                self.marks.set(regions, seq);
                let step = Step::Change { fua };
                let task = Task {
                    conn,
                    tag,
                    since,
                    step,
                };
                self.start(task, change, out);
                self.waiting_for_marks -= 1;
                self.catch_up(out);
            }
            (Step::Mark { .. }, _) => {
                self.send(conn, tag, reply_to(outcome), out);
                self.waiting_for_marks -= 1;
                self.catch_up(out);
            }
            (Step::Change { fua: true }, Outcome::Done) => self.flush_own(conn, tag),
            (Step::Change { .. }, Outcome::Done) => self.send(conn, tag, Reply::Done, out),
            (_, _) => self.send(conn, tag, reply_to(outcome), out),
        }
    }

    /// A disk or sync that failed once is never retried into an OK: nothing is served any more in this boot.
    pub(super) fn fail(&mut self, reason: &str, out: &mut Vec<Effect>) {
        if self.failed.is_some() || mutants::active(Mutant::SyncRetried) {
            return;
        }
        self.failed = Some(reason.to_owned());
        self.changed();
        self.note(Work::NoteFailed(reason.to_owned()), out);
    }
}

/// The reply that an outcome is.
pub(super) fn reply_to(outcome: Outcome) -> Reply {
    match outcome {
        Outcome::Done => Reply::Done,
        Outcome::Data(data) => Reply::Data(data),
        Outcome::Extents(extents) => Reply::Extents(extents),
        Outcome::Hash { digest, bad } => Reply::Hash { digest, bad },
        Outcome::Blocks(blocks) => Reply::Blocks(blocks),
        Outcome::Corrupt { offset } => Reply::Corrupt { offset },
        Outcome::NoSpace(detail) => Reply::Failed {
            why: Failure::NoSpace,
            detail,
        },
        Outcome::Invalid(detail) => Reply::Refused {
            why: Refusal::Invalid,
            detail,
        },
        Outcome::Disk(detail) => Reply::Failed {
            why: Failure::Disk,
            detail,
        },
    }
}
