//! The header: what a replica durably is, apart from the volume's document and its content.
//!
//! Two slots of 4 KiB hold the same; they are written in turn with a sync after each, so that at any moment at least one
//! is whole, and a slot that rots takes nothing back. Bytes of a slot: magic (8), format (u32), CRC-32C of the slot with
//! this field zero (u32), sequence (u64), length (u32), zero (u32), then [`Stored`] as JSON. The first 16 bytes are the
//! same in every format to come.

use crate::sync::{Durable, Fault};
use crate::{DiskError, File};
use serde::{Deserialize, Serialize};
use shorthorn_wire::message::{Attempt, Epoch, Membership, Role};
use std::sync::Arc;

/// Version of the on-disk format that this crate writes. Older ones it reads; newer ones it refuses.
pub const FORMAT_VERSION: u32 = 1;

/// Who a replica is. All but the era never change; all are compared before any use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Uid of the cluster.
    pub cluster: String,
    /// Uid of the volume.
    pub volume: String,
    /// Id of the replica; never reused.
    pub replica: String,
    /// Uid of the disk that holds it.
    pub disk: String,
    /// High part of every epoch; grows when a person rebuilds the store from disks.
    pub era: u64,
}

/// A sync or disk error: this replica serves nothing until the machine has booted again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailedDisk {
    /// The boot in which it failed.
    pub boot: String,
    /// What failed.
    pub reason: String,
}

/// The durable fields of docs/protocol.md, section 2, that are not the document's. [`super::ReplicaFiles::set_header`]
/// refuses a change of identity and any step back of era, sealed, or m.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Who this is.
    pub identity: Identity,
    /// Greatest (epoch, attempt) sealed; (0, attempt) for a new one. Never falls.
    pub sealed: (Epoch, Attempt),
    /// Id of the engine or copier that sealed; empty for a new one.
    pub engine: String,
    /// Member or syncing, as last told.
    pub role: Role,
    /// Greatest membership number seen; 0 for a new one.
    pub m: Membership,
    /// Epoch in which role and m were told.
    pub epoch: Epoch,
    /// Membership number up to which the content is complete; none for a new one.
    pub synced_through: Option<Membership>,
    /// Boot id while a session may have unsynced writes here; none after a seal's sync or a clean close.
    pub open_boot: Option<String>,
    /// Lost power while open, or data was found missing.
    pub torn: bool,
    /// A sync or the disk failed. Kept only within its boot: an open under another one turns it into `torn`.
    pub failed: Option<FailedDisk>,
}

/// What a slot holds: the header, and which of the two document files is the one in force.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stored {
    pub(crate) header: Header,
    pub(crate) document: DocumentPointer,
}

/// Where the document is, and what it must be.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DocumentPointer {
    /// 0 or 1: the file `document.0` or `document.1`.
    pub(crate) file: u8,
    pub(crate) length: u64,
    pub(crate) crc: u32,
}

const SLOT: usize = 4096;
const FIELDS: usize = 32;
const MAGIC: &[u8; 8] = b"SHORTHRN";

/// The file `header`.
pub(crate) struct Slots<F> {
    file: Arc<Durable<F>>,
    sequence: u64,
}

impl<F: File> Slots<F> {
    /// Bytes of the file.
    pub(crate) const FILE_BYTES: u64 = 2 * SLOT as u64;

    /// An empty file's slots; nothing is written before the first [`Self::store`].
    pub(crate) fn create(file: Arc<Durable<F>>) -> Self {
        Self { file, sequence: 0 }
    }

    /// Reads both slots and takes the newest whole one; where the two differ, makes them equal and durable first.
    pub(crate) fn load(file: Arc<Durable<F>>, fault: &Fault) -> Result<(Self, Stored), DiskError> {
        let mut bytes = vec![0; 2 * SLOT];
        file.read_padded(&mut bytes, 0)?;
        let slots = [decode(&bytes[..SLOT])?, decode(&bytes[SLOT..])?];
        let sequence = |index: usize| slots[index].as_ref().map(|slot| slot.0);
        let newest = if sequence(1) > sequence(0) { 1 } else { 0 };
        let differ = sequence(0) != sequence(1);
        let [first, second] = slots;
        let Some((sequence, stored)) = (if newest == 0 { first } else { second }) else {
            return Err(DiskError::damaged(
                "both slots of the header are unreadable",
            ));
        };
        let slots = Self { file, sequence };
        if differ {
            // The newest may be in the page cache only, left by a process that died before its sync. Written again, it
            // is dirty again, also where an earlier sync of it failed.
            slots.write(newest, &stored, fault)?;
            slots.write(1 - newest, &stored, fault)?;
        }
        Ok((slots, stored))
    }

    pub(crate) fn file(&self) -> &Arc<Durable<F>> {
        &self.file
    }

    /// Stores durably, twice.
    pub(crate) fn store(&mut self, stored: &Stored, fault: &Fault) -> Result<(), DiskError> {
        // Raised first: what a failed attempt left must never look like what comes after it.
        self.sequence += 1;
        self.write(0, stored, fault)?;
        self.write(1, stored, fault)
    }

    fn write(&self, slot: usize, stored: &Stored, fault: &Fault) -> Result<(), DiskError> {
        let bytes = encode(self.sequence, stored)?;
        self.file.write(&bytes, (slot * SLOT) as u64)?;
        self.file.sync_rewritten(fault)
    }
}

/// Whether a header fits its slot; to be asked before anything is written.
pub(crate) fn check_fits(stored: &Stored) -> Result<(), DiskError> {
    encode(0, stored).map(drop)
}

fn encode(sequence: u64, stored: &Stored) -> Result<Vec<u8>, DiskError> {
    let json = serde_json::to_vec(stored).map_err(|error| {
        DiskError::invalid(format!("the header can't be written as JSON: {error}"))
    })?;
    if json.len() > SLOT - FIELDS {
        return Err(DiskError::invalid("the header's names are too long"));
    }
    let mut bytes = vec![0; SLOT];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    bytes[16..24].copy_from_slice(&sequence.to_le_bytes());
    bytes[24..28].copy_from_slice(&(json.len() as u32).to_le_bytes());
    bytes[FIELDS..FIELDS + json.len()].copy_from_slice(&json);
    let crc = crc32c::crc32c(&bytes);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    Ok(bytes)
}

/// (sequence, content) of a slot; none if it is damaged; an error only if a newer version wrote it.
fn decode(slot: &[u8]) -> Result<Option<(u64, Stored)>, DiskError> {
    let word = |at: usize| u32::from_le_bytes([slot[at], slot[at + 1], slot[at + 2], slot[at + 3]]);
    let mut unchecked = slot.to_vec();
    unchecked[12..16].fill(0);
    if &slot[..8] != MAGIC || word(12) != crc32c::crc32c(&unchecked) {
        return Ok(None);
    }
    let found = word(8);
    if found > FORMAT_VERSION {
        return Err(DiskError::NewerFormat {
            found,
            known: FORMAT_VERSION,
        });
    }
    let sequence = u64::from(word(16)) | u64::from(word(20)) << 32;
    let json = slot.get(FIELDS..FIELDS + word(24) as usize);
    Ok(json
        .and_then(|json| serde_json::from_slice(json).ok())
        .map(|stored| (sequence, stored)))
}
