//! All clients: who may connect, how many, and how memory is shared between them.

use std::io::{self, ErrorKind};

use mio::net::UnixStream;
use mio::{Interest, Registry, Token};
use shorthorn_core::Nanos;
use shorthorn_core::engine::{ClientId, ClientRequest};
use shorthorn_nbd::Export;

use crate::client::Client;
use crate::endpoint::Endpoint;
use crate::log;

/// Most clients at once. A volume has one kernel device or virtual machine, with a handful of connections.
const CLIENTS_MAX: usize = 128;
/// Bytes of requests and answers that all clients together may keep here, apart from one request each. More is no faster:
/// 16 requests of 1 MiB keep every replica busy.
const BYTES_MAX: usize = 16 << 20;
/// The least share of one client.
const SHARE_BYTES_MIN: usize = 256 << 10;
/// The largest share of one client: a second one finds room at once.
const SHARE_BYTES_MAX: usize = 12 << 20;
/// How soon to try again where accepting failed for a lack of resources.
const ACCEPT_PAUSE: Nanos = Nanos::from_millis(1_000);

/// The table of clients.
#[derive(Debug)]
pub struct Clients {
    /// What is served.
    export: Export,
    /// Where new ones come from; none before the record is asked to open the session, and after it ends.
    endpoint: Option<Endpoint>,
    places: Vec<Option<Client>>,
    count: usize,
    /// How many ever were: the high part of an id; the low 8 bits are the place.
    serial: u64,
    /// There may be some to accept.
    accept: bool,
    accept_again: Option<Nanos>,
    /// Whose requests are handed over first in this round.
    turn: usize,
    first_token: usize,
}

impl Clients {
    /// Nobody yet. Client tokens are `first_token` and above.
    pub fn new(export: Export, first_token: usize) -> Self {
        Self {
            export,
            endpoint: None,
            places: Vec::new(),
            count: 0,
            serial: 0,
            accept: false,
            accept_again: None,
            turn: 0,
            first_token,
        }
    }

    /// Has those who come wait at the door. May be called again.
    pub fn listen(&mut self, path: &str) -> io::Result<()> {
        if self.endpoint.is_none() {
            self.endpoint = Some(Endpoint::bind(path)?);
        }
        Ok(())
    }

    /// Opens the door.
    pub fn serve(&mut self, path: &str, registry: &Registry, token: Token) -> io::Result<()> {
        self.listen(path)?;
        if let Some(endpoint) = &mut self.endpoint {
            registry.register(&mut endpoint.listener, token, Interest::READABLE)?;
        }
        self.accept = true;
        Ok(())
    }

    /// Closes the door; with `break_clients` also ends every connection.
    pub fn stop_serving(&mut self, break_clients: bool) {
        self.endpoint = None;
        self.accept = false;
        self.accept_again = None;
        if break_clients {
            self.places.clear();
            self.count = 0;
        }
    }

    /// How many are connected.
    pub fn count(&self) -> usize {
        self.count
    }

    /// What one client may keep here now.
    fn share(&self) -> usize {
        (BYTES_MAX / self.count.max(1)).clamp(SHARE_BYTES_MIN, SHARE_BYTES_MAX)
    }

    /// The poll says that somebody knocks.
    pub fn note_listener(&mut self) {
        self.accept = self.endpoint.is_some();
    }

    /// The poll says something of the client with this token.
    pub fn note(&mut self, event: &mio::event::Event) {
        let place = event.token().0.wrapping_sub(self.first_token);
        if let Some(Some(client)) = self.places.get_mut(place) {
            client.link.note(event);
        }
    }

    /// Reads from everybody.
    pub fn read(&mut self) {
        let share = self.share();
        for client in self.places.iter_mut().flatten() {
            client.read(share);
        }
    }

    /// Sends to everybody.
    pub fn write(&mut self) {
        for client in self.places.iter_mut().flatten() {
            client.write();
        }
    }

    /// Something can be done without waiting.
    pub fn is_busy(&self) -> bool {
        let share = self.share();
        self.accept
            || self
                .places
                .iter()
                .flatten()
                .any(|client| client.is_busy(share))
    }

    /// Every answer is out.
    pub fn is_flushed(&self) -> bool {
        self.places.iter().flatten().all(Client::is_flushed)
    }

    /// When something has to be done although nothing comes.
    pub fn deadline(&self) -> Option<Nanos> {
        let handshakes = self.places.iter().flatten().filter_map(Client::deadline);
        handshakes.chain(self.accept_again).min()
    }

