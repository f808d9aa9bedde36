//! Replies on their way to one connection.
//!
//! Whoever holds a replica's lock only queues; bytes are sent without that lock, by the connection's own thread or by the
//! one that syncs. A peer that does not read is given up after a while, so nobody waits for it for long.

use std::io::{self, IoSlice, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shorthorn_core::replica::ConnId;
use shorthorn_wire::OutQueue;

/// A peer that takes nothing for this long is gone.
pub const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// Most slices of one write.
const SLICES_MAX: usize = 64;

/// The sending half of a connection.
#[derive(Debug)]
pub struct Outbox {
    /// Whose.
    pub conn: ConnId,
    stream: TcpStream,
    queue: Mutex<OutQueue>,
    /// What is being written; its lock is that of the socket's sending side.
    sending: Mutex<OutQueue>,
}

impl Outbox {
    /// For a connection whose write timeout is set.
    pub fn new(conn: ConnId, stream: TcpStream) -> Self {
        Self {
            conn,
            stream,
            queue: Mutex::default(),
            sending: Mutex::default(),
        }
    }

    /// The queue; sent by the next [`Self::flush`].
    pub fn queue(&self) -> MutexGuard<'_, OutQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends all that is queued. On an error the connection is of no use any more.
    pub fn flush(&self) -> io::Result<()> {
        let mut sending = self.sending.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            sending.append(&mut self.queue());
            if sending.is_empty() {
                return Ok(());
            }
            if let Err(error) = send_all(&self.stream, &mut sending) {
                sending.clear();
                self.end();
                return Err(error);
            }
        }
    }

    /// No more requests: the connection's thread ends after what is queued was sent.
    pub fn end_requests(&self) {
        // Fails only if the connection is gone already.
        let _gone = self.stream.shutdown(Shutdown::Read);
    }

    /// Ends the connection at once.
    pub fn end(&self) {
        let _gone = self.stream.shutdown(Shutdown::Both);
    }
}

/// Writes a whole queue.
pub fn send_all(mut stream: &TcpStream, queue: &mut OutQueue) -> io::Result<()> {
    while !queue.is_empty() {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let filled = queue.slices(&mut slices);
        match stream.write_vectored(&slices[..filled]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(sent) => queue.advance(sent),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
