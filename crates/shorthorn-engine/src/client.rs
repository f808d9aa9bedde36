//! One NBD client: its bytes in and out, its requests under way, its limits.
//!
//! Never decides about a request beyond the protocol's own rules: those are the core's.

use std::collections::VecDeque;

use mio::net::UnixStream;
use shorthorn_core::Nanos;
use shorthorn_core::engine::{ClientAnswer, ClientError, ClientId, ClientOp, ClientRequest};
use shorthorn_nbd::{
    Answer, Command, Connection, Cookie, Errno, Export, Extent, InBuffer, OutQueue, Progress,
    Request,
};

use crate::link::Link;

/// Requests of one client that are taken at once: twice the depth that the kernel's and QEMU's clients use.
const REQUESTS_MAX: usize = 256;
/// Bytes read from one client in one round, so that it can't keep the others waiting.
const ROUND_BYTES_MAX: usize = 1 << 20;
/// A handshake takes milliseconds; who needs longer holds one of few places.
const HANDSHAKE_LIMIT: Nanos = Nanos::from_millis(10_000);
/// A read that asks for more than this much room makes a chunk worth giving back.
const CHUNK_BYTES_KEPT: usize = 64 << 10;

/// A request that was handed to the core.
#[derive(Clone, Copy, Debug)]
struct Taken {
    cookie: Cookie,
    /// Bytes it accounts for.
    payload: usize,
}

/// A connected client.
#[derive(Debug)]
pub struct Client {
    /// As the core knows it.
    pub id: ClientId,
    /// Its socket.
    pub link: Link<UnixStream>,
    connection: Connection,
    input: InBuffer,
    /// The input's chunk is larger than usual.
    large: bool,
    /// Whole requests may wait in the input, for which there was no room.
    unparsed: bool,
    /// It said goodbye: only answers are still to be sent.
    closing: bool,
    scratch: Vec<Request>,
    /// Requests not yet handed to the core.
    waiting: VecDeque<Request>,
    /// Requests at the core, by the cookie it was given.
    taken: Vec<Option<Taken>>,
    free: Vec<usize>,
    /// Requests waiting or taken, and the bytes they account for.
    in_flight: usize,
    in_flight_bytes: usize,
    out: OutQueue,
    /// The handshake has to be over then; none once it is.
    deadline: Option<Nanos>,
}

impl Client {
    /// A client that has just connected; the greeting is queued.
    pub fn new(id: ClientId, stream: UnixStream, export: Export, now: Nanos) -> Self {
        let mut out = OutQueue::new();
        Self {
            id,
            link: Link::new(stream),
            connection: Connection::new(export, &mut out),
            input: InBuffer::new(),
            large: false,
            unparsed: false,
            closing: false,
            scratch: Vec::with_capacity(1),
            waiting: VecDeque::new(),
            taken: Vec::new(),
            free: Vec::new(),
            in_flight: 0,
            in_flight_bytes: 0,
            out,
            deadline: Some(now + HANDSHAKE_LIMIT),
        }
    }

    /// When it must have finished its handshake, while it has not.
    pub fn deadline(&self) -> Option<Nanos> {
        self.deadline
    }

    /// Reads and understands what came, as far as its limits allow. `bytes_max`: its share of memory.
    pub fn read(&mut self, bytes_max: usize) {
        let mut budget = ROUND_BYTES_MAX;
        self.parse(bytes_max);
        while budget > 0 && self.wants_input(bytes_max) && self.link.is_readable() {
            let size = self.connection.read_size(self.input.received().len());
            self.large |= size > CHUNK_BYTES_KEPT;
            budget = budget.saturating_sub(self.link.read(&mut self.input, size));
            self.parse(bytes_max);
        }
    }

    /// More can be done without anything new from outside.
    pub fn is_busy(&self, bytes_max: usize) -> bool {
        let more = self.unparsed || self.link.is_readable();
        self.link.ended().is_some() || self.is_finished() || more && self.wants_input(bytes_max)
    }

    fn wants_input(&self, bytes_max: usize) -> bool {
        !self.closing && self.link.ended().is_none() && !self.is_full(bytes_max)
    }

    /// Answers that it does not take count as well: who does not read is not read from.
    fn is_full(&self, bytes_max: usize) -> bool {
        self.in_flight >= REQUESTS_MAX || self.in_flight_bytes + self.out.len() >= bytes_max
    }

