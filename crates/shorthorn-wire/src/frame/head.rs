//! The fixed head of a frame.

use super::WireError;

/// Bytes of a head.
pub const HEAD_BYTES: usize = 48;

/// "SHR" and the version of the frame format.
const MAGIC: [u8; 4] = *b"SHR1";

/// Write, zero: durable before the answer.
pub const FUA: u8 = 1;
/// Zero: give the space back.
pub const PUNCH: u8 = 2;
/// Hash: a block is bad.
pub const BAD: u8 = 4;

/// The kinds of frames; replies have the high bit set. Numbers are never used again for something else.
pub mod kind {
    pub const HELLO: u8 = 1;
    pub const SEAL: u8 = 2;
    pub const OPEN: u8 = 3;
    pub const MEMBER: u8 = 4;
    pub const PROBE: u8 = 5;
    pub const PING: u8 = 6;
    pub const WRITE: u8 = 7;
    pub const ZERO: u8 = 8;
    pub const FLUSH: u8 = 9;
    pub const READ: u8 = 10;
    pub const EXTENTS: u8 = 11;
    pub const CLEAR: u8 = 12;
    pub const HASH: u8 = 13;
    pub const FETCH: u8 = 14;
    pub const COPY: u8 = 15;
    pub const CLOSE: u8 = 16;

    pub const DONE: u8 = 0x81;
    pub const STANDING: u8 = 0x82;
    pub const DATA: u8 = 0x83;
    pub const CORRUPT: u8 = 0x84;
    pub const EXTENT_LIST: u8 = 0x85;
    pub const DIGEST: u8 = 0x86;
    pub const BLOCKS: u8 = 0x87;
    pub const REFUSED: u8 = 0x88;
    pub const FAILED: u8 = 0x89;
}

/// A head, without magic and its own checksum. Fields that a kind does not use are zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    pub kind: u8,
    pub flags: u8,
    pub status: u16,
    pub tag: u32,
    pub payload_len: u32,
    pub seq: u64,
    pub offset: u64,
    pub length: u64,
    pub payload_sum: u32,
}

impl Head {
    /// The bytes of the head.
    pub fn to_bytes(self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4] = self.kind;
        bytes[5] = self.flags;
        bytes[6..8].copy_from_slice(&self.status.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.tag.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.payload_len.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.seq.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.offset.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.length.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.payload_sum.to_le_bytes());
        let sum = crc32c::crc32c(&bytes[..44]);
        bytes[44..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// The head at the front of `bytes`; none while it is not whole. Wrong first bytes are noticed at once.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, WireError> {
        let seen = bytes.len().min(MAGIC.len());
        if bytes[..seen] != MAGIC[..seen] {
            let mut start = [0; 4];
            start[..seen].copy_from_slice(&bytes[..seen]);
            return Err(WireError::Magic(start));
        }
        let Some(head) = bytes.first_chunk::<HEAD_BYTES>() else {
            return Ok(None);
        };
        if crc32c::crc32c(&head[..44]) != u32_at(head, 44) {
            return Err(WireError::HeadSum);
        }
        Ok(Some(Self {
            kind: head[4],
            flags: head[5],
            status: u16::from_le_bytes([head[6], head[7]]),
            tag: u32_at(head, 8),
            payload_len: u32_at(head, 12),
            seq: u64_at(head, 16),
            offset: u64_at(head, 24),
            length: u64_at(head, 32),
            payload_sum: u32_at(head, 40),
        }))
    }

    /// An error about a frame of this kind.
    pub fn malformed(&self, what: &'static str) -> WireError {
        WireError::Malformed {
            kind: self.kind,
            what,
        }
    }
}

pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut four = [0; 4];
    four.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(four)
}

pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(eight)
}
