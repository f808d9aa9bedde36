//! The region table: a mark and a stamp for each region, in memory whole (8 bytes a region), on disk 16 bytes each.
//!
//! On disk: stamp (u64), dirty (u32: 0 or 1), CRC-32C (u32) over index, stamp and dirty, all little-endian. An entry never
//! crosses a 512-byte sector, so a power loss leaves it old or new; one whose CRC does not fit is taken as dirty with the
//! greatest stamp: more is copied than need be, never less.

use crate::sync::{Durable, Fault};
use crate::{DiskError, File};
use shorthorn_wire::message::{Membership, RegionRun};
use std::sync::Arc;

const ENTRY: usize = 16;
/// Entries written or read at a time: 64 KiB.
const CHUNK: u64 = 4096;

const DIRTY: u64 = 1;
/// Marked when the replica was opened, so that a process may have died in the middle of a write there.
const UNRESOLVED: u64 = 2;
/// Greatest stamp that fits beside the two bits; stands for "damaged", which is greater than any membership number.
const STAMP_MAX: u64 = u64::MAX >> 2;

pub(crate) struct Regions<F> {
    file: Arc<Durable<F>>,
    /// stamp << 2 | UNRESOLVED | DIRTY
    table: Vec<u64>,
    buffer: Vec<u8>,
}

impl<F: File> Regions<F> {
    /// Bytes of the file for so many regions.
    pub(crate) fn file_bytes(count: u64) -> u64 {
        count * ENTRY as u64
    }

    /// A table of clean regions with stamp 0; writes it.
    pub(crate) fn create(file: Arc<Durable<F>>, count: u64) -> Result<Self, DiskError> {
        let mut regions = Self {
            file,
            table: vec![0; count as usize],
            buffer: Vec::new(),
        };
        regions.store(0, count, |old| old)?;
        Ok(regions)
    }

    /// Reads the table, and makes the marks in it durable: a process may have died between writing and syncing one. They are
    /// written again, so that an OK of the sync is about them, also where an earlier sync failed.
    pub(crate) fn load(
        file: Arc<Durable<F>>,
        count: u64,
        fault: &Fault,
    ) -> Result<Self, DiskError> {
        let mut regions = Self {
            file,
            table: Vec::with_capacity(count as usize),
            buffer: Vec::new(),
        };
        let mut first = 0;
        while first < count {
            let some = CHUNK.min(count - first);
            regions.buffer.resize(some as usize * ENTRY, 0);
            regions
                .file
                .read_padded(&mut regions.buffer, first * ENTRY as u64)?;
            for (index, bytes) in (first..).zip(regions.buffer.chunks_exact(ENTRY)) {
                regions.table.push(decode(index, bytes));
            }
            first += some;
        }
        let marks = regions.marks();
        for run in &marks {
            regions.write(run.first, run.count, |old| old)?;
        }
        if !marks.is_empty() {
            regions.file.sync(fault)?;
        }
        Ok(regions)
    }

    pub(crate) fn count(&self) -> u64 {
        self.table.len() as u64
    }

    pub(crate) fn file(&self) -> &Arc<Durable<F>> {
        &self.file
    }

    pub(crate) fn is_dirty(&self, region: u64) -> bool {
        self.table[region as usize] & DIRTY != 0
    }

    pub(crate) fn is_unresolved(&self, region: u64) -> bool {
        self.table[region as usize] & UNRESOLVED != 0
    }

    pub(crate) fn set_resolved(&mut self, region: u64) {
        self.table[region as usize] &= !UNRESOLVED;
    }

    pub(crate) fn stamp(&self, region: u64) -> Membership {
        match self.table.get(region as usize).map(|entry| entry >> 2) {
            None | Some(STAMP_MAX) => u64::MAX,
            Some(stamp) => stamp,
        }
    }

    pub(crate) fn marks(&self) -> Vec<RegionRun> {
        let mut marks: Vec<RegionRun> = Vec::new();
        for region in (0..self.count()).filter(|&region| self.is_dirty(region)) {
            match marks.last_mut() {
                Some(run) if run.first + run.count == region => run.count += 1,
                _ => marks.push(RegionRun {
                    first: region,
                    count: 1,
                }),
            }
        }
        marks
    }

