//! A replica's work done with its files as its program does it, and its core's start read from them.

use shorthorn_core::replica::{Identity, Outcome, Start, Work};
use shorthorn_disk::{Disk, ReplicaFiles, SyncHandle};

use crate::disk_work;

/// Does work. A sync goes the way of the program's, beside the owner: what failed is recorded by work that follows.
pub fn carry_out<D: Disk>(files: &mut ReplicaFiles<D>, work: Work) -> Outcome {
    match work {
        Work::Sync => sync(&files.sync_handle()),
        work => disk_work::carry_out(files, work),
    }
}

/// Syncs what was written before the handle was made.
pub fn sync<D: Disk>(handle: &SyncHandle<D>) -> Outcome {
    handle
        .sync()
        .map_or_else(disk_work::failed, |()| Outcome::Done)
}

/// What a core needs to know of its files, opened under this boot.
pub fn start_of<D: Disk>(files: &ReplicaFiles<D>, boot: &str) -> Start {
    let header = files.header();
    Start {
        identity: Identity {
            cluster: header.identity.cluster.clone(),
            volume: header.identity.volume.clone(),
            replica: header.identity.replica.clone(),
        },
        boot: boot.to_owned(),
        durable: disk_work::durable(header),
        failed: header.failed.as_ref().map(|failed| failed.reason.clone()),
        document: files.document().clone(),
        marks: files.marks(),
    }
}
