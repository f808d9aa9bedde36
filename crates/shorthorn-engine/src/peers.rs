//! The replicas of the session, by their index.

use mio::event::Event;
use mio::{Registry, Token, Waker};
use shorthorn_core::{Nanos, ReplicaIndex};
use shorthorn_wire::Encoder;
use shorthorn_wire::message::{Request, Tag};

use crate::names::Names;
use crate::peer::Peer;

/// Connections to all replicas. There is one for each replica that the core ever named: some come while it runs.
#[derive(Debug)]
pub struct Peers {
    peers: Vec<Peer>,
    /// See [`Peer::new`].
    unsent_limit: Nanos,
    names: Names,
    /// Of the last question to the resolver.
    ticket: u64,
    first_token: usize,
    /// Remembers the checksum of the payload that goes to several.
    encoder: Encoder,
}

impl Peers {
    /// Nobody yet. Tokens from `first_token` on, one for each of [`shorthorn_core::REPLICAS_MAX`]. `unsent_limit`: see
    /// [`Peer::new`].
    pub fn new(first_token: usize, unsent_limit: Nanos, waker: Waker) -> Self {
        Self {
            peers: Vec::new(),
            unsent_limit,
            names: Names::new(waker),
            ticket: 0,
            first_token,
            encoder: Encoder::new(),
        }
    }

    /// One of them.
    pub fn get(&mut self, replica: ReplicaIndex) -> &mut Peer {
        // At most REPLICAS_MAX, which the core has checked.
        while self.peers.len() <= replica.index() {
            let token = Token(self.first_token + self.peers.len());
            self.peers.push(Peer::new(token, self.unsent_limit));
        }
        &mut self.peers[replica.index()]
    }

    /// All indices.
    pub fn indices(&self) -> impl Iterator<Item = ReplicaIndex> + use<> {
        (0..self.peers.len()).map(|index| ReplicaIndex(index as u8))
    }

    /// The poll says something of a replica.
    pub fn note(&mut self, event: &Event) {
        let index = event.token().0 - self.first_token;
        if let Some(peer) = self.peers.get_mut(index) {
            peer.note(event);
        }
    }

    /// Starts to connect.
    pub fn dial(&mut self, replica: ReplicaIndex, address: &str, now: Nanos, registry: &Registry) {
        if let Some(address) = Names::numeric(address) {
            return self.get(replica).dial(address, now, registry);
        }
        self.ticket += 1;
        let ticket = self.ticket;
        match self.names.ask(ticket, address.to_owned()) {
            Ok(()) => self.get(replica).resolve(ticket, now),
            Err(error) => self.get(replica).fail(error.to_string()),
        }
    }

    /// Goes on with what the resolver found.
    pub fn take_addresses(&mut self, now: Nanos, registry: &Registry) {
        while let Some(resolved) = self.names.next() {
            let mut peers = self.peers.iter_mut();
            let Some(peer) = peers.find(|peer| peer.expects(resolved.ticket)) else {
                continue;
            };
            match resolved.address {
                Ok(address) => peer.dial(address, now, registry),
                Err(error) => peer.fail(error.to_string()),
            }
        }
    }

    /// Reads from all.
    pub fn read(&mut self) {
        for peer in &mut self.peers {
            peer.read();
        }
    }

    /// Queues a request.
    pub fn send(&mut self, replica: ReplicaIndex, tag: Tag, request: &Request) {
        // One that was never dialled has no connection to send on.
        if let Some(peer) = self.peers.get_mut(replica.index()) {
            peer.send(tag, request, &mut self.encoder);
        }
    }

    /// Sends to all.
    pub fn write(&mut self) {
        self.encoder.forget();
        for peer in &mut self.peers {
            peer.write();
        }
    }

    /// Something can be done without waiting.
    pub fn is_busy(&self) -> bool {
        self.peers.iter().any(Peer::is_busy)
    }

    /// Nothing waits to be sent.
    pub fn is_flushed(&self) -> bool {
        self.peers.iter().all(Peer::is_flushed)
    }

    /// When something has to be done although nothing comes.
    pub fn deadline(&self) -> Option<Nanos> {
        self.peers.iter().filter_map(Peer::deadline).min()
    }
}
