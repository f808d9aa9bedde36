//! The bytes of [`crate::message`]: frames of a fixed head and a payload, little-endian, both with a checksum.
//!
//! Encoding appends to an [`OutQueue`] and shares payloads by reference. Decoding takes whole frames off the front of a
//! buffer without copying payloads; whatever the bytes are it gives a message, waits for more, or gives a typed error.
//! After an error the connection must end: the place of the next frame is not known.
//! Source: docs/formats/wire.md.

mod decode;
mod encode;
mod head;

#[cfg(test)]
mod tests;

pub use decode::{decode_reply, decode_request, missing_bytes};
pub use encode::{Encoder, TooBig};
pub use head::HEAD_BYTES;

use crate::{BLOCK_BYTES, REGION_BYTES};

/// Longest JSON payload. A document of a volume with thousands of snapshots fits, as do [`RUNS_MAX`] runs.
pub const JSON_BYTES_MAX: u32 = 4 << 20;

/// Most region runs in one standing or clear. A standing with more joins runs across gaps (what is marked needlessly
/// is compared needlessly, and nothing is lost); a clear is sent in parts.
pub const RUNS_MAX: usize = 1 << 16;

/// Most extents in one reply; a reply with more ends early (NBD block status may be short).
pub const EXTENTS_MAX: usize = 1 << 14;

/// Most blocks in one fetch or copy: those of a region.
pub const BLOCKS_MAX: usize = (REGION_BYTES / BLOCK_BYTES as u64) as usize;

/// Why bytes are no frame of this language. Ends the connection.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// Not the start of a frame; perhaps another program dialled, or another wire version.
    #[error("not a frame: starts with {0:02x?}")]
    Magic([u8; 4]),
    /// Damaged on the way, or written by something else.
    #[error("checksum of a frame's head does not fit")]
    HeadSum,
    /// Damaged on the way.
    #[error("checksum of the payload of a frame of kind {kind:#04x} does not fit")]
    PayloadSum {
        /// Of the frame.
        kind: u8,
    },
    /// No message of this direction has this kind.
    #[error("unknown kind {0:#04x}")]
    Kind(u8),
    /// More than the limit for this kind.
    #[error(
        "frame of kind {kind:#04x} announces {bytes} bytes of payload, at most {limit} are taken"
    )]
    TooLong {
        /// Of the frame.
        kind: u8,
        /// Announced.
        bytes: u32,
        /// Accepted.
        limit: u32,
    },
    /// A field that this kind does not use is set, or fields contradict each other.
    #[error("malformed frame of kind {kind:#04x}: {what}")]
    Malformed {
        /// Of the frame.
        kind: u8,
        /// What is wrong.
        what: &'static str,
    },
    /// The JSON payload does not parse.
    #[error("payload of a frame of kind {kind:#04x}: {source}")]
    Json {
        /// Of the frame.
        kind: u8,
        /// Where and why.
        source: serde_json::Error,
    },
}