    /// Refuses runs that are empty or leave the table.
    pub(crate) fn check(&self, runs: &[RegionRun]) -> Result<(), DiskError> {
        let fits = |run: &RegionRun| {
            run.count > 0
                && run
                    .first
                    .checked_add(run.count)
                    .is_some_and(|end| end <= self.count())
        };
        match runs.iter().find(|run| !fits(run)) {
            None => Ok(()),
            Some(run) => Err(DiskError::invalid(format!(
                "{} regions from {} are not among this replica's {}",
                run.count,
                run.first,
                self.count()
            ))),
        }
    }

    /// Marks durably; the memory follows the disk. Runs are checked.
    pub(crate) fn mark(&mut self, runs: &[RegionRun], fault: &Fault) -> Result<(), DiskError> {
        let mut wrote = false;
        for run in runs {
            let clean = |region: &u64| !self.is_dirty(*region);
            let Some(first) = (run.first..run.first + run.count).find(clean) else {
                continue;
            };
            let last = (first..run.first + run.count)
                .rev()
                .find(clean)
                .unwrap_or(first);
            self.write(first, last - first + 1, |old| old | DIRTY)?;
            wrote = true;
        }
        if wrote {
            self.file.sync(fault)?;
            for region in runs.iter().flat_map(|run| run.first..run.first + run.count) {
                self.table[region as usize] |= DIRTY;
            }
        }
        Ok(())
    }

    /// Clears marks and raises stamps; not synced. Runs are checked.
    pub(crate) fn clear(&mut self, m: Membership, runs: &[RegionRun]) -> Result<(), DiskError> {
        if m >= STAMP_MAX {
            return Err(DiskError::invalid(format!(
                "membership number {m} is too great to be a stamp"
            )));
        }
        for run in runs {
            self.store(run.first, run.count, |old| match old >> 2 {
                STAMP_MAX => m << 2,
                stamp => stamp.max(m) << 2,
            })?;
        }
        Ok(())
    }

    /// Writes changed entries, then changes the memory.
    fn store(
        &mut self,
        first: u64,
        count: u64,
        change: impl Fn(u64) -> u64,
    ) -> Result<(), DiskError> {
        self.write(first, count, &change)?;
        for entry in &mut self.table[first as usize..(first + count) as usize] {
            *entry = change(*entry);
        }
        Ok(())
    }

    fn write(
        &mut self,
        first: u64,
        count: u64,
        change: impl Fn(u64) -> u64,
    ) -> Result<(), DiskError> {
        let mut done = 0;
        while done < count {
            let some = CHUNK.min(count - done);
            self.buffer.clear();
            for region in first + done..first + done + some {
                self.buffer
                    .extend_from_slice(&encode(region, change(self.table[region as usize])));
            }
            self.file
                .write(&self.buffer, (first + done) * ENTRY as u64)?;
            done += some;
        }
        Ok(())
    }
}

fn check_of(index: u64, entry: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&index.to_le_bytes()), &entry[..12])
}

fn encode(index: u64, state: u64) -> [u8; ENTRY] {
    let mut entry = [0; ENTRY];
    entry[..8].copy_from_slice(&(state >> 2).to_le_bytes());
    entry[8..12].copy_from_slice(&((state & DIRTY) as u32).to_le_bytes());
    let check = check_of(index, &entry);
    entry[12..].copy_from_slice(&check.to_le_bytes());
    entry
}

fn decode(index: u64, entry: &[u8]) -> u64 {
    let mut stamp = [0; 8];
    stamp.copy_from_slice(&entry[..8]);
    let stamp = u64::from_le_bytes(stamp);
    let dirty = &entry[8..12];
    if entry[12..] != check_of(index, entry).to_le_bytes() || stamp > STAMP_MAX {
        return STAMP_MAX << 2 | UNRESOLVED | DIRTY;
    }
    stamp << 2
        | if dirty == [0; 4] {
            0
        } else {
            UNRESOLVED | DIRTY
        }
}
