//! The on-disk format (version 1) of one replica: its folder, header, document, marks, layers and checksums.
//!
//! Everything here is synchronous and goes through one trait, [`Disk`]: [`RealDisk`] for programs, [`SimDisk`] for tests
//! and the simulator. This crate keeps what it is told, and says what it holds; it never decides (who may write, which
//! copy is right, when a mark is cleared: that is shorthorn-core's).
//!
//! Start at [`ReplicaFiles`]. Source: docs/formats/disk.md; docs/protocol.md, section 2.

mod blocks;
mod copies;
mod disk;
mod document;
mod error;
mod folder;
mod header;
mod layer;
mod layout;
mod making;
mod real;
mod regions;
mod replica;
mod sim;
mod sums;
mod sync;

pub use copies::Hashed;
pub use disk::{Disk, File};
pub use error::DiskError;
pub use folder::{delete, list, sweep};
pub use header::{FORMAT_VERSION, FailedDisk, Header, Identity};
pub use layout::Layout;
pub use real::{RealDisk, RealFile};
pub use replica::ReplicaFiles;
pub use shorthorn_wire::sum::block_sum;
pub use sim::{SimDisk, SimFile};
pub use sync::SyncHandle;
