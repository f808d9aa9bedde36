//! What has to be right before a session starts: the lock, the order, the place of the endpoint.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use shorthorn_core::BadOrder;
use shorthorn_wire::agent::SessionOrder;

use crate::endpoint::fresh_name;

/// Longest path of a unix socket, bytes: `sockaddr_un` less its terminator.
const SOCKET_PATH_BYTES_MAX: usize = 107;
/// An order holds one document, which has a limit of its own; more is not an order.
const ORDER_BYTES_MAX: u64 = 2 * shorthorn_wire::LINE_BYTES_MAX as u64;

/// Why the program could not start. Nothing was changed, nobody was asked anything.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another engine lives: epochs are started once (docs/protocol.md, B15).
    #[error("another engine holds the lock {0}")]
    Locked(PathBuf),
    /// The lock file can't be made.
    #[error("lock {path}: {source}")]
    Lock {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The order can't be read.
    #[error("order {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is no order.
    #[error("order {path}: {source}")]
    Parse {
        /// Which.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// The order can't be carried out.
    #[error("order {path}: {source}")]
    Order {
        /// Which.
        path: PathBuf,
        /// Why.
        source: BadOrder,
    },
    /// The endpoint's path is too long, or something that is no socket is there.
    #[error("endpoint {path}: {why}")]
    Endpoint {
        /// Which.
        path: PathBuf,
        /// Why.
        why: &'static str,
    },
    /// The operating system refused something every start needs.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
}

/// Takes the lock; it is held while the returned file is open. A dead engine's lock is free: that is how its death is
/// confirmed (docs/protocol.md, "Death of an engine").
pub fn take_lock(path: &Path) -> Result<File, StartError> {
    let failed = |source| StartError::Lock {
        path: path.to_owned(),
        source,
    };
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(0o600);
    let file = options.open(path).map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StartError::Locked(path.to_owned())),
        Err(error) => Err(failed(error.into())),
    }
}

/// Reads the order.
pub fn read_order(path: &Path) -> Result<SessionOrder, StartError> {
    let failed = |source| StartError::Read {
        path: path.to_owned(),
        source,
    };
    let size = fs::metadata(path).map_err(failed)?.len();
    if size > ORDER_BYTES_MAX {
        let why = format!("{size} bytes are more than an order has");
        return Err(failed(io::Error::new(io::ErrorKind::InvalidData, why)));
    }
    let bytes = fs::read(path).map_err(failed)?;
    let order: SessionOrder =
        serde_json::from_slice(&bytes).map_err(|source| StartError::Parse {
            path: path.to_owned(),
            source,
        })?;
    check_endpoint(Path::new(&order.endpoint))?;
    Ok(order)
}

/// Finds out now what would otherwise end the session after it was opened.
fn check_endpoint(path: &Path) -> Result<(), StartError> {
    let refuse = |why| {
        Err(StartError::Endpoint {
            path: path.to_owned(),
            why,
        })
    };
    if fresh_name(path).as_os_str().len() > SOCKET_PATH_BYTES_MAX {
        return refuse("longer than a unix socket's path may be");
    }
    if !path.parent().is_some_and(Path::is_dir) {
        return refuse("its folder does not exist");
    }
    match fs::symlink_metadata(path) {
        Ok(there) if !there.file_type().is_socket() => refuse("something else is there"),
        _ => Ok(()),
    }
}

/// An id that no other engine ever has: of the session, and of this process by chance.
pub fn engine_id(order: &SessionOrder) -> Result<String, StartError> {
    let random = fs::read_to_string("/proc/sys/kernel/random/uuid");
    let random = random.map_err(|source| StartError::System {
        what: "reading a random id",
        source,
    })?;
    Ok(format!("e{}-{}", order.epoch, random.trim()))
}
