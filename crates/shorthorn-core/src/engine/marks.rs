//! Which regions may be marked on some replica, and when the marks go (docs/protocol.md, Marks).
//!
//! Marks are cleared only when nothing changes the volume any more, after a flush that every needed replica finished, and
//! never where something was written since that flush was sent.

use shorthorn_wire::REGION_BYTES;
use shorthorn_wire::message::{RegionRun, Sequence};

use super::api::Effect;
use super::work::Work;
use super::{Engine, State};
use crate::Nanos;
use crate::mutants::{self, Mutant};

/// A volume that was not written for this long is cleared: short enough that a crash soon after finds little to compare,
/// long enough that a slow writer does not cause a flush for each write.
pub(super) const MARKS_IDLE: Nanos = Nanos::from_millis(5000);

/// A set of regions: one bit each.
#[derive(Clone, Debug)]
pub(super) struct Regions {
    words: Vec<u64>,
    /// How many the volume has.
    regions: u64,
    count: u64,
}

impl Regions {
    /// Of a volume of this size.
    pub fn of(size: u64) -> Self {
        let regions = size.div_ceil(REGION_BYTES);
        Self {
            words: vec![0; regions.div_ceil(64) as usize],
            regions,
            count: 0,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn insert(&mut self, region: u64) {
        if let Some(word) = self.words.get_mut((region / 64) as usize) {
            let bit = 1 << (region % 64);
            self.count += u64::from(*word & bit == 0);
            *word |= bit;
        }
    }

    /// Every region of a range that is not empty. True: one is new.
    pub fn insert_range(&mut self, offset: u64, length: u64) -> bool {
        let before = self.count;
        let last = (offset + length - 1) / REGION_BYTES;
        for region in offset / REGION_BYTES..=last {
            self.insert(region);
        }
        self.count > before
    }

    /// Of a replica's answer; what lies past the end is left out.
    pub fn insert_run(&mut self, run: RegionRun) {
        let end = self.regions;
        for region in run.first.min(end)..run.first.saturating_add(run.count).min(end) {
            self.insert(region);
        }
    }

    /// Every region.
    pub fn insert_everything(&mut self) {
        let count = self.regions;
        if count > 0 {
            self.insert_run(RegionRun { first: 0, count });
        }
    }

    /// How many are not in.
    pub fn missing(&self) -> u64 {
        self.regions - self.count
    }

    /// Takes out the first from `cursor` on, or from the beginning.
    pub fn take_next(&mut self, cursor: u64) -> Option<u64> {
        if self.count == 0 {
            return None;
        }
        let start = if cursor < self.regions { cursor } else { 0 };
        let words = self.words.len() as u64;
        // The word of the cursor comes twice: first without what is before it.
        for step in 0..=words {
            let index = (start / 64 + step) % words;
            let word = self.words[index as usize];
            let found = if step == 0 {
                word & (u64::MAX << (start % 64))
            } else {
                word
            };
            if found != 0 {
                let region = index * 64 + u64::from(found.trailing_zeros());
                self.words[index as usize] &= !(1 << (region % 64));
                self.count -= 1;
                return Some(region);
            }
        }
        None
    }

    pub fn insert_all(&mut self, other: &Self) {
        for run in other.runs(None) {
            self.insert_run(run);
        }
    }

    pub fn clear(&mut self) {
        self.words.fill(0);
        self.count = 0;
    }

    /// All but those of the other, in order, joined.
    pub fn runs(&self, but: Option<&Self>) -> Vec<RegionRun> {
        let mut runs: Vec<RegionRun> = Vec::new();
        for (index, word) in self.words.iter().enumerate() {
            let mut rest = word & !but.map_or(0, |but| but.words[index]);
            while rest != 0 {
                let first = index as u64 * 64 + u64::from(rest.trailing_zeros());
                rest &= rest - 1;
                match runs.last_mut() {
                    Some(run) if run.first + run.count == first => run.count += 1,
                    _ => runs.push(RegionRun { first, count: 1 }),
                }
            }
        }
        runs
    }
}

/// Where the clearing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Quiet,
    Flushing,
    Clearing,
}

/// The engine's knowledge of marks.
#[derive(Debug)]
pub(super) struct Marks {
    /// Changed since the last clear began.
    dirty: Regions,
    /// Being cleared; still marked until that is answered.
    clearing: Regions,
    stage: Stage,
    /// Last change covered by the flush under way.
    covered: Sequence,
    /// Runs of the clear under way that did not fit into its request.
    rest: Vec<RegionRun>,
    /// Changes that are not decided.
    changing: u32,
    /// When the last one was decided.
    changed: Nanos,
}

impl Marks {
    pub fn of(size: u64) -> Self {
        Self {
            dirty: Regions::of(size),
            clearing: Regions::of(size),
            stage: Stage::Quiet,
            covered: 0,
            rest: Vec::new(),
            changing: 0,
            changed: Nanos::default(),
        }
    }

