//! One NBD connection: which phase it is in, and what the next bytes mean there.
//!
//! All changes of phase are in this file. The parts do the rest: `handshake.rs` answers options,
//! `request.rs` checks requests, `reply.rs` writes replies.

use bytes::{Buf, Bytes, BytesMut};

use crate::errno::Errno;
use crate::error::ProtocolError;
use crate::export::Export;
use crate::handshake::{self, Handshake, Outcome};
use crate::numbers::{
    CLIENT_FLAGS_BYTES, MAX_PAYLOAD_BYTES, OPTION_HEADER_BYTES, REQUEST_HEADER_BYTES, cmd,
};
use crate::out::OutQueue;
use crate::reply::{self, Answer};
use crate::request::{Cookie, Header, Refusal, Request};

/// Room for a read from the socket when nothing large is expected.
const READ_BYTES: usize = 64 << 10;
/// Room given to a payload on its announcement alone. Covers in one piece what kernels send by default
/// (1280 KiB and less); larger payloads are given more as they arrive.
const PAYLOAD_BYTES_TRUSTED: usize = 2 << 20;

/// Where [`Connection::receive`] stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// At least `missing` more bytes are needed.
    Waiting {
        /// Bytes until something can be done; never 0.
        missing: usize,
    },
    /// `room` requests were produced; there may be more in the input. Call again when there is room.
    Full,
    /// The client has said goodbye. Later input is dropped; what is in flight is still to be answered,
    /// and the connection to be closed once everything is written out.
    Closing,
}

/// What the next bytes are.
///
/// ```text
/// ClientFlags -> Option <-> OptionData -> Request <-> Payload
///                Option <-> Skip          Request <-> Skip
/// any -> Closed
/// ```
#[derive(Debug)]
enum Phase {
    ClientFlags,
    Option,
    OptionData {
        option: u32,
        length: usize,
    },
    Request,
    /// The payload of a write that was let through.
    Payload(Header),
    /// Bytes that nobody wants, counted and dropped as they come, never gathered.
    Skip {
        left: usize,
        then: Then,
    },
    Closed,
}

/// What is said once everything is skipped. Not before: a client still sending does not expect a reply.
#[derive(Debug, Clone, Copy)]
enum Then {
    OptionTooBig { option: u32 },
    Refuse { cookie: Cookie, refusal: Refusal },
}

enum Step {
    /// Something was consumed; look again.
    Moved,
    Produced(Request),
    Waiting {
        missing: usize,
    },
    Closed,
}

/// The server side of one NBD connection.
#[derive(Debug)]
pub struct Connection {
    export: Export,
    handshake: Handshake,
    phase: Phase,
}

impl Connection {
    /// A new connection that serves `export` under its name and the empty name. Queues the greeting.
    #[must_use]
    pub fn new(export: Export, out: &mut OutQueue) -> Connection {
        handshake::put_greeting(out);
        Connection {
            export,
            handshake: Handshake::default(),
            phase: Phase::ClientFlags,
        }
    }

    /// Whether the handshake is over and requests are taken.
    #[must_use]
    pub fn is_transmitting(&self) -> bool {
        match self.phase {
            Phase::Request
            | Phase::Payload(_)
            | Phase::Skip {
                then: Then::Refuse { .. },
                ..
            } => true,
            Phase::ClientFlags | Phase::Option | Phase::OptionData { .. } | Phase::Closed => false,
            Phase::Skip {
                then: Then::OptionTooBig { .. },
                ..
            } => false,
        }
    }

    /// How many bytes of room to have for the next read from the socket, with `received` bytes waiting in
    /// the input.
    ///
    /// Above 2 MiB, room for a payload at most doubles what has arrived: a client cannot make us allocate
    /// much more than it has sent, and growing costs no more than one extra copy in all.
    #[must_use]
    pub fn read_size(&self, received: usize) -> usize {
        let Phase::Payload(header) = self.phase else {
            return READ_BYTES;
        };
        let missing = (header.length as usize).saturating_sub(received);
        missing
            .min(received.max(PAYLOAD_BYTES_TRUSTED))
            .max(READ_BYTES)
    }

    /// Takes what it can from the front of `input`, appends at most `room` requests to `requests` and what
    /// needs no shell to `out`. The payload of a write is cut out of `input` without copying.
    ///
    /// # Errors
    /// The client broke the protocol. Close the connection; calling again drops `input` and says
    /// [`Progress::Closing`]. Requests appended before the error came in good order: they may be done or
    /// dropped, as with any connection that breaks.
    pub fn receive(
        &mut self,
        input: &mut BytesMut,
        room: usize,
        requests: &mut Vec<Request>,
        out: &mut OutQueue,
    ) -> Result<Progress, ProtocolError> {
        let mut produced = 0;
        while produced < room {
            match self.step(input, out) {
                Ok(Step::Moved) => {}
                Ok(Step::Produced(request)) => {
                    requests.push(request);
                    produced += 1;
                }
                Ok(Step::Waiting { missing }) => return Ok(Progress::Waiting { missing }),
                Ok(Step::Closed) => {
                    input.clear();
                    return Ok(Progress::Closing);
                }
                Err(error) => {
                    self.phase = Phase::Closed;
                    input.clear();
                    return Err(error);
                }
            }
        }
        Ok(Progress::Full)
    }

