//! What an engine or a copier asks of a replica, and what the replica answers.
//!
//! Each request has a tag, chosen by the asker, unique among its requests in flight on the connection; the reply carries
//! it back. Replies may come in another order than their requests. Any reply but [`Reply::Refused`] is a grant
//! (docs/protocol.md, Read).

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// A session's or fence's number, the fencing token. Its high 32 bits are the era.
pub type Epoch = u64;
/// Grows whenever a replica leaves the in-sync set or its resync breaks.
pub type Attempt = u64;
/// The membership number `m` of a volume.
pub type Membership = u64;
/// Orders the requests of one attempt that change data; starts at 1.
pub type Sequence = u64;
/// Names a request in flight on one connection.
pub type Tag = u32;

/// Regions `first .. first + count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RegionRun {
    /// Index of the first region.
    pub first: u64,
    /// Number of regions; at least 1.
    pub count: u64,
}

/// What a replica is to its volume, as last told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// In-sync.
    Member,
    /// Being made equal to the in-sync set.
    Syncing,
}

/// The volume's document, as far as a replica obeys it, and whole for keeping.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// High part of every epoch; a greater one is a newer history.
    pub era: u64,
    /// Version of the document inside its era; grows with every change.
    pub version: u64,
    /// The record's membership number.
    pub m: Membership,
    /// Size of the volume, bytes; a multiple of [`crate::BLOCK_BYTES`].
    pub size: u64,
    /// Layer ids, the oldest first; the head is the last.
    pub chain: Vec<String>,
    /// Id of the writable layer.
    pub head: String,
    /// The whole document as the control plane wrote it (JSON); the replica keeps it and never reads it.
    pub body: String,
}

/// First message on every connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`crate::WIRE_VERSION`] of the asker.
    pub wire: u32,
    /// Uid of the cluster.
    pub cluster: String,
    /// Uid of the volume.
    pub volume: String,
    /// Id of the replica that is meant.
    pub replica: String,
    /// Id of the engine or copier: one a process and session, never reused.
    pub engine: String,
}

/// Refuse everything older from now on (docs/protocol.md, Seal).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// The epoch to record.
    pub epoch: Epoch,
    /// The replica's attempt by the record.
    pub attempt: Attempt,
    /// The document of the order.
    pub document: Document,
}

/// Serve this connection, and only this one (docs/protocol.md, Open and "A connection is a membership").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// Must be exactly what was sealed.
    pub epoch: Epoch,
    /// Must be exactly what was sealed.
    pub attempt: Attempt,
    /// What the replica is in this session.
    pub role: Role,
    /// The document that SessionOpened's commit made; stored before the answer. Ends torn.
    pub document: Document,
}

/// The membership changed (docs/protocol.md, The store). Durable before the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// What the replica is from now on.
    pub role: Role,
    /// The document after the change.
    pub document: Document,
}

/// Answer to [`Seal`] and [`Request::Probe`]: what the replica durably is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// What was sealed before this request: (epoch, attempt).
    pub sealed_before: (Epoch, Attempt),
    /// What is sealed now.
    pub sealed: (Epoch, Attempt),
    /// As last told.
    pub role: Role,
    /// Greatest membership number seen.
    pub m: Membership,
    /// Membership number up to which the content is complete; none for a new one.
    pub synced_through: Option<Membership>,
    /// Lost power while open, or data was found missing.
    pub torn: bool,
    /// A sync or the disk failed in this boot: the reason. Such a replica serves nothing.
    pub failed: Option<String>,
    /// Boot id of the machine, as the replica program was told.
    pub boot: String,
    /// Dirty regions, in order, joined; if they are more than [`crate::frame::RUNS_MAX`] runs, neighbours are joined across
    /// clean regions.
    pub marks: Vec<RegionRun>,
}

/// State of one checksum block in a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockState {
    /// Reads as zeroes; no data follows.
    Zero,
    /// Data whose checksum fits.
    Good {
        /// CRC-32C of the block.
        sum: u32,
    },
    /// Data whose checksum does not fit: copied with its badness, never given a fresh checksum.
    Bad {
        /// The checksum on record.
        sum: u32,
    },
}

/// Content of a range of whole blocks with the state of each.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Blocks {
    /// One a block, in order.
    pub states: Vec<BlockState>,
    /// The data of the blocks that are not [`BlockState::Zero`], joined in order.
    pub data: Bytes,
}

/// One run of blocks of the same kind, for NBD block status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// Bytes.
    pub length: u64,
    /// Holds data; otherwise it is a hole and reads as zeroes.
    pub data: bool,
}

