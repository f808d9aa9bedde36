//! Bytes of any alignment: read, write, zero; and the steps all changes of blocks are made of.
//!
//! The order that a process crash must find (docs/formats/disk.md): a present block's entry before its data, an absent
//! block's data before its entry. What can be refused (range, marks, a bad old block, no space) is asked before the first
//! byte is changed.

use crate::error::is_no_space;
use crate::replica::regions_of;
use crate::sums::{ABSENT, BLOCK, ENTRY, ZERO_SUM, block_sum, entry, runs, set_entry};
use crate::sync::Durable;
use crate::{Disk, DiskError, File, ReplicaFiles};
use shorthorn_wire::REGION_BYTES;
use shorthorn_wire::message::BlockState;
use std::sync::Arc;

/// Most blocks handled at a time (one region's worth): bounds the memory of a request of any length.
pub(crate) const CHUNK: u64 = REGION_BYTES / BLOCK as u64;

/// Consecutive whole blocks, in up to three pieces: the ends may have been merged with what was there.
#[derive(Clone, Copy)]
pub(crate) struct Payload<'a> {
    pub(crate) pieces: [&'a [u8]; 3],
}

impl<'a> Payload<'a> {
    pub(crate) fn whole(blocks: &'a [u8]) -> Self {
        Self {
            pieces: [blocks, &[], &[]],
        }
    }

    fn count(&self) -> u64 {
        self.pieces
            .iter()
            .map(|piece| (piece.len() / BLOCK) as u64)
            .sum()
    }

    fn block(&self, index: u64) -> &'a [u8] {
        let mut at = index as usize * BLOCK;
        for piece in self.pieces {
            if at < piece.len() {
                return &piece[at..at + BLOCK];
            }
            at -= piece.len();
        }
        &[]
    }

    /// Writes blocks `from..to` of the payload where they belong; block 0 of it is block `first` of the volume.
    fn write<F: File>(
        &self,
        file: &Durable<F>,
        first: u64,
        from: u64,
        to: u64,
    ) -> Result<(), DiskError> {
        let mut start = 0;
        for piece in self.pieces {
            let end = start + (piece.len() / BLOCK) as u64;
            let (low, high) = (from.max(start), to.min(end));
            if low < high {
                let bytes = &piece[(low - start) as usize * BLOCK..(high - start) as usize * BLOCK];
                file.write(bytes, (first + low) * BLOCK as u64)?;
            }
            start = end;
        }
        Ok(())
    }
}

