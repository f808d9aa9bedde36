//! Connections between actors and replicas: in order each way, with any delay, also after one end is gone.

use std::collections::{BTreeMap, VecDeque};

use shorthorn_core::replica::{ConnId, Effect, Event};
use shorthorn_core::{Nanos, ReplicaIndex};
use shorthorn_wire::message::{Reply, Request, Tag};

use super::fence::FENCER;
use super::{Violation, World};

pub struct Link {
    pub actor: u64,
    /// As the actor calls the replica at its other end.
    pub replica: ReplicaIndex,
    pub node: usize,
    pub requests: VecDeque<(Tag, Request)>,
    pub replies: VecDeque<(Tag, Reply)>,
    /// The actor's end is there.
    pub calls: bool,
    /// The replica's end is there.
    pub serves: bool,
    /// It is broken: nothing more comes through, and both ends will hear of it.
    pub cut: bool,
    /// Changes that the actor has sent and heard nothing of: offset and length.
    pub unanswered: BTreeMap<Tag, (u64, u64)>,
}

impl Link {
    pub fn new(actor: u64, replica: ReplicaIndex, node: usize) -> Self {
        Self {
            actor,
            replica,
            node,
            requests: VecDeque::new(),
            replies: VecDeque::new(),
            calls: true,
            serves: true,
            cut: false,
            unanswered: BTreeMap::new(),
        }
    }
}

/// What a request changes: offset and length.
fn range_of(request: &Request) -> Option<(u64, u64)> {
    match request {
        Request::Write { offset, data, .. } => Some((*offset, data.len() as u64)),
        Request::Zero { offset, length, .. } => Some((*offset, *length)),
        _ => None,
    }
}

impl Link {
    /// A range is compared only when its changes were answered there (docs/protocol.md, Resync).
    pub fn sends(&mut self, tag: Tag, request: &Request) -> Result<(), Violation> {
        if let Some(range) = range_of(request) {
            self.unanswered.insert(tag, range);
        }
        let Request::Hash { offset, length } = request else {
            return Ok(());
        };
        let end = offset + u64::from(*length);
        let overlaps = |(first, length): &(u64, u64)| *first < end && *offset < first + length;
        if self.unanswered.values().any(overlaps) {
            let why = format!("{request:?} before the changes of that range are answered");
            return Err(Violation(why));
        }
        Ok(())
    }
}

impl World {
    /// A dial ends, well or not.
    pub(super) fn connect(&mut self, actor: u64, replica: ReplicaIndex) -> Result<(), Violation> {
        let node = self.node_of(actor, replica);
        let fails = !self.quiet && self.rng.one_in(20);
        if self.nodes[node].replica.is_none() || fails || self.is_cut(actor, node) {
            return self.tell_link(actor, replica, false);
        }
        let id = self.id();
        self.links.insert(id, Link::new(actor, replica, node));
        self.linked(actor, replica, id);
        self.tell_link(actor, replica, true)
    }

    /// Nothing comes through between an actor and a node now.
    pub(super) fn is_cut(&self, actor: u64, node: usize) -> bool {
        let from = self.actors.get(&actor).map(|actor| actor.node);
        from.and_then(|from| self.cuts.get(&(from, node)))
            .is_some_and(|until| *until > self.now)
    }

    pub(super) fn is_asleep(&self, node: usize) -> bool {
        self.asleep[node] > self.now
    }

    /// Whether something of this link may arrive at its replica, and at its actor.
    pub(super) fn may_arrive(&self, link: &Link) -> (bool, bool) {
        if self.is_cut(link.actor, link.node) {
            return (false, false);
        }
        let there = link.serves && (!link.requests.is_empty() || !link.calls || link.cut);
        let back = link.calls && (!link.replies.is_empty() || !link.serves || link.cut);
        let sleeps = link.actor != FENCER && self.sleeps(link.actor);
        (there && !self.is_asleep(link.node), back && !sleeps)
    }

    /// One message, or the end, arrives at the replica.
    pub(super) fn arrive_at_replica(&mut self, id: u64) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let node = link.node;
        let conn = ConnId(id);
        if let Some((tag, request)) = link.requests.pop_front() {
            self.stats.late += usize::from(!link.calls);
            self.at_replica(node, Event::Request { conn, tag, request });
        } else {
            link.serves = false;
            self.at_replica(node, Event::Ended { conn });
        }
        self.forget_link(id);
    }

    /// One message, or the end, arrives at the actor.
    pub(super) fn arrive_at_actor(&mut self, id: u64) -> Result<(), Violation> {
        let Some(link) = self.links.get_mut(&id) else {
            return Ok(());
        };
        let (actor, replica, node) = (link.actor, link.replica, link.node);
        match link.replies.pop_front() {
            Some((_, reply)) if actor == FENCER => {
                self.fence_reply(node, reply);
                Ok(())
            }
            Some((tag, reply)) => {
                link.unanswered.remove(&tag);
                self.reply(actor, replica, tag, reply)
            }
            None => {
                link.calls = false;
                self.forget_link(id);
                self.unlinked(actor, replica);
                self.end_of_link(actor, replica)
            }
        }
    }

    fn forget_link(&mut self, id: u64) {
        let gone = |link: &Link| !link.calls && !link.serves;
        if self.links.get(&id).is_some_and(gone) {
            self.links.remove(&id);
        }
    }

    /// A node's replica takes an event.
    pub(super) fn at_replica(&mut self, node: usize, event: Event) {
        for effect in self.nodes[node].handle(event) {
            match effect {
                Effect::Do { token, work } => self.nodes[node].add(token, work),
                Effect::Send { conn, tag, reply } => {
                    if let Reply::Standing(standing) = &reply {
                        self.nodes[node].says(standing);
                    }
                    if let Some(link) = self.links.get_mut(&conn.0).filter(|link| !link.cut) {
                        link.replies.push_back((tag, reply));
                    }
                }
                Effect::End { conn, .. } => {
                    if let Some(link) = self.links.get_mut(&conn.0) {
                        link.serves = false;
                        link.requests.clear();
                    }
                }
            }
        }
    }

    /// One connection breaks: of what is under way some is lost.
    pub(super) fn cut_link(&mut self, id: u64) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        link.cut = true;
        let keep = self.rng.below(link.requests.len() + 1);
        link.requests.truncate(keep);
        let keep = self.rng.below(link.replies.len() + 1);
        link.replies.truncate(keep);
    }

    /// A replica program is gone: its connections end, and of what it sent some may be lost.
    pub(super) fn drop_links_of_node(&mut self, node: usize) {
        for link in self.links.values_mut().filter(|link| link.node == node) {
            link.serves = false;
            link.requests.clear();
            let keep = self.rng.below(link.replies.len() + 1);
            link.replies.truncate(keep);
        }
        self.links.retain(|_, link| link.calls || link.serves);
    }

    /// An actor hangs up, or is gone: what it sent may still arrive.
    pub(super) fn drop_link(&mut self, actor: u64, replica: ReplicaIndex) {
        for link in self.links.values_mut() {
            if link.actor == actor && link.replica == replica {
                link.calls = false;
                link.replies.clear();
            }
        }
        self.links.retain(|_, link| link.calls || link.serves);
    }

    /// The next moment at which a fault of the network or of a node ends.
    pub(super) fn next_relief(&self) -> Option<Nanos> {
        let moments = self.cuts.values().chain(&self.asleep).chain(&self.away);
        moments.filter(|until| **until > self.now).min().copied()
    }
}
