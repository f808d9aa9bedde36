//! How answers look on the wire: simple replies, and structured ones where they were agreed on.
//!
//! With structured replies, data, extents and errors go out as one chunk each, which is also the last of its
//! request; a plain success is still a simple reply, which the protocol allows and which is 4 bytes shorter.

use bytes::{BufMut, Bytes, BytesMut};

use crate::errno::Errno;
use crate::numbers::{
    ALLOCATION_ID, MAX_EXTENTS, SIMPLE_REPLY_MAGIC, STATE_HOLE, STATE_ZERO, STRUCTURED_REPLY_MAGIC,
    chunk,
};
use crate::out::OutQueue;
use crate::request::{Cookie, Refusal, Shape};

/// What came of a request that succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Done; for everything but reads and block status.
    Done,
    /// The bytes of a read, as many as were asked for.
    Data(Bytes),
    /// The bytes of a read in several pieces, together as many as were asked for.
    Pieces(Vec<Bytes>),
    /// Consecutive extents from the request's offset. Those beyond the request are cut off, those that
    /// are empty left out, equal neighbours joined, and no more than [`crate::MAX_EXTENTS`] are sent.
    Extents(Vec<Extent>),
}

/// A stretch of the export with one status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Bytes.
    pub length: u32,
    /// Not allocated.
    pub hole: bool,
    /// Reads as zeroes.
    pub zero: bool,
}

impl Extent {
    fn flags(self) -> u32 {
        (if self.hole { STATE_HOLE } else { 0 }) | (if self.zero { STATE_ZERO } else { 0 })
    }
}

/// Told to the client when the shell answers a request with something that does not fit it.
const MISFIT: Refusal = Refusal {
    errno: Errno::Io,
    message: "the server's answer does not fit the request",
};

/// Queues a successful answer, or EIO if it is not of the request's kind and length: the client would
/// otherwise take the next reply for data.
pub(crate) fn put_answer(out: &mut OutQueue, structured: bool, cookie: Cookie, answer: Answer) {
    match (cookie.shape, answer) {
        (Shape::Done, Answer::Done) => put_done(out, cookie),
        (Shape::Data, Answer::Data(data)) if data.len() == cookie.length as usize => {
            put_data_header(out.head(), structured, cookie);
            out.push(data);
        }
        (Shape::Data, Answer::Pieces(pieces)) if total(&pieces) == Some(cookie.length as usize) => {
            put_data_header(out.head(), structured, cookie);
            for piece in pieces {
                out.push(piece);
            }
        }
        (Shape::Extents { req_one }, Answer::Extents(extents)) => {
            put_extents(
                out.head(),
                cookie,
                &extents,
                if req_one { 1 } else { MAX_EXTENTS },
            );
        }
        _ => put_refusal(out, structured, cookie, MISFIT),
    }
}

/// Queues the success of a request of no bytes, which never reaches the shell.
pub(crate) fn put_nothing(out: &mut OutQueue, structured: bool, cookie: Cookie) {
    if structured && cookie.shape == Shape::Data {
        put_chunk_header(out.head(), chunk::NONE, cookie.handle, 0);
    } else {
        put_done(out, cookie);
    }
}

/// Queues a failure, with a message for people where the client can take one.
pub(crate) fn put_refusal(out: &mut OutQueue, structured: bool, cookie: Cookie, refusal: Refusal) {
    let head = out.head();
    if !structured {
        put_simple(head, refusal.errno.code(), cookie.handle);
        return;
    }
    let message = refusal.message.as_bytes();
    // Messages are our own short literals, so their length fits 16 bits.
    put_chunk_header(
        head,
        chunk::ERROR,
        cookie.handle,
        4 + 2 + message.len() as u32,
    );
    head.put_u32(refusal.errno.code());
    head.put_u16(message.len() as u16);
    head.put_slice(message);
}

fn put_done(out: &mut OutQueue, cookie: Cookie) {
    put_simple(out.head(), 0, cookie.handle);
}

fn put_simple(head: &mut BytesMut, error: u32, handle: u64) {
    head.put_u32(SIMPLE_REPLY_MAGIC);
    head.put_u32(error);
    head.put_u64(handle);
}

/// The header of the only chunk of its reply.
fn put_chunk_header(head: &mut BytesMut, kind: u16, handle: u64, payload_bytes: u32) {
    head.put_u32(STRUCTURED_REPLY_MAGIC);
    head.put_u16(chunk::FLAG_DONE);
    head.put_u16(kind);
    head.put_u64(handle);
    head.put_u32(payload_bytes);
}

fn put_data_header(head: &mut BytesMut, structured: bool, cookie: Cookie) {
    if structured {
        // No overflow: a read that reached the shell is at most MAX_PAYLOAD_BYTES long.
        put_chunk_header(head, chunk::OFFSET_DATA, cookie.handle, 8 + cookie.length);
        head.put_u64(cookie.offset);
    } else {
        put_simple(head, 0, cookie.handle);
    }
}

/// A status chunk needs at least one extent; where the shell knows nothing, "allocated data" is always
/// allowed (NBD protocol, BLOCK_STATUS).
fn put_extents(head: &mut BytesMut, cookie: Cookie, extents: &[Extent], max_extents: usize) {
    let start = head.len();
    put_chunk_header(head, chunk::BLOCK_STATUS, cookie.handle, 0);
    head.put_u32(ALLOCATION_ID);
    let mut left = cookie.length;
    let mut sent = 0;
    let mut extents = extents.iter().filter(|extent| extent.length > 0).peekable();
    while let Some(extent) = extents.next() {
        if left == 0 || sent == max_extents {
            break;
        }
        let mut length = extent.length.min(left);
        left -= length;
        while let Some(next) = extents.next_if(|next| next.flags() == extent.flags()) {
            let more = next.length.min(left);
            length += more;
            left -= more;
        }
        put_extent(head, length, extent.flags());
        sent += 1;
    }
    if sent == 0 {
        put_extent(head, cookie.length, 0);
    }
    let payload_bytes = (head.len() - start - chunk::HEADER_BYTES) as u32; // bounded by MAX_EXTENTS
    let length_at = start + chunk::HEADER_BYTES - 4;
    head[length_at..length_at + 4].copy_from_slice(&payload_bytes.to_be_bytes());
}

fn put_extent(head: &mut BytesMut, length: u32, flags: u32) {
    head.put_u32(length);
    head.put_u32(flags);
}

fn total(pieces: &[Bytes]) -> Option<usize> {
    pieces
        .iter()
        .try_fold(0usize, |sum, piece| sum.checked_add(piece.len()))
}
