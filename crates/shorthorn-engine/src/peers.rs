//! The replicas of the order, by their index.

use mio::event::Event;
use mio::{Registry, Token, Waker};
use shorthorn_core::{Nanos, ReplicaIndex};
use shorthorn_wire::Encoder;
use shorthorn_wire::message::{Request, Tag};

use crate::names::Names;
use crate::peer::Peer;

/// Connections to all replicas.
#[derive(Debug)]
pub struct Peers {
    peers: Vec<Peer>,
    names: Names,
    /// Of the last question to the resolver.
    ticket: u64,
    first_token: usize,
    /// Remembers the checksum of the payload that goes to several.
    encoder: Encoder,
}

impl Peers {
    /// `count` replicas, with tokens from `first_token` on.
    pub fn new(count: usize, first_token: usize, waker: Waker) -> Self {
        let peer = |index| Peer::new(Token(first_token + index));
        Self {
            peers: (0..count).map(peer).collect(),
            names: Names::new(waker),
            ticket: 0,
            first_token,
            encoder: Encoder::new(),
        }
    }

    /// One of them.
    pub fn get(&mut self, replica: ReplicaIndex) -> &mut Peer {
        &mut self.peers[replica.index()]
    }

    /// All indices.
    pub fn indices(&self) -> impl Iterator<Item = ReplicaIndex> + use<> {
        // At most REPLICAS_MAX, which the core has checked.
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
        let peer = &mut self.peers[replica.index()];
        if let Some(address) = Names::numeric(address) {
            return peer.dial(address, now, registry);
        }
        self.ticket += 1;
        match self.names.ask(self.ticket, address.to_owned()) {
            Ok(()) => peer.resolve(self.ticket, now),
            Err(error) => peer.fail(error.to_string()),
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
        self.peers[replica.index()].send(tag, request, &mut self.encoder);
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
