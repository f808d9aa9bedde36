//! One non-blocking stream of the poll loop: what is known of its readiness, reading and writing without waiting.
//!
//! The poll is edge-triggered: it tells once that a stream became ready, and this file remembers it until the stream says
//! "would block". An error or end is kept until its owner looks: whatever came before it is still good.

use std::io::{self, ErrorKind, IoSlice, Read, Write};

use mio::event::Event;
use shorthorn_nbd::InBuffer;

/// Slices of one vectored write: a round's answers at any useful depth, and far below the system's limit of 1024.
const SLICES_MAX: usize = 256;

/// Something that waits to be sent.
pub trait Outgoing {
    /// Nothing waits.
    fn is_empty(&self) -> bool;
    /// Fills slices with what comes first; how many were filled.
    fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize;
    /// So many bytes went out.
    fn advance(&mut self, sent: usize);
}

impl Outgoing for shorthorn_nbd::OutQueue {
    fn is_empty(&self) -> bool {
        self.is_empty()
    }
    fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.slices(slices)
    }
    fn advance(&mut self, sent: usize) {
        self.advance(sent);
    }
}

impl Outgoing for shorthorn_wire::OutQueue {
    fn is_empty(&self) -> bool {
        self.is_empty()
    }
    fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.slices(slices)
    }
    fn advance(&mut self, sent: usize) {
        self.advance(sent);
    }
}

/// A connected stream.
#[derive(Debug)]
pub struct Link<S> {
    /// For registering it with the poll.
    pub stream: S,
    readable: bool,
    writable: bool,
    /// The other side has ended: a short read is not the last one, the end itself is still to be read.
    ending: bool,
    ended: Option<String>,
}

impl<S: Read + Write> Link<S> {
    /// A stream that stands.
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            readable: true,
            writable: true,
            ending: false,
            ended: None,
        }
    }

    /// Takes note of what the poll said.
    pub fn note(&mut self, event: &Event) {
        self.ending |= event.is_read_closed() || event.is_error();
        self.readable |= event.is_readable() || self.ending;
        self.writable |= event.is_writable() || event.is_write_closed() || event.is_error();
    }

    /// A read may bring something.
    pub fn is_readable(&self) -> bool {
        self.readable && self.ended.is_none()
    }

    /// Why the stream ended, if it did.
    pub fn ended(&self) -> Option<&str> {
        self.ended.as_deref()
    }

    /// Ends it for a reason of our own.
    pub fn end(&mut self, why: String) {
        self.ended.get_or_insert(why);
    }

    /// One read into the room of `input`, which asks for about `size` bytes. Returns the bytes that came.
    pub fn read(&mut self, input: &mut InBuffer, size: usize) -> usize {
        let room = input.room(size);
        let read = self.read_slice(room);
        if read > 0 {
            input.fill(read);
        }
        read
    }

    /// One read into `room`. Returns the bytes that came.
    pub fn read_slice(&mut self, room: &mut [u8]) -> usize {
        if !self.is_readable() {
            return 0;
        }
        match self.stream.read(room) {
            Ok(0) => self.end("the other side ended the connection".to_owned()),
            Ok(read) => {
                // Less than there was room for: the stream is empty, and the poll tells when it is not (epoll(7)).
                self.readable = read == room.len() || self.ending;
                return read;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.readable = false,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => self.end(error.to_string()),
        }
        0
    }

    /// Writes what the stream takes. What is left goes out when the poll says that there is room.
    pub fn write(&mut self, out: &mut impl Outgoing) {
        while self.writable && self.ended.is_none() && !out.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let filled = out.slices(&mut slices);
            match self.stream.write_vectored(&slices[..filled]) {
                Ok(sent) => out.advance(sent),
                Err(error) => self.write_failed(&error),
            }
        }
    }

    fn write_failed(&mut self, error: &io::Error) {
        match error.kind() {
            ErrorKind::WouldBlock => self.writable = false,
            ErrorKind::Interrupted => {}
            _ => self.end(error.to_string()),
        }
    }
}
