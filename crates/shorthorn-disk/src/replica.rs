//! One replica's files, open: header, document, marks and syncs. Making and opening them is in `making`, the content in
//! `blocks` (bytes of any alignment) and `copies` (whole blocks with their states).

use crate::document::{Documents, Record};
use crate::folder::check_name;
use crate::header::{Slots, Stored, check_fits};
use crate::layer::Layer;
use crate::regions::Regions;
use crate::sync::Fault;
use crate::{Disk, DiskError, FailedDisk, File, Header, Identity, Layout, SyncHandle};
use shorthorn_wire::REGION_BYTES;
use shorthorn_wire::message::{BlockState, Document, Membership, RegionRun};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Longest reason of a failure that is recorded, bytes: it shares the header's slot with seven names.
const REASON_BYTES_MAX: usize = 256;

pub(crate) type Layers<D> = Vec<Layer<<D as Disk>::File>>;

/// One replica's files, open. One owner at a time (`&mut`); [`Self::sync_handle`] gives the part that may run beside.
///
/// After an error of kind `Io` in a write or sync every call but the header's fails with `Failed`, until the machine
/// boots again.
pub struct ReplicaFiles<D: Disk> {
    pub(crate) disk: Arc<D>,
    pub(crate) root: PathBuf,
    pub(crate) boot: String,
    pub(crate) slots: Slots<D::File>,
    pub(crate) documents: Documents<D::File>,
    pub(crate) header: Header,
    pub(crate) record: Record,
    pub(crate) regions: Regions<D::File>,
    /// The oldest first; the head is the last. Never empty.
    pub(crate) layers: Layers<D>,
    pub(crate) fault: Arc<Fault>,
    /// Entries as they are on disk, of the blocks at hand.
    pub(crate) entries: Vec<u8>,
    /// Entries as they are to be.
    pub(crate) changed: Vec<u8>,
    /// States of the blocks at hand.
    pub(crate) states: Vec<BlockState>,
    /// Room for blocks at hand.
    pub(crate) scratch: Vec<u8>,
}

impl<D: Disk> ReplicaFiles<D> {
    /// What is durable.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Stores a header durably. Refuses (`Invalid`) another identity and any step back of era, sealed or m.
    pub fn set_header(&mut self, header: Header) -> Result<(), DiskError> {
        self.check_header(&header)?;
        self.store(header, None)
    }

    /// The volume's last known document.
    pub fn document(&self) -> &Document {
        &self.record.document
    }

    /// Stores a document durably. Refuses (`Invalid`) an older (era, version) and (`OtherLayout`) another chain, head or
    /// size than [`Self::layout`]'s.
    pub fn store_document(&mut self, document: &Document) -> Result<(), DiskError> {
        self.check_document(document)?;
        self.store(self.header.clone(), Some(document))
    }

    /// Stores header and document durably in one step: after a crash both are there or neither. Refuses as
    /// [`Self::set_header`] and [`Self::store_document`].
    pub fn commit(&mut self, header: Header, document: &Document) -> Result<(), DiskError> {
        self.check_header(&header)?;
        self.check_document(document)?;
        self.store(header, Some(document))
    }

    fn check_header(&self, new: &Header) -> Result<(), DiskError> {
        check_identity(&new.identity)?;
        let era = new.identity.era;
        let same = Identity {
            era,
            ..self.header.identity.clone()
        } == new.identity;
        if !same {
            return Err(DiskError::invalid("a replica's identity never changes"));
        }
        if era < self.header.identity.era
            || new.sealed < self.header.sealed
            || new.m < self.header.m
        {
            return Err(DiskError::invalid(
                "era, sealed and membership number never fall",
            ));
        }
        Ok(())
    }

    fn check_document(&self, new: &Document) -> Result<(), DiskError> {
        let old = &self.record.document;
        if (new.era, new.version) < (old.era, old.version) {
            return Err(DiskError::invalid(format!(
                "document {} of era {} is older than this replica's, {} of era {}",
                new.version, new.era, old.version, old.era
            )));
        }
        let layout = &self.record.layout;
        let differs = |what| Err(DiskError::OtherLayout { what });
        match new {
            _ if new.chain != layout.chain => differs("chain"),
            _ if new.head != layout.head => differs("head"),
            _ if new.size != layout.size => differs("size"),
            _ => Ok(()),
        }
    }

    pub(crate) fn store(
        &mut self,
        header: Header,
        document: Option<&Document>,
    ) -> Result<(), DiskError> {
        let mut stored = Stored {
            header,
            document: self.documents.current.clone(),
        };
        check_fits(&stored)?;
        let mut record = None;
        if let Some(document) = document {
            let new = Record {
                layout: self.record.layout.clone(),
                document: document.clone(),
            };
            stored.document = self
                .documents
                .write(&new, &self.fault)
                .inspect_err(|error| self.note(error))?;
            record = Some(new);
        }
        self.slots
            .store(&stored, &self.fault)
            .inspect_err(|error| self.note(error))?;
        self.header = stored.header;
        self.documents.current = stored.document;
        if let Some(record) = record {
            self.record = record;
        }
        Ok(())
    }

    fn note(&self, error: &DiskError) {
        if matches!(error, DiskError::Io { .. }) {
            self.fault.set(&error.to_string());
        }
    }

    /// Chain, head and size in force.
    pub fn layout(&self) -> &Layout {
        &self.record.layout
    }

