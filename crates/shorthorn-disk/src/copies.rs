//! Whole blocks with their states: hash, fetch and copy for equalising and resync; extents; and settling what a process
//! that died left in the middle.

use crate::blocks::{CHUNK, Payload};
use crate::replica::regions_of;
use crate::sums::{ABSENT, BLOCK, ZERO_SUM, block_sum, entry, runs, set_entry};
use crate::{Disk, DiskError, ReplicaFiles};
use bytes::Bytes;
use shorthorn_wire::REGION_BYTES;
use shorthorn_wire::message::{BlockState, Blocks, Extent};
use std::sync::Arc;

/// Blocks hashed at a time.
const PIECE: u64 = 64;

/// What [`ReplicaFiles::hash`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hashed {
    /// BLAKE3 over one byte a block, its state (0 zero, 1 good, 2 bad), and then the BLAKE3 of the contents of the blocks
    /// that are not zero, joined.
    pub digest: [u8; 32],
    /// Whether a block is bad.
    pub bad: bool,
}

impl<D: Disk> ReplicaFiles<D> {
    /// Runs of data and holes from `offset`, at most `limit` of them, so maybe of a part of the range. Neighbours differ
    /// in kind. A hole reads as zeroes; data may.
    pub fn extents(
        &mut self,
        offset: u64,
        length: u64,
        limit: usize,
    ) -> Result<Vec<Extent>, DiskError> {
        self.fault.check()?;
        self.check_range(offset, length)?;
        let block = BLOCK as u64;
        let end = (offset + length).div_ceil(block);
        let mut extents: Vec<Extent> = Vec::new();
        let mut at = offset;
        while at < offset + length {
            let first = at / block;
            let some = CHUNK.min(end - first) as usize;
            self.find_data(first, some)?;
            for index in 0..some {
                let stop = ((first + index as u64 + 1) * block).min(offset + length);
                let data = self.entries[index] != 0;
                let full = extents.len() == limit;
                match extents.last_mut() {
                    Some(last) if last.data == data => last.length += stop - at,
                    _ if full => return Ok(extents),
                    _ => extents.push(Extent {
                        length: stop - at,
                        data,
                    }),
                }
                at = stop;
            }
        }
        Ok(extents)
    }

    /// Leaves in `self.entries` one byte a block: 1 if it holds data in some layer, 0 if it surely reads as zeroes.
    fn find_data(&mut self, first: u64, count: usize) -> Result<(), DiskError> {
        let mut holds: Vec<Option<bool>> = vec![None; count];
        for layer in (0..self.layers.len()).rev() {
            self.changed.resize(count * crate::sums::ENTRY, 0);
            self.layers[layer].read_entries(first, &mut self.changed)?;
            let head = layer == self.layers.len() - 1;
            for (index, holds) in holds
                .iter_mut()
                .enumerate()
                .filter(|(_, holds)| holds.is_none())
            {
                let (sum, previous) = entry(&self.changed, index);
                let dead_writer =
                    head && self.regions.is_unresolved((first + index as u64) / CHUNK);
                *holds = match sum {
                    ABSENT => None,
                    ZERO_SUM => Some(dead_writer && previous != ZERO_SUM),
                    _ => Some(true),
                };
            }
        }
        self.entries.clear();
        self.entries
            .extend(holds.into_iter().map(|holds| u8::from(holds == Some(true))));
        Ok(())
    }

    /// Strong hash of whole blocks, at most one region's worth.
    pub fn hash(&mut self, offset: u64, length: u64) -> Result<Hashed, DiskError> {
        let (first, count) = self.whole_blocks(offset, length)?;
        let mut blocks = std::mem::take(&mut self.scratch);
        let hashed = self.hash_blocks(first, count, &mut blocks);
        self.scratch = blocks;
        hashed
    }

    fn hash_blocks(
        &mut self,
        first: u64,
        count: u64,
        blocks: &mut Vec<u8>,
    ) -> Result<Hashed, DiskError> {
        // Contents by themselves: in long runs BLAKE3 is several times as fast as with a state before each block.
        let (mut states, mut contents) = (blake3::Hasher::new(), blake3::Hasher::new());
        let mut bad = false;
        let mut done = 0;
        while done < count {
            let some = PIECE.min(count - done) as usize;
            blocks.resize(some * BLOCK, 0);
            self.load(first + done, blocks)?;
            for state in &self.states {
                states.update(&[state_byte(state)]);
                bad |= matches!(state, BlockState::Bad { .. });
            }
            let zero = |index: usize| matches!(self.states[index], BlockState::Zero);
            for (from, to) in runs(some, zero).filter(|run| !zero(run.0)) {
                contents.update(&blocks[from * BLOCK..to * BLOCK]);
            }
            done += some as u64;
        }
        states.update(contents.finalize().as_bytes());
        Ok(Hashed {
            digest: *states.finalize().as_bytes(),
            bad,
        })
    }

    /// Whole blocks with their states, at most one region's worth.
    pub fn fetch(&mut self, offset: u64, length: u64) -> Result<Blocks, DiskError> {
        let (first, count) = self.whole_blocks(offset, length)?;
        let mut data = vec![0; count as usize * BLOCK];
        self.load(first, &mut data)?;
        let mut end = 0;
        for (index, state) in self.states.iter().enumerate() {
            if !matches!(state, BlockState::Zero) {
                data.copy_within(index * BLOCK..(index + 1) * BLOCK, end);
                end += BLOCK;
            }
        }
        data.truncate(end);
        data.shrink_to_fit();
        Ok(Blocks {
            states: self.states.clone(),
            data: Bytes::from(data),
        })
    }

