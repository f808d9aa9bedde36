//! Making a replica's folder, and opening it: what a program must find out before it can trust what is there.

use crate::document::{Documents, RESERVED_BYTES, Record};
use crate::folder::{check_name, error_at, make, split, sync_dir};
use crate::header::{DocumentPointer, Slots, Stored};
use crate::layer::{Layer, existing};
use crate::layout::{check_layout, layout_of, region_count};
use crate::regions::Regions;
use crate::replica::{Layers, check_identity};
use crate::sync::{Durable, Fault};
use crate::{Disk, DiskError, File, Header, Identity, Layout, ReplicaFiles};
use shorthorn_wire::message::{Attempt, Document, Role};
use std::io;
use std::path::Path;
use std::sync::Arc;

impl<D: Disk> ReplicaFiles<D> {
    /// Makes a new, empty, durable replica folder: syncing, sealed (0, `attempt`), everything reads as zeroes.
    ///
    /// A crash leaves either no folder `root` or a whole one. `root`'s name must not end in `.new` or `.dead`; its parent
    /// exists. Errors: `Exists`, `NoSpace` (nothing is left behind), `Invalid`, `Io`.
    pub fn create(
        disk: Arc<D>,
        root: &Path,
        identity: Identity,
        attempt: Attempt,
        document: &Document,
        boot: &str,
    ) -> Result<Self, DiskError> {
        split(root)?;
        check_identity(&identity)?;
        check_name("the boot id", boot)?;
        let header = Header {
            identity,
            sealed: (0, attempt),
            engine: String::new(),
            role: Role::Syncing,
            m: 0,
            epoch: 0,
            synced_through: None,
            open_boot: None,
            torn: false,
            failed: None,
        };
        let record = Record {
            layout: layout_of(document)?,
            document: document.clone(),
        };
        make(&*disk, root, |new| fill(&*disk, new, header, &record))?;
        Self::open(disk, root, boot)
    }

    /// Opens a folder. Records durably: torn, if it was open in another boot, or data is missing.
    ///
    /// Errors: `Missing`, `Damaged`, `NewerFormat`, `Io`. The caller compares the identity.
    pub fn open(disk: Arc<D>, root: &Path, boot: &str) -> Result<Self, DiskError> {
        check_name("the boot id", boot)?;
        let fault = Arc::new(Fault::default());
        let header_file = match disk.open(&root.join("header")) {
            Ok(file) => Durable::new("header", file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(DiskError::Missing {
                    path: root.display().to_string(),
                });
            }
            Err(error) => return Err(error_at("opening the header in", root, error)),
        };
        let (slots, Stored { header, document }) = Slots::load(header_file, &fault)?;
        let open = |name: &str| {
            let path = root.join(name);
            let file = disk
                .open(&path)
                .map_err(|error| error_at("opening", &path, error));
            existing(file).map(|file| Durable::new(name, file))
        };
        let documents = Documents {
            files: [open("document.0")?, open("document.1")?],
            current: document,
        };
        let record = documents.read()?;
        check_layout(&record.layout)
            .map_err(|error| DiskError::damaged(format!("its layout: {error}")))?;
        let (layers, short) = open_layers(&*disk, root, &record.layout)?;
        let regions = Regions::load(open("regions")?, region_count(record.layout.size), &fault)?;
        let mut files = Self {
            disk,
            root: root.to_owned(),
            boot: boot.to_owned(),
            slots,
            documents,
            header,
            record,
            regions,
            layers,
            fault,
            entries: Vec::new(),
            changed: Vec::new(),
            states: Vec::new(),
            scratch: Vec::new(),
        };
        files.note_start(short)?;
        Ok(files)
    }

    /// Finds out, and records, what happened while no program ran.
    fn note_start(&mut self, data_missing: bool) -> Result<(), DiskError> {
        let mut header = self.header.clone();
        let other_boot = |boot: &String| *boot != self.boot;
        header.torn |= data_missing || header.open_boot.as_ref().is_some_and(other_boot);
        match &header.failed {
            Some(failed) if failed.boot == self.boot => self.fault.set(&failed.reason),
            Some(_) => {
                // The machine has booted since: the disk may be used again, but what the failed sync was to save may be
                // lost as by a loss of power.
                header.torn = true;
                header.failed = None;
            }
            None => {}
        }
        if header == self.header {
            Ok(())
        } else {
            self.store(header, None)
        }
    }
}

/// Fills a new folder, durably.
fn fill<D: Disk>(disk: &D, root: &Path, header: Header, record: &Record) -> Result<(), DiskError> {
    let fault = Fault::default();
    let create = |name: &str| {
        let path = root.join(name);
        let file = disk
            .create(&path)
            .map_err(|error| error_at("making", &path, error))?;
        Ok(Durable::new(name, file))
    };
    let reserve = |file: &Durable<D::File>, length: u64| {
        file.file
            .allocate(0, length)
            .map_err(|error| file.error("reserving space", error))
    };
    let layers = root.join("layers");
    disk.create_dir(&layers)
        .map_err(|error| error_at("making", &layers, error))?;
    let size = record.layout.size;
    for id in &record.layout.chain {
        let layer = Layer::create(&layers, id, size, |path| disk.create(path))?;
        layer
            .files()
            .into_iter()
            .try_for_each(|file| file.sync(&fault))?;
    }
    sync_dir(disk, &layers)?;

    let regions = create("regions")?;
    reserve(&regions, Regions::<D::File>::file_bytes(region_count(size)))?;
    Regions::create(Arc::clone(&regions), region_count(size))?;
    regions.sync(&fault)?;

    let files = [create("document.0")?, create("document.1")?];
    for file in &files {
        reserve(file, RESERVED_BYTES)?;
        // The one that is not written now needs its space after a power loss too.
        file.sync(&fault)?;
    }
    // As if 1 were in force, so that 0 is written.
    let current = DocumentPointer {
        file: 1,
        length: 0,
        crc: 0,
    };
    let documents = Documents { files, current };
    let document = documents.write(record, &fault)?;

    let header_file = create("header")?;
    reserve(&header_file, Slots::<D::File>::FILE_BYTES)?;
    Slots::create(header_file).store(&Stored { header, document }, &fault)?;
    sync_dir(disk, root)
}

/// Opens the layers of a chain. True: data was found missing.
fn open_layers<D: Disk>(
    disk: &D,
    root: &Path,
    layout: &Layout,
) -> Result<(Layers<D>, bool), DiskError> {
    let folder = root.join("layers");
    let mut layers = Vec::new();
    let mut any_short = false;
    for id in &layout.chain {
        let (layer, short) = Layer::open(&folder, id, layout.size, |path| disk.open(path))?;
        any_short |= short;
        layers.push(layer);
    }
    Ok((layers, any_short))
}
