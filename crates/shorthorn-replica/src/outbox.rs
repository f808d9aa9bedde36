//! Replies on their way to one connection.
//!
//! Whoever holds a replica's lock only queues; bytes are sent without that lock. The connection's own thread waits for its
//! peer to take them, for a while; any other thread (of another connection, of a fence, the one that syncs) never does:
//! an engine that stands still must not hold up the one that takes over.

use std::io::{self, IoSlice, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};
use shorthorn_core::replica::ConnId;
use shorthorn_wire::OutQueue;

use crate::log;

/// A peer that takes nothing for this long is gone.
pub const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// Most slices of one write.
const SLICES_MAX: usize = 64;
const STACK_BYTES: usize = 256 << 10;

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

    /// Sends all that is queued; for the connection's own thread. On an error the connection is of no use any more.
    pub fn flush(&self) -> io::Result<()> {
        loop {
            let sending = self.sending.lock().unwrap_or_else(PoisonError::into_inner);
            self.send_queued(sending, send_all)?;
            // Somebody may have queued after the last look and found the sending side taken.
            if self.queue().is_empty() {
                return Ok(());
            }
        }
    }

    /// Sends what goes out without waiting; for any other thread. What is left is sent by a thread of its own.
    pub fn flush_aside(self: &Arc<Self>) -> io::Result<()> {
        loop {
            let sending = match self.sending.try_lock() {
                Ok(sending) => sending,
                // Whoever sends looks at the queue again afterwards.
                Err(TryLockError::WouldBlock) => return Ok(()),
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            };
            match self.send_queued(sending, send_some) {
                Ok(()) if self.queue().is_empty() => return Ok(()),
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return self.flush_later();
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn flush_later(self: &Arc<Self>) -> io::Result<()> {
        let outbox = Arc::clone(self);
        let flush = move || {
            if let Err(error) = outbox.flush() {
                log::info(
                    "a reply could not be sent",
                    &[("conn", &outbox.conn.0), ("why", &error)],
                );
            }
        };
        let thread = thread::Builder::new()
            .name("replies".to_owned())
            .stack_size(STACK_BYTES);
        thread.spawn(flush).map(drop).inspect_err(|_| self.end())
    }

    /// Any error but `WouldBlock` ends the connection.
    fn send_queued(
        &self,
        mut sending: MutexGuard<'_, OutQueue>,
        send: fn(&TcpStream, &mut OutQueue) -> io::Result<()>,
    ) -> io::Result<()> {
        sending.append(&mut self.queue());
        let sent = send(&self.stream, &mut sending);
        let over = match &sent {
            Ok(()) => false,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        };
        if over {
            sending.clear();
            self.end();
        }
        sent
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

/// Writes a whole queue. A peer that takes nothing for [`SEND_TIMEOUT`] is an error.
pub fn send_all(mut stream: &TcpStream, queue: &mut OutQueue) -> io::Result<()> {
    let sent = send(queue, |slices| stream.write_vectored(slices));
    // The write timeout that is set on every connection says so.
    sent.map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => io::Error::new(
            io::ErrorKind::TimedOut,
            format!("it took nothing for {} seconds", SEND_TIMEOUT.as_secs()),
        ),
        _ => error,
    })
}

/// Writes what goes out without waiting; `WouldBlock`: not all.
fn send_some(stream: &TcpStream, queue: &mut OutQueue) -> io::Result<()> {
    send(queue, |slices| {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        Ok(sendmsg(
            stream,
            slices,
            &mut SendAncillaryBuffer::default(),
            flags,
        )?)
    })
}

fn send(
    queue: &mut OutQueue,
    mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
) -> io::Result<()> {
    while !queue.is_empty() {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let filled = queue.slices(&mut slices);
        match write(&slices[..filled]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(sent) => queue.advance(sent),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
