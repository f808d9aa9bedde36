//! Requests to replicas and their replies: opaque, passed on without encoding; readable for traces and checkers.

use bytes::BytesMut;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use shorthorn_wire::message::{self, BlockState, Blocks};
use shorthorn_wire::{BLOCK_BYTES, Encoder, OutQueue, TooBig};
use std::io::IoSlice;

use crate::convert::{from_json, name_of, to_json};
use crate::errors::{JsonError, bad_frame, too_big};

/// A request to a replica.
#[pyclass(frozen, eq, module = "shorthorn.native._native")]
#[derive(PartialEq)]
pub struct Request(pub message::Request);

/// A replica's reply.
#[pyclass(frozen, eq, module = "shorthorn.native._native")]
#[derive(PartialEq)]
pub struct Reply(pub message::Reply);

type Decoded<T> = Option<(u32, T, Py<PyBytes>)>;

#[pymethods]
impl Request {
    /// Takes one frame off the front: tag, message, the rest. None: more bytes are needed.
    #[staticmethod]
    fn decode(py: Python<'_>, data: &[u8]) -> PyResult<Decoded<Self>> {
        let mut buffer = BytesMut::from(data);
        let decoded = shorthorn_wire::decode_request(&mut buffer);
        let decoded = decoded.map_err(|error| bad_frame(&error))?;
        Ok(decoded.map(|(tag, request)| (tag, Self(request), PyBytes::new(py, &buffer).unbind())))
    }

    /// A hello or seal with this content.
    #[staticmethod]
    fn from_json(kind: &str, json: &[u8]) -> PyResult<Self> {
        Ok(Self(match kind {
            "hello" => message::Request::Hello(from_json(kind, json)?),
            "seal" => message::Request::Seal(from_json(kind, json)?),
            _ => {
                return Err(JsonError::new_err(format!(
                    "no {kind} is made of JSON here"
                )));
            }
        }))
    }

    /// The frame.
    fn encode(&self, py: Python<'_>, tag: u32) -> PyResult<Py<PyBytes>> {
        frame(py, |out| Encoder::new().request(tag, &self.0, out))
    }

    /// Bytes of its data: what makes it slow on a network.
    #[getter]
    fn payload(&self) -> usize {
        use message::Request as R;
        match &self.0 {
            R::Write { data, .. } => data.len(),
            R::Copy { blocks, .. } => blocks.data.len(),
            _ => 0,
        }
    }

