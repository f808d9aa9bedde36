//! One replica: dialling its program, frames in and out.
//!
//! Whatever a replica's program does (it does not read, answers nothing, is stopped, loses its node), nothing here waits
//! for it, and what waits for it here is bounded: it loses its connection, which is news for the core like any other end.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustix::net::sockopt::{
    set_socket_keepalive, set_tcp_keepidle, set_tcp_keepintvl, set_tcp_user_timeout,
};
use shorthorn_core::Nanos;
use shorthorn_nbd::InBuffer;
use shorthorn_wire::message::{Reply, Request, Tag};
use shorthorn_wire::{Encoder, OutQueue, decode_reply, missing_bytes};

use crate::link::Link;

/// A dial that takes longer has failed; the core tries again.
const DIAL_LIMIT: Nanos = Nanos::from_millis(3_000);
/// Room for a read when nothing large is expected.
const READ_BYTES: usize = 64 << 10;
/// Room given to a payload on its announcement alone; above it, as much again as has arrived.
const PAYLOAD_BYTES_TRUSTED: usize = 2 << 20;
/// Bytes that may wait for a replica that takes none. What clients have under way at the core, 64 MiB and one request of
/// 32 MiB, fits, so a needed replica never comes here for the load alone; one that syncs and is too slow for it does.
const OUT_BYTES_MAX: usize = 128 << 20;
/// A connection without traffic is asked whether it still stands after so long, then so often. How long it may stay without
/// an answer is the limit for what is unsent (tcp(7), `TCP_USER_TIMEOUT`).
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_PAUSE: Duration = Duration::from_secs(5);
/// Bytes read from one replica in one round, so that it can't keep the others waiting.
const ROUND_BYTES_MAX: usize = 4 << 20;

#[derive(Debug)]
enum State {
    Idle,
    Resolving {
        ticket: u64,
        until: Nanos,
    },
    Dialling {
        stream: TcpStream,
        until: Nanos,
        ready: bool,
    },
    Up(Link<TcpStream>),
}

/// What happened to a connection by itself.
#[derive(Debug, PartialEq, Eq)]
pub enum News {
    /// The dial succeeded.
    Connected,
    /// The dial failed.
    Unreachable(String),
    /// The connection ended.
    Disconnected(String),
}

/// The connection to one replica.
#[derive(Debug)]
pub struct Peer {
    token: Token,
    unsent_limit: Nanos,
    state: State,
    /// A dial that failed before it began.
    failed: Option<String>,
    input: InBuffer,
    large: bool,
    replies: VecDeque<(Tag, Reply)>,
    out: OutQueue,
}

impl Peer {
    /// Not dialled yet. `unsent_limit`: what is sent and not taken by the other host for so long ends the connection. Longer
    /// than the core's own patience, which decides while it waits for an answer.
    pub fn new(token: Token, unsent_limit: Nanos) -> Self {
        Self {
            token,
            unsent_limit,
            state: State::Idle,
            failed: None,
            input: InBuffer::new(),
            large: false,
            replies: VecDeque::new(),
            out: OutQueue::new(),
        }
    }

    /// Waits for an address under this ticket.
    pub fn resolve(&mut self, ticket: u64, now: Nanos) {
        self.hang_up();
        self.state = State::Resolving {
            ticket,
            until: now + DIAL_LIMIT,
        };
    }

    /// Whether it waits for the address under this ticket.
    pub fn expects(&self, asked: u64) -> bool {
        matches!(self.state, State::Resolving { ticket, .. } if ticket == asked)
    }

    /// Starts to connect.
    pub fn dial(&mut self, address: SocketAddr, now: Nanos, registry: &Registry) {
        self.hang_up();
        let dialled = TcpStream::connect(address).and_then(|mut stream| {
            let both = Interest::READABLE | Interest::WRITABLE;
            registry.register(&mut stream, self.token, both)?;
            Ok(stream)
        });
        match dialled {
            Ok(stream) => {
                self.state = State::Dialling {
                    stream,
                    until: now + DIAL_LIMIT,
                    ready: false,
                }
            }
            Err(error) => self.fail(error.to_string()),
        }
    }

