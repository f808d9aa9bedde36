//! Messages to bytes.

use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;

use super::head::{BAD, FUA, Head, PUNCH, kind};
use super::{BLOCKS_MAX, EXTENTS_MAX, JSON_BYTES_MAX, RUNS_MAX};
use crate::PAYLOAD_BYTES_MAX;
use crate::message::{BlockState, Blocks, Reply, Request, Tag};
use crate::queue::OutQueue;

/// The message is beyond a limit of the language; nothing was queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a {what} with {size} is over the limit of {limit}")]
pub struct TooBig {
    /// What is too big.
    pub what: &'static str,
    /// Its bytes or parts.
    pub size: usize,
    /// Accepted.
    pub limit: usize,
}

/// Turns messages to bytes. Remembers the last raw payload and its checksum, so that a write that is sent to several
/// replicas one after the other is summed once.
#[derive(Debug, Default)]
pub struct Encoder {
    last: Option<(Bytes, u32)>,
}

impl Encoder {
    /// One that remembers nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets go of the last payload: call it when nothing more is to be sent now.
    pub fn forget(&mut self) {
        self.last = None;
    }

    /// Appends a request.
    ///
    /// # Errors
    /// [`TooBig`], and nothing was appended.
    pub fn request(
        &mut self,
        tag: Tag,
        request: &Request,
        out: &mut OutQueue,
    ) -> Result<(), TooBig> {
        let head = |kind| Head {
            kind,
            tag,
            ..Head::default()
        };
        match request {
            Request::Hello(hello) => json(head(kind::HELLO), hello, out),
            Request::Seal(seal) => json(head(kind::SEAL), seal, out),
            Request::Open(open) => json(head(kind::OPEN), open, out),
            Request::Member(member) => json(head(kind::MEMBER), member, out),
            Request::Probe { drop } => json(head(kind::PROBE), drop, out),
            Request::Ping => bare(head(kind::PING), out),
            Request::Write {
                seq,
                offset,
                data,
                fua,
            } => {
                let flags = if *fua { FUA } else { 0 };
                self.raw(
                    Head {
                        flags,
                        seq: *seq,
                        offset: *offset,
                        ..head(kind::WRITE)
                    },
                    data,
                    out,
                )
            }
            Request::Zero {
                seq,
                offset,
                length,
                punch,
                fua,
            } => {
                let flags = if *fua { FUA } else { 0 } | if *punch { PUNCH } else { 0 };
                bare(
                    Head {
                        flags,
                        seq: *seq,
                        offset: *offset,
                        length: *length,
                        ..head(kind::ZERO)
                    },
                    out,
                )
            }
            Request::Flush { seq } => bare(
                Head {
                    seq: *seq,
                    ..head(kind::FLUSH)
                },
                out,
            ),
            Request::Read { offset, length } => bare(
                Head {
                    offset: *offset,
                    length: u64::from(*length),
                    ..head(kind::READ)
                },
                out,
            ),
            Request::Extents { offset, length } => bare(
                Head {
                    offset: *offset,
                    length: *length,
                    ..head(kind::EXTENTS)
                },
                out,
            ),
            Request::Clear { m, seq, regions } => {
                limit("clear", regions.len(), RUNS_MAX)?;
                json(
                    Head {
                        seq: *seq,
                        offset: *m,
                        ..head(kind::CLEAR)
                    },
                    regions,
                    out,
                )
            }
            Request::Hash { offset, length } => bare(
                Head {
                    offset: *offset,
                    length: u64::from(*length),
                    ..head(kind::HASH)
                },
                out,
            ),
            Request::Fetch { offset, length } => bare(
                Head {
                    offset: *offset,
                    length: u64::from(*length),
                    ..head(kind::FETCH)
                },
                out,
            ),
            Request::Copy { offset, blocks } => put_blocks(
                Head {
                    offset: *offset,
                    ..head(kind::COPY)
                },
                blocks,
                out,
            ),
            Request::Close => bare(head(kind::CLOSE), out),
        }
    }

