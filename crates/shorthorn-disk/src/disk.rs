//! The one trait through which every byte reaches a disk. It decides nothing and remembers nothing.

use std::io;
use std::path::Path;

/// A place that keeps files. Paths are absolute or relative to the program, as the caller chooses.
pub trait Disk: Send + Sync + 'static {
    /// An open file.
    type File: File;

    /// Opens a file that exists, for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Self::File>;
    /// Makes a file that does not exist yet, and opens it for reading and writing.
    fn create(&self, path: &Path) -> io::Result<Self::File>;
    /// Gives a file or folder another name in the same folder; takes the place of a file that is there.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes a folder; its parent exists.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty folder.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// Names in a folder, sorted; a folder's name ends in `/`.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;
    /// Makes the names in a folder durable: what was created, renamed, removed in it.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
}

/// An open file. Calls may come from several threads.
pub trait File: Send + Sync + 'static {
    /// Reads up to `buffer.len()` bytes; fewer only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes; may write fewer bytes than asked (at least one), as pwrite(2).
    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<usize>;
    /// Makes content and length durable, as fdatasync(2).
    fn sync(&self) -> io::Result<()>;
    /// Sets the length; new bytes read as zeroes and take no space.
    fn set_len(&self, length: u64) -> io::Result<()>;
    /// Gives the space of a range back; it reads as zeroes. The length stays.
    fn punch(&self, offset: u64, length: u64) -> io::Result<()>;
    /// Makes a range read as zeroes and keeps its space. The length stays.
    fn zero(&self, offset: u64, length: u64) -> io::Result<()>;
    /// Reserves space for a range, so that writing there needs none. Content and length stay.
    fn allocate(&self, offset: u64, length: u64) -> io::Result<()>;
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether the length is 0.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Bytes of space it takes.
    fn allocated(&self) -> io::Result<u64>;
}