    /// A dial can't even begin.
    pub fn fail(&mut self, why: String) {
        self.hang_up();
        self.failed = Some(why);
    }

    /// Ends the connection or the dial; nothing of it comes out any more.
    pub fn hang_up(&mut self) {
        self.state = State::Idle;
        self.failed = None;
        self.input = InBuffer::new();
        self.large = false;
        self.replies = VecDeque::new();
        self.out.clear();
    }

    /// Takes note of what the poll said.
    pub fn note(&mut self, event: &mio::event::Event) {
        match &mut self.state {
            State::Up(link) => link.note(event),
            State::Dialling { ready, .. } => *ready = true,
            State::Idle | State::Resolving { .. } => {}
        }
    }

    /// Reads and understands what came. What is no frame ends the connection; what came before it counts.
    pub fn read(&mut self) {
        let mut budget = ROUND_BYTES_MAX;
        while let State::Up(link) = &mut self.state {
            if budget == 0 || !link.is_readable() {
                return;
            }
            let received = self.input.received();
            let ready = received.len();
            let size = missing_bytes(received)
                .min(ready.max(PAYLOAD_BYTES_TRUSTED))
                .max(READ_BYTES);
            self.large |= size > READ_BYTES;
            let read = link.read(&mut self.input, size);
            if read > 0 {
                budget = budget.saturating_sub(read);
                self.decode();
            }
        }
    }

    fn decode(&mut self) {
        loop {
            match decode_reply(self.input.received()) {
                Ok(Some(reply)) => self.replies.push_back(reply),
                Ok(None) => break,
                Err(error) => {
                    if let State::Up(link) = &mut self.state {
                        link.end(error.to_string());
                    }
                    return;
                }
            }
        }
        if self.large && self.input.received().is_empty() {
            self.input = InBuffer::new();
            self.large = false;
        }
    }

    /// The next reply that came.
    pub fn next_reply(&mut self) -> Option<(Tag, Reply)> {
        self.replies.pop_front()
    }

    /// What happened beside replies, once those are taken.
    pub fn news(&mut self, now: Nanos) -> Option<News> {
        if let Some(why) = self.failed.take() {
            return Some(News::Unreachable(why));
        }
        let news = match &mut self.state {
            State::Idle => return None,
            State::Resolving { until, .. } if now < *until => return None,
            State::Resolving { .. } => {
                News::Unreachable("its name was not resolved in time".to_owned())
            }
            State::Dialling { .. } => return self.dialled(now),
            State::Up(link) => News::Disconnected(link.ended()?.to_owned()),
        };
        self.hang_up();
        Some(news)
    }

    fn dialled(&mut self, now: Nanos) -> Option<News> {
        let State::Dialling {
            stream,
            until,
            ready,
        } = &mut self.state
        else {
            return None;
        };
        if !std::mem::take(ready) {
            if now < *until {
                return None;
            }
            self.hang_up();
            return Some(News::Unreachable("it did not answer in time".to_owned()));
        }
        // Writable is not yet connected: mio's documentation of `TcpStream::connect`.
        let refused = stream.take_error().and_then(|error| match error {
            Some(error) => Err(error),
            None => stream.peer_addr().map(drop),
        });
        match refused {
            Err(error) if error.kind() == std::io::ErrorKind::NotConnected => return None,
            Err(error) => {
                self.hang_up();
                return Some(News::Unreachable(error.to_string()));
            }
            Ok(()) => {}
        }
        if let Err(error) = prepare(stream, self.unsent_limit) {
            self.hang_up();
            return Some(News::Unreachable(error.to_string()));
        }
        if let State::Dialling { stream, .. } = std::mem::replace(&mut self.state, State::Idle) {
            self.state = State::Up(Link::new(stream));
        }
        Some(News::Connected)
    }

