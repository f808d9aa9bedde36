//! What ends a connection at once: the peer has left the protocol, so nothing after it can be trusted.

use crate::numbers::{MAX_OPTIONS, MAX_PAYLOAD_BYTES, MAX_SKIPPED_OPTION_BYTES};

/// The client broke the protocol in a way that no reply can mend. The shell closes the connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The client answered the greeting with flags that were not offered.
    #[error("client flags {0:#010x} contain unknown bits")]
    ClientFlags(u32),
    /// An option did not start with the option magic.
    #[error("option starts with {0:#018x}, not the option magic")]
    OptionMagic(u64),
    /// An option announced more data than is worth skipping.
    #[error("option {option} announces {length} bytes, limit {MAX_SKIPPED_OPTION_BYTES}")]
    OptionTooLong {
        /// The option's number.
        option: u32,
        /// Bytes announced.
        length: u32,
    },
    /// The client keeps haggling.
    #[error("more than {MAX_OPTIONS} options before transmission")]
    TooManyOptions,
    /// A client that did not promise the fixed newstyle handshake may only name its export.
    #[error("option {0} from a client without the fixed newstyle handshake")]
    NotFixedNewstyle(u32),
    /// `NBD_OPT_EXPORT_NAME` named an export that is not here; that option knows no error reply.
    #[error("client asked for an export that is not served here")]
    UnknownExport,
    /// A request did not start with the request magic.
    #[error("request starts with {0:#010x}, not the request magic")]
    RequestMagic(u32),
    /// A write announced more payload than we take.
    #[error("write announces {0} bytes of payload, limit {MAX_PAYLOAD_BYTES}")]
    WriteTooLong(u32),
}
