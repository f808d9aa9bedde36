//! Which regions are dirty, and since which change: what a clear may clear (docs/protocol.md, Marks).
//!
//! Memory: nothing for clean parts; 8 bytes a region, in pieces of 256 regions, where something is dirty.

use std::collections::BTreeMap;

use shorthorn_wire::REGION_BYTES;
use shorthorn_wire::message::{RegionRun, Sequence};

const CHUNK_REGIONS: u64 = 256;

/// One entry a region: 0 for clean, else 1 + the sequence of the last change.
type Chunk = [u64; CHUNK_REGIONS as usize];

/// Dirty regions with the sequence of the last change in each.
#[derive(Clone, Debug, Default)]
pub struct Marks {
    chunks: BTreeMap<u64, Box<Chunk>>,
}

/// The regions that a byte range touches; `length` is at least 1 and the end is inside the volume.
pub fn regions_of(offset: u64, length: u64) -> RegionRun {
    let first = offset / REGION_BYTES;
    let last = (offset + length - 1) / REGION_BYTES;
    RegionRun {
        first,
        count: last - first + 1,
    }
}

/// Whether some region is in both.
pub fn overlap(one: RegionRun, other: RegionRun) -> bool {
    one.first < other.first + other.count && other.first < one.first + one.count
}

impl Marks {
    /// Marks that were found at start, from before any change of now.
    pub fn found(runs: &[RegionRun]) -> Self {
        let mut marks = Self::default();
        for run in runs {
            marks.set(*run, 0);
        }
        marks
    }

