//! What has to be right before a disk is served: its lock, its folder, enough file descriptors.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Resource, getrlimit, setrlimit};
use shorthorn_disk::DiskError;

/// Why the program could not start. No replica was touched.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another program serves this disk.
    #[error("another replica program serves this disk: it holds {0}")]
    Locked(PathBuf),
    /// The operating system refused something every start needs.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// Why not.
        source: io::Error,
    },
    /// The folder of replicas can't be read at all.
    #[error("{0}")]
    Disk(#[from] DiskError),
}

/// An error of the operating system, with what was tried.
pub fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> StartError {
    let what = what.into();
    move |source| StartError::System { what, source }
}

/// Takes the disk's lock; it is held while the returned file is open.
pub fn take_lock(disk: &Path) -> Result<File, StartError> {
    let path = disk.join("replica.lock");
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(0o600);
    let file = options
        .open(&path)
        .map_err(system(format!("lock {}", path.display())))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StartError::Locked(path)),
        Err(error) => Err(system(format!("lock {}", path.display()))(error.into())),
    }
}

/// The folder that holds the replicas; made if the disk is new.
pub fn replicas_folder(disk: &Path) -> Result<PathBuf, StartError> {
    let path = disk.join("replicas");
    match fs::create_dir(&path) {
        Ok(()) => File::open(disk)
            .and_then(|disk| disk.sync_all())
            .map_err(system("sync of the disk's folder"))?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(system(format!("making {}", path.display()))(error)),
    }
    Ok(path)
}

/// Each replica keeps a handful of files open: takes as many descriptors as the system gives.
pub fn raise_file_limit() -> Result<(), StartError> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit)
        .map_err(|error| system("raising the limit of open files")(error.into()))
}
