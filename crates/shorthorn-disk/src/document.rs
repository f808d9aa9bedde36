//! The document files: the layout in force and the volume's last known document.
//!
//! There are two, `document.0` and `document.1`, made with space reserved. The one that the header does not point to is
//! written and synced, then the header points to it: header and document change in one step.

use crate::header::DocumentPointer;
use crate::sync::{Durable, Fault};
use crate::{DiskError, File, Layout};
use serde::{Deserialize, Serialize};
use shorthorn_wire::message::Document;
use std::sync::Arc;

/// What a document file holds, as JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    pub(crate) layout: Layout,
    pub(crate) document: Document,
}

/// Space reserved in each document file: documents up to this size never meet a full disk. A volume with a few hundred
/// snapshots needs less.
pub(crate) const RESERVED_BYTES: u64 = 64 << 10;

/// Greatest document file that is read: far above what the wire lets through.
const LENGTH_MAX: u64 = 64 << 20;

/// The files `document.0` and `document.1`.
pub(crate) struct Documents<F> {
    pub(crate) files: [Arc<Durable<F>>; 2],
    pub(crate) current: DocumentPointer,
}

impl<F: File> Documents<F> {
    /// Writes a record beside the current one, durably, and says where. A failure changes nothing that counts.
    pub(crate) fn write(
        &self,
        record: &Record,
        fault: &Fault,
    ) -> Result<DocumentPointer, DiskError> {
        let json = serde_json::to_vec(record).map_err(|error| {
            DiskError::invalid(format!("the document can't be written as JSON: {error}"))
        })?;
        let length = json.len() as u64;
        if length > LENGTH_MAX {
            return Err(DiskError::invalid("the document is too long"));
        }
        let number = 1 - self.current.file;
        let file = &self.files[usize::from(number)];
        if length > RESERVED_BYTES {
            file.file
                .allocate(0, length)
                .map_err(|error| file.error("reserving space", error))?;
        }
        file.write(&json, 0)?;
        file.sync_rewritten(fault)?;
        Ok(DocumentPointer {
            file: number,
            length,
            crc: crc32c::crc32c(&json),
        })
    }

    /// Reads the current record.
    pub(crate) fn read(&self) -> Result<Record, DiskError> {
        let DocumentPointer { file, length, crc } = self.current;
        if file > 1 || length > LENGTH_MAX {
            return Err(DiskError::damaged("the header points to no document"));
        }
        let mut json = vec![0; length as usize];
        self.files[usize::from(file)].read_padded(&mut json, 0)?;
        if crc32c::crc32c(&json) != crc {
            return Err(DiskError::damaged(format!(
                "document.{file} does not fit its checksum"
            )));
        }
        serde_json::from_slice(&json)
            .map_err(|error| DiskError::damaged(format!("document.{file} can't be read: {error}")))
    }
}
