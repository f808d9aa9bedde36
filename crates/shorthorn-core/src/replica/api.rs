//! What goes into a replica and what comes out of it.

use bytes::Bytes;
use shorthorn_wire::message::{
    Attempt, Blocks, Document, Epoch, Extent, Membership, RegionRun, Reply, Request, Role, Tag,
};

/// A connection; never reused while the program lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnId(pub u64);

/// Names work under way; never reused while the program lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Token(pub u64);

/// Who a replica is, as every hello must name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Uid of the cluster.
    pub cluster: String,
    /// Uid of the volume.
    pub volume: String,
    /// Id of the replica.
    pub replica: String,
}

/// What a replica durably is, beside its document, marks and content (docs/protocol.md, section 2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Durable {
    /// Greatest (epoch, attempt) sealed; (0, attempt) for a new one. Never falls.
    pub sealed: (Epoch, Attempt),
    /// Who sealed.
    pub engine: String,
    /// As last told.
    pub role: Role,
    /// Greatest membership number told.
    pub m: Membership,
    /// Epoch in which role and m were told.
    pub epoch: Epoch,
    /// Membership number up to which the content is complete; none for a new one.
    pub synced_through: Option<Membership>,
    /// Boot id while there may be changes that no sync covers; none after a seal's sync or a clean close.
    pub open_boot: Option<String>,
    /// Lost power while open, or data was found missing.
    pub torn: bool,
}

/// What is known of a replica when its program starts, read from its folder.
#[derive(Clone, Debug)]
pub struct Start {
    /// Who it is.
    pub identity: Identity,
    /// Boot id of the machine.
    pub boot: String,
    /// The header. `torn` is already set if `open_boot` is of another boot.
    pub durable: Durable,
    /// Failed in this boot: the reason.
    pub failed: Option<String>,
    /// The document it keeps.
    pub document: Document,
    /// Dirty regions.
    pub marks: Vec<RegionRun>,
}

/// What the program tells the replica.
#[derive(Clone, Debug)]
pub enum Event {
    /// A request. Those of one connection come in the order in which they were sent.
    Request {
        /// On which connection.
        conn: ConnId,
        /// For the reply.
        tag: Tag,
        /// What.
        request: Request,
    },
    /// Work is done, or failed. Every [`Effect::Do`] gets exactly one.
    Done {
        /// Of the work.
        token: Token,
        /// How it went.
        outcome: Outcome,
    },
    /// A connection ended, or sent what could not be understood. Not after [`Effect::End`].
    Ended {
        /// Which.
        conn: ConnId,
    },
}

/// How work went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done; durable where the work says so.
    Done,
    /// Of [`Work::Read`].
    Data(Bytes),
    /// Of [`Work::Extents`].
    Extents(Vec<Extent>),
    /// Of [`Work::Hash`].
    Hash {
        /// BLAKE3 over states and contents.
        digest: [u8; 32],
        /// Whether a block is bad.
        bad: bool,
    },
    /// Of [`Work::Fetch`].
    Blocks(Blocks),
    /// Of a read, or of a change that covers a block only in part: that block's checksum does not fit. Nothing changed.
    Corrupt {
        /// Offset of the block.
        offset: u64,
    },
    /// A full disk or a quota; nothing was applied.
    NoSpace(String),
    /// The request makes no sense to the disk (data that does not fit its own checksum, say); nothing was applied.
    Invalid(String),
    /// The disk or a sync failed: the replica is failed for this boot.
    Disk(String),
}

/// Something to do on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// Store header and document in one step, durably.
    Record {
        /// The header.
        durable: Box<Durable>,
        /// The document; none: as it is.
        document: Option<Box<Document>>,
    },
    /// Record durably, as far as the disk still can, that this replica is failed in this boot.
    NoteFailed(String),
    /// Mark regions durably.
    Mark(Vec<RegionRun>),
    /// Clear marks; the stamp becomes `m`. Unmarked regions only get the stamp.
    Clear {
        /// Becomes the stamp.
        m: Membership,
        /// Which.
        regions: Vec<RegionRun>,
    },
    /// Write bytes.
    Write {
        /// First byte.
        offset: u64,
        /// Content.
        data: Bytes,
    },
    /// Make a range read as zeroes.
    Zero {
        /// First byte.
        offset: u64,
        /// Bytes.
        length: u64,
        /// Give the space back.
        punch: bool,
    },
    /// Put whole blocks with their states in place.
    Copy {
        /// First byte.
        offset: u64,
        /// Content.
        blocks: Blocks,
    },
    /// Read bytes.
    Read {
        /// First byte.
        offset: u64,
        /// Bytes.
        length: u32,
    },
    /// Find data and holes.
    Extents {
        /// First byte.
        offset: u64,
        /// Bytes.
        length: u64,
    },
    /// Strong hash of whole blocks.
    Hash {
        /// First byte.
        offset: u64,
        /// Bytes.
        length: u32,
    },
    /// Read whole blocks with their states.
    Fetch {
        /// First byte.
        offset: u64,
        /// Bytes.
        length: u32,
    },
    /// Make all that was done before durable: every file of the replica.
    Sync,
}

/// What the program does for the replica, in this order.
///
/// Work is finished before what follows it begins, except [`Work::Sync`]: what follows may be done beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Do something on disk; answered by [`Event::Done`]. Changes are done in the order in which they come out.
    Do {
        /// Comes back.
        token: Token,
        /// What.
        work: Work,
    },
    /// Send a reply.
    Send {
        /// On which connection.
        conn: ConnId,
        /// Of the request.
        tag: Tag,
        /// What.
        reply: Reply,
    },
    /// End a connection, after what was sent on it. Nothing more of it is delivered.
    End {
        /// Which.
        conn: ConnId,
        /// For people.
        why: String,
    },
}
