//! What is served on a connection.

use crate::numbers::transmission as flag;

/// A volume as NBD clients see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// Its name, at most [`crate::MAX_NAME_BYTES`]. The empty name always means this export too.
    pub name: String,
    /// Size in bytes. Fixed for the life of a connection.
    pub size: u64,
    /// Whether everything that changes data is refused.
    pub read_only: bool,
}

impl Export {
    /// Whether a client that says `name` means this export; the empty name is the default export.
    pub(crate) fn is_called(&self, name: &[u8]) -> bool {
        name.is_empty() || name == self.name.as_bytes()
    }

    /// Transmission flags. `SEND_DF` may be shown only once structured replies are agreed on.
    /// `CAN_MULTI_CONN` holds because all connections of a volume end in one engine: a flush on one
    /// covers the writes acknowledged on all.
    pub(crate) fn transmission_flags(&self, structured: bool) -> u16 {
        let mut flags = flag::HAS_FLAGS | flag::SEND_FLUSH | flag::SEND_FUA | flag::CAN_MULTI_CONN;
        flags |= if self.read_only {
            flag::READ_ONLY
        } else {
            flag::SEND_TRIM | flag::SEND_WRITE_ZEROES
        };
        if structured {
            flags |= flag::SEND_DF;
        }
        flags
    }
}
