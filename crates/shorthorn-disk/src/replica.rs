//! One replica's folder.
#![allow(unused_variables)]

use crate::{Disk, DiskError, Header, Identity, SyncHandle};
use shorthorn_wire::message::{Attempt, Blocks, Document, Extent, Membership, RegionRun};
use std::path::Path;
use std::sync::Arc;

/// The checksum of one block: CRC-32C, but never 0 (that says "absent"), and the zero block's only for a block of zeroes.
///
/// `block` must be 4096 bytes.
#[must_use]
pub fn block_sum(block: &[u8]) -> u32 {
    unimplemented!()
}

/// What [`ReplicaFiles::hash`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hashed {
    /// BLAKE3 over, for each block, its state (0 zero, 1 good, 2 bad) and, unless zero, its content.
    pub digest: [u8; 32],
    /// Whether a block is bad.
    pub bad: bool,
}

/// The layers and size in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Layer ids, the oldest first; the head is the last.
    pub chain: Vec<String>,
    /// Id of the writable layer.
    pub head: String,
    /// Size of the volume, bytes.
    pub size: u64,
}

/// One replica's files, open. One owner at a time (`&mut`); [`Self::sync_handle`] gives the part that may run beside.
///
/// After an error of kind `Io` every call but the header's fails with `Failed`, until the machine boots again.
pub struct ReplicaFiles<D: Disk> {
    disk: Arc<D>,
}

impl<D: Disk> ReplicaFiles<D> {
    /// Makes a new, empty, durable replica folder: syncing, sealed (0, `attempt`), everything reads as zeroes.
    ///
    /// A crash leaves either no folder `root` or a whole one. `root`'s name must not end in `.new` or `.dead`.
    /// Errors: `Exists`, `NoSpace` (nothing is left behind), `Invalid`, `Io`.
    pub fn create(
        disk: Arc<D>, root: &Path, identity: Identity, attempt: Attempt, document: &Document, boot: &str,
    ) -> Result<Self, DiskError> {
        unimplemented!()
    }

    /// Opens a folder. Records durably: torn, if it was open in another boot, or data is missing.
    ///
    /// Errors: `Missing`, `Damaged`, `NewerFormat`, `Io`. The caller compares the identity.
    pub fn open(disk: Arc<D>, root: &Path, boot: &str) -> Result<Self, DiskError> {
        unimplemented!()
    }

    /// What is durable.
    pub fn header(&self) -> &Header {
        unimplemented!()
    }

    /// Stores a header durably. Refuses (`Invalid`) another identity and any step back of era, sealed or m.
    pub fn set_header(&mut self, header: Header) -> Result<(), DiskError> {
        unimplemented!()
    }

    /// The volume's last known document.
    pub fn document(&self) -> &Document {
        unimplemented!()
    }

    /// Stores a document durably. Refuses (`Invalid`) an older (era, version) and (`OtherLayout`) another chain, head or
    /// size than [`Self::layout`]'s.
    pub fn store_document(&mut self, document: &Document) -> Result<(), DiskError> {
        unimplemented!()
    }

    /// Stores header and document durably in one step: after a crash both are there or neither. Refuses as
    /// [`Self::set_header`] and [`Self::store_document`].
    pub fn commit(&mut self, header: Header, document: &Document) -> Result<(), DiskError> {
        unimplemented!()
    }

    /// Chain, head and size in force.
    pub fn layout(&self) -> &Layout {
        unimplemented!()
    }

    /// Number of regions; the last may be shorter.
    pub fn regions(&self) -> u64 {
        unimplemented!()
    }

    /// Dirty regions, in order, joined.
    pub fn marks(&self) -> Vec<RegionRun> {
        unimplemented!()
    }

    /// Membership number of a region's last clear; 0 if never, `u64::MAX` if its entry was damaged.
    pub fn stamp(&self, region: u64) -> Membership {
        unimplemented!()
    }

