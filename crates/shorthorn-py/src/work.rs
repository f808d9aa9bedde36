//! Work on disk and how it went: opaque, passed from a replica to its files and back; readable for traces.

use pyo3::prelude::*;
use shorthorn_core::replica;

use crate::messages::{blocks_len, content, states};

/// Something to do on disk.
#[pyclass(frozen, eq, module = "shorthorn.native._native")]
#[derive(PartialEq)]
pub struct Work(pub replica::Work);

/// How work went.
#[pyclass(frozen, eq, module = "shorthorn.native._native")]
#[derive(PartialEq)]
pub struct Outcome(pub replica::Outcome);

#[pymethods]
impl Work {
    /// What is to be done.
    #[getter]
    fn kind(&self) -> &'static str {
        use replica::Work as W;
        match &self.0 {
            W::Record { .. } => "record",
            W::NoteFailed(_) => "note_failed",
            W::Mark(_) => "mark",
            W::Clear { .. } => "clear",
            W::Write { .. } => "write",
            W::Zero { .. } => "zero",
            W::Copy { .. } => "copy",
            W::Read { .. } => "read",
            W::Extents { .. } => "extents",
            W::Hash { .. } => "hash",
            W::Fetch { .. } => "fetch",
            W::Sync => "sync",
        }
    }

    /// First byte of what it is about.
    #[getter]
    fn offset(&self) -> Option<u64> {
        use replica::Work as W;
        match &self.0 {
            W::Write { offset, .. }
            | W::Zero { offset, .. }
            | W::Copy { offset, .. }
            | W::Read { offset, .. }
            | W::Extents { offset, .. }
            | W::Hash { offset, .. }
            | W::Fetch { offset, .. } => Some(*offset),
            _ => None,
        }
    }

    /// Bytes of what it is about.
    #[getter]
    fn length(&self) -> Option<u64> {
        use replica::Work as W;
        match &self.0 {
            W::Write { data, .. } => Some(data.len() as u64),
            W::Copy { blocks, .. } => Some(blocks_len(blocks)),
            W::Zero { length, .. } | W::Extents { length, .. } => Some(*length),
            W::Read { length, .. } | W::Hash { length, .. } | W::Fetch { length, .. } => {
                Some(u64::from(*length))
            }
            _ => None,
        }
    }

    fn __repr__(&self) -> String {
        use replica::Work as W;
        let rest = match &self.0 {
            W::Record { durable, document } => format!(" {durable:?} {document:?}"),
            W::NoteFailed(why) => format!(" {why}"),
            W::Mark(regions) => format!(" {regions:?}"),
            W::Clear { m, regions } => format!(" m={m} {regions:?}"),
            W::Write { offset, data } => format!(" offset={offset} {}", content(data)),
            W::Zero {
                offset,
                length,
                punch,
            } => format!(" offset={offset} length={length} punch={punch}"),
            W::Copy { offset, blocks } => format!(" offset={offset} {}", states(blocks)),
            W::Read { offset, length }
            | W::Hash { offset, length }
            | W::Fetch { offset, length } => {
                format!(" offset={offset} length={length}")
            }
            W::Extents { offset, length } => format!(" offset={offset} length={length}"),
            W::Sync => String::new(),
        };
        format!("<Work {}{rest}>", self.kind())
    }
}

#[pymethods]
impl Outcome {
    /// How it went.
    #[getter]
    fn kind(&self) -> &'static str {
        use replica::Outcome as O;
        match &self.0 {
            O::Done => "done",
            O::Data(_) => "data",
            O::Extents(_) => "extents",
            O::Hash { .. } => "hash",
            O::Blocks(_) => "blocks",
            O::Corrupt { .. } => "corrupt",
            O::NoSpace(_) => "no_space",
            O::Invalid(_) => "invalid",
            O::Disk(_) => "disk",
        }
    }

    /// What went wrong, for people.
    #[getter]
    fn detail(&self) -> Option<&str> {
        use replica::Outcome as O;
        match &self.0 {
            O::NoSpace(why) | O::Invalid(why) | O::Disk(why) => Some(why),
            _ => None,
        }
    }

    fn __repr__(&self) -> String {
        use replica::Outcome as O;
        let rest = match &self.0 {
            O::Done => String::new(),
            O::Data(data) => format!(" {}", content(data)),
            O::Extents(extents) => format!(" {extents:?}"),
            O::Hash { digest, bad } => format!(" crc={:08x} bad={bad}", crc32c::crc32c(digest)),
            O::Blocks(blocks) => format!(" {}", states(blocks)),
            O::Corrupt { offset } => format!(" offset={offset}"),
            O::NoSpace(why) | O::Invalid(why) | O::Disk(why) => format!(" {why}"),
        };
        format!("<Outcome {}{rest}>", self.kind())
    }
}
