//! Signals, as something the poll loop can read.
//!
//! SIGTERM asks for a clean close. SIGINT and SIGHUP are meant for whoever started this program in a terminal: engines
//! outlive them. SIGPIPE is ignored by Rust's start code: a broken pipe is an error of that write.

use std::io::{self, Read};
use std::os::unix::net::UnixStream as Pair;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use mio::net::UnixStream;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// Readable after a SIGTERM.
#[derive(Debug)]
pub struct Signals {
    /// To be registered with the poll.
    pub stream: UnixStream,
}

impl Signals {
    /// Starts to listen; from here on none of them ends the program by itself.
    pub fn listen() -> io::Result<Self> {
        let (read, write) = Pair::pair()?;
        read.set_nonblocking(true)?;
        signal_hook::low_level::pipe::register(SIGTERM, write)?;
        for ignored in [SIGINT, SIGHUP] {
            signal_hook::flag::register(ignored, Arc::new(AtomicBool::new(false)))?;
        }
        let stream = UnixStream::from_std(read);
        Ok(Self { stream })
    }

    /// Whether one came since the last call.
    pub fn take(&mut self) -> bool {
        let mut bytes = [0; 16];
        let mut came = false;
        while matches!(self.stream.read(&mut bytes), Ok(read) if read > 0) {
            came = true;
        }
        came
    }
}
