//! Ending a session whose engine can't be asked: one in-sync replica is sealed higher, and 1.1 T is waited
//! (docs/protocol.md, Fence). The engine may live on, paused or not.

use shorthorn_core::{Nanos, ReplicaIndex};
use shorthorn_wire::WIRE_VERSION;
use shorthorn_wire::message::{Hello, Reply, Request, Seal};

use super::network::Link;
use super::{GRANT_MS, World};

/// The actor that seals for a fence.
pub const FENCER: u64 = 0;

/// 1.1 times the order's T.
const WAIT: Nanos = Nanos::from_millis(GRANT_MS * 11 / 10);

/// The record's epoch is above the session's: it is fencing. A replica is sealed for it, or is to be.
#[derive(Clone, Copy, Debug)]
pub struct Fence {
    /// Of the session that is to end.
    pub session: u64,
    sealing: Option<Sealing>,
}

#[derive(Clone, Copy, Debug)]
struct Sealing {
    node: usize,
    link: u64,
    sealed: Option<Nanos>,
}

impl World {
    /// FenceStarted: the epoch is raised, and a replica is to be sealed.
    pub(super) fn start_fence(&mut self, session: u64) {
        self.record.epoch += 1;
        self.record.version += 1;
        self.note(format!("session {session} is being fenced"));
        self.fence = Some(Fence {
            session,
            sealing: None,
        });
    }

    /// The agent of an in-sync replica is asked to seal it.
    fn seal_for_fence(&mut self) -> Option<Sealing> {
        let members = self.record.in_sync();
        let node = *self.rng.pick(&members);
        if self.nodes[node].replica.is_none() || self.away[node] > self.now {
            return None;
        }
        let epoch = self.record.epoch;
        let hello = Request::Hello(Hello {
            wire: WIRE_VERSION,
            cluster: "c".to_owned(),
            volume: "v".to_owned(),
            replica: self.record.replicas[node].name.clone(),
            engine: format!("f{epoch}"),
        });
        let seal = Request::Seal(Seal {
            epoch,
            attempt: self.record.replicas[node].attempt,
            document: self.record.document(),
        });
        let id = self.id();
        let mut link = Link::new(FENCER, ReplicaIndex(node as u8), node);
        link.requests.extend([(1, hello), (2, seal)]);
        self.links.insert(id, link);
        self.note(format!("n{node} is sealed for the fence"));
        Some(Sealing {
            node,
            link: id,
            sealed: None,
        })
    }

    /// The replica has answered the fencer.
    pub(super) fn fence_reply(&mut self, node: usize, reply: Reply) {
        let now = self.now;
        let Some(fence) = &mut self.fence else { return };
        let Some(sealing) = fence.sealing.as_mut().filter(|known| known.node == node) else {
            return;
        };
        match reply {
            Reply::Standing(_) => sealing.sealed = Some(now),
            Reply::Refused { .. } | Reply::Failed { .. } => self.let_go_of_sealing(),
            _ => {}
        }
    }

    /// FenceHeld, when it is time; or it goes on with another replica.
    pub(super) fn go_on_with_fence(&mut self) {
        let Some(fence) = self.fence else { return };
        let session = self.record.session;
        if session.is_none_or(|(epoch, _)| epoch != fence.session) {
            self.let_go_of_sealing();
            self.fence = None;
            return;
        }
        let Some(sealing) = fence.sealing else {
            if self.rng.one_in(20) {
                let sealing = self.seal_for_fence();
                self.fence = Some(Fence { sealing, ..fence });
            }
            return;
        };
        // One that died after its seal counts from its start on: here another seal is asked for.
        let dead = !self
            .links
            .get(&sealing.link)
            .is_some_and(|link| link.serves);
        let waited = sealing.sealed.map(|sealed| sealed + WAIT <= self.now);
        let in_sync = self.record.replicas[sealing.node].in_sync;
        match waited {
            Some(true) if in_sync => {
                self.note(format!("session {} is ended by its fence", fence.session));
                self.record.close(false);
                self.record.version += 1;
                self.stats.fenced += 1;
                self.let_go_of_sealing();
                self.fence = None;
            }
            Some(true) => self.let_go_of_sealing(),
            None if dead => self.let_go_of_sealing(),
            Some(false) | None => {}
        }
    }

    fn let_go_of_sealing(&mut self) {
        let fence = self.fence.as_mut();
        let sealing = fence.and_then(|fence| fence.sealing.take());
        if let Some(link) = sealing.and_then(|sealing| self.links.get_mut(&sealing.link)) {
            link.calls = false;
        }
    }
}
