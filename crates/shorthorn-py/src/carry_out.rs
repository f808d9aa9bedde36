//! A replica's work done with its files, and its core's start read from them.

use bytes::Bytes;
use shorthorn_core::replica::{Durable, Identity, Outcome, Start, Work};
use shorthorn_disk::{Disk, DiskError, Header, ReplicaFiles};
use shorthorn_wire::frame::EXTENTS_MAX;
use shorthorn_wire::message::Document;

/// Does work. A sync goes the way of the program's, beside the owner: what failed is recorded by work that follows.
pub fn carry_out<D: Disk>(files: &mut ReplicaFiles<D>, work: Work) -> Outcome {
    let done = match work {
        Work::Record { durable, document } => record(files, *durable, document.as_deref()),
        Work::NoteFailed(reason) => files.note_sync_failed(&reason),
        Work::Mark(regions) => files.mark(&regions),
        Work::Clear { m, regions } => files.clear(m, &regions),
        Work::Write { offset, data } => files.write(offset, &data),
        Work::Zero {
            offset,
            length,
            punch,
        } => files.zero(offset, length, punch),
        Work::Copy { offset, blocks } => files.copy(offset, &blocks),
        Work::Read { offset, length } => {
            let mut data = Vec::new();
            let read = files.read(offset, u64::from(length), &mut data);
            return read.map_or_else(failed, |()| Outcome::Data(Bytes::from(data)));
        }
        Work::Extents { offset, length } => {
            return files
                .extents(offset, length, EXTENTS_MAX)
                .map_or_else(failed, Outcome::Extents);
        }
        Work::Hash { offset, length } => {
            let hashed = files.hash(offset, u64::from(length));
            return hashed.map_or_else(failed, |found| Outcome::Hash {
                digest: found.digest,
                bad: found.bad,
            });
        }
        Work::Fetch { offset, length } => {
            return files
                .fetch(offset, u64::from(length))
                .map_or_else(failed, Outcome::Blocks);
        }
        Work::Sync => files.sync_handle().sync(),
    };
    done.map_or_else(failed, |()| Outcome::Done)
}

/// What a disk's error means to the replica.
fn failed(error: DiskError) -> Outcome {
    let text = error.to_string();
    match error {
        DiskError::NoSpace { .. } => Outcome::NoSpace(text),
        DiskError::Corrupt { offset } => Outcome::Corrupt { offset },
        DiskError::OutOfRange { .. }
        | DiskError::Misaligned { .. }
        | DiskError::Invalid { .. }
        | DiskError::OtherLayout { .. }
        | DiskError::Unmarked { .. }
        | DiskError::Exists { .. } => Outcome::Invalid(text),
        DiskError::Missing { .. }
        | DiskError::Damaged { .. }
        | DiskError::NewerFormat { .. }
        | DiskError::Io { .. }
        | DiskError::Failed { .. } => Outcome::Disk(text),
    }
}

fn record<D: Disk>(
    files: &mut ReplicaFiles<D>,
    durable: Durable,
    document: Option<&Document>,
) -> Result<(), DiskError> {
    let old = files.header();
    let era = document.map_or(old.identity.era, |document| {
        document.era.max(old.identity.era)
    });
    let header = Header {
        identity: shorthorn_disk::Identity {
            era,
            ..old.identity.clone()
        },
        sealed: durable.sealed,
        engine: durable.engine,
        role: durable.role,
        m: durable.m,
        epoch: durable.epoch,
        synced_through: durable.synced_through,
        open_boot: durable.open_boot,
        torn: durable.torn,
        failed: old.failed.clone(),
    };
    match document {
        Some(document) => files.commit(header, document),
        None => files.set_header(header),
    }
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
        durable: Durable {
            sealed: header.sealed,
            engine: header.engine.clone(),
            role: header.role,
            m: header.m,
            epoch: header.epoch,
            synced_through: header.synced_through,
            open_boot: header.open_boot.clone(),
            torn: header.torn,
        },
        failed: header.failed.as_ref().map(|failed| failed.reason.clone()),
        document: files.document().clone(),
        marks: files.marks(),
    }
}
