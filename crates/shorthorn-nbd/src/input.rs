//! Where a shell reads to: initialised memory, cut into payloads without copying.

use bytes::BytesMut;

/// Less room than this is not worth a read.
const SPARE_MIN_BYTES: usize = 16 << 10;

/// A receive buffer that needs neither `unsafe` nor a copy: bytes are read into its spare part, which then
/// joins what was received before, and payloads are split off that by reference.
///
/// A chunk of memory is given back when the last payload cut from it is dropped.
#[derive(Debug, Default)]
pub struct InBuffer {
    /// Received and not yet used up.
    received: BytesMut,
    /// Follows `received` in the same chunk of memory, so that joining them is free.
    spare: BytesMut,
}

impl InBuffer {
    /// An empty buffer. Allocates nothing.
    #[must_use]
    pub fn new() -> InBuffer {
        InBuffer::default()
    }

    /// Somewhere to read to: never empty, and not more than `bytes` more memory than is there already.
    /// `bytes` is [`crate::Connection::read_size`].
    pub fn room(&mut self, bytes: usize) -> &mut [u8] {
        if self.spare.len() < SPARE_MIN_BYTES.min(bytes.max(1)) {
            let received = self.received.len();
            let mut chunk = BytesMut::zeroed(received + bytes.max(1));
            chunk[..received].copy_from_slice(&self.received);
            self.received = chunk.split_to(received);
            self.spare = chunk;
        }
        &mut self.spare
    }

    /// Takes the first `read` bytes of the room as received.
    ///
    /// # Panics
    /// If there was less room than `read`: the shell claims bytes that it cannot have read.
    pub fn fill(&mut self, read: usize) {
        let bytes = self.spare.split_to(read);
        self.received.unsplit(bytes);
    }

    /// What was received, for [`crate::Connection::receive`] to take from the front.
    pub fn received(&mut self) -> &mut BytesMut {
        &mut self.received
    }
}
