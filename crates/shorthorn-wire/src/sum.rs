//! The checksum of a block: the same on disk, in a copy and in the engine that accepts a torn block (docs/formats/disk.md).

use crate::BLOCK_BYTES;

/// Says "absent" on disk; no block has it.
pub const ABSENT_SUM: u32 = 0;

/// [`block_sum`] of a block of zeroes, and of no other.
pub const ZERO_SUM: u32 = 0x98f9_4189;

/// The checksum of one block: CRC-32C, but never 0 (that says "absent"), and the zero block's only for a block of zeroes
/// (so that a block can be told to be zero by its checksum alone, also when somebody makes up a collision).
///
/// `block` must be 4096 bytes.
#[must_use]
pub fn block_sum(block: &[u8]) -> u32 {
    debug_assert_eq!(block.len(), BLOCK_BYTES as usize);
    match crc32c::crc32c(block) {
        ABSENT_SUM => 1,
        ZERO_SUM if block.iter().any(|&byte| byte != 0) => ZERO_SUM ^ 1,
        crc => crc,
    }
}