    /// Appends a reply.
    ///
    /// # Errors
    /// [`TooBig`], and nothing was appended.
    pub fn reply(&mut self, tag: Tag, reply: &Reply, out: &mut OutQueue) -> Result<(), TooBig> {
        let head = |kind| Head {
            kind,
            tag,
            ..Head::default()
        };
        match reply {
            Reply::Done => bare(head(kind::DONE), out),
            Reply::Standing(standing) => {
                limit("standing", standing.marks.len(), RUNS_MAX)?;
                json(head(kind::STANDING), standing, out)
            }
            Reply::Data(data) => self.raw(head(kind::DATA), data, out),
            Reply::Corrupt { offset } => bare(
                Head {
                    offset: *offset,
                    ..head(kind::CORRUPT)
                },
                out,
            ),
            Reply::Extents(extents) => {
                limit("list of extents", extents.len(), EXTENTS_MAX)?;
                json(head(kind::EXTENT_LIST), extents, out)
            }
            Reply::Hash { digest, bad } => {
                let flags = if *bad { BAD } else { 0 };
                sealed(
                    Head {
                        flags,
                        ..head(kind::DIGEST)
                    },
                    crc32c::crc32c(digest),
                    digest.len(),
                    out,
                )?;
                out.push_slice(digest);
                Ok(())
            }
            Reply::Blocks(blocks) => put_blocks(head(kind::BLOCKS), blocks, out),
            Reply::Refused { why, detail } => json(
                Head {
                    status: *why as u16,
                    ..head(kind::REFUSED)
                },
                cut(detail),
                out,
            ),
            Reply::Failed { why, detail } => json(
                Head {
                    status: *why as u16,
                    ..head(kind::FAILED)
                },
                cut(detail),
                out,
            ),
        }
    }

    fn raw(&mut self, head: Head, data: &Bytes, out: &mut OutQueue) -> Result<(), TooBig> {
        let sum = match &self.last {
            Some((last, sum)) if last.as_ptr() == data.as_ptr() && last.len() == data.len() => *sum,
            _ => crc32c::crc32c(data),
        };
        sealed(head, sum, data.len(), out)?;
        out.push(data.clone());
        // Holding the payload makes sure that its address is not used again for other bytes.
        self.last = Some((data.clone(), sum));
        Ok(())
    }
}

/// A detail for people stays short whatever it quotes (`str::floor_char_boundary` needs Rust 1.91).
fn cut(detail: &str) -> &str {
    const DETAIL_BYTES_MAX: usize = 1024;
    let end = (0..=DETAIL_BYTES_MAX.min(detail.len()))
        .rev()
        .find(|&at| detail.is_char_boundary(at));
    &detail[..end.unwrap_or(0)]
}

fn limit(what: &'static str, size: usize, limit: usize) -> Result<(), TooBig> {
    if size > limit {
        Err(TooBig { what, size, limit })
    } else {
        Ok(())
    }
}

/// Appends the head of a payload of `len` bytes with checksum `sum`; the payload must follow.
fn sealed(head: Head, sum: u32, len: usize, out: &mut OutQueue) -> Result<(), TooBig> {
    limit("payload", len, PAYLOAD_BYTES_MAX as usize)?;
    out.push_slice(
        &Head {
            payload_len: len as u32,
            payload_sum: sum,
            ..head
        }
        .to_bytes(),
    );
    Ok(())
}

fn bare(head: Head, out: &mut OutQueue) -> Result<(), TooBig> {
    sealed(head, 0, 0, out)
}

fn json<T: Serialize + ?Sized>(head: Head, value: &T, out: &mut OutQueue) -> Result<(), TooBig> {
    // Types of this crate hold only text, numbers and lists: writing them to memory can't fail.
    let text = serde_json::to_vec(value).unwrap_or_default();
    limit("JSON payload", text.len(), JSON_BYTES_MAX as usize)?;
    sealed(head, crc32c::crc32c(&text), text.len(), out)?;
    out.push(Bytes::from(text));
    Ok(())
}

/// A table of 8 bytes a block (state, three zeroes, checksum), then the data. `length` holds the number of blocks.
fn put_blocks(head: Head, blocks: &Blocks, out: &mut OutQueue) -> Result<(), TooBig> {
    limit("range of blocks", blocks.states.len(), BLOCKS_MAX)?;
    let mut table = BytesMut::with_capacity(blocks.states.len() * 8);
    for state in &blocks.states {
        let (code, sum) = match state {
            BlockState::Zero => (0, 0),
            BlockState::Good { sum } => (1, *sum),
            BlockState::Bad { sum } => (2, *sum),
        };
        table.put_u32_le(code);
        table.put_u32_le(sum);
    }
    let sum = crc32c::crc32c_append(crc32c::crc32c(&table), &blocks.data);
    let head = Head {
        length: blocks.states.len() as u64,
        ..head
    };
    sealed(head, sum, table.len() + blocks.data.len(), out)?;
    out.push(table.freeze());
    out.push(blocks.data.clone());
    Ok(())
}
