//! What the tests of this crate share.
#![allow(dead_code)] // each test binary uses its own part

use shorthorn_disk::{Disk, DiskError, Identity, ReplicaFiles};
use shorthorn_wire::message::{Document, RegionRun};
use std::path::Path;
use std::sync::Arc;

pub const BLOCK: usize = 4096;
pub const BOOT: &str = "boot-1";

pub fn identity() -> Identity {
    let name = |name: &str| name.to_owned();
    Identity {
        cluster: name("c1"),
        volume: name("v1"),
        replica: name("r1"),
        disk: name("d1"),
        era: 1,
    }
}

pub fn document(size: u64) -> Document {
    document_of(size, &["l1"])
}

pub fn document_of(size: u64, chain: &[&str]) -> Document {
    Document {
        era: 1,
        version: 1,
        m: 0,
        size,
        chain: chain.iter().map(|&id| id.to_owned()).collect(),
        head: (*chain.last().expect("a layer")).to_owned(),
        body: "{}".to_owned(),
    }
}

pub fn create<D: Disk>(
    disk: &Arc<D>,
    root: &Path,
    size: u64,
) -> Result<ReplicaFiles<D>, DiskError> {
    ReplicaFiles::create(Arc::clone(disk), root, identity(), 1, &document(size), BOOT)
}

pub fn run(first: u64, count: u64) -> RegionRun {
    RegionRun { first, count }
}

pub fn mark_all<D: Disk>(files: &mut ReplicaFiles<D>) {
    files.mark(&[run(0, files.regions())]).expect("mark");
}

pub fn read<D: Disk>(
    files: &mut ReplicaFiles<D>,
    offset: u64,
    length: usize,
) -> Result<Vec<u8>, DiskError> {
    let mut out = Vec::new();
    files.read(offset, length as u64, &mut out)?;
    Ok(out)
}

pub fn pattern(seed: u8, length: usize) -> Vec<u8> {
    (0..length)
        .map(|i| (i as u8).wrapping_mul(31) ^ seed | 1)
        .collect()
}