    /// Whether every region that the byte range touches is marked.
    pub fn is_marked(&self, offset: u64, length: u64) -> bool {
        unimplemented!()
    }

    /// Marks regions durably, with one sync for all; those marked already cost nothing.
    pub fn mark(&mut self, regions: &[RegionRun]) -> Result<(), DiskError> {
        unimplemented!()
    }

    /// Clears marks and sets the stamp `m`. The caller has synced everything written to these regions. Not synced itself:
    /// a power loss may bring a mark back, never take one away.
    pub fn clear(&mut self, m: Membership, regions: &[RegionRun]) -> Result<(), DiskError> {
        unimplemented!()
    }

    /// Writes bytes of any alignment into marked regions.
    ///
    /// Errors: `NoSpace` (nothing applied), `Corrupt` (a block that is only partly overwritten is bad; nothing applied),
    /// `Unmarked`, `OutOfRange`, `Io`.
    pub fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        unimplemented!()
    }

    /// Makes a range of marked regions read as zeroes; with `punch` its space is given back. Errors as [`Self::write`].
    pub fn zero(&mut self, offset: u64, length: u64, punch: bool) -> Result<(), DiskError> {
        unimplemented!()
    }

    /// Reads bytes of any alignment into `out`, which then holds exactly these. Every block is verified.
    ///
    /// Errors: `Corrupt` (the first bad block), `OutOfRange`, `Io`.
    pub fn read(&mut self, offset: u64, length: u64, out: &mut Vec<u8>) -> Result<(), DiskError> {
        unimplemented!()
    }

    /// Runs of data and holes from `offset`, at most `limit` of them, so maybe of a part of the range.
    pub fn extents(&mut self, offset: u64, length: u64, limit: usize) -> Result<Vec<Extent>, DiskError> {
        unimplemented!()
    }

    /// Strong hash of whole blocks, at most one region's worth.
    pub fn hash(&mut self, offset: u64, length: u64) -> Result<Hashed, DiskError> {
        unimplemented!()
    }

    /// Whole blocks with their states, at most one region's worth.
    pub fn fetch(&mut self, offset: u64, length: u64) -> Result<Blocks, DiskError> {
        unimplemented!()
    }

    /// Puts whole blocks with their states into marked regions. A `Good` whose data does not fit its checksum is refused
    /// (`Invalid`); a `Bad` stays bad. Errors as [`Self::write`]; at most one region's worth.
    pub fn copy(&mut self, offset: u64, blocks: &Blocks) -> Result<(), DiskError> {
        unimplemented!()
    }

    /// Something that syncs without the replica's lock, on another thread.
    pub fn sync_handle(&self) -> SyncHandle<D> {
        unimplemented!()
    }

    /// Syncs every file; records a failure. The same as a handle's `sync` followed, on error, by `note_sync_failed`.
    pub fn sync(&mut self) -> Result<(), DiskError> {
        unimplemented!()
    }

    /// Records durably that a sync, or the disk, failed in this boot. From then on nothing is served.
    pub fn note_sync_failed(&mut self, reason: &str) -> Result<(), DiskError> {
        unimplemented!()
    }

    /// Space that the folder takes, bytes: header, marks, checksums and the data that is there.
    pub fn used_bytes(&self) -> Result<u64, DiskError> {
        unimplemented!()
    }
}

/// Deletes a replica folder for good. A crash leaves it whole, or under a dead name that [`sweep`] removes.
pub fn delete<D: Disk>(disk: &D, root: &Path) -> Result<(), DiskError> {
    unimplemented!()
}

/// Names of the replica folders in a folder, sorted; half-made and dead ones are not among them.
pub fn list<D: Disk>(disk: &D, folder: &Path) -> Result<Vec<String>, DiskError> {
    unimplemented!()
}

/// Removes what crashes left: half-made and half-deleted folders. For program start, before anything is created.
pub fn sweep<D: Disk>(disk: &D, folder: &Path) -> Result<(), DiskError> {
    unimplemented!()
}
