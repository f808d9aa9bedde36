//! What waits to be written to the client, in order: small headers gathered in one buffer, payloads by
//! reference.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};

/// Room asked for at once for headers, so that about two hundred replies cost one allocation.
const HEAD_BYTES: usize = 4096;
/// The largest fixed part of a reply.
const HEAD_SPARE_BYTES: usize = 64;
/// A payload up to this size is copied behind its header: cheaper than two more segments in a `writev`.
const INLINE_BYTES: usize = 512;

/// A queue of bytes for one client, made for vectored writes.
///
/// Not bounded by itself: the shell stops receiving while [`OutQueue::len`] is above its limit.
#[derive(Debug, Default)]
pub struct OutQueue {
    /// Whole segments, first to go; none is empty.
    segments: VecDeque<Bytes>,
    /// Bytes in `segments`.
    segments_bytes: usize,
    /// Headers not yet cut off into a segment; goes out after `segments`.
    head: BytesMut,
}

impl OutQueue {
    /// An empty queue. Allocates nothing.
    #[must_use]
    pub fn new() -> OutQueue {
        OutQueue::default()
    }

    /// Bytes waiting.
    #[must_use]
    pub fn len(&self) -> usize {
        self.segments_bytes + self.head.len()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `slices` from the front with what waits and says how many were filled.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let head = (!self.head.is_empty()).then_some(&self.head[..]);
        let waiting = self.segments.iter().map(|segment| &segment[..]).chain(head);
        let mut filled = 0;
        for (slot, bytes) in slices.iter_mut().zip(waiting) {
            *slot = IoSlice::new(bytes);
            filled += 1;
        }
        filled
    }

    /// Forgets the first `written` bytes; they have gone out.
    ///
    /// # Panics
    /// If `written` is more than [`OutQueue::len`]: the shell claims to have written what never was.
    pub fn advance(&mut self, written: usize) {
        assert!(
            written <= self.len(),
            "advance past the end of the out queue"
        );
        let mut left = written;
        while left > 0 {
            let Some(front) = self.segments.front_mut() else {
                self.head.advance(left);
                return;
            };
            let step = left.min(front.len());
            if step == front.len() {
                self.segments.pop_front();
            } else {
                front.advance(step);
            }
            self.segments_bytes -= step;
            left -= step;
        }
    }

    /// The buffer that headers are appended to.
    pub(crate) fn head(&mut self) -> &mut BytesMut {
        if self.head.capacity() - self.head.len() < HEAD_SPARE_BYTES {
            self.head.reserve(HEAD_BYTES);
        }
        &mut self.head
    }

    /// Appends a payload, by reference unless it is small.
    pub(crate) fn push(&mut self, payload: Bytes) {
        if payload.len() <= INLINE_BYTES {
            self.head.extend_from_slice(&payload);
            return;
        }
        if !self.head.is_empty() {
            let head = self.head.split().freeze();
            self.append(head);
        }
        self.append(payload);
    }

    fn append(&mut self, segment: Bytes) {
        self.segments_bytes += segment.len();
        self.segments.push_back(segment);
    }
}