/// A request to a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// First on every connection; answered by [`Reply::Done`].
    Hello(Hello),
    /// Answered by [`Reply::Standing`].
    Seal(Seal),
    /// Answered by [`Reply::Done`].
    Open(Open),
    /// Answered by [`Reply::Done`].
    Member(Member),
    /// Changes nothing; answered by [`Reply::Standing`]. Needs no seal.
    Probe {
        /// The removal that asks.
        drop: String,
    },
    /// Changes nothing; a grant when answered ([`Reply::Done`]).
    Ping,
    /// Data of any alignment. With `fua`, durable before the answer.
    Write {
        /// Order among changes.
        seq: Sequence,
        /// First byte.
        offset: u64,
        /// Content.
        data: Bytes,
        /// Durable before the answer.
        fua: bool,
    },
    /// Makes a range read as zeroes (NBD trim and write-zeroes).
    Zero {
        /// Order among changes.
        seq: Sequence,
        /// First byte.
        offset: u64,
        /// Bytes.
        length: u64,
        /// Give the space back; else keep it allocated where it is.
        punch: bool,
        /// Durable before the answer.
        fua: bool,
    },
    /// Everything applied before is durable before the answer.
    Flush {
        /// Sequence of the last change sent before.
        seq: Sequence,
    },
    /// Answered by [`Reply::Data`], or [`Reply::Corrupt`].
    Read {
        /// First byte.
        offset: u64,
        /// Bytes.
        length: u32,
    },
    /// Answered by [`Reply::Extents`].
    Extents {
        /// First byte.
        offset: u64,
        /// Bytes.
        length: u64,
    },
    /// Clears marks of regions not written after `seq`; their stamp becomes `m`. At most [`crate::frame::RUNS_MAX`] runs.
    Clear {
        /// Becomes the stamp.
        m: Membership,
        /// The last change that the flush before covered.
        seq: Sequence,
        /// Which.
        regions: Vec<RegionRun>,
    },
    /// Strong hash of whole blocks; answered by [`Reply::Hash`].
    Hash {
        /// First byte, a multiple of the block size.
        offset: u64,
        /// Bytes, a multiple of the block size, at most one region.
        length: u32,
    },
    /// Whole blocks with their states; answered by [`Reply::Blocks`].
    Fetch {
        /// First byte, a multiple of the block size.
        offset: u64,
        /// Bytes, a multiple of the block size, at most one region.
        length: u32,
    },
    /// Puts whole blocks with their states in place; marks the region first.
    Copy {
        /// First byte, a multiple of the block size.
        offset: u64,
        /// At most one region.
        blocks: Blocks,
    },
    /// Everything is clean: marks must be clear. Ends the opening; answered before the connection ends.
    Close,
}

/// Why a replica refuses. The connection stays, nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u16)]
pub enum Refusal {
    /// Something newer is sealed; the asker must stop.
    Fenced = 1,
    /// The order's document is older than the replica's own.
    OldDocument = 2,
    /// This connection is not the one that was opened, or nothing is sealed or open here.
    NotOpen = 3,
    /// Wrong cluster, volume or replica; or no such replica here.
    Unknown = 4,
    /// Out of range, misaligned, too long, out of order.
    Invalid = 5,
    /// Marks are set; close needs them clear.
    MarksSet = 6,
    /// Another wire version.
    Version = 7,
    /// Legal for a member only, or for a syncing replica only.
    Role = 8,
}

impl Refusal {
    /// Every one.
    pub const ALL: [Self; 8] = [
        Self::Fenced,
        Self::OldDocument,
        Self::NotOpen,
        Self::Unknown,
        Self::Invalid,
        Self::MarksSet,
        Self::Version,
        Self::Role,
    ];
}

/// Why a replica could not do what it accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u16)]
pub enum Failure {
    /// No space or quota: nothing of the request was applied, or the range holds its old content again.
    NoSpace = 1,
    /// The disk failed, or a sync failed: this replica is failed for this boot.
    Disk = 2,
}

impl Failure {
    /// Every one.
    pub const ALL: [Self; 2] = [Self::NoSpace, Self::Disk];
}

/// A replica's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Accepted and done.
    Done,
    /// To [`Request::Seal`] and [`Request::Probe`].
    Standing(Standing),
    /// To [`Request::Read`].
    Data(Bytes),
    /// To [`Request::Read`]: the first block whose checksum does not fit. To a change that covers such a block only in
    /// part: nothing was changed.
    Corrupt {
        /// Offset of the block.
        offset: u64,
    },
    /// To [`Request::Extents`].
    Extents(Vec<Extent>),
    /// To [`Request::Hash`].
    Hash {
        /// BLAKE3 over the states and contents.
        digest: [u8; 32],
        /// Whether a block is bad.
        bad: bool,
    },
    /// To [`Request::Fetch`].
    Blocks(Blocks),
    /// Not accepted; nothing changed. Not a grant.
    Refused {
        /// The rule.
        why: Refusal,
        /// For people.
        detail: String,
    },
    /// Accepted, but it could not be done.
    Failed {
        /// The kind.
        why: Failure,
        /// For people.
        detail: String,
    },
}
