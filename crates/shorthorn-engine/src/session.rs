//! The loop: one thread, one poll, everything that is ready in one round.
//!
//! A round reads every ready socket, then the clock, then feeds the core with all that came and does what it says, and at
//! the end writes once to each socket. Nothing waits anywhere else than in the poll, and with nothing to do it waits for
//! ever. One thread in batches is both the fastest and the simplest (docs/decisions/0002-one-thread-data-path.md).
//!
//! Time (docs/protocol.md, Read and B10): a read is completed only if, by a clock read *after* its data came, each needed
//! replica has answered a request *sent* less than T ago. The clock is read once a round, after the sockets: every answer
//! handed to the core in this round came before that moment. Requests are sent at the end of the round, or later where a
//! socket was full, but count as sent at that same moment: too early, so that a grant ends too early, never too late.

mod effects;

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use mio::{Events, Interest, Poll, Token, Waker};
use shorthorn_core::Nanos;
use shorthorn_core::engine::{Effect, Engine, Event};
use shorthorn_nbd::Export;
use shorthorn_wire::WIRE_VERSION;
use shorthorn_wire::agent::{Hello, SessionOrder, ToProgram};

use crate::agent_link::AgentLink;
use crate::clients::Clients;
use crate::clock;
use crate::log;
use crate::peer::News;
use crate::peers::Peers;
use crate::signals::Signals;
use crate::start::StartError;
use crate::status_report::StatusReport;

const SIGNALS: Token = Token(0);
const RESOLVER: Token = Token(1);
const AGENT: Token = Token(2);
const LISTENER: Token = Token(3);
/// Replicas have the tokens from here on, at most [`shorthorn_core::REPLICAS_MAX`].
const PEERS: usize = 16;
const CLIENTS: usize = 64;
const _: () = assert!(PEERS + shorthorn_core::REPLICAS_MAX <= CLIENTS);

/// Events of one poll: more wait for the next.
const EVENTS_MAX: usize = 256;
/// What is written out at the end has this long to go.
const LEAVE_LIMIT: Nanos = Nanos::from_millis(1_000);

/// What is sent and not even taken by the other host for so many times the silence that the core bears with: the core is
/// to decide first.
const UNSENT_PATIENCE: u64 = 6;

/// How a session ended.
#[derive(Debug)]
pub struct End {
    /// All replicas are flushed, without marks, and closed.
    pub clean: bool,
}

/// A session with all its sockets.
pub struct Session {
    poll: Poll,
    core: Engine,
    /// Scratch: what the core says to one event.
    effects: Vec<Effect>,
    /// The time of this round.
    now: Nanos,
    /// When the core wants [`Event::Timer`].
    timer: Option<Nanos>,
    peers: Peers,
    /// By replica: why it could not be reached when that was last logged.
    logged: Vec<Option<String>>,
    clients: Clients,
    agent: AgentLink,
    signals: Signals,
    signalled: bool,
    /// What the agent is told.
    status: StatusReport,
    /// The endpoint can't be had: nobody can be served.
    unservable: bool,
    exit: Option<End>,
}

impl Session {
    /// Prepares everything; nobody is connected to yet. `order_path`: for errors.
    pub fn new(order: SessionOrder, engine: String, order_path: &Path) -> Result<Self, StartError> {
        let system = |what| move |source| StartError::System { what, source };
        let poll = Poll::new().map_err(system("poll"))?;
        let mut signals = Signals::listen().map_err(system("signals"))?;
        let registered = poll
            .registry()
            .register(&mut signals.stream, SIGNALS, Interest::READABLE);
        registered.map_err(system("poll"))?;
        let waker = Waker::new(poll.registry(), RESOLVER).map_err(system("poll"))?;

        let now = clock::now();
        let hello = Hello::Engine {
            wire: WIRE_VERSION,
            volume: order.volume.clone(),
            epoch: order.epoch,
            engine: engine.clone(),
            pid: std::process::id(),
        };
        let export = Export {
            name: order.name.clone(),
            size: order.document.size,
            read_only: order.read_only,
        };
        log::info(
            "session starts",
            &[
                ("volume", &order.name),
                ("epoch", &order.epoch),
                ("engine", &engine),
                ("replicas", &order.targets.len()),
            ],
        );
        let unsent_limit = Nanos::from_millis(order.silence_ms.saturating_mul(UNSENT_PATIENCE));
        let agent = AgentLink::new(order.agent.clone(), hello, AGENT, now);
        let core = Engine::new(order, engine).map_err(|source| StartError::Order {
            path: order_path.to_owned(),
            source,
        })?;
        Ok(Self {
            poll,
            core,
            effects: Vec::new(),
            now,
            timer: None,
            peers: Peers::new(PEERS, unsent_limit, waker),
            logged: Vec::new(),
            clients: Clients::new(export, CLIENTS),
            agent,
            signals,
            signalled: false,
            status: StatusReport::default(),
            unservable: false,
            exit: None,
        })
    }

    /// Runs until the session is over.
    pub fn run(mut self) -> End {
        let mut events = Events::with_capacity(EVENTS_MAX);
        self.feed(Event::Start);
        loop {
            self.deliver();
            self.write();
            if let Some(end) = self.exit.take() {
                self.leave(&mut events);
                return end;
            }
            let timeout = self.timeout();
            self.wait(&mut events, timeout);
            self.read();
            self.now = clock::now();
        }
    }

