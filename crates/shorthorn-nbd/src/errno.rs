//! The error numbers that NBD puts on the wire. They look like Linux's but are the protocol's own.

/// Why a request failed, as the client is told.
///
/// Source: NBD protocol, "Error values".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Errno {
    /// Not allowed: a change to a read-only export.
    Perm = 1,
    /// The data could not be read or written.
    Io = 5,
    /// Out of memory for this request.
    NoMem = 12,
    /// The request itself is wrong.
    Inval = 22,
    /// No space left, or a write beyond the end.
    NoSpc = 28,
    /// Too much asked for in one piece.
    Overflow = 75,
    /// Not supported for this range.
    NotSup = 95,
    /// The server is going away; the client should let go.
    Shutdown = 108,
}

impl Errno {
    /// The number on the wire.
    pub(crate) const fn code(self) -> u32 {
        self as u32
    }

    /// What a person at the client reads when nothing more precise is known.
    pub(crate) const fn message(self) -> &'static str {
        match self {
            Errno::Perm => "not permitted",
            Errno::Io => "input/output error",
            Errno::NoMem => "out of memory",
            Errno::Inval => "invalid request",
            Errno::NoSpc => "no space left",
            Errno::Overflow => "request too large for one piece",
            Errno::NotSup => "not supported",
            Errno::Shutdown => "the server is shutting down",
        }
    }
}
