//! Checksums of blocks, and the 8-byte entry that a layer keeps for each: the checksum, and the one before it.
//!
//! `sum` 0 says: absent in this layer. `previous` is what the block's checksum was when this entry was written (0: it
//! was absent); it counts only where a process may have died between the entry and the data (docs/formats/disk.md).

use shorthorn_wire::BLOCK_BYTES;
pub(crate) use shorthorn_wire::sum::{ABSENT_SUM as ABSENT, ZERO_SUM, block_sum};

/// Bytes of a block, as an index.
pub(crate) const BLOCK: usize = BLOCK_BYTES as usize;

/// Bytes of an entry.
pub(crate) const ENTRY: usize = 8;

/// Entry `index` of a buffer of entries: (sum, previous).
pub(crate) fn entry(entries: &[u8], index: usize) -> (u32, u32) {
    let at = index * ENTRY;
    let word = |from: usize| {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&entries[from..from + 4]);
        u32::from_le_bytes(bytes)
    };
    (word(at), word(at + 4))
}

/// Sets entry `index` of a buffer of entries.
pub(crate) fn set_entry(entries: &mut [u8], index: usize, sum: u32, previous: u32) {
    let at = index * ENTRY;
    entries[at..at + 4].copy_from_slice(&sum.to_le_bytes());
    entries[at + 4..at + 8].copy_from_slice(&previous.to_le_bytes());
}

/// The longest runs `(from, to)` of indices `0..count` on which `kind` is the same.
pub(crate) fn runs<K: PartialEq>(
    count: usize,
    kind: impl Fn(usize) -> K,
) -> impl Iterator<Item = (usize, usize)> {
    let mut from = 0;
    std::iter::from_fn(move || {
        if from == count {
            return None;
        }
        let mut to = from + 1;
        while to < count && kind(to) == kind(from) {
            to += 1;
        }
        let run = (from, to);
        from = to;
        Some(run)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_zeroes_have_the_zero_sum() {
        assert_eq!(block_sum(&[0; BLOCK]), ZERO_SUM);
        assert_eq!(crc32c::crc32c(&[0; BLOCK]), ZERO_SUM);
    }

    #[test]
    fn a_made_up_collision_with_the_zero_block_or_absent_gets_another_sum() {
        for target in [ZERO_SUM, ABSENT] {
            let block = collide(target);
            assert_eq!(crc32c::crc32c(&block), target);
            assert_eq!(block_sum(&block), target ^ 1);
        }
    }

    /// A block that is not zero and has the given CRC: CRC is linear, so four bytes can be solved for bit by bit.
    fn collide(target: u32) -> Vec<u8> {
        let base = {
            let mut block = vec![0; BLOCK];
            block[0] = 7;
            block
        };
        let crc_with = |bits: u32| {
            let mut block = base.clone();
            block[BLOCK - 4..].copy_from_slice(&bits.to_le_bytes());
            crc32c::crc32c(&block)
        };
        let zero = crc_with(0);
        // Gaussian elimination over GF(2): columns are the effect of each bit.
        let mut rows: Vec<(u32, u32)> = Vec::new();
        for bit in 0..32 {
            let mut effect = crc_with(1 << bit) ^ zero;
            let mut bits = 1u32 << bit;
            for &(row, made_of) in &rows {
                if effect & (1 << row.trailing_zeros()) != 0 {
                    effect ^= row;
                    bits ^= made_of;
                }
            }
            rows.push((effect, bits));
        }
        let mut left = target ^ zero;
        let mut bits = 0;
        for &(row, made_of) in &rows {
            if left & (1 << row.trailing_zeros()) != 0 {
                left ^= row;
                bits ^= made_of;
            }
        }
        assert_eq!(left, 0);
        let mut block = base.clone();
        block[BLOCK - 4..].copy_from_slice(&bits.to_le_bytes());
        block
    }

    #[test]
    fn runs_cover_every_index_once() {
        let kinds = [1, 1, 2, 2, 2, 1];
        let found: Vec<_> = runs(kinds.len(), |i| kinds[i]).collect();
        assert_eq!(found, [(0, 2), (2, 5), (5, 6)]);
        assert_eq!(runs(0, |_| 0).count(), 0);
    }
}
