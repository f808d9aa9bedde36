//! Requests of the transmission phase: their layout, and which of them are let through.

use bytes::Bytes;

use crate::errno::Errno;
use crate::error::ProtocolError;
use crate::export::Export;
use crate::numbers::{MAX_PAYLOAD_BYTES, REQUEST_HEADER_BYTES, REQUEST_MAGIC, cmd, cmd_flag};

/// What the client wants done. Ranges lie within the export and are not empty; nothing is aligned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Give back `length` bytes, at most [`crate::MAX_PAYLOAD_BYTES`].
    Read,
    /// Write `data`, exactly `length` bytes.
    Write {
        /// The payload, shared with the receive buffer.
        data: Bytes,
    },
    /// Make everything acknowledged so far, on any connection, durable. Offset and length are 0.
    Flush,
    /// The range is no longer needed.
    Trim,
    /// Make the range read as zeroes.
    WriteZeroes {
        /// Keep the range allocated.
        no_hole: bool,
    },
    /// Say which parts of the range are allocated.
    BlockStatus {
        /// Only the first extent is wanted.
        req_one: bool,
    },
}

/// One request, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// To be given back with the answer.
    pub cookie: Cookie,
    /// First byte.
    pub offset: u64,
    /// Bytes; up to `u32::MAX` for commands without payload.
    pub length: u32,
    /// Must be durable before it is answered. Only ever set on commands that change data.
    pub fua: bool,
    /// What to do.
    pub command: Command,
}

/// What [`crate::Connection::answer`] needs to know of a request. A copy per request, kept by the shell:
/// so the connection has no table of requests, and clients may use one handle twice at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cookie {
    /// The client's own name for the request, given back as it came.
    pub(crate) handle: u64,
    pub(crate) offset: u64,
    pub(crate) length: u32,
    pub(crate) shape: Shape,
}

/// The kind of answer that a request takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Data,
    Extents { req_one: bool },
    Done,
}

/// Why a request is answered with an error without the shell having seen it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) errno: Errno,
    pub(crate) message: &'static str,
}

const fn refuse<T>(errno: Errno, message: &'static str) -> Result<T, Refusal> {
    Err(Refusal { errno, message })
}

/// What was agreed on in the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Terms {
    /// Structured replies.
    pub(crate) structured: bool,
    /// The `base:allocation` context; implies `structured`.
    pub(crate) allocation: bool,
}

/// A request header as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) flags: u16,
    pub(crate) command: u16,
    pub(crate) handle: u64,
    pub(crate) offset: u64,
    pub(crate) length: u32,
}

impl Header {
    pub(crate) fn parse(bytes: &[u8; REQUEST_HEADER_BYTES]) -> Result<Header, ProtocolError> {
        let [m0, m1, m2, m3, f0, f1, c0, c1, rest @ ..] = *bytes;
        let [
            h0,
            h1,
            h2,
            h3,
            h4,
            h5,
            h6,
            h7,
            o0,
            o1,
            o2,
            o3,
            o4,
            o5,
            o6,
            o7,
            l0,
            l1,
            l2,
            l3,
        ] = rest;
        let magic = u32::from_be_bytes([m0, m1, m2, m3]);
        if magic != REQUEST_MAGIC {
            return Err(ProtocolError::RequestMagic(magic));
        }
        Ok(Header {
            flags: u16::from_be_bytes([f0, f1]),
            command: u16::from_be_bytes([c0, c1]),
            handle: u64::from_be_bytes([h0, h1, h2, h3, h4, h5, h6, h7]),
            offset: u64::from_be_bytes([o0, o1, o2, o3, o4, o5, o6, o7]),
            length: u32::from_be_bytes([l0, l1, l2, l3]),
        })
    }

    /// Bytes that follow the header. Only WRITE has any: without extended headers that is the whole rule,
    /// also for unknown commands.
    pub(crate) fn payload_bytes(&self) -> u32 {
        if self.command == cmd::WRITE {
            self.length
        } else {
            0
        }
    }

