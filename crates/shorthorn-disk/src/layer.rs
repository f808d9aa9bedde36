//! A layer: a sparse file of data and a file of checksum entries. The head is written, the others never change.

use crate::sums::{BLOCK, ENTRY};
use crate::sync::Durable;
use crate::{DiskError, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One layer's two files.
pub(crate) struct Layer<F> {
    pub(crate) data: Arc<Durable<F>>,
    pub(crate) sums: Arc<Durable<F>>,
}

impl<F: File> Layer<F> {
    /// Makes the files of an empty layer, space for checksums reserved; not synced.
    pub(crate) fn create(
        folder: &Path,
        id: &str,
        size: u64,
        make: impl Fn(&Path) -> io::Result<F>,
    ) -> Result<Self, DiskError> {
        let data = open(folder, id, "data", &make)?;
        data.file
            .set_len(size)
            .map_err(|error| data.error("setting the length", error))?;
        let sums = open(folder, id, "sums", &make)?;
        let length = sums_bytes(size);
        sums.file
            .set_len(length)
            .map_err(|error| sums.error("setting the length", error))?;
        sums.file
            .allocate(0, length)
            .map_err(|error| sums.error("reserving space", error))?;
        Ok(Self { data, sums })
    }

    /// Opens the files of a layer. True: data was found missing (its file was short, and was made longer).
    pub(crate) fn open(
        folder: &Path,
        id: &str,
        size: u64,
        open_file: impl Fn(&Path) -> io::Result<F>,
    ) -> Result<(Self, bool), DiskError> {
        let data = existing(open(folder, id, "data", &open_file))?;
        let sums = existing(open(folder, id, "sums", &open_file))?;
        // Missing checksums would read as zeroes, silently; missing data is found block by block.
        if sums
            .file
            .len()
            .map_err(|error| sums.error("asking the length", error))?
            < sums_bytes(size)
        {
            return Err(DiskError::damaged(format!(
                "layer {id}: checksums are missing at the end"
            )));
        }
        let short = data
            .file
            .len()
            .map_err(|error| data.error("asking the length", error))?
            < size;
        if short {
            data.file
                .set_len(size)
                .map_err(|error| data.error("setting the length", error))?;
        }
        Ok((Self { data, sums }, short))
    }

    pub(crate) fn files(&self) -> [&Arc<Durable<F>>; 2] {
        [&self.data, &self.sums]
    }

    /// Reads entries of blocks `first..` into a buffer.
    pub(crate) fn read_entries(&self, first: u64, entries: &mut [u8]) -> Result<(), DiskError> {
        self.sums.read_exact(entries, first * ENTRY as u64)
    }

    /// Writes entries of blocks `first..`.
    pub(crate) fn write_entries(&self, first: u64, entries: &[u8]) -> Result<(), DiskError> {
        self.sums.write(entries, first * ENTRY as u64)
    }

    /// Reads blocks `first..` as they are in this layer's file.
    pub(crate) fn read_blocks(&self, first: u64, blocks: &mut [u8]) -> Result<(), DiskError> {
        self.data.read_padded(blocks, first * BLOCK as u64)
    }
}

fn sums_bytes(size: u64) -> u64 {
    size / BLOCK as u64 * ENTRY as u64
}

fn open<F: File>(
    folder: &Path,
    id: &str,
    kind: &str,
    open: impl Fn(&Path) -> io::Result<F>,
) -> Result<Arc<Durable<F>>, DiskError> {
    let path: PathBuf = folder.join(format!("{id}.{kind}"));
    let name = format!("layer {id}'s {kind}");
    match open(&path) {
        Ok(file) => Ok(Durable::new(name, file)),
        Err(error) => Err(DiskError::io(format!("opening {}", path.display()), error)),
    }
}

/// A file that should be there and isn't is damage, not an error of the disk.
pub(crate) fn existing<T>(result: Result<T, DiskError>) -> Result<T, DiskError> {
    match result {
        Err(DiskError::Io { what, source }) if source.kind() == io::ErrorKind::NotFound => {
            Err(DiskError::damaged(format!("{what}: the file is missing")))
        }
        other => other,
    }
}