impl<D: Disk> ReplicaFiles<D> {
    /// Writes bytes of any alignment into marked regions.
    ///
    /// Errors: `NoSpace` (nothing applied), `Corrupt` (a block that is only partly overwritten is bad; nothing applied),
    /// `Unmarked`, `OutOfRange`, `Io`.
    pub fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        self.prepare(offset, data.len() as u64)?;
        if data.is_empty() {
            return Ok(());
        }
        let first = offset / BLOCK as u64;
        let start = (offset % BLOCK as u64) as usize;
        let end = (start + data.len()) % BLOCK;
        if start == 0 && end == 0 {
            return self.put(first, Payload::whole(data), None);
        }
        let last = first + ((start + data.len() - 1) / BLOCK) as u64;
        let (mut head, mut tail) = ([0; BLOCK], [0; BLOCK]);
        if first == last {
            self.read_block(first, &mut head)?;
            head[start..start + data.len()].copy_from_slice(data);
            return self.put(first, Payload::whole(&head), None);
        }
        let (mut pieces, mut body): ([&[u8]; 3], _) = ([&[]; 3], data);
        if end != 0 {
            self.read_block(last, &mut tail)?;
            let (rest, part) = body.split_at(body.len() - end);
            tail[..end].copy_from_slice(part);
            body = rest;
            pieces[2] = &tail;
        }
        if start != 0 {
            self.read_block(first, &mut head)?;
            let (part, rest) = body.split_at(BLOCK - start);
            head[start..].copy_from_slice(part);
            body = rest;
            pieces[0] = &head;
        }
        pieces[1] = body;
        self.put(first, Payload { pieces }, None)
    }

    /// Makes a range of marked regions read as zeroes; with `punch` its space is given back, else it stays allocated where
    /// it is. Errors as [`Self::write`].
    pub fn zero(&mut self, offset: u64, length: u64, punch: bool) -> Result<(), DiskError> {
        self.prepare(offset, length)?;
        let block = BLOCK as u64;
        let (from, to) = (offset.div_ceil(block), (offset + length) / block);
        let (start, end) = (offset / block, (offset + length).div_ceil(block));
        // Blocks that are zeroed in part: where they hold something there, what stays is written.
        let mut edges = [(start, [0; BLOCK]), (end.saturating_sub(1), [0; BLOCK])];
        let mut needed = [false; 2];
        for (index, (number, content)) in edges.iter_mut().enumerate() {
            let whole = (from..to).contains(number);
            if length == 0 || whole || (index == 1 && start + 1 == end) {
                continue;
            }
            self.read_block(*number, content)?;
            let low = offset.saturating_sub(*number * block) as usize;
            let high = (offset + length - *number * block).min(block) as usize;
            let part = &mut content[low..high];
            needed[index] = part.iter().any(|&byte| byte != 0);
            part.fill(0);
        }
        for (number, _) in edges
            .iter()
            .zip(needed)
            .filter(|(_, needed)| *needed)
            .map(|(edge, _)| edge)
        {
            self.reserve(*number, 1, true)?;
        }
        for ((number, content), _) in edges.iter().zip(needed).filter(|(_, needed)| *needed) {
            self.put(*number, Payload::whole(content), None)?;
        }
        if from < to {
            self.zero_blocks(from, to - from, punch)
        } else {
            Ok(())
        }
    }

    /// Reads bytes of any alignment into `out`, which then holds exactly these. Every block is verified.
    ///
    /// Errors: `Corrupt` (the first bad block), `OutOfRange`, `Io`.
    pub fn read(&mut self, offset: u64, length: u64, out: &mut Vec<u8>) -> Result<(), DiskError> {
        self.fault.check()?;
        self.check_range(offset, length)?;
        let block = BLOCK as u64;
        let (first, end) = (offset / block, (offset + length).div_ceil(block));
        let count = if length == 0 { 0 } else { end - first };
        out.clear();
        out.resize(count as usize * BLOCK, 0);
        for (number, blocks) in (first..)
            .step_by(CHUNK as usize)
            .zip(out.chunks_mut(CHUNK as usize * BLOCK))
        {
            self.load(number, blocks)?;
            self.refuse_bad(number)?;
        }
        let skip = (offset % block) as usize;
        if skip != 0 && count != 0 {
            out.copy_within(skip.., 0);
        }
        out.truncate(length as usize);
        Ok(())
    }

    /// What every change asks first: not failed, in range, marked; and what a dead process left there is settled.
    pub(crate) fn prepare(&mut self, offset: u64, length: u64) -> Result<(), DiskError> {
        self.fault.check()?;
        self.check_range(offset, length)?;
        for region in regions_of(offset, length) {
            if !self.regions.is_dirty(region) {
                return Err(DiskError::Unmarked { region });
            }
        }
        for region in regions_of(offset, length) {
            self.resolve(region)?;
        }
        Ok(())
    }

    fn read_block(&mut self, number: u64, content: &mut [u8]) -> Result<(), DiskError> {
        self.load(number, content)?;
        self.refuse_bad(number)
    }

    fn refuse_bad(&self, first: u64) -> Result<(), DiskError> {
        match self
            .states
            .iter()
            .position(|state| matches!(state, BlockState::Bad { .. }))
        {
            None => Ok(()),
            Some(index) => Err(DiskError::Corrupt {
                offset: (first + index as u64) * BLOCK as u64,
            }),
        }
    }

    /// Reads blocks `first..` (at most [`CHUNK`]) through all layers into `out`, and their states into `self.states`.
    pub(crate) fn load(&mut self, first: u64, out: &mut [u8]) -> Result<(), DiskError> {
        let count = out.len() / BLOCK;
        self.states.clear();
        self.load_entries(first, count)?;
        let mut missing = (0..count)
            .filter(|&index| entry(&self.entries, index).0 == ABSENT)
            .count();
        if missing < count {
            self.head().read_blocks(first, out)?;
        }
        for (index, block) in out.chunks_exact_mut(BLOCK).enumerate() {
            let (sum, previous) = entry(&self.entries, index);
            if sum == ABSENT {
                block.fill(0);
                self.states.push(BlockState::Zero);
                continue;
            }
            let found = block_sum(block);
            let dead_writer = self.regions.is_unresolved((first + index as u64) / CHUNK);
            let fits = found == sum || (dead_writer && found == previous);
            self.states
                .push(state_of(if fits { found } else { sum }, fits));
        }
        for layer in (0..self.layers.len() - 1).rev() {
            if missing == 0 {
                break;
            }
            missing -= self.load_below(layer, first, out)?;
        }
        Ok(())
    }

    /// Fills the blocks that are absent in all newer layers from a frozen one; says how many it had. `self.entries` keeps
    /// track of what is still absent.
    fn load_below(&mut self, layer: usize, first: u64, out: &mut [u8]) -> Result<usize, DiskError> {
        let count = out.len() / BLOCK;
        let layer = &self.layers[layer];
        self.changed.resize(count * ENTRY, 0);
        layer.read_entries(first, &mut self.changed)?;
        let (above, here) = (&mut self.entries, &self.changed);
        let mut filled = 0;
        let wanted: Vec<bool> = (0..count)
            .map(|i| entry(above, i).0 == ABSENT && entry(here, i).0 != ABSENT)
            .collect();
        for (from, to) in runs(count, |i| wanted[i]).filter(|run| wanted[run.0]) {
            let blocks = &mut out[from * BLOCK..to * BLOCK];
            layer.read_blocks(first + from as u64, blocks)?;
            for (index, block) in (from..to).zip(blocks.chunks_exact(BLOCK)) {
                let sum = entry(here, index).0;
                self.states[index] = state_of(sum, block_sum(block) == sum);
                set_entry(above, index, sum, sum);
                filled += 1;
            }
        }
        Ok(filled)
    }

    pub(crate) fn load_entries(&mut self, first: u64, count: usize) -> Result<(), DiskError> {
        self.entries.resize(count * ENTRY, 0);
        self.layers[self.layers.len() - 1].read_entries(first, &mut self.entries)
    }

    /// Makes sure that blocks `first..` can be written; afterwards `self.entries` holds theirs, if they are one chunk.
    ///
    /// Blocks that are all absent are not reserved unless `always`: a write that meets a full disk there changes nothing,
    /// because an absent block's data does not count.
    pub(crate) fn reserve(
        &mut self,
        first: u64,
        count: u64,
        always: bool,
    ) -> Result<(), DiskError> {
        let (mut absent, mut holes) = (0, 0);
        let mut done = 0;
        while done < count {
            let some = CHUNK.min(count - done);
            self.load_entries(first + done, some as usize)?;
            for index in 0..some as usize {
                let (sum, _) = entry(&self.entries, index);
                absent += u64::from(sum == ABSENT);
                holes += u64::from(sum == ABSENT || sum == ZERO_SUM);
            }
            done += some;
        }
        if holes == 0 || (absent == count && count <= CHUNK && !always) {
            return Ok(());
        }
        let data = Arc::clone(&self.head().data);
        match data
            .file
            .allocate(first * BLOCK as u64, count * BLOCK as u64)
        {
            Ok(()) => Ok(()),
            Err(error) if is_no_space(&error) => Err(data.error("reserving space", error)),
            Err(error) => Err(self.broken(data.error("reserving space", error))),
        }
    }

    /// Writes whole blocks of marked, resolved regions; `sums` are their checksums if they are not to be computed.
    pub(crate) fn put(
        &mut self,
        first: u64,
        payload: Payload,
        sums: Option<&[u32]>,
    ) -> Result<(), DiskError> {
        let count = payload.count();
        self.reserve(first, count, false)?;
        let mut done = 0;
        while done < count {
            let some = CHUNK.min(count - done) as usize;
            if count > CHUNK {
                self.load_entries(first + done, some)?;
            }
            self.changed.resize(some * ENTRY, 0);
            for index in 0..some {
                let number = done + index as u64;
                let sum = match sums {
                    Some(sums) => sums[number as usize],
                    None => block_sum(payload.block(number)),
                };
                let previous = entry(&self.entries, index).0;
                set_entry(&mut self.changed, index, sum, previous);
            }
            for index in 0..some {
                // Runs are found by hand: the buffers stay in `self`, and the common case is one run.
                let absent = |index: usize| entry(&self.entries, index).0 == ABSENT;
                if index > 0 && absent(index) == absent(index - 1) {
                    continue;
                }
                let to = (index..some)
                    .find(|&other| absent(other) != absent(index))
                    .unwrap_or(some);
                self.put_run(first, payload, done, (index, to), absent(index), count)?;
            }
            done += some as u64;
        }
        Ok(())
    }

    /// One run of blocks that are all absent or all present; `done` blocks of the payload are before this chunk.
    fn put_run(
        &mut self,
        first: u64,
        payload: Payload,
        done: u64,
        (from, to): (usize, usize),
        absent: bool,
        count: u64,
    ) -> Result<(), DiskError> {
        let data = Arc::clone(&self.head().data);
        let (low, high) = (done + from as u64, done + to as u64);
        if absent {
            match payload.write(&data, first, low, high) {
                Err(DiskError::NoSpace { what }) if high - low == count => {
                    // What was written does not count; only its space is to be given back, and only if that works.
                    let _given_back = data.file.punch(first * BLOCK as u64, count * BLOCK as u64);
                    return Err(DiskError::NoSpace { what });
                }
                other => other.map_err(|error| self.broken(error))?,
            }
            self.write_changed(first + done, from, to)
        } else {
            self.write_changed(first + done, from, to)?;
            payload
                .write(&data, first, low, high)
                .map_err(|error| self.broken(error))
        }
    }

    /// Writes entries `from..to` of `self.changed`, whose entry 0 is block `first`'s.
    pub(crate) fn write_changed(
        &mut self,
        first: u64,
        from: usize,
        to: usize,
    ) -> Result<(), DiskError> {
        let entries = &self.changed[from * ENTRY..to * ENTRY];
        let written =
            self.layers[self.layers.len() - 1].write_entries(first + from as u64, entries);
        written.map_err(|error| self.broken(error))
    }

    /// Makes whole blocks of marked, resolved regions zero. Needs no space.
    pub(crate) fn zero_blocks(
        &mut self,
        first: u64,
        count: u64,
        punch: bool,
    ) -> Result<(), DiskError> {
        // Absent at the bottom reads as zeroes already; above another layer it has to be masked.
        let masks = self.layers.len() > 1;
        let mut done = 0;
        while done < count {
            let number = first + done;
            let some = CHUNK.min(count - done) as usize;
            self.load_entries(number, some)?;
            self.changed.resize(some * ENTRY, 0);
            for index in 0..some {
                let sum = entry(&self.entries, index).0;
                set_entry(&mut self.changed, index, ZERO_SUM, sum);
            }
            for index in 0..some {
                let absent = |index: usize| entry(&self.entries, index).0 == ABSENT;
                if index > 0 && absent(index) == absent(index - 1) {
                    continue;
                }
                let absent_here = absent(index);
                let to = (index..some)
                    .find(|&other| absent(other) != absent_here)
                    .unwrap_or(some);
                if !absent_here {
                    self.write_changed(number, index, to)?;
                    self.erase(number + index as u64, number + to as u64, punch)?;
                } else if masks {
                    self.erase(number + index as u64, number + to as u64, true)?;
                    self.write_changed(number, index, to)?;
                }
            }
            done += some as u64;
        }
        Ok(())
    }

    /// Makes the data of blocks `from..to` zeroes.
    pub(crate) fn erase(&mut self, from: u64, to: u64, punch: bool) -> Result<(), DiskError> {
        let data = Arc::clone(&self.head().data);
        let (offset, length) = (from * BLOCK as u64, (to - from) * BLOCK as u64);
        let erased = if punch {
            data.file.punch(offset, length)
        } else {
            data.file.zero(offset, length)
        };
        if erased.is_ok() {
            return Ok(());
        }
        // Not every file system can (tmpfs has no zeroing), and splitting an extent may need space. Zeroes written over
        // what is there need none; where a hole is and the disk is full, a hole must do.
        let zeroes = Payload::whole(&[0; BLOCK]);
        match (from..to).try_for_each(|number| zeroes.write(&data, number, 0, 1)) {
            Err(DiskError::NoSpace { .. }) => data
                .file
                .punch(offset, length)
                .map_err(|error| self.broken(data.error("punching", error))),
            written => written.map_err(|error| self.broken(error)),
        }
    }
}

fn state_of(sum: u32, fits: bool) -> BlockState {
    match (fits, sum) {
        (true, ZERO_SUM) => BlockState::Zero,
        (true, sum) => BlockState::Good { sum },
        (false, sum) => BlockState::Bad { sum },
    }
}