    /// Lets in who knocks.
    pub fn accept(&mut self, now: Nanos, registry: &Registry) {
        if self.accept_again.is_some_and(|again| again <= now) {
            self.accept_again = None;
            self.accept = true;
        }
        while self.accept {
            let Some(endpoint) = &self.endpoint else {
                self.accept = false;
                return;
            };
            match endpoint.listener.accept() {
                Ok((stream, _)) => self.admit(stream, now, registry),
                Err(error) => self.accept_failed(&error, now),
            }
        }
    }

    fn accept_failed(&mut self, error: &io::Error, now: Nanos) {
        match error.kind() {
            ErrorKind::WouldBlock => self.accept = false,
            ErrorKind::Interrupted | ErrorKind::ConnectionAborted => {}
            _ => {
                // No descriptors or memory: it passes, and the poll does not tell when.
                log::warn("accepting failed", &[("why", error)]);
                self.accept = false;
                self.accept_again = Some(now + ACCEPT_PAUSE);
            }
        }
    }

    fn admit(&mut self, stream: UnixStream, now: Nanos, registry: &Registry) {
        let refusal = match self.enter(stream, now, registry) {
            Ok(id) => return log::info("client connected", &[("client", &id.0)]),
            Err(why) => why,
        };
        log::warn("client refused", &[("why", &refusal)]);
    }

    fn enter(
        &mut self,
        mut stream: UnixStream,
        now: Nanos,
        registry: &Registry,
    ) -> Result<ClientId, String> {
        if self.count >= CLIENTS_MAX {
            return Err(format!("{CLIENTS_MAX} clients are connected"));
        }
        let peer = rustix::net::sockopt::socket_peercred(&stream);
        let peer = peer.map_err(|error| error.to_string())?;
        if !peer.uid.is_root() && peer.uid != rustix::process::geteuid() {
            return Err(format!("it runs as user {}", peer.uid.as_raw()));
        }
        let free = self.places.iter().position(Option::is_none);
        let place = free.unwrap_or(self.places.len());
        let token = Token(self.first_token + place);
        let both = Interest::READABLE | Interest::WRITABLE;
        let registered = registry.register(&mut stream, token, both);
        registered.map_err(|error| error.to_string())?;
        self.serial += 1;
        let id = ClientId(self.serial << 8 | place as u64);
        let client = Client::new(id, stream, self.export.clone(), now);
        match self.places.get_mut(place) {
            Some(free) => *free = Some(client),
            None => self.places.push(Some(client)),
        }
        self.count += 1;
        Ok(id)
    }

    /// The next request for the core: one of each client in turn.
    pub fn next_request(&mut self) -> Option<(ClientId, u64, ClientRequest)> {
        let places = self.places.len();
        for step in 0..places {
            let place = (self.turn + step) % places;
            let Some(client) = &mut self.places[place] else {
                continue;
            };
            if let Some((cookie, request)) = client.next() {
                let id = client.id;
                self.turn = place + 1;
                return Some((id, cookie, request));
            }
        }
        None
    }

    /// Understands more of what has been read. True: there are requests for the core.
    pub fn parse_more(&mut self) -> bool {
        let share = self.share();
        let mut more = false;
        for client in self.places.iter_mut().flatten() {
            client.parse(share);
            more |= client.has_request();
        }
        more
    }

    /// The client with this id, if it is still there.
    pub fn find(&mut self, id: ClientId) -> Option<&mut Client> {
        let place = self.places.get_mut((id.0 & 0xff) as usize)?;
        place.as_mut().filter(|client| client.id == id)
    }

    /// Takes out one that has ended, with the reason if it was not a goodbye.
    pub fn take_ended(&mut self, now: Nanos) -> Option<(ClientId, Option<String>)> {
        for place in &mut self.places {
            let Some(client) = place else { continue };
            let late = client.deadline().is_some_and(|deadline| deadline <= now);
            if late {
                client.link.end("the handshake took too long".to_owned());
            }
            let why = client.link.ended().map(str::to_owned);
            if why.is_some() || client.is_finished() {
                let (id, goodbye) = (client.id, client.is_closing());
                *place = None;
                self.count -= 1;
                // A goodbye followed by the end of the connection is still a goodbye.
                return Some((id, why.filter(|_| !goodbye)));
            }
        }
        None
    }
}
