//! Syncing outside the replica's lock.

use crate::{Disk, DiskError};
use std::marker::PhantomData;

/// Makes everything that was written to a replica before durable; for a thread of its own. Cheap to make; keeps the
/// files open.
pub struct SyncHandle<D: Disk> {
    disk: PhantomData<fn() -> D>,
}

impl<D: Disk> SyncHandle<D> {
    /// Syncs data, checksums, marks and header: all that was written before this call began.
    ///
    /// An error is final: every later call on any handle of this replica fails too, as does every read and write. The
    /// caller then tells [`crate::ReplicaFiles::note_sync_failed`], so that it is recorded durably.
    pub fn sync(&self) -> Result<(), DiskError> {
        unimplemented!()
    }
}