    /// Found marked, or about to be.
    pub fn dirty_mut(&mut self) -> &mut Regions {
        &mut self.dirty
    }

    /// A change of this range begins. True: a replica has to mark it first.
    pub fn begin(&mut self, offset: u64, length: u64) -> bool {
        self.changing += 1;
        self.dirty.insert_range(offset, length)
    }

    /// A change is decided everywhere.
    pub fn decided(&mut self, now: Nanos) {
        self.changing -= 1;
        self.changed = now;
    }

    /// Nothing changes from now on until it does.
    pub fn rest(&mut self, now: Nanos) {
        self.changed = now;
    }

    /// What of a clear is still to be asked for.
    pub fn keep_rest(&mut self, rest: Vec<RegionRun>) {
        self.rest = rest;
    }

    /// The same, to ask for it now.
    pub fn take_rest(&mut self) -> Vec<RegionRun> {
        std::mem::take(&mut self.rest)
    }

    /// No clear is under way.
    pub fn is_quiet(&self) -> bool {
        self.stage == Stage::Quiet
    }

    /// All that may be marked anywhere.
    pub fn runs(&self) -> Vec<RegionRun> {
        let mut all = self.dirty.clone();
        all.insert_all(&self.clearing);
        all.runs(None)
    }

    /// When the next clear is due; none while nothing is marked or something changes.
    pub fn next(&self) -> Option<Nanos> {
        let due = self.stage == Stage::Quiet && self.changing == 0 && !self.dirty.is_empty();
        due.then(|| self.changed + MARKS_IDLE)
    }
}

impl Engine {
    /// Starts a clear if it is time.
    pub(super) fn clear_due(&mut self, now: Nanos, out: &mut Vec<Effect>) {
        let due = self.marks.next().is_some_and(|next| next <= now);
        if !due || !matches!(self.state, State::Serving | State::Broken) {
            return;
        }
        let marks = &mut self.marks;
        marks.stage = Stage::Flushing;
        marks.covered = self.seq;
        std::mem::swap(&mut marks.dirty, &mut marks.clearing);
        marks.dirty.clear();
        if mutants::active(Mutant::ClearUnflushed) {
            return self.marks_flushed(now, out);
        }
        self.flush(now, Work::MarksFlush, out);
    }

    /// Every needed replica has finished the flush.
    pub(super) fn marks_flushed(&mut self, now: Nanos, out: &mut Vec<Effect>) {
        let marks = &mut self.marks;
        marks.stage = Stage::Clearing;
        let later = Some(&marks.dirty).filter(|_| !mutants::active(Mutant::ClearUnordered));
        let runs = marks.clearing.runs(later);
        let covered = marks.covered;
        if runs.is_empty() {
            return self.marks_cleared(now, out);
        }
        self.clear(now, Work::MarksClear, covered, runs, out);
    }

    /// Every needed replica has cleared.
    pub(super) fn marks_cleared(&mut self, now: Nanos, out: &mut Vec<Effect>) {
        let rest = self.marks.take_rest();
        if !rest.is_empty() {
            return self.clear(now, Work::MarksClear, self.marks.covered, rest, out);
        }
        self.marks.clearing.clear();
        self.marks.stage = Stage::Quiet;
        self.drained(now, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every region comes once, from the cursor on and then from the beginning, also in the last, partly filled word.
    #[test]
    fn each_region_is_taken_once() {
        for count in [1, 63, 64, 65, 130] {
            for cursor in [0, 1, 63, 64, count - 1, count, count + 5] {
                let mut regions = Regions::of(count * REGION_BYTES);
                regions.insert_everything();
                assert_eq!(regions.missing(), 0);
                let taken: Vec<u64> = std::iter::from_fn(|| regions.take_next(cursor)).collect();
                let start = if cursor < count { cursor } else { 0 };
                let expected: Vec<u64> = (start..count).chain(0..start).collect();
                assert_eq!(taken, expected, "{count} from {cursor}");
                assert_eq!(regions.missing(), count);
                assert!(regions.is_empty());
            }
        }
    }

    #[test]
    fn what_is_new_is_told() {
        let mut regions = Regions::of(4 * REGION_BYTES);
        assert!(regions.insert_range(REGION_BYTES - 1, 2));
        assert!(!regions.insert_range(0, 2 * REGION_BYTES));
        assert!(regions.insert_range(0, 2 * REGION_BYTES + 1));
        assert_eq!(regions.take_next(1), Some(1));
        assert!(regions.insert_range(REGION_BYTES, 1));
    }
}
