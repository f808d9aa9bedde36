//! The unix socket at which clients find the volume.
//!
//! Bound when the record is asked to open the session: who learns there that it is open can connect at once. Nobody is
//! accepted before the record has answered (docs/protocol.md, B2). Removed when the session ends, if it is still the one
//! that was bound here.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use mio::net::UnixListener;
use rustix::fs::Mode;
use rustix::process::umask;

use crate::log;

/// A listening socket with its file.
#[derive(Debug)]
pub struct Endpoint {
    /// To be registered with the poll.
    pub listener: UnixListener,
    path: PathBuf,
    /// Device and inode of the file, to know it again.
    file: (u64, u64),
}

impl Endpoint {
    /// Listens at `path`, for the own user only.
    ///
    /// A socket file that is there is one of a dead engine of the same hold, whose clients come back here: it is
    /// replaced. That no engine of an older epoch lives is the agent's duty (docs/protocol.md, Open, A16).
    ///
    /// The socket is made under another name and then renamed: a socket has a file before it listens, and whoever waits
    /// for the file to appear must not be refused.
    pub fn bind(path: &str) -> io::Result<Self> {
        let path = PathBuf::from(path);
        check_replaceable(&path)?;
        let fresh = fresh_name(&path);
        remove_if_there(&fresh)?;
        // The file must never be there with wider rights. No other thread of this program makes files.
        let before = umask(Mode::from_raw_mode(0o177));
        let listener = UnixListener::bind(&fresh);
        umask(before);
        let listener = listener?;
        fs::rename(&fresh, &path)?;
        let file = identity(&path)?;
        Ok(Self {
            listener,
            path,
            file,
        })
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        match identity(&self.path) {
            Ok(file) if file == self.file => {
                if let Err(error) = fs::remove_file(&self.path) {
                    log::warn("endpoint not removed", &[("why", &error)]);
                }
            }
            // Gone, or somebody else's by now.
            _ => {}
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let there = fs::symlink_metadata(path)?;
    Ok((there.dev(), there.ino()))
}

/// The name under which the socket is made: beside the path, so that it can be renamed.
pub fn fresh_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Nothing but a socket is ever replaced.
fn check_replaceable(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(there) if there.file_type().is_socket() => Ok(()),
        Ok(_) => Err(io::Error::new(
            ErrorKind::AlreadyExists,
            "something that is no socket is there",
        )),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