    /// What it asks for.
    #[getter]
    fn kind(&self) -> &'static str {
        request_kind(&self.0)
    }

    /// First byte of what it is about.
    #[getter]
    fn offset(&self) -> Option<u64> {
        use message::Request as R;
        match &self.0 {
            R::Write { offset, .. }
            | R::Zero { offset, .. }
            | R::Read { offset, .. }
            | R::Extents { offset, .. }
            | R::Hash { offset, .. }
            | R::Fetch { offset, .. }
            | R::Copy { offset, .. } => Some(*offset),
            _ => None,
        }
    }

    /// Bytes of what it is about.
    #[getter]
    fn length(&self) -> Option<u64> {
        use message::Request as R;
        match &self.0 {
            R::Write { data, .. } => Some(data.len() as u64),
            R::Zero { length, .. } | R::Extents { length, .. } => Some(*length),
            R::Read { length, .. } | R::Hash { length, .. } | R::Fetch { length, .. } => {
                Some(u64::from(*length))
            }
            R::Copy { blocks, .. } => Some(blocks_len(blocks)),
            _ => None,
        }
    }

    /// Its place in the order of changes.
    #[getter]
    fn seq(&self) -> Option<u64> {
        use message::Request as R;
        match &self.0 {
            R::Write { seq, .. }
            | R::Zero { seq, .. }
            | R::Flush { seq }
            | R::Clear { seq, .. } => Some(*seq),
            _ => None,
        }
    }

    /// Content of a write; blocks that are not zero of a copy.
    #[getter]
    fn data<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        use message::Request as R;
        match &self.0 {
            R::Write { data, .. } => Some(PyBytes::new(py, data)),
            R::Copy { blocks, .. } => Some(PyBytes::new(py, &blocks.data)),
            _ => None,
        }
    }

    /// The JSON of a hello, seal, open or member.
    #[getter]
    fn json(&self, py: Python<'_>) -> PyResult<Option<Py<PyBytes>>> {
        use message::Request as R;
        Ok(Some(match &self.0 {
            R::Hello(hello) => to_json(py, hello)?,
            R::Seal(seal) => to_json(py, seal)?,
            R::Open(open) => to_json(py, open)?,
            R::Member(member) => to_json(py, member)?,
            _ => return Ok(None),
        }))
    }

    fn __repr__(&self) -> String {
        use message::Request as R;
        let rest = match &self.0 {
            R::Hello(hello) => format!(" {hello:?}"),
            R::Seal(seal) => format!(" {seal:?}"),
            R::Open(open) => format!(" {open:?}"),
            R::Member(member) => format!(" {member:?}"),
            R::Probe { drop } => format!(" drop={drop}"),
            R::Write {
                seq,
                offset,
                data,
                fua,
            } => {
                format!(" seq={seq} offset={offset} {} fua={fua}", content(data))
            }
            R::Zero {
                seq,
                offset,
                length,
                punch,
                fua,
            } => {
                format!(" seq={seq} offset={offset} length={length} punch={punch} fua={fua}")
            }
            R::Flush { seq } => format!(" seq={seq}"),
            R::Clear { m, seq, regions } => format!(" m={m} seq={seq} regions={regions:?}"),
            R::Read { offset, length }
            | R::Hash { offset, length }
            | R::Fetch { offset, length } => {
                format!(" offset={offset} length={length}")
            }
            R::Extents { offset, length } => format!(" offset={offset} length={length}"),
            R::Copy { offset, blocks } => format!(" offset={offset} {}", states(blocks)),
            R::Ping | R::Close => String::new(),
        };
        format!("<Request {}{rest}>", self.kind())
    }
}

#[pymethods]
impl Reply {
    /// Takes one frame off the front: tag, message, the rest. None: more bytes are needed.
    #[staticmethod]
    fn decode(py: Python<'_>, data: &[u8]) -> PyResult<Decoded<Self>> {
        let mut buffer = BytesMut::from(data);
        let decoded = shorthorn_wire::decode_reply(&mut buffer);
        let decoded = decoded.map_err(|error| bad_frame(&error))?;
        Ok(decoded.map(|(tag, reply)| (tag, Self(reply), PyBytes::new(py, &buffer).unbind())))
    }

    /// That a replica is not served here.
    #[staticmethod]
    fn unknown(detail: String) -> Self {
        Self(message::Reply::Refused {
            why: message::Refusal::Unknown,
            detail,
        })
    }

    /// The frame.
    fn encode(&self, py: Python<'_>, tag: u32) -> PyResult<Py<PyBytes>> {
        frame(py, |out| Encoder::new().reply(tag, &self.0, out))
    }

    /// Bytes of its data: what makes it slow on a network.
    #[getter]
    fn payload(&self) -> usize {
        match &self.0 {
            message::Reply::Data(data) => data.len(),
            message::Reply::Blocks(blocks) => blocks.data.len(),
            _ => 0,
        }
    }

