//! Connections between actors and replicas: in order each way, with any delay, also after one end is gone.

use std::collections::VecDeque;

use shorthorn_core::ReplicaIndex;
use shorthorn_core::replica::{ConnId, Effect, Event};
use shorthorn_wire::message::{Reply, Request, Tag};

use super::fence::FENCER;
use super::{Violation, World};

pub struct Link {
    pub actor: u64,
    pub node: usize,
    pub requests: VecDeque<(Tag, Request)>,
    pub replies: VecDeque<(Tag, Reply)>,
    /// The actor's end is there.
    pub calls: bool,
    /// The replica's end is there.
    pub serves: bool,
}

impl World {
    /// A dial ends, well or not.
    pub(super) fn connect(&mut self, actor: u64, node: usize) -> Result<(), Violation> {
        let replica = ReplicaIndex(node as u8);
        if self.nodes[node].replica.is_none() || self.rng.one_in(20) {
            return self.tell_link(actor, replica, false);
        }
        let id = self.id();
        self.links.insert(
            id,
            Link {
                actor,
                node,
                requests: VecDeque::new(),
                replies: VecDeque::new(),
                calls: true,
                serves: true,
            },
        );
        self.linked(actor, node, id);
        self.tell_link(actor, replica, true)
    }

    /// One message, or the end, of one connection arrives.
    pub(super) fn deliver(&mut self, id: u64) -> Result<(), Violation> {
        let towards_replica = self.rng.one_in(2);
        let Some(link) = self.links.get_mut(&id) else {
            return Ok(());
        };
        let (actor, node) = (link.actor, link.node);
        let conn = ConnId(id);
        if towards_replica {
            match (link.requests.pop_front(), link.serves, link.calls) {
                (Some((tag, request)), true, calls) => {
                    self.stats.late += usize::from(!calls);
                    let event = Event::Request { conn, tag, request };
                    self.at_replica(node, event);
                }
                (None, true, false) => {
                    link.serves = false;
                    self.at_replica(node, Event::Ended { conn });
                }
                _ => {}
            }
        } else {
            match (link.replies.pop_front(), link.calls, link.serves) {
                (Some((_, reply)), true, _) if actor == FENCER => self.fence_reply(node, reply),
                (Some((tag, reply)), true, _) => return self.reply(actor, node, tag, reply),
                (None, true, false) => {
                    link.calls = false;
                    self.links.remove(&id);
                    self.unlinked(actor, node);
                    return self.end_of_link(actor, ReplicaIndex(node as u8));
                }
                _ => {}
            }
        }
        if self
            .links
            .get(&id)
            .is_some_and(|link| !link.calls && !link.serves)
        {
            self.links.remove(&id);
        }
        Ok(())
    }

    /// A node's replica takes an event.
    pub(super) fn at_replica(&mut self, node: usize, event: Event) {
        for effect in self.nodes[node].handle(event) {
            match effect {
                Effect::Do { token, work } => self.nodes[node].queue.push_back((token, work)),
                Effect::Send { conn, tag, reply } => {
                    if let Some(link) = self.links.get_mut(&conn.0) {
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

    /// A replica program is gone: its connections end, and of what it sent some may be lost.
    pub(super) fn drop_links_of_node(&mut self, node: usize) {
        for link in self.links.values_mut().filter(|link| link.node == node) {
            link.serves = false;
            link.requests.clear();
            let keep = self.rng.below(link.replies.len() + 1);
            link.replies.truncate(keep);
        }
    }

    /// An actor hangs up, or is gone: what it sent may still arrive.
    pub(super) fn drop_link(&mut self, actor: u64, node: usize) {
        for link in self.links.values_mut() {
            if link.actor == actor && link.node == node {
                link.calls = false;
                link.replies.clear();
            }
        }
    }
}
