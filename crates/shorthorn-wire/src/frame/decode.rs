//! Bytes to messages. Every byte is hostile until checked.

use bytes::{Buf, Bytes, BytesMut};
use serde::de::DeserializeOwned;

use super::head::{BAD, FUA, HEAD_BYTES, Head, PUNCH, kind, u32_at};
use super::{BLOCKS_MAX, EXTENTS_MAX, JSON_BYTES_MAX, RUNS_MAX, WireError};
use crate::message::{
    BlockState, Blocks, Extent, Failure, Refusal, RegionRun, Reply, Request, Standing, Tag,
};
use crate::{BLOCK_BYTES, PAYLOAD_BYTES_MAX};

/// Bytes of a block in a table of states.
const STATE_BYTES: usize = 8;
/// Bytes of a strong hash.
const DIGEST_BYTES: u32 = 32;

/// Takes the next request off the front of `buffer`; none while it is not whole, then nothing is taken.
///
/// # Errors
/// The bytes are no request; the connection must end.
pub fn decode_request(buffer: &mut BytesMut) -> Result<Option<(Tag, Request)>, WireError> {
    let Some((head, payload)) = take_frame(buffer, request_limit)? else {
        return Ok(None);
    };
    check_fields(&head, request_fields(head.kind))?;
    let request = match head.kind {
        kind::HELLO => Request::Hello(from_json(&head, &payload)?),
        kind::SEAL => Request::Seal(from_json(&head, &payload)?),
        kind::OPEN => Request::Open(from_json(&head, &payload)?),
        kind::MEMBER => Request::Member(from_json(&head, &payload)?),
        kind::PROBE => Request::Probe {
            drop: from_json(&head, &payload)?,
        },
        kind::PING => Request::Ping,
        kind::WRITE => Request::Write {
            seq: head.seq,
            offset: head.offset,
            data: payload,
            fua: head.flags & FUA != 0,
        },
        kind::ZERO => Request::Zero {
            seq: head.seq,
            offset: head.offset,
            length: head.length,
            punch: head.flags & PUNCH != 0,
            fua: head.flags & FUA != 0,
        },
        kind::FLUSH => Request::Flush { seq: head.seq },
        kind::READ => Request::Read {
            offset: head.offset,
            length: length_u32(&head)?,
        },
        kind::EXTENTS => Request::Extents {
            offset: head.offset,
            length: head.length,
        },
        kind::CLEAR => {
            let regions: Vec<RegionRun> = from_json(&head, &payload)?;
            check_runs(&head, &regions)?;
            Request::Clear {
                m: head.offset,
                seq: head.seq,
                regions,
            }
        }
        kind::HASH => Request::Hash {
            offset: head.offset,
            length: length_u32(&head)?,
        },
        kind::FETCH => Request::Fetch {
            offset: head.offset,
            length: length_u32(&head)?,
        },
        kind::COPY => Request::Copy {
            offset: head.offset,
            blocks: take_blocks(&head, payload)?,
        },
        kind::CLOSE => Request::Close,
        other => return Err(WireError::Kind(other)),
    };
    Ok(Some((head.tag, request)))
}

/// Takes the next reply off the front of `buffer`; none while it is not whole, then nothing is taken.
///
/// # Errors
/// The bytes are no reply; the connection must end.
pub fn decode_reply(buffer: &mut BytesMut) -> Result<Option<(Tag, Reply)>, WireError> {
    let Some((head, payload)) = take_frame(buffer, reply_limit)? else {
        return Ok(None);
    };
    check_fields(&head, reply_fields(head.kind))?;
    let reply = match head.kind {
        kind::DONE => Reply::Done,
        kind::STANDING => {
            let standing: Standing = from_json(&head, &payload)?;
            check_runs(&head, &standing.marks)?;
            Reply::Standing(standing)
        }
        kind::DATA => Reply::Data(payload),
        kind::CORRUPT => Reply::Corrupt {
            offset: head.offset,
        },
        kind::EXTENT_LIST => {
            let extents: Vec<Extent> = from_json(&head, &payload)?;
            if extents.len() > EXTENTS_MAX {
                return Err(head.malformed("too many extents"));
            }
            Reply::Extents(extents)
        }
        kind::DIGEST => {
            let digest = payload
                .as_ref()
                .try_into()
                .map_err(|_| head.malformed("a hash has 32 bytes"))?;
            Reply::Hash {
                digest,
                bad: head.flags & BAD != 0,
            }
        }
        kind::BLOCKS => Reply::Blocks(take_blocks(&head, payload)?),
        kind::REFUSED => Reply::Refused {
            why: refusal(&head)?,
            detail: from_json(&head, &payload)?,
        },
        kind::FAILED => Reply::Failed {
            why: failure(&head)?,
            detail: from_json(&head, &payload)?,
        },
        other => return Err(WireError::Kind(other)),
    };
    Ok(Some((head.tag, reply)))
}