    /// Queues the answer to the request that `cookie` came with. Each request is answered once.
    ///
    /// An answer of another kind or length than the request asked for is the shell's bug; the client gets
    /// EIO then, not a stream it cannot follow.
    pub fn answer(&self, cookie: Cookie, result: Result<Answer, Errno>, out: &mut OutQueue) {
        let structured = self.handshake.terms.structured;
        match result {
            Ok(answer) => reply::put_answer(out, structured, cookie, answer),
            Err(errno) => {
                let refusal = Refusal {
                    errno,
                    message: errno.message(),
                };
                reply::put_refusal(out, structured, cookie, refusal);
            }
        }
    }

    fn step(&mut self, input: &mut BytesMut, out: &mut OutQueue) -> Result<Step, ProtocolError> {
        match self.phase {
            Phase::ClientFlags => self.client_flags(input),
            Phase::Option => self.option_header(input),
            Phase::OptionData { option, length } => self.option_data(option, length, input, out),
            Phase::Request => self.request(input, out),
            Phase::Payload(header) => Ok(self.payload(header, input)),
            Phase::Skip { left, then } => Ok(self.skip(left, then, input, out)),
            Phase::Closed => Ok(Step::Closed),
        }
    }

    fn client_flags(&mut self, input: &mut BytesMut) -> Result<Step, ProtocolError> {
        let Some(bytes) = input.first_chunk::<CLIENT_FLAGS_BYTES>() else {
            return Ok(waiting(CLIENT_FLAGS_BYTES, input));
        };
        self.handshake.client_flags(u32::from_be_bytes(*bytes))?;
        input.advance(CLIENT_FLAGS_BYTES);
        self.phase = Phase::Option;
        Ok(Step::Moved)
    }

    fn option_header(&mut self, input: &mut BytesMut) -> Result<Step, ProtocolError> {
        let Some(bytes) = input.first_chunk::<OPTION_HEADER_BYTES>() else {
            return Ok(waiting(OPTION_HEADER_BYTES, input));
        };
        let header = self.handshake.option_header(bytes)?;
        input.advance(OPTION_HEADER_BYTES);
        let option = header.option;
        let length = header.length as usize;
        self.phase = if header.skip {
            Phase::Skip {
                left: length,
                then: Then::OptionTooBig { option },
            }
        } else {
            Phase::OptionData { option, length }
        };
        Ok(Step::Moved)
    }

    fn option_data(
        &mut self,
        option: u32,
        length: usize,
        input: &mut BytesMut,
        out: &mut OutQueue,
    ) -> Result<Step, ProtocolError> {
        if input.len() < length {
            return Ok(waiting(length, input));
        }
        let data = input.split_to(length).freeze();
        self.phase = match self.handshake.option(option, data, &self.export, out)? {
            Outcome::Haggle => Phase::Option,
            Outcome::Transmission => Phase::Request,
            Outcome::Closing => Phase::Closed,
        };
        Ok(Step::Moved)
    }

    fn request(&mut self, input: &mut BytesMut, out: &mut OutQueue) -> Result<Step, ProtocolError> {
        let Some(bytes) = input.first_chunk::<REQUEST_HEADER_BYTES>() else {
            return Ok(waiting(REQUEST_HEADER_BYTES, input));
        };
        let header = Header::parse(bytes)?;
        input.advance(REQUEST_HEADER_BYTES);
        if header.command == cmd::DISC {
            self.phase = Phase::Closed;
            return Ok(Step::Moved);
        }
        if header.payload_bytes() > MAX_PAYLOAD_BYTES {
            return Err(ProtocolError::WriteTooLong(header.length));
        }
        let terms = self.handshake.terms;
        if let Err(refusal) = header.check(&self.export, terms) {
            let then = Then::Refuse {
                cookie: header.cookie(),
                refusal,
            };
            self.phase = Phase::Skip {
                left: header.payload_bytes() as usize,
                then,
            };
            return Ok(Step::Moved);
        }
        if header.length == 0 && header.command != cmd::FLUSH {
            reply::put_nothing(out, terms.structured, header.cookie());
            return Ok(Step::Moved);
        }
        if header.payload_bytes() > 0 {
            self.phase = Phase::Payload(header);
            return Ok(Step::Moved);
        }
        Ok(Step::Produced(header.into_request(Bytes::new())))
    }

    fn payload(&mut self, header: Header, input: &mut BytesMut) -> Step {
        let length = header.length as usize;
        if input.len() < length {
            return waiting(length, input);
        }
        self.phase = Phase::Request;
        Step::Produced(header.into_request(input.split_to(length).freeze()))
    }

    fn skip(&mut self, left: usize, then: Then, input: &mut BytesMut, out: &mut OutQueue) -> Step {
        let dropped = left.min(input.len());
        input.advance(dropped);
        let left = left - dropped;
        if left > 0 {
            self.phase = Phase::Skip { left, then };
            return Step::Waiting { missing: left };
        }
        self.phase = match then {
            Then::OptionTooBig { option } => {
                handshake::put_too_big(out, option);
                Phase::Option
            }
            Then::Refuse { cookie, refusal } => {
                reply::put_refusal(out, self.handshake.terms.structured, cookie, refusal);
                Phase::Request
            }
        };
        Step::Moved
    }
}

fn waiting(needed: usize, input: &BytesMut) -> Step {
    Step::Waiting {
        missing: needed - input.len(),
    }
}
