//! What makes written bytes durable, also beside the owner's other work; and what remembers that it failed.
//!
//! The kernel reports a failed writeback once and then forgets it, so a second fsync may say OK over lost data. Here the
//! first failure is final: it is kept in [`Fault`], which every sync looks at, one at a time for each file.

use crate::{Disk, DiskError, File};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// The first failure of a replica's disk in this boot, if any.
#[derive(Debug, Default)]
pub(crate) struct Fault(OnceLock<String>);

impl Fault {
    pub(crate) fn check(&self) -> Result<(), DiskError> {
        match self.0.get() {
            None => Ok(()),
            Some(reason) => Err(DiskError::Failed {
                reason: reason.clone(),
            }),
        }
    }

    /// Keeps the first reason.
    pub(crate) fn set(&self, reason: &str) {
        let _first = self.0.set(reason.to_owned());
    }
}

/// A file whose content must survive a power loss.
pub(crate) struct Durable<F> {
    name: String,
    pub(crate) file: F,
    gate: Mutex<()>,
}

impl<F: File> Durable<F> {
    pub(crate) fn new(name: impl Into<String>, file: F) -> Arc<Self> {
        Arc::new(Self {
            name: name.into(),
            file,
            gate: Mutex::new(()),
        })
    }

    /// Syncs, unless something failed before. The gate keeps a second caller from getting the OK that follows the one
    /// report of an error that was about its writes too.
    pub(crate) fn sync(&self, fault: &Fault) -> Result<(), DiskError> {
        let _turn = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        fault.check()?;
        self.file.sync().map_err(|source| {
            fault.set(&format!("sync of {}: {source}", self.name));
            DiskError::Io {
                what: format!("sync of {}", self.name),
                source,
            }
        })
    }

    /// Syncs what the caller wrote whole just before, also after a failure: bytes written anew are dirty anew, so an OK is
    /// true for them. This is how a failure gets recorded.
    pub(crate) fn sync_rewritten(&self, fault: &Fault) -> Result<(), DiskError> {
        let _turn = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        self.file.sync().map_err(|source| {
            fault.set(&format!("sync of {}: {source}", self.name));
            DiskError::Io {
                what: format!("sync of {}", self.name),
                source,
            }
        })
    }

    /// Fills the buffer; bytes beyond the end of the file are zero.
    pub(crate) fn read_padded(&self, buffer: &mut [u8], offset: u64) -> Result<(), DiskError> {
        let count = self
            .file
            .read_at(buffer, offset)
            .map_err(|e| self.error("read", e))?;
        buffer[count..].fill(0);
        Ok(())
    }

    /// Fills the buffer; an end of file before is an error.
    pub(crate) fn read_exact(&self, buffer: &mut [u8], offset: u64) -> Result<(), DiskError> {
        let count = self
            .file
            .read_at(buffer, offset)
            .map_err(|e| self.error("read", e))?;
        if count < buffer.len() {
            return Err(self.error("read", std::io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(())
    }

    /// Writes all bytes, or says what went wrong; a part may have been written then.
    pub(crate) fn write(&self, mut data: &[u8], mut offset: u64) -> Result<(), DiskError> {
        while !data.is_empty() {
            match self.file.write_at(data, offset) {
                Ok(0) => return Err(self.error("write", std::io::ErrorKind::WriteZero.into())),
                Ok(count) => {
                    data = &data[count..];
                    offset += count as u64;
                }
                Err(error) => return Err(self.error("write", error)),
            }
        }
        Ok(())
    }

    pub(crate) fn error(&self, verb: &str, source: std::io::Error) -> DiskError {
        DiskError::io(format!("{verb} of {}", self.name), source)
    }
}

/// Makes everything that was written to a replica before durable; for a thread of its own. Cheap to make; keeps the
/// files open.
pub struct SyncHandle<D: Disk> {
    pub(crate) files: Vec<Arc<Durable<D::File>>>,
    pub(crate) fault: Arc<Fault>,
}

impl<D: Disk> SyncHandle<D> {
    /// Syncs data, checksums and marks: all that was written before this call began. (Header and document are durable
    /// as soon as they are stored.)
    ///
    /// An error is final: every later call on any handle of this replica fails too, as does every read and write. The
    /// caller then tells [`crate::ReplicaFiles::note_sync_failed`], so that it is recorded durably.
    pub fn sync(&self) -> Result<(), DiskError> {
        self.files
            .iter()
            .try_for_each(|file| file.sync(&self.fault))
    }
}
