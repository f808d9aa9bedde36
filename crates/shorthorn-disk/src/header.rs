//! The header: what a replica durably is, apart from the volume's document and its content.

use serde::{Deserialize, Serialize};
use shorthorn_wire::message::{Attempt, Epoch, Membership, Role};

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