    /// What it says.
    #[getter]
    fn kind(&self) -> &'static str {
        reply_kind(&self.0)
    }

    /// Content that was read; blocks that are not zero of a fetch.
    #[getter]
    fn data<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        match &self.0 {
            message::Reply::Data(data) => Some(PyBytes::new(py, data)),
            message::Reply::Blocks(blocks) => Some(PyBytes::new(py, &blocks.data)),
            _ => None,
        }
    }

    /// The JSON of a standing.
    #[getter]
    fn json(&self, py: Python<'_>) -> PyResult<Option<Py<PyBytes>>> {
        match &self.0 {
            message::Reply::Standing(standing) => to_json(py, standing).map(Some),
            _ => Ok(None),
        }
    }

    /// The rule of a refusal, the kind of a failure.
    #[getter]
    fn why(&self) -> PyResult<Option<String>> {
        match &self.0 {
            message::Reply::Refused { why, .. } => name_of(why).map(Some),
            message::Reply::Failed { why, .. } => name_of(why).map(Some),
            _ => Ok(None),
        }
    }

    /// What a refusal or failure says to people.
    #[getter]
    fn detail(&self) -> Option<&str> {
        match &self.0 {
            message::Reply::Refused { detail, .. } | message::Reply::Failed { detail, .. } => {
                Some(detail)
            }
            _ => None,
        }
    }

    fn __repr__(&self) -> String {
        use message::Reply as R;
        let rest = match &self.0 {
            R::Done => String::new(),
            R::Standing(standing) => format!(" {standing:?}"),
            R::Data(data) => format!(" {}", content(data)),
            R::Corrupt { offset } => format!(" offset={offset}"),
            R::Extents(extents) => format!(" {extents:?}"),
            R::Hash { digest, bad } => format!(" crc={:08x} bad={bad}", crc32c::crc32c(digest)),
            R::Blocks(blocks) => format!(" {}", states(blocks)),
            R::Refused { why, detail } => format!(" {why:?}: {detail}"),
            R::Failed { why, detail } => format!(" {why:?}: {detail}"),
        };
        format!("<Reply {}{rest}>", self.kind())
    }
}

fn request_kind(request: &message::Request) -> &'static str {
    use message::Request as R;
    match request {
        R::Hello(_) => "hello",
        R::Seal(_) => "seal",
        R::Open(_) => "open",
        R::Member(_) => "member",
        R::Probe { .. } => "probe",
        R::Ping => "ping",
        R::Write { .. } => "write",
        R::Zero { .. } => "zero",
        R::Flush { .. } => "flush",
        R::Read { .. } => "read",
        R::Extents { .. } => "extents",
        R::Clear { .. } => "clear",
        R::Hash { .. } => "hash",
        R::Fetch { .. } => "fetch",
        R::Copy { .. } => "copy",
        R::Close => "close",
    }
}

fn reply_kind(reply: &message::Reply) -> &'static str {
    use message::Reply as R;
    match reply {
        R::Done => "done",
        R::Standing(_) => "standing",
        R::Data(_) => "data",
        R::Corrupt { .. } => "corrupt",
        R::Extents(_) => "extents",
        R::Hash { .. } => "hash",
        R::Blocks(_) => "blocks",
        R::Refused { .. } => "refused",
        R::Failed { .. } => "failed",
    }
}

/// Bytes that copied blocks cover.
pub fn blocks_len(blocks: &Blocks) -> u64 {
    blocks.states.len() as u64 * u64::from(BLOCK_BYTES)
}

/// Data in a trace: its length, and a checksum that shows a difference.
pub fn content(data: &[u8]) -> String {
    format!("bytes={} crc={:08x}", data.len(), crc32c::crc32c(data))
}

/// Blocks in a trace.
pub fn states(blocks: &Blocks) -> String {
    let count = |wanted: fn(&BlockState) -> bool| {
        blocks.states.iter().filter(|state| wanted(state)).count()
    };
    let zero = count(|state| matches!(state, BlockState::Zero));
    let bad = count(|state| matches!(state, BlockState::Bad { .. }));
    format!(
        "blocks={} zero={zero} bad={bad} {}",
        blocks.states.len(),
        content(&blocks.data)
    )
}

fn frame(
    py: Python<'_>,
    encode: impl FnOnce(&mut OutQueue) -> Result<(), TooBig>,
) -> PyResult<Py<PyBytes>> {
    let mut out = OutQueue::new();
    encode(&mut out).map_err(|error| too_big(&error))?;
    let mut slices = [IoSlice::new(&[]); 4];
    let mut bytes = Vec::with_capacity(out.len());
    while !out.is_empty() {
        let filled = out.slices(&mut slices);
        let before = bytes.len();
        slices[..filled]
            .iter()
            .for_each(|slice| bytes.extend_from_slice(slice));
        slices = [IoSlice::new(&[]); 4];
        out.advance(bytes.len() - before);
    }
    Ok(PyBytes::new(py, &bytes).unbind())
}