/// How many bytes are still missing until the frame at the front is whole, so that a reader can make room; at least as
/// many as the head needs. Only a hint: errors are left to decoding.
pub fn missing_bytes(buffer: &[u8]) -> usize {
    match Head::parse(buffer) {
        Ok(Some(head)) if head.payload_len <= PAYLOAD_BYTES_MAX => {
            (HEAD_BYTES + head.payload_len as usize).saturating_sub(buffer.len())
        }
        _ => HEAD_BYTES.saturating_sub(buffer.len()),
    }
}

/// Largest payload by kind; none for an unknown kind.
fn request_limit(kind: u8) -> Option<u32> {
    match kind {
        kind::HELLO | kind::SEAL | kind::OPEN | kind::MEMBER | kind::PROBE | kind::CLEAR => {
            Some(JSON_BYTES_MAX)
        }
        kind::WRITE => Some(PAYLOAD_BYTES_MAX),
        kind::COPY => Some(BLOCKS_BYTES_MAX),
        kind::PING | kind::ZERO | kind::FLUSH | kind::READ => Some(0),
        kind::EXTENTS | kind::HASH | kind::FETCH | kind::CLOSE => Some(0),
        _ => None,
    }
}

fn reply_limit(kind: u8) -> Option<u32> {
    match kind {
        kind::STANDING | kind::EXTENT_LIST | kind::REFUSED | kind::FAILED => Some(JSON_BYTES_MAX),
        kind::DATA => Some(PAYLOAD_BYTES_MAX),
        kind::BLOCKS => Some(BLOCKS_BYTES_MAX),
        kind::DIGEST => Some(DIGEST_BYTES),
        kind::DONE | kind::CORRUPT => Some(0),
        _ => None,
    }
}

const BLOCKS_BYTES_MAX: u32 = (BLOCKS_MAX * (STATE_BYTES + BLOCK_BYTES as usize)) as u32;

/// Takes one whole frame whose kind and length are accepted.
fn take_frame(
    buffer: &mut BytesMut,
    limit: fn(u8) -> Option<u32>,
) -> Result<Option<(Head, Bytes)>, WireError> {
    let Some(head) = Head::parse(buffer)? else {
        return Ok(None);
    };
    let limit = limit(head.kind).ok_or(WireError::Kind(head.kind))?;
    if head.payload_len > limit {
        return Err(WireError::TooLong {
            kind: head.kind,
            bytes: head.payload_len,
            limit,
        });
    }
    if buffer.len() - HEAD_BYTES < head.payload_len as usize {
        return Ok(None);
    }
    buffer.advance(HEAD_BYTES);
    let payload = match head.payload_len {
        0 => Bytes::new(),
        len => buffer.split_to(len as usize).freeze(),
    };
    if crc32c::crc32c(&payload) != head.payload_sum {
        return Err(WireError::PayloadSum { kind: head.kind });
    }
    Ok(Some((head, payload)))
}

/// What a kind uses of the head beside kind, tag and payload.
#[derive(Default)]
struct Fields {
    flags: u8,
    status: bool,
    seq: bool,
    offset: bool,
    length: bool,
}

