//! The layout: which layers there are, and how long they are.

use crate::DiskError;
use crate::folder::check_name;
use crate::sums::BLOCK;
use serde::{Deserialize, Serialize};
use shorthorn_wire::message::Document;
use shorthorn_wire::{REGION_BYTES, VOLUME_BYTES_MAX};

/// The layers and size in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    /// Layer ids, the oldest first; the head is the last.
    pub chain: Vec<String>,
    /// Id of the writable layer.
    pub head: String,
    /// Size of the volume, bytes.
    pub size: u64,
}

pub(crate) fn region_count(size: u64) -> u64 {
    size.div_ceil(REGION_BYTES)
}

pub(crate) fn layout_of(document: &Document) -> Result<Layout, DiskError> {
    let layout = Layout {
        chain: document.chain.clone(),
        head: document.head.clone(),
        size: document.size,
    };
    check_layout(&layout)?;
    Ok(layout)
}

pub(crate) fn check_layout(layout: &Layout) -> Result<(), DiskError> {
    if layout.size == 0 || layout.size % BLOCK as u64 != 0 || layout.size > VOLUME_BYTES_MAX {
        return Err(DiskError::invalid(format!(
            "a size of {} bytes is not possible",
            layout.size
        )));
    }
    if layout.chain.last() != Some(&layout.head) {
        return Err(DiskError::invalid("the head is not the chain's last layer"));
    }
    let mut ids = layout.chain.clone();
    ids.sort();
    if ids.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(DiskError::invalid("a layer is twice in the chain"));
    }
    layout
        .chain
        .iter()
        .try_for_each(|id| check_name("the layer id", id))
}
