//! What can go wrong with a replica's files, one clear line each.

use std::io;

/// Why a replica's files could not be used as asked.
///
/// ```text
/// DiskError
/// ├── NoSpace                               nothing of the request was applied; the replica goes on
/// ├── Corrupt                               a block does not fit its checksum; nothing was changed; another copy may
/// ├── OutOfRange · Misaligned · Invalid ·
/// │   Unmarked · OtherLayout · Exists       the caller asked wrong; nothing was changed
/// ├── Missing · Damaged · NewerFormat       the folder can't be opened
/// └── Io · Failed                           the disk failed: this replica is failed for this boot
/// ```
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The disk is full, or a quota is reached.
    #[error("no space left for {what}")]
    NoSpace {
        /// What needed space.
        what: String,
    },
    /// A block's content does not fit its checksum.
    #[error("the block at byte {offset} does not fit its checksum")]
    Corrupt {
        /// Offset of the block in the volume, bytes.
        offset: u64,
    },
    /// Beyond the end of the volume.
    #[error("{length} bytes at {offset} are beyond the volume's {size} bytes")]
    OutOfRange {
        /// First byte.
        offset: u64,
        /// Bytes.
        length: u64,
        /// Size of the volume, bytes.
        size: u64,
    },
    /// Whole blocks were needed.
    #[error("{length} bytes at {offset} are not whole blocks of 4096 bytes")]
    Misaligned {
        /// First byte.
        offset: u64,
        /// Bytes.
        length: u64,
    },
    /// A change in a region that is not marked: the caller's bug (docs/protocol.md, Marks).
    #[error("region {region} is written before it is marked")]
    Unmarked {
        /// Index of the region.
        region: u64,
    },
    /// Something in the request makes no sense.
    #[error("{what}")]
    Invalid {
        /// What.
        what: String,
    },
    /// A document with another chain, head or size than the folder's.
    #[error("the document's {what} differs from this replica's, and this version can't change it")]
    OtherLayout {
        /// Chain, head or size.
        what: &'static str,
    },
    /// There is a replica already.
    #[error("{path} exists already")]
    Exists {
        /// The folder.
        path: String,
    },
    /// There is no replica.
    #[error("{path} holds no replica")]
    Missing {
        /// The folder.
        path: String,
    },
    /// What is on the disk is not what this program, or any, has written.
    #[error("damaged replica: {what}")]
    Damaged {
        /// What is damaged and how.
        what: String,
    },
    /// Written by a newer version of Shorthorn.
    #[error(
        "the replica was written by a newer version: its format is {found}, this program knows up to {known}"
    )]
    NewerFormat {
        /// Format version on the disk.
        found: u32,
        /// Newest version this program knows.
        known: u32,
    },
    /// The operating system reported an error.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// The error.
        source: io::Error,
    },
    /// A sync or the disk failed before, in this boot; nothing is served any more.
    #[error("the replica has failed in this boot: {reason}")]
    Failed {
        /// What failed first.
        reason: String,
    },
}

impl DiskError {
    pub(crate) fn io(what: impl Into<String>, source: io::Error) -> Self {
        if is_no_space(&source) {
            return Self::NoSpace { what: what.into() };
        }
        Self::Io {
            what: what.into(),
            source,
        }
    }

    pub(crate) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged { what: what.into() }
    }

    pub(crate) fn invalid(what: impl Into<String>) -> Self {
        Self::Invalid { what: what.into() }
    }
}

pub(crate) fn is_no_space(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