    /// Puts whole blocks with their states into marked regions. A `Good` whose data does not fit its checksum is refused
    /// (`Invalid`); a `Bad` stays bad. Errors as [`Self::write`]; at most one region's worth.
    pub fn copy(&mut self, offset: u64, blocks: &Blocks) -> Result<(), DiskError> {
        let (first, _) = self.whole_blocks(offset, (blocks.states.len() * BLOCK) as u64)?;
        let sums = check_blocks(blocks)?;
        self.prepare(offset, (blocks.states.len() * BLOCK) as u64)?;
        let zero = |index: usize| matches!(blocks.states[index], BlockState::Zero);
        // What needs space first: a full disk then finds nothing changed.
        let data_runs = || runs(sums.len(), zero).filter(|run| !zero(run.0));
        let several = data_runs().count() > 1;
        for (from, to) in data_runs().filter(|_| several) {
            self.reserve(first + from as u64, (to - from) as u64, true)?;
        }
        let mut data = &blocks.data[..];
        for (from, to) in data_runs() {
            let (run, rest) = data.split_at((to - from) * BLOCK);
            self.put(
                first + from as u64,
                Payload::whole(run),
                Some(&sums[from..to]),
            )?;
            data = rest;
        }
        for (from, to) in runs(sums.len(), zero).filter(|run| zero(run.0)) {
            self.zero_blocks(first + from as u64, (to - from) as u64, true)?;
        }
        Ok(())
    }

    /// Checks a range of whole blocks, at most one region's worth; (first block, count).
    fn whole_blocks(&mut self, offset: u64, length: u64) -> Result<(u64, u64), DiskError> {
        self.fault.check()?;
        let block = BLOCK as u64;
        if offset % block != 0 || length % block != 0 {
            return Err(DiskError::Misaligned { offset, length });
        }
        self.check_range(offset, length)?;
        if length > REGION_BYTES {
            return Err(DiskError::invalid(format!(
                "{length} bytes are more than one region's worth"
            )));
        }
        for region in regions_of(offset, length) {
            self.resolve(region)?;
        }
        Ok((offset / block, length / block))
    }

    /// Settles a region that was marked when the replica was opened: a block whose data fits `previous` gets it as its
    /// `sum`, durably, so that from here on only `sum` counts. Blocks that fit neither stay as they are: bad. What a dead
    /// writer left under an absent entry goes: it never happened, and must not come back in a torn block after a flush.
    pub(crate) fn resolve(&mut self, region: u64) -> Result<(), DiskError> {
        if !self.regions.is_unresolved(region) {
            return Ok(());
        }
        let first = region * CHUNK;
        let count = CHUNK.min(self.size() / BLOCK as u64 - first) as usize;
        self.load_entries(first, count)?;
        let absent = |index: usize| entry(&self.entries, index).0 == ABSENT;
        let holes: Vec<_> = runs(count, absent).filter(|run| absent(run.0)).collect();
        for (from, to) in holes {
            self.erase(first + from as u64, first + to as u64, true)?;
        }
        let unsure =
            |(sum, previous): (u32, u32)| sum != ABSENT && previous != ABSENT && previous != sum;
        let mut changed = false;
        if (0..count).any(|index| unsure(entry(&self.entries, index))) {
            let mut block = [0; BLOCK];
            for index in 0..count {
                let (sum, previous) = entry(&self.entries, index);
                if !unsure((sum, previous)) {
                    continue;
                }
                self.head().read_blocks(first + index as u64, &mut block)?;
                if block_sum(&block) == previous {
                    set_entry(&mut self.entries, index, previous, previous);
                    changed = true;
                }
            }
        }
        if changed {
            self.changed.clone_from(&self.entries);
            self.write_changed(first, 0, count)?;
            // Rare (only where a process died between two writes), and a clear may follow at any time: after it only
            // `sum` counts, so it must be right on disk before.
            let sums = Arc::clone(&self.head().sums);
            sums.sync(&self.fault).map_err(|error| self.broken(error))?;
        }
        self.regions.set_resolved(region);
        Ok(())
    }
}

fn state_byte(state: &BlockState) -> u8 {
    match state {
        BlockState::Zero => 0,
        BlockState::Good { .. } => 1,
        BlockState::Bad { .. } => 2,
    }
}

/// The checksums to record, 0 for zero blocks. Refuses blocks that contradict themselves.
fn check_blocks(blocks: &Blocks) -> Result<Vec<u32>, DiskError> {
    let full = blocks
        .states
        .iter()
        .filter(|state| !matches!(state, BlockState::Zero))
        .count();
    if blocks.data.len() != full * BLOCK {
        return Err(DiskError::invalid(format!(
            "{} bytes for {full} blocks of data",
            blocks.data.len()
        )));
    }
    let mut data = blocks.data.chunks_exact(BLOCK);
    let mut sums = Vec::with_capacity(blocks.states.len());
    for state in &blocks.states {
        sums.push(match *state {
            BlockState::Zero => ABSENT,
            BlockState::Bad { sum: ABSENT } => {
                return Err(DiskError::invalid("a bad block's checksum is never 0"));
            }
            BlockState::Bad { sum } => data.next().map_or(sum, |_| sum),
            BlockState::Good { sum } => match data.next().map(block_sum) {
                Some(found) if found == sum => sum,
                _ => {
                    return Err(DiskError::invalid(
                        "a copied block does not fit its checksum",
                    ));
                }
            },
        });
    }
    Ok(sums)
}