    /// Whether nothing is dirty.
    pub fn is_clear(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Whether a region is dirty.
    pub fn contains(&self, region: u64) -> bool {
        self.entry(region) != 0
    }

    /// Marks regions; `seq` is the change that does so.
    pub fn set(&mut self, run: RegionRun, seq: Sequence) {
        for region in run.first..run.first + run.count {
            let chunk = self.chunks.entry(region / CHUNK_REGIONS);
            let chunk = chunk.or_insert_with(|| Box::new([0; CHUNK_REGIONS as usize]));
            let entry = &mut chunk[(region % CHUNK_REGIONS) as usize];
            *entry = (*entry).max(seq.saturating_add(1));
        }
    }

    /// Those of `run` that are dirty already are now changed by `seq` too.
    pub fn raise(&mut self, run: RegionRun, seq: Sequence) {
        for region in run.first..run.first + run.count {
            if self.contains(region) {
                self.set(
                    RegionRun {
                        first: region,
                        count: 1,
                    },
                    seq,
                );
            }
        }
    }

    /// All that is dirty counts from now on as changed before the first change of a new attempt.
    pub fn forget_sequences(&mut self) {
        for entry in self.chunks.values_mut().flat_map(|chunk| chunk.iter_mut()) {
            *entry = (*entry).min(1);
        }
    }

    /// Those of `run` that are clean, joined.
    pub fn clean_in(&self, run: RegionRun) -> Vec<RegionRun> {
        join((run.first..run.first + run.count).filter(|region| !self.contains(*region)))
    }

    /// Clears those of `runs` that are dirty and were not changed after `seq`; says which, joined.
    pub fn clear(&mut self, runs: &[RegionRun], seq: Sequence) -> Vec<RegionRun> {
        let mut cleared = Vec::new();
        for run in runs {
            let end = run.first + run.count;
            let mut chunks = Vec::new();
            for (index, chunk) in self
                .chunks
                .range_mut(run.first / CHUNK_REGIONS..=(end - 1) / CHUNK_REGIONS)
            {
                let base = index * CHUNK_REGIONS;
                let (from, to) = (run.first.max(base), end.min(base + CHUNK_REGIONS));
                for region in from..to {
                    let entry = &mut chunk[(region - base) as usize];
                    if *entry != 0 && *entry - 1 <= seq {
                        *entry = 0;
                        cleared.push(region);
                    }
                }
                if chunk.iter().all(|entry| *entry == 0) {
                    chunks.push(*index);
                }
            }
            for index in chunks {
                self.chunks.remove(&index);
            }
        }
        cleared.sort_unstable();
        join(cleared.into_iter())
    }

    /// Dirty regions in order, joined; at most `limit` runs: if there are more, runs with the smallest gaps become one.
    /// So the answer may hold clean regions, and never lacks a dirty one.
    pub fn runs(&self, limit: usize) -> Vec<RegionRun> {
        let dirty = self.chunks.iter().flat_map(|(index, chunk)| {
            let base = index * CHUNK_REGIONS;
            chunk
                .iter()
                .zip(base..)
                .filter(|(entry, _)| **entry != 0)
                .map(|(_, region)| region)
        });
        let mut runs = join(dirty);
        let mut gap = 1;
        while runs.len() > limit.max(1) {
            runs = close_gaps(&runs, gap);
            gap *= 2;
        }
        runs
    }

    fn entry(&self, region: u64) -> u64 {
        let chunk = self.chunks.get(&(region / CHUNK_REGIONS));
        chunk.map_or(0, |chunk| chunk[(region % CHUNK_REGIONS) as usize])
    }
}

/// Runs of ascending regions.
fn join(regions: impl Iterator<Item = u64>) -> Vec<RegionRun> {
    let mut runs: Vec<RegionRun> = Vec::new();
    for region in regions {
        match runs.last_mut() {
            Some(last) if last.first + last.count == region => last.count += 1,
            _ => runs.push(RegionRun {
                first: region,
                count: 1,
            }),
        }
    }
    runs
}

/// Joins neighbours that are at most `gap` regions apart.
fn close_gaps(runs: &[RegionRun], gap: u64) -> Vec<RegionRun> {
    let mut joined: Vec<RegionRun> = Vec::new();
    for run in runs {
        match joined.last_mut() {
            Some(last) if run.first - (last.first + last.count) <= gap => {
                last.count = run.first + run.count - last.first;
            }
            _ => joined.push(*run),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(first: u64, count: u64) -> RegionRun {
        RegionRun { first, count }
    }

    #[test]
    fn a_clear_skips_what_was_changed_after_its_sequence() {
        let mut marks = Marks::default();
        marks.set(run(254, 4), 5);
        marks.set(run(255, 1), 9);
        assert_eq!(marks.clear(&[run(0, 1000)], 8), [run(254, 1), run(256, 2)]);
        assert_eq!(marks.runs(9), [run(255, 1)]);
        assert_eq!(marks.clear(&[run(255, 1)], 9), [run(255, 1)]);
        assert!(marks.is_clear());
    }

    #[test]
    fn a_mark_never_gets_older() {
        let mut marks = Marks::default();
        marks.set(run(1, 1), 9);
        marks.set(run(1, 1), 3);
        assert!(marks.clear(&[run(1, 1)], 8).is_empty());
    }

    #[test]
    fn a_clear_of_what_is_clean_clears_nothing() {
        let mut marks = Marks::found(&[run(7, 1)]);
        assert!(
            marks
                .clear(&[run(0, 7), run(8, u64::MAX - 8)], 100)
                .is_empty()
        );
        assert_eq!(marks.runs(9), [run(7, 1)]);
    }

    #[test]
    fn too_many_runs_are_joined_and_none_is_lost() {
        let mut marks = Marks::default();
        for region in [0, 2, 4, 100, 102, 500] {
            marks.set(run(region, 1), 1);
        }
        assert_eq!(marks.runs(6).len(), 6);
        assert_eq!(marks.runs(3), [run(0, 5), run(100, 3), run(500, 1)]);
        assert_eq!(marks.runs(1), [run(0, 501)]);
    }

    #[test]
    fn clean_regions_are_found_for_a_new_mark() {
        let marks = Marks::found(&[run(3, 2)]);
        assert_eq!(marks.clean_in(run(2, 5)), [run(2, 1), run(5, 2)]);
        assert!(marks.clean_in(run(3, 2)).is_empty());
    }

    #[test]
    fn a_range_of_bytes_touches_its_regions() {
        assert_eq!(regions_of(0, 1), run(0, 1));
        assert_eq!(regions_of(REGION_BYTES - 1, 2), run(0, 2));
        assert_eq!(regions_of(REGION_BYTES, REGION_BYTES), run(1, 1));
    }
}
