//! The server side of NBD as a pure state machine: bytes in, requests out; answers in, bytes out.
//!
//! Responsible for what a client may say, in which order and how much of it, and for how answers look on
//! the wire. Never touches a socket, a clock or a thread, and keeps no list of requests in flight: what an
//! answer needs travels in the request's [`Cookie`].
//!
//! A shell owns the socket and, for each connection, does this:
//!
//! 1. [`Connection::new`], which queues the greeting.
//! 2. Read into [`InBuffer::room`] of [`Connection::read_size`] bytes, then [`Connection::receive`].
//! 3. Do the requests, in any order; for each, [`Connection::answer`] with its cookie, once.
//! 4. Write out what [`OutQueue::slices`] shows, then [`OutQueue::advance`].
//! 5. On [`Progress::Closing`], answer what is in flight, write everything out, close; the client
//!    may be gone by then, which is no fault. On an error, close.
//!
//! Three limits are the shell's: requests in flight (pass what is left of it as `room`), bytes queued (do not
//! call `receive` while [`OutQueue::len`] is above a bound), and the time a handshake may take.
//!
//! Source: the NBD protocol document; which parts of it we speak is in `docs/formats/nbd.md`.
//! Read next: `connection.rs`.

mod connection;
mod errno;
mod error;
mod export;
mod handshake;
mod input;
mod numbers;
mod out;
mod reply;
mod request;

pub use connection::{Connection, Progress};
pub use errno::Errno;
pub use error::ProtocolError;
pub use export::Export;
pub use input::InBuffer;
pub use numbers::{
    MAX_EXTENTS, MAX_NAME_BYTES, MAX_OPTION_BYTES, MAX_OPTIONS, MAX_PAYLOAD_BYTES,
    MAX_SKIPPED_OPTION_BYTES,
};
pub use out::OutQueue;
pub use reply::{Answer, Extent};
pub use request::{Command, Cookie, Request};