fn request_fields(kind: u8) -> Fields {
    let none = Fields::default();
    match kind {
        kind::WRITE => Fields {
            flags: FUA,
            seq: true,
            offset: true,
            ..none
        },
        kind::ZERO => Fields {
            flags: FUA | PUNCH,
            seq: true,
            offset: true,
            length: true,
            ..none
        },
        kind::FLUSH => Fields { seq: true, ..none },
        kind::CLEAR => Fields {
            seq: true,
            offset: true,
            ..none
        },
        kind::READ | kind::EXTENTS | kind::HASH | kind::FETCH | kind::COPY => Fields {
            offset: true,
            length: true,
            ..none
        },
        _ => none,
    }
}

fn reply_fields(kind: u8) -> Fields {
    let none = Fields::default();
    match kind {
        kind::CORRUPT => Fields {
            offset: true,
            ..none
        },
        kind::DIGEST => Fields { flags: BAD, ..none },
        kind::BLOCKS => Fields {
            length: true,
            ..none
        },
        kind::REFUSED | kind::FAILED => Fields {
            status: true,
            ..none
        },
        _ => none,
    }
}

/// Unused fields are zero, so that a later version can give them a meaning.
fn check_fields(head: &Head, used: Fields) -> Result<(), WireError> {
    let unused = [
        (head.flags & !used.flags == 0, "unknown flag"),
        (used.status || head.status == 0, "status is not used"),
        (used.seq || head.seq == 0, "seq is not used"),
        (used.offset || head.offset == 0, "offset is not used"),
        (used.length || head.length == 0, "length is not used"),
    ];
    match unused.iter().find(|(fine, _)| !fine) {
        Some((_, what)) => Err(head.malformed(what)),
        None => Ok(()),
    }
}

fn from_json<T: DeserializeOwned>(head: &Head, payload: &[u8]) -> Result<T, WireError> {
    serde_json::from_slice(payload).map_err(|source| WireError::Json {
        kind: head.kind,
        source,
    })
}

fn length_u32(head: &Head) -> Result<u32, WireError> {
    u32::try_from(head.length).map_err(|_| head.malformed("length is beyond 32 bits"))
}

fn check_runs(head: &Head, runs: &[RegionRun]) -> Result<(), WireError> {
    if runs.len() > RUNS_MAX {
        return Err(head.malformed("too many runs of regions"));
    }
    if runs
        .iter()
        .any(|run| run.count == 0 || run.first.checked_add(run.count).is_none())
    {
        return Err(head.malformed("a run of regions is empty or runs over"));
    }
    Ok(())
}

fn take_blocks(head: &Head, payload: Bytes) -> Result<Blocks, WireError> {
    let count = usize::try_from(head.length)
        .ok()
        .filter(|count| *count <= BLOCKS_MAX);
    let count = count.ok_or_else(|| head.malformed("too many blocks"))?;
    let table_len = count * STATE_BYTES;
    if payload.len() < table_len {
        return Err(head.malformed("the table of states is cut"));
    }
    let states = payload[..table_len]
        .chunks_exact(STATE_BYTES)
        .map(|entry| block_state(head, entry));
    let states = states.collect::<Result<Vec<_>, _>>()?;
    let data = payload.slice(table_len..);
    let with_data = states
        .iter()
        .filter(|state| **state != BlockState::Zero)
        .count();
    if data.len() != with_data * BLOCK_BYTES as usize {
        return Err(head.malformed("data does not fit the table of states"));
    }
    Ok(Blocks { states, data })
}

fn block_state(head: &Head, entry: &[u8]) -> Result<BlockState, WireError> {
    let sum = u32_at(entry, 4);
    match (u32_at(entry, 0), sum) {
        (0, 0) => Ok(BlockState::Zero),
        (1, sum) => Ok(BlockState::Good { sum }),
        (2, sum) => Ok(BlockState::Bad { sum }),
        _ => Err(head.malformed("unknown state of a block")),
    }
}

fn refusal(head: &Head) -> Result<Refusal, WireError> {
    Refusal::ALL
        .into_iter()
        .find(|why| *why as u16 == head.status)
        .ok_or_else(|| head.malformed("unknown refusal"))
}

fn failure(head: &Head) -> Result<Failure, WireError> {
    Failure::ALL
        .into_iter()
        .find(|why| *why as u16 == head.status)
        .ok_or_else(|| head.malformed("unknown failure"))
}
