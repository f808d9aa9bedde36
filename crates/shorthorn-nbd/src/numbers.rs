//! The numbers of the NBD protocol, under their names there without the `NBD_` prefix, and our limits.
//!
//! Source: NBD protocol, "Values" and the message layouts. All numbers on the wire are big-endian.

/// Longest READ reply or WRITE payload, in bytes. The protocol asks clients that negotiate nothing to stay
/// within this; advertised as the maximum block size. A larger WRITE closes the connection.
pub const MAX_PAYLOAD_BYTES: u32 = 32 << 20;
/// Longest export name or query, in bytes (NBD protocol, "String").
pub const MAX_NAME_BYTES: usize = 4096;
/// Longest option that is buffered and understood. Holds the longest name and some queries; larger than
/// what any known client sends.
pub const MAX_OPTION_BYTES: u32 = 16 << 10;
/// Longest option that is skipped and answered with an error; a longer one closes the connection.
pub const MAX_SKIPPED_OPTION_BYTES: u32 = 64 << 10;
/// Options a client may send before transmission. qemu and libnbd send fewer than ten.
pub const MAX_OPTIONS: u32 = 64;
/// Extents in one BLOCK_STATUS reply; the client asks on from where the reply ends.
pub const MAX_EXTENTS: usize = 1024;

pub(crate) const INIT_MAGIC: u64 = 0x4e42_444d_4147_4943; // "NBDMAGIC"
pub(crate) const OPTION_MAGIC: u64 = 0x4948_4156_454f_5054; // "IHAVEOPT"
pub(crate) const OPTION_REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;
pub(crate) const REQUEST_MAGIC: u32 = 0x2560_9513;
pub(crate) const SIMPLE_REPLY_MAGIC: u32 = 0x6744_6698;
pub(crate) const STRUCTURED_REPLY_MAGIC: u32 = 0x668e_33ef;

pub(crate) const FLAG_FIXED_NEWSTYLE: u16 = 1 << 0;
pub(crate) const FLAG_NO_ZEROES: u16 = 1 << 1;
pub(crate) const FLAG_C_FIXED_NEWSTYLE: u32 = 1 << 0;
pub(crate) const FLAG_C_NO_ZEROES: u32 = 1 << 1;

/// Zeroes after the answer to EXPORT_NAME unless the client waived them.
pub(crate) const EXPORT_NAME_ZEROES: usize = 124;
pub(crate) const CLIENT_FLAGS_BYTES: usize = 4;
pub(crate) const OPTION_HEADER_BYTES: usize = 16;
pub(crate) const REQUEST_HEADER_BYTES: usize = 28;

/// Option numbers.
pub(crate) mod opt {
    pub(crate) const EXPORT_NAME: u32 = 1;
    pub(crate) const ABORT: u32 = 2;
    pub(crate) const LIST: u32 = 3;
    pub(crate) const STARTTLS: u32 = 5;
    pub(crate) const INFO: u32 = 6;
    pub(crate) const GO: u32 = 7;
    pub(crate) const STRUCTURED_REPLY: u32 = 8;
    pub(crate) const LIST_META_CONTEXT: u32 = 9;
    pub(crate) const SET_META_CONTEXT: u32 = 10;
}

/// Option reply types; errors have the top bit set.
pub(crate) mod rep {
    pub(crate) const ACK: u32 = 1;
    pub(crate) const SERVER: u32 = 2;
    pub(crate) const INFO: u32 = 3;
    pub(crate) const META_CONTEXT: u32 = 4;
    pub(crate) const ERR_UNSUP: u32 = (1 << 31) + 1;
    pub(crate) const ERR_POLICY: u32 = (1 << 31) + 2;
    pub(crate) const ERR_INVALID: u32 = (1 << 31) + 3;
    pub(crate) const ERR_UNKNOWN: u32 = (1 << 31) + 6;
    pub(crate) const ERR_TOO_BIG: u32 = (1 << 31) + 9;
}

/// Information items of INFO and GO.
pub(crate) mod info {
    pub(crate) const EXPORT: u16 = 0;
    pub(crate) const NAME: u16 = 1;
    pub(crate) const BLOCK_SIZE: u16 = 3;
}

/// Transmission flags.
pub(crate) mod transmission {
    pub(crate) const HAS_FLAGS: u16 = 1 << 0;
    pub(crate) const READ_ONLY: u16 = 1 << 1;
    pub(crate) const SEND_FLUSH: u16 = 1 << 2;
    pub(crate) const SEND_FUA: u16 = 1 << 3;
    pub(crate) const SEND_TRIM: u16 = 1 << 5;
    pub(crate) const SEND_WRITE_ZEROES: u16 = 1 << 6;
    pub(crate) const SEND_DF: u16 = 1 << 7;
    pub(crate) const CAN_MULTI_CONN: u16 = 1 << 8;
}

/// Commands.
pub(crate) mod cmd {
    pub(crate) const READ: u16 = 0;
    pub(crate) const WRITE: u16 = 1;
    pub(crate) const DISC: u16 = 2;
    pub(crate) const FLUSH: u16 = 3;
    pub(crate) const TRIM: u16 = 4;
    pub(crate) const WRITE_ZEROES: u16 = 6;
    pub(crate) const BLOCK_STATUS: u16 = 7;
}

/// Command flags. FAST_ZERO (bit 4) and PAYLOAD_LEN (bit 5) are not offered, so they are refused.
pub(crate) mod cmd_flag {
    pub(crate) const FUA: u16 = 1 << 0;
    pub(crate) const NO_HOLE: u16 = 1 << 1;
    pub(crate) const DF: u16 = 1 << 2;
    pub(crate) const REQ_ONE: u16 = 1 << 3;
}

/// Structured reply chunk types and the flag of the last chunk.
pub(crate) mod chunk {
    pub(crate) const FLAG_DONE: u16 = 1 << 0;
    pub(crate) const NONE: u16 = 0;
    pub(crate) const OFFSET_DATA: u16 = 1;
    pub(crate) const BLOCK_STATUS: u16 = 5;
    pub(crate) const ERROR: u16 = (1 << 15) + 1;
    pub(crate) const HEADER_BYTES: usize = 20;
}

pub(crate) const STATE_HOLE: u32 = 1 << 0;
pub(crate) const STATE_ZERO: u32 = 1 << 1;

pub(crate) const ALLOCATION_CONTEXT: &[u8] = b"base:allocation";
pub(crate) const BASE_WILDCARD: &[u8] = b"base:";
/// Our id for `base:allocation`: any number would do, it only has to be unique on a connection.
pub(crate) const ALLOCATION_ID: u32 = 1;

/// Advertised block sizes: any alignment works, 4 KiB (a checksummed block) avoids read-modify-write.
pub(crate) const MIN_BLOCK_BYTES: u32 = 1;
pub(crate) const PREFERRED_BLOCK_BYTES: u32 = 4096;