    /// Size of the volume, bytes.
    pub fn size(&self) -> u64 {
        self.record.layout.size
    }

    /// Number of regions; the last may be shorter.
    pub fn regions(&self) -> u64 {
        self.regions.count()
    }

    /// Dirty regions, in order, joined.
    pub fn marks(&self) -> Vec<RegionRun> {
        self.regions.marks()
    }

    /// Membership number of a region's last clear; 0 if never, `u64::MAX` if its entry was damaged (or is not there).
    pub fn stamp(&self, region: u64) -> Membership {
        self.regions.stamp(region)
    }

    /// Whether every region that the byte range touches is marked. False beyond the end.
    pub fn is_marked(&self, offset: u64, length: u64) -> bool {
        if self.check_range(offset, length).is_err() {
            return false;
        }
        regions_of(offset, length).all(|region| self.regions.is_dirty(region))
    }

    /// Marks regions durably, with one sync for all; those marked already cost nothing.
    pub fn mark(&mut self, regions: &[RegionRun]) -> Result<(), DiskError> {
        self.fault.check()?;
        self.regions.check(regions)?;
        self.regions
            .mark(regions, &self.fault)
            .map_err(|error| self.broken(error))
    }

    /// Clears marks and sets the stamp `m`. The caller has synced everything written to these regions. Not synced itself:
    /// a power loss may bring a mark back, never take one away.
    pub fn clear(&mut self, m: Membership, regions: &[RegionRun]) -> Result<(), DiskError> {
        self.fault.check()?;
        self.regions.check(regions)?;
        for region in regions
            .iter()
            .flat_map(|run| run.first..run.first + run.count)
        {
            self.resolve(region)?;
        }
        self.regions
            .clear(m, regions)
            .map_err(|error| self.broken(error))
    }

    /// Something that syncs without the replica's lock, on another thread.
    pub fn sync_handle(&self) -> SyncHandle<D> {
        let layers = self.layers.iter().flat_map(Layer::files);
        let files = layers
            .chain([self.regions.file()])
            .map(Arc::clone)
            .collect();
        SyncHandle {
            files,
            fault: Arc::clone(&self.fault),
        }
    }

    /// Syncs every file; records a failure. The same as a handle's `sync` followed, on error, by `note_sync_failed`.
    pub fn sync(&mut self) -> Result<(), DiskError> {
        self.sync_handle()
            .sync()
            .map_err(|error| self.broken(error))
    }

    /// Records durably that a sync, or the disk, failed in this boot. From then on nothing is served.
    pub fn note_sync_failed(&mut self, reason: &str) -> Result<(), DiskError> {
        self.fault.set(reason);
        if self.header.failed.is_some() {
            return Ok(());
        }
        let mut end = reason.len().min(REASON_BYTES_MAX);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        let reason = reason[..end].replace(char::is_control, " ");
        let failed = Some(FailedDisk {
            boot: self.boot.clone(),
            reason,
        });
        self.store(
            Header {
                failed,
                ..self.header.clone()
            },
            None,
        )
    }

    /// Makes an error of a change final, if it is one of the disk's. It is recorded if the disk still can.
    pub(crate) fn broken(&mut self, error: DiskError) -> DiskError {
        if matches!(error, DiskError::Io { .. } | DiskError::NoSpace { .. }) {
            let reason = error.to_string();
            // The caller learns of the first error either way, and `fault` holds it for as long as this program runs.
            let _recorded = self.note_sync_failed(&reason);
        }
        match error {
            // Space was reserved for this: for the caller it is the disk that failed.
            DiskError::NoSpace { what } => DiskError::Io {
                what,
                source: io::ErrorKind::StorageFull.into(),
            },
            other => other,
        }
    }

    /// Space that the folder takes, bytes: header, documents, marks, checksums and the data that is there.
    pub fn used_bytes(&self) -> Result<u64, DiskError> {
        let layers = self.layers.iter().flat_map(Layer::files);
        let rest = [
            self.slots.file(),
            self.regions.file(),
            &self.documents.files[0],
            &self.documents.files[1],
        ];
        layers.chain(rest).try_fold(0, |sum, file| {
            let space = file
                .file
                .allocated()
                .map_err(|error| file.error("asking the space", error))?;
            Ok(sum + space)
        })
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The disk it is on.
    pub fn disk(&self) -> &Arc<D> {
        &self.disk
    }

    pub(crate) fn head(&self) -> &Layer<D::File> {
        &self.layers[self.layers.len() - 1]
    }

    pub(crate) fn check_range(&self, offset: u64, length: u64) -> Result<(), DiskError> {
        let size = self.size();
        match offset.checked_add(length) {
            Some(end) if end <= size => Ok(()),
            _ => Err(DiskError::OutOfRange {
                offset,
                length,
                size,
            }),
        }
    }
}

/// Regions that a byte range touches.
pub(crate) fn regions_of(offset: u64, length: u64) -> std::ops::Range<u64> {
    if length == 0 {
        0..0
    } else {
        offset / REGION_BYTES..(offset + length - 1) / REGION_BYTES + 1
    }
}

pub(crate) fn check_identity(identity: &Identity) -> Result<(), DiskError> {
    check_name("the cluster uid", &identity.cluster)?;
    check_name("the volume uid", &identity.volume)?;
    check_name("the replica id", &identity.replica)?;
    check_name("the disk uid", &identity.disk)
}
