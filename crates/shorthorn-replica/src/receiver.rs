//! The receiving half of a connection: bytes in, whole messages out, in as few reads as can be.

use std::io::{self, Read};
use std::net::TcpStream;

use bytes::BytesMut;
use shorthorn_wire::message::Tag;
use shorthorn_wire::{WireError, missing_bytes};

/// Room for one read, at least; grows while reads fill it.
const READ_BYTES_MIN: usize = 16 << 10;
/// And at most, unless a payload is longer.
const READ_BYTES_MAX: usize = 256 << 10;
/// Room for one read of a long payload. Not more: memory is taken as the bytes come, not as they are announced.
const PAYLOAD_READ_BYTES_MAX: usize = 1 << 20;
/// A buffer larger than this is given back once it is empty.
const KEPT_BYTES_MAX: usize = 512 << 10;

/// Decodes messages of one direction.
pub type Decode<M> = fn(&mut BytesMut) -> Result<Option<(Tag, M)>, WireError>;

/// Bytes that came and were not understood yet.
#[derive(Debug)]
pub struct Receiver<M> {
    buffer: BytesMut,
    step: usize,
    decode: Decode<M>,
}

impl<M> Receiver<M> {
    /// Nothing came yet.
    pub fn new(decode: Decode<M>) -> Self {
        Self {
            buffer: BytesMut::new(),
            step: READ_BYTES_MIN,
            decode,
        }
    }

    /// The next whole message; none: read more.
    pub fn take(&mut self) -> Result<Option<(Tag, M)>, WireError> {
        (self.decode)(&mut self.buffer)
    }

    /// Reads once, as much as there is. False: the peer has ended the connection.
    pub fn read(&mut self, mut stream: &TcpStream) -> io::Result<bool> {
        if self.buffer.is_empty() && self.buffer.capacity() > KEPT_BYTES_MAX {
            self.buffer = BytesMut::new();
        }
        let missing = missing_bytes(&self.buffer).min(PAYLOAD_READ_BYTES_MAX);
        let (held, room) = (self.buffer.len(), self.step.max(missing));
        self.buffer.resize(held + room, 0);
        let read = loop {
            match stream.read(&mut self.buffer[held..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        let count = *read.as_ref().unwrap_or(&0);
        self.buffer.truncate(held + count);
        self.step = match count {
            full if full == room => (self.step * 2).min(READ_BYTES_MAX),
            little if little < self.step / 4 => (self.step / 2).max(READ_BYTES_MIN),
            _ => self.step,
        };
        read.map(|count| count > 0)
    }
}