    /// Waits for something to be ready and takes note of it.
    fn wait(&mut self, events: &mut Events, timeout: Option<Duration>) {
        if let Err(error) = self.poll.poll(events, timeout) {
            // Any other error means that the poll itself is broken: nothing can ever be heard again.
            assert!(error.kind() == ErrorKind::Interrupted, "poll: {error}");
            return;
        }
        for event in events.iter() {
            match event.token() {
                SIGNALS => self.signalled |= self.signals.take(),
                RESOLVER => {}
                AGENT => self.agent.note(event),
                LISTENER => self.clients.note_listener(),
                Token(CLIENTS..) => self.clients.note(event),
                Token(_) => self.peers.note(event),
            }
        }
    }

    /// None: for ever.
    fn timeout(&self) -> Option<Duration> {
        if self.is_busy() {
            return Some(Duration::ZERO);
        }
        let others = [
            self.peers.deadline(),
            self.clients.deadline(),
            self.agent.deadline(),
            self.status.deadline().filter(|_| self.agent.is_up()),
        ];
        let next = others.into_iter().flatten().chain(self.timer).min()?;
        Some(Duration::from_nanos((next - clock::now()).0))
    }

    /// Something can be done without waiting.
    fn is_busy(&self) -> bool {
        self.peers.is_busy() || self.clients.is_busy() || self.agent.is_busy()
    }

    fn read(&mut self) {
        self.peers.read();
        self.clients.read();
        self.agent.read();
    }

    fn write(&mut self) {
        self.peers.write();
        self.clients.write();
        self.agent.write();
    }

    /// Feeds the core with all that came. Replies first: they make room for requests.
    fn deliver(&mut self) {
        if std::mem::take(&mut self.signalled) {
            log::info("told to close by a signal", &[]);
            self.feed(Event::Close);
        }
        self.deliver_peers();
        self.deliver_agent();
        self.deliver_clients();
        if self.timer.is_some_and(|timer| timer <= self.now) {
            self.timer = None;
            self.feed(Event::Timer);
        }
        if std::mem::take(&mut self.unservable) {
            self.feed(Event::Close);
        }
        self.tell_status();
    }

    fn deliver_peers(&mut self) {
        self.peers.take_addresses(self.now, self.poll.registry());
        for replica in self.peers.indices() {
            while let Some((tag, reply)) = self.peers.get(replica).next_reply() {
                self.feed(Event::Reply {
                    replica,
                    tag,
                    reply,
                });
            }
            if let Some(news) = self.peers.get(replica).news(self.now) {
                self.log_news(replica, &news);
                self.feed(match news {
                    News::Connected => Event::Connected { replica },
                    News::Unreachable(why) => Event::Unreachable { replica, why },
                    News::Disconnected(why) => Event::Disconnected { replica, why },
                });
            }
        }
    }

    fn deliver_agent(&mut self) {
        if self.agent.dial_due(self.now, self.poll.registry()) {
            self.feed(Event::AgentConnected);
            self.status.tell_now();
        }
        while let Some(message) = self.agent.next() {
            match message {
                ToProgram::Answer { id, answer } => self.feed(Event::Answer { id, answer }),
                ToProgram::Close => self.feed(Event::Close),
                ToProgram::Leave { replica } => self.feed(Event::Leave { replica }),
                ToProgram::Targets { targets, document } => {
                    self.feed(Event::Targets { targets, document });
                }
                ToProgram::Stop => self.feed(Event::Stop),
                _ => log::warn("the agent said something meant for a replica program", &[]),
            }
        }
        self.agent.drop_ended(self.now);
    }

    fn deliver_clients(&mut self) {
        let before = self.clients.count();
        self.clients.accept(self.now, self.poll.registry());
        while let Some((client, why)) = self.clients.take_ended(self.now) {
            match why {
                None => log::info("client gone", &[("client", &client.0)]),
                Some(why) => log::info("client gone", &[("client", &client.0), ("why", &why)]),
            }
            self.feed(Event::ClientGone { client });
        }
        if self.clients.count() != before {
            self.status.tell_now();
        }
        loop {
            while self.core.can_take() {
                let Some((client, cookie, request)) = self.clients.next_request() else {
                    break;
                };
                self.feed(Event::Client {
                    client,
                    cookie,
                    request,
                });
            }
            // What came in this round and found no room before.
            if !self.core.can_take() || !self.clients.parse_more() {
                break;
            }
        }
    }

    /// One event to the core; does what it says.
    fn feed(&mut self, event: Event) {
        let mut effects = std::mem::take(&mut self.effects);
        self.core.handle(self.now, event, &mut effects);
        for effect in effects.drain(..) {
            self.apply(effect);
        }
        self.effects = effects;
    }

    /// Writes out what is still to be sent, within a bound.
    fn leave(&mut self, events: &mut Events) {
        let until = clock::now() + LEAVE_LIMIT;
        loop {
            self.write();
            let left = until - clock::now();
            let flushed =
                self.peers.is_flushed() && self.clients.is_flushed() && self.agent.is_flushed();
            if flushed || left == Nanos::default() {
                return;
            }
            self.wait(events, Some(Duration::from_nanos(left.0)));
        }
    }
}
