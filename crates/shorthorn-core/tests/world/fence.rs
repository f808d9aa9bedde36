//! Ending a session whose engine can't be asked: one in-sync replica is sealed higher, and 1.1 T is waited
//! (docs/protocol.md, Fence). The engine may live on, paused or not.

use std::collections::VecDeque;

use shorthorn_core::Nanos;
use shorthorn_wire::WIRE_VERSION;
use shorthorn_wire::message::{Hello, Reply, Request, Seal};

use super::World;
use super::network::Link;

/// The actor that seals for a fence.
pub const FENCER: u64 = 0;

/// 1.1 times the order's T.
const WAIT: Nanos = Nanos::from_millis(220);

#[derive(Clone, Copy, Debug)]
pub struct Fence {
    /// Of the session that is to end.
    pub session: u64,
    node: usize,
    link: u64,
    sealed: Option<Nanos>,
}

impl World {
    /// FenceStarted: the epoch is raised, and a replica is to be sealed.
    pub(super) fn start_fence(&mut self, session: u64) {
        let members = self.record.in_sync();
        let node = *self.rng.pick(&members);
        if self.nodes[node].replica.is_none() {
            return;
        }
        self.record.epoch += 1;
        self.record.version += 1;
        let epoch = self.record.epoch;
        let hello = Request::Hello(Hello {
            wire: WIRE_VERSION,
            cluster: "c".to_owned(),
            volume: "v".to_owned(),
            replica: format!("r{node}"),
            engine: format!("f{epoch}"),
        });
        let seal = Request::Seal(Seal {
            epoch,
            attempt: self.record.replicas[node].attempt,
            document: self.record.document(),
        });
        let id = self.id();
        let link = Link {
            actor: FENCER,
            node,
            requests: VecDeque::from([(1, hello), (2, seal)]),
            replies: VecDeque::new(),
            calls: true,
            serves: true,
        };
        self.links.insert(id, link);
        self.note(format!("session {session} is fenced through n{node}"));
        self.fence = Some(Fence {
            session,
            node,
            link: id,
            sealed: None,
        });
    }

    /// The replica has answered the fencer.
    pub(super) fn fence_reply(&mut self, node: usize, reply: Reply) {
        let now = self.now;
        match (&mut self.fence, reply) {
            (Some(fence), Reply::Standing(_)) if fence.node == node => fence.sealed = Some(now),
            (Some(fence), Reply::Refused { .. }) if fence.node == node => self.fence = None,
            _ => {}
        }
    }

    /// FenceHeld, when it is time; or the fence fails with its replica and may be tried again.
    pub(super) fn go_on_with_fence(&mut self) {
        let Some(fence) = self.fence else {
            return;
        };
        let ended = self
            .record
            .session
            .is_none_or(|(epoch, _)| epoch != fence.session);
        let broken = !self.links.get(&fence.link).is_some_and(|link| link.serves);
        if ended || (broken && fence.sealed.is_none()) {
            self.end_fence(fence);
            return;
        }
        let waited = fence.sealed.is_some_and(|sealed| sealed + WAIT <= self.now);
        if waited && self.record.replicas[fence.node].in_sync {
            self.note(format!("session {} is ended by its fence", fence.session));
            self.record.close(false);
            self.record.version += 1;
            self.stats.fenced += 1;
            self.end_fence(fence);
        }
    }

    fn end_fence(&mut self, fence: Fence) {
        self.fence = None;
        if let Some(link) = self.links.get_mut(&fence.link) {
            link.calls = false;
        }
    }
}