    pub(crate) fn cookie(&self) -> Cookie {
        let shape = match self.command {
            cmd::READ => Shape::Data,
            cmd::BLOCK_STATUS => Shape::Extents {
                req_one: self.has(cmd_flag::REQ_ONE),
            },
            _ => Shape::Done,
        };
        Cookie {
            handle: self.handle,
            offset: self.offset,
            length: self.length,
            shape,
        }
    }

    /// The request as the shell sees it; `data` is the payload of a WRITE, empty for the rest.
    /// Only for a header that [`Header::check`] let through.
    pub(crate) fn into_request(self, data: Bytes) -> Request {
        let command = match self.command {
            cmd::READ => Command::Read,
            cmd::WRITE => Command::Write { data },
            cmd::FLUSH => Command::Flush,
            cmd::TRIM => Command::Trim,
            cmd::WRITE_ZEROES => Command::WriteZeroes {
                no_hole: self.has(cmd_flag::NO_HOLE),
            },
            cmd::BLOCK_STATUS => Command::BlockStatus {
                req_one: self.has(cmd_flag::REQ_ONE),
            },
            unknown => unreachable!("command {unknown} passed the check"),
        };
        Request {
            cookie: self.cookie(),
            offset: self.offset,
            length: self.length,
            fua: self.has(cmd_flag::FUA) && self.changes_data(),
            command,
        }
    }

    /// Whether this request may go to the shell, by the order in which a person would want to be told.
    pub(crate) fn check(&self, export: &Export, terms: Terms) -> Result<(), Refusal> {
        self.check_flags(terms)?;
        if export.read_only && self.changes_data() {
            return refuse(Errno::Perm, "the export is read-only");
        }
        if self.command == cmd::FLUSH {
            if self.offset != 0 || self.length != 0 {
                return refuse(Errno::Inval, "a flush has no offset and no length");
            }
            return Ok(());
        }
        self.check_range(export)?;
        if self.command == cmd::READ && self.length > MAX_PAYLOAD_BYTES {
            let errno = if self.has(cmd_flag::DF) {
                Errno::Overflow
            } else {
                Errno::Inval
            };
            return refuse(errno, "the read is longer than the maximum block size");
        }
        if self.command == cmd::BLOCK_STATUS {
            if !terms.allocation {
                return refuse(Errno::Inval, "no metadata context was negotiated");
            }
            if self.length == 0 {
                return refuse(Errno::Inval, "block status of nothing");
            }
        }
        Ok(())
    }

    /// Unknown commands and flags that this command does not take. FUA is good everywhere, by the document.
    fn check_flags(&self, terms: Terms) -> Result<(), Refusal> {
        let own = match self.command {
            cmd::READ if terms.structured => cmd_flag::DF,
            cmd::READ | cmd::WRITE | cmd::FLUSH | cmd::TRIM => 0,
            cmd::WRITE_ZEROES => cmd_flag::NO_HOLE,
            cmd::BLOCK_STATUS => cmd_flag::REQ_ONE,
            _ => return refuse(Errno::Inval, "unknown command"),
        };
        if self.flags & !(own | cmd_flag::FUA) != 0 {
            return refuse(Errno::Inval, "a flag that this command does not take");
        }
        Ok(())
    }

    fn check_range(&self, export: &Export) -> Result<(), Refusal> {
        match self.offset.checked_add(u64::from(self.length)) {
            Some(end) if end <= export.size => Ok(()),
            _ if matches!(self.command, cmd::WRITE | cmd::WRITE_ZEROES) => {
                refuse(Errno::NoSpc, "the write ends beyond the export")
            }
            _ => refuse(Errno::Inval, "the range ends beyond the export"),
        }
    }

    fn changes_data(&self) -> bool {
        matches!(self.command, cmd::WRITE | cmd::TRIM | cmd::WRITE_ZEROES)
    }

    fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }
}