    /// Cuts the input into requests while there is room for them.
    pub fn parse(&mut self, bytes_max: usize) {
        while self.wants_input(bytes_max) {
            let input = self.input.received();
            match self
                .connection
                .receive(input, 1, &mut self.scratch, &mut self.out)
            {
                Ok(Progress::Full) => self.unparsed = true,
                Ok(Progress::Waiting { .. }) => {
                    self.unparsed = false;
                    self.shrink();
                    break;
                }
                Ok(Progress::Closing) => self.closing = true,
                Err(error) => self.link.end(error.to_string()),
            }
            for request in self.scratch.drain(..) {
                self.in_flight += 1;
                self.in_flight_bytes += payload_bytes(&request);
                self.waiting.push_back(request);
            }
        }
        if self.connection.is_transmitting() {
            self.deadline = None;
        }
    }

    /// Gives the memory of large requests back.
    fn shrink(&mut self) {
        if self.large && self.input.received().is_empty() {
            self.input = InBuffer::new();
            self.large = false;
        }
    }

    /// A request waits for the core.
    pub fn has_request(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// It said goodbye.
    pub fn is_closing(&self) -> bool {
        self.closing
    }

    /// The next request for the core, with the cookie to give it.
    pub fn next(&mut self) -> Option<(u64, ClientRequest)> {
        let request = self.waiting.pop_front()?;
        let taken = Some(Taken {
            cookie: request.cookie,
            payload: payload_bytes(&request),
        });
        let place = match self.free.pop() {
            Some(place) => {
                self.taken[place] = taken;
                place
            }
            None => {
                self.taken.push(taken);
                self.taken.len() - 1
            }
        };
        Some((place as u64, for_core(request)))
    }

    /// Queues the answer to a request that [`Client::next`] gave out.
    pub fn answer(&mut self, cookie: u64, result: Result<ClientAnswer, ClientError>) {
        let place = cookie as usize;
        let Some(taken) = self.taken.get_mut(place).and_then(Option::take) else {
            return;
        };
        self.free.push(place);
        self.in_flight -= 1;
        self.in_flight_bytes -= taken.payload;
        let result = result.map(from_core).map_err(errno);
        self.connection.answer(taken.cookie, result, &mut self.out);
    }

    /// Sends what waits.
    pub fn write(&mut self) {
        self.link.write(&mut self.out);
    }

    /// It said goodbye and has all its answers, or can't get them.
    pub fn is_finished(&self) -> bool {
        self.closing && self.in_flight == 0 && self.out.is_empty()
    }

    /// Nothing waits to be sent, or nothing can be.
    pub fn is_flushed(&self) -> bool {
        self.out.is_empty() || self.link.ended().is_some()
    }
}

/// What a request keeps in memory here or will: its data, or its answer's.
fn payload_bytes(request: &Request) -> usize {
    match request.command {
        Command::Read | Command::Write { .. } => request.length as usize,
        _ => 0,
    }
}

fn for_core(request: Request) -> ClientRequest {
    let fua = request.fua;
    let op = match request.command {
        Command::Read => ClientOp::Read,
        Command::Write { data } => ClientOp::Write { data, fua },
        Command::Flush => ClientOp::Flush,
        Command::Trim => ClientOp::Zero { punch: true, fua },
        Command::WriteZeroes { no_hole } => ClientOp::Zero {
            punch: !no_hole,
            fua,
        },
        Command::BlockStatus { .. } => ClientOp::BlockStatus,
    };
    ClientRequest {
        offset: request.offset,
        length: u64::from(request.length),
        op,
    }
}

fn from_core(answer: ClientAnswer) -> Answer {
    match answer {
        ClientAnswer::Done => Answer::Done,
        ClientAnswer::Data(data) => Answer::Data(data),
        ClientAnswer::Extents(extents) => {
            let extents = extents.into_iter().map(|extent| Extent {
                // Together as long as the request, whose length has 32 bits.
                length: u32::try_from(extent.length).unwrap_or(u32::MAX),
                hole: !extent.data,
                zero: !extent.data,
            });
            Answer::Extents(extents.collect())
        }
    }
}

fn errno(error: ClientError) -> Errno {
    match error {
        ClientError::Invalid => Errno::Inval,
        ClientError::ReadOnly => Errno::Perm,
        ClientError::NoSpace => Errno::NoSpc,
        ClientError::Io => Errno::Io,
        ClientError::NotServing => Errno::Shutdown,
    }
}
