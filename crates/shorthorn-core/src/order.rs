//! Whether an order makes sense at all, before anything is done for it.

use std::collections::BTreeSet;

use shorthorn_wire::agent::Target;
use shorthorn_wire::message::Document;
use shorthorn_wire::{BLOCK_BYTES, VOLUME_BYTES_MAX};

use crate::replica_set::REPLICAS_MAX;

/// An order that no engine or copier can carry out: a bug of whoever made it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadOrder {
    /// No in-sync target, or one that the work names is not among the targets.
    #[error("the order names no replica to work with")]
    NoTarget,
    /// The source of a move is not in-sync, or its target is.
    #[error("a move goes from an in-sync replica to one that is not")]
    Roles,
    /// More than [`REPLICAS_MAX`].
    #[error("the order names {0} replicas, more than {REPLICAS_MAX}")]
    TooMany(usize),
    /// One id twice.
    #[error("the order names replica {0} twice")]
    Twice(String),
    /// Nothing, not whole blocks, or more than 64 TiB.
    #[error(
        "the volume's size {0} is not a multiple of {BLOCK_BYTES} bytes, up to {VOLUME_BYTES_MAX}"
    )]
    Size(u64),
}

/// What every order must fulfil.
pub fn check(targets: &[Target], document: &Document) -> Result<(), BadOrder> {
    if targets.len() > REPLICAS_MAX {
        return Err(BadOrder::TooMany(targets.len()));
    }
    let mut seen = BTreeSet::new();
    if let Some(twice) = targets.iter().find(|target| !seen.insert(&target.replica)) {
        return Err(BadOrder::Twice(twice.replica.clone()));
    }
    if !targets.iter().any(|target| target.in_sync) {
        return Err(BadOrder::NoTarget);
    }
    let size = document.size;
    if size == 0 || size > VOLUME_BYTES_MAX || size % u64::from(BLOCK_BYTES) != 0 {
        return Err(BadOrder::Size(size));
    }
    Ok(())
}
