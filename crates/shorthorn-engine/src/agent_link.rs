//! The link to the agent of the node: dialled again for as long as the engine lives.
//!
//! The agent may be away for any time: no client's request waits for it (docs/protocol.md, B1). What is to be said while
//! it is away is dropped; after each hello the core says it again.

use mio::event::Event;
use mio::net::UnixStream;
use mio::{Interest, Registry, Token};
use shorthorn_core::Nanos;
use shorthorn_wire::agent::{Hello, ToAgent, ToProgram};
use shorthorn_wire::{LINE_BYTES_MAX, Lines, OutQueue, lines};

use crate::link::Link;
use crate::log;

/// First pause before dialling again; doubled each time up to the last.
const PAUSE_FIRST: Nanos = Nanos::from_millis(100);
/// Longest pause: how late a restarted agent may find its engines.
const PAUSE_LAST: Nanos = Nanos::from_millis(1_000);
/// Bytes read in one round.
const ROUND_BYTES_MAX: usize = 1 << 20;
/// Bytes of one read.
const READ_BYTES: usize = 16 << 10;
/// An agent that lets more than this wait does not read: the link ends.
const OUT_BYTES_MAX: usize = 2 * LINE_BYTES_MAX;

#[derive(Debug)]
struct Up {
    link: Link<UnixStream>,
    lines: Lines,
    out: OutQueue,
}

/// The link, standing or not.
#[derive(Debug)]
pub struct AgentLink {
    path: String,
    hello: Hello,
    token: Token,
    up: Option<Up>,
    /// When to dial, while it does not stand.
    again: Nanos,
    pause: Nanos,
    /// Its absence was logged.
    missed: bool,
}

impl AgentLink {
    /// Not dialled yet; due at once.
    pub fn new(path: String, hello: Hello, token: Token, now: Nanos) -> Self {
        Self {
            path,
            hello,
            token,
            up: None,
            again: now,
            pause: PAUSE_FIRST,
            missed: false,
        }
    }

    /// Dials if it is time. True: the link stands and the hello is queued.
    pub fn dial_due(&mut self, now: Nanos, registry: &Registry) -> bool {
        if self.up.is_some() || now < self.again {
            return false;
        }
        let dialled = UnixStream::connect(&self.path).and_then(|mut stream| {
            let both = Interest::READABLE | Interest::WRITABLE;
            registry.register(&mut stream, self.token, both)?;
            Ok(stream)
        });
        match dialled {
            Ok(stream) => {
                self.up = Some(Up {
                    link: Link::new(stream),
                    lines: Lines::new(),
                    out: OutQueue::new(),
                });
                let hello = lines::encode(&self.hello);
                self.queue(hello);
                log::info("agent connected", &[]);
                self.missed = false;
                true
            }
            Err(error) => {
                if !std::mem::replace(&mut self.missed, true) {
                    log::warn("agent is away", &[("why", &error)]);
                }
                self.wait(now);
                false
            }
        }
    }

    fn wait(&mut self, now: Nanos) {
        self.again = now + self.pause;
        self.pause = (self.pause + self.pause).min(PAUSE_LAST);
    }

    /// Whether something said now may arrive.
    pub fn is_up(&self) -> bool {
        self.up.is_some()
    }

    /// Takes note of what the poll said.
    pub fn note(&mut self, event: &Event) {
        if let Some(up) = &mut self.up {
            up.link.note(event);
        }
    }

    /// Reads what came.
    pub fn read(&mut self) {
        let Some(up) = &mut self.up else { return };
        let mut budget = ROUND_BYTES_MAX;
        let mut room = [0; READ_BYTES];
        while budget > 0 && up.link.is_readable() {
            let read = up.link.read_slice(&mut room);
            up.lines.extend(&room[..read]);
            budget = budget.saturating_sub(read);
        }
    }

    /// The next message that came. What is no message ends the link.
    pub fn next(&mut self) -> Option<ToProgram> {
        let up = self.up.as_mut()?;
        match up.lines.take() {
            Ok(message) => {
                if message.is_some() {
                    self.pause = PAUSE_FIRST;
                }
                message
            }
            Err(error) => {
                up.link.end(error.to_string());
                None
            }
        }
    }

    /// Lets go of a link that has ended; call when [`AgentLink::next`] has nothing more.
    pub fn drop_ended(&mut self, now: Nanos) {
        let Some(why) = self.up.as_ref().and_then(|up| up.link.ended()) else {
            return;
        };
        log::warn("agent link ended", &[("why", &why)]);
        self.missed = true;
        self.up = None;
        self.wait(now);
    }

    /// Queues a message; dropped while no link stands.
    pub fn say(&mut self, message: &ToAgent) {
        if self.is_up() {
            self.queue(lines::encode(message));
        }
    }

    fn queue(&mut self, line: Result<Vec<u8>, lines::LineError>) {
        let Some(up) = &mut self.up else { return };
        match line {
            Ok(line) => up.out.push(line.into()),
            // Everything an engine says is far below the limit.
            Err(error) => log::error("message not sent", &[("why", &error)]),
        }
        if up.out.len() > OUT_BYTES_MAX {
            up.link.end("the agent does not read".to_owned());
        }
    }

    /// Sends what waits.
    pub fn write(&mut self) {
        if let Some(up) = &mut self.up {
            up.link.write(&mut up.out);
        }
    }

    /// Something can be done without waiting.
    pub fn is_busy(&self) -> bool {
        let up = self.up.as_ref();
        up.is_some_and(|up| up.link.is_readable() || up.link.ended().is_some())
    }

    /// Nothing waits to be sent, or nothing can be.
    pub fn is_flushed(&self) -> bool {
        let up = self.up.as_ref();
        up.is_none_or(|up| up.out.is_empty() || up.link.ended().is_some())
    }

    /// When to dial again.
    pub fn deadline(&self) -> Option<Nanos> {
        self.up.is_none().then_some(self.again)
    }
}
