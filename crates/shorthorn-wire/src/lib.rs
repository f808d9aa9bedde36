//! Messages between engine, replicas and agents: their types, bytes, versions and limits.
//!
//! Two languages are spoken here:
//! - [`message`]: requests of one engine (or copier) to one replica and the replies, over TCP; binary frames, [`frame`];
//! - [`agent`]: what a program and the agent of its node tell each other, over a unix socket; one JSON object a line,
//!   [`lines`].
//!
//! This crate never does I/O and never decides anything: a message that decodes is well-formed, not legal.
//! Source: docs/protocol.md, sections 2 and 3; docs/formats/wire.md.

pub mod agent;
pub mod frame;
pub mod lines;
pub mod message;
pub mod queue;
pub mod sum;

pub use frame::{Encoder, TooBig, WireError, decode_reply, decode_request, missing_bytes};
pub use lines::{LineError, Lines};
pub use queue::OutQueue;

/// Version of both languages. A peer with another one is refused at its first message.
pub const WIRE_VERSION: u32 = 1;

/// Bytes of one checksum block: the unit of checksums, range locks and copies.
pub const BLOCK_BYTES: u32 = 4096;

/// Bytes of one region: the unit of marks, stamps and equalising.
pub const REGION_BYTES: u64 = 1 << 20;

/// Largest volume, bytes: 64 TiB, as the law has it. Bounds what is kept in memory for each region.
pub const VOLUME_BYTES_MAX: u64 = 64 << 40;

/// Largest payload of one frame: the largest NBD request (32 MiB). A frame that announces more ends its connection.
pub const PAYLOAD_BYTES_MAX: u32 = 32 << 20;

/// Longest line on an agent link, in bytes: a document of a volume with thousands of snapshots fits.
pub const LINE_BYTES_MAX: usize = 4 << 20;
