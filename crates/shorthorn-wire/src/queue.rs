//! Bytes that wait to be sent: owned heads and shared payloads in order, for vectored writes.
//!
//! Payloads are shared by reference count: the same write queued for three replicas is one piece of memory. Never does
//! I/O: the owner asks for slices, writes them, and says how many bytes went out.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};

/// Payloads up to this many bytes are copied beside their head: a shorter list of slices is worth more than a copy.
const COPY_BYTES_MAX: usize = 512;

/// Queue of segments to send. Its memory is its content; its owner bounds it by looking at [`OutQueue::len`].
#[derive(Debug, Default)]
pub struct OutQueue {
    segments: VecDeque<Bytes>,
    /// The end of the queue, still growing: heads and small payloads joined.
    tail: BytesMut,
    len: usize,
}

impl OutQueue {
    /// An empty queue.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends a copy of `bytes`.
    pub fn push_slice(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
        self.len += bytes.len();
    }

    /// Appends `bytes` by reference; small ones by copy.
    pub fn push(&mut self, bytes: Bytes) {
        if bytes.len() <= COPY_BYTES_MAX {
            return self.push_slice(&bytes);
        }
        if !self.tail.is_empty() {
            self.segments.push_back(self.tail.split().freeze());
        }
        self.len += bytes.len();
        self.segments.push_back(bytes);
    }

    /// Moves everything of `other` to the end of this queue.
    pub fn append(&mut self, other: &mut Self) {
        if !self.tail.is_empty() {
            self.segments.push_back(self.tail.split().freeze());
        }
        self.segments.append(&mut other.segments);
        self.tail.unsplit(other.tail.split());
        self.len += std::mem::take(&mut other.len);
    }

    /// Fills `slices` with what comes first; returns how many were filled.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0;
        let tail = Some(&self.tail[..]).filter(|tail| !tail.is_empty());
        let queued = self.segments.iter().map(|segment| &segment[..]).chain(tail);
        for (slot, bytes) in slices.iter_mut().zip(queued) {
            *slot = IoSlice::new(bytes);
            filled += 1;
        }
        filled
    }

    /// Takes `sent` bytes off the front.
    ///
    /// # Panics
    /// If more is taken than waits: the caller counted wrong.
    pub fn advance(&mut self, mut sent: usize) {
        assert!(
            sent <= self.len,
            "advanced by {sent}, but only {} wait",
            self.len
        );
        self.len -= sent;
        while let Some(first) = self.segments.front_mut() {
            if sent < first.len() {
                first.advance(sent);
                return;
            }
            sent -= first.len();
            self.segments.pop_front();
        }
        self.tail.advance(sent);
    }

    /// Forgets everything and gives the memory back.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(queue: &OutQueue) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 64];
        let filled = queue.slices(&mut slices);
        slices[..filled]
            .iter()
            .flat_map(|slice| slice.to_vec())
            .collect()
    }

    #[test]
    fn keeps_order_and_counts_across_every_kind_of_segment() {
        let big = Bytes::from(vec![7u8; 4096]);
        let mut queue = OutQueue::new();
        queue.push_slice(b"head");
        queue.push(big.clone());
        queue.push(Bytes::from_static(b"small"));
        queue.push_slice(b"end");
        let mut other = OutQueue::new();
        other.push_slice(b"other");
        other.push(big.clone());
        queue.append(&mut other);
        let mut expected = [b"head", &big[..], b"smallendother", &big[..]].concat();
        assert!(other.is_empty());
        while !expected.is_empty() {
            assert_eq!(queue.len(), expected.len());
            assert_eq!(content(&queue), expected);
            let step = expected.len().min(1001);
            queue.advance(step);
            expected.drain(..step);
        }
        assert!(queue.is_empty());
    }

    #[test]
    fn shares_big_payloads() {
        let big = Bytes::from(vec![7u8; 4096]);
        let mut queue = OutQueue::new();
        queue.push(big.clone());
        let mut slices = [IoSlice::new(&[]); 1];
        queue.slices(&mut slices);
        assert_eq!(slices[0].as_ptr(), big.as_ptr());
    }
}