    /// Queues a request. One that can't be said ends the connection: the core counts on its reply.
    pub fn send(&mut self, tag: Tag, request: &Request, encoder: &mut Encoder) {
        if let State::Up(link) = &mut self.state {
            if link.ended().is_some() {
                return;
            }
            if let Err(error) = encoder.request(tag, request, &mut self.out) {
                link.end(format!("a request can't be sent: {error}"));
            } else if self.out.len() > OUT_BYTES_MAX {
                let mib = OUT_BYTES_MAX >> 20;
                link.end(format!("it does not take what it is sent: {mib} MiB wait"));
            }
        }
    }

    /// Sends what waits.
    pub fn write(&mut self) {
        if let State::Up(link) = &mut self.state {
            link.write(&mut self.out);
        }
    }

    /// Something can be done without waiting.
    pub fn is_busy(&self) -> bool {
        match &self.state {
            State::Up(link) => link.ended().is_some() || link.is_readable(),
            State::Dialling { ready, .. } => *ready,
            State::Idle | State::Resolving { .. } => self.failed.is_some(),
        }
    }

    /// Nothing waits to be sent, or nothing can be.
    pub fn is_flushed(&self) -> bool {
        match &self.state {
            State::Up(link) => link.ended().is_some() || self.out.is_empty(),
            _ => true,
        }
    }

    /// When something has to be done although nothing comes.
    pub fn deadline(&self) -> Option<Nanos> {
        match &self.state {
            State::Resolving { until, .. } | State::Dialling { until, .. } => Some(*until),
            State::Idle | State::Up(_) => None,
        }
    }
}

/// Small requests go out at once, and a host that is gone without a word is noticed, with or without something to send.
fn prepare(stream: &TcpStream, unsent_limit: Nanos) -> io::Result<()> {
    stream.set_nodelay(true)?;
    set_socket_keepalive(stream, true)?;
    set_tcp_keepidle(stream, KEEPALIVE_IDLE)?;
    set_tcp_keepintvl(stream, KEEPALIVE_PAUSE)?;
    let unsent_limit = u32::try_from(unsent_limit.0 / 1_000_000).unwrap_or(u32::MAX);
    set_tcp_user_timeout(stream, unsent_limit)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::Instant;

    use bytes::Bytes;
    use mio::{Events, Poll};

    use super::*;
    use crate::clock;

    const PATIENCE: Duration = Duration::from_secs(60);

    /// Polls until there is news.
    fn news(poll: &mut Poll, peer: &mut Peer) -> News {
        let (mut events, started) = (Events::with_capacity(8), Instant::now());
        loop {
            peer.write();
            if let Some(news) = peer.news(clock::now()) {
                return news;
            }
            assert!(started.elapsed() < PATIENCE, "no news in time");
            poll.poll(&mut events, Some(Duration::from_millis(20)))
                .expect("polled");
            for event in events.iter() {
                peer.note(event);
            }
            peer.read();
        }
    }

    #[test]
    fn who_takes_nothing_loses_its_connection_before_memory_grows_without_end() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let mut poll = Poll::new().expect("a poll");
        let mut peer = Peer::new(Token(1), Nanos::from_millis(60_000));
        let address = listener.local_addr().expect("bound");
        peer.dial(address, clock::now(), poll.registry());
        assert_eq!(news(&mut poll, &mut peer), News::Connected);
        // Accepted, and never read.
        let (_stopped, _) = listener.accept().expect("accepted");
        let data = Bytes::from(vec![1; 1 << 20]);
        let mut encoder = Encoder::new();
        for seq in 1..=160 {
            let write = Request::Write {
                seq,
                offset: 0,
                data: data.clone(),
                fua: false,
            };
            peer.send(seq as Tag, &write, &mut encoder);
            peer.write();
            assert!(peer.out.len() <= OUT_BYTES_MAX + (2 << 20));
        }
        let News::Disconnected(why) = news(&mut poll, &mut peer) else {
            panic!("it is connected still")
        };
        assert!(why.contains("does not take"), "{why}");
        assert!(peer.out.is_empty() && peer.is_flushed() && !peer.is_busy());
    }
}
