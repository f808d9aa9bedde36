//! Changes that are mirrored to syncing replicas, which no client waits for (docs/protocol.md, Resync; A9).
//!
//! Each has a call of its own, so that a copy of its range can wait for it. They are bounded: while joiners have too much
//! unanswered, clients' requests are held back for a moment, and who is the cause for longer loses its attempt.

use shorthorn_wire::message::{Failure, Reply, Request};

use super::Engine;
use super::api::Effect;
use super::joiners::{Joiner, Stage};
use super::requests::{REQUEST_BYTES_MAX, REQUESTS_MAX};
use super::work::{Mirror, Work};
use crate::calls::Key;
use crate::post::complaint;
use crate::{Nanos, ReplicaIndex, ReplicaSet};

/// Clients are held back for a slow joiner no longer than this.
const HOLD_MAX: Nanos = Nanos::from_millis(2000);

impl Engine {
    /// Whether syncing replicas keep up.
    pub(super) fn mirrors_keep_up(&self) -> bool {
        self.mirrored < REQUESTS_MAX && self.mirrored_bytes < REQUEST_BYTES_MAX
    }

    /// A change goes to these. True: one of them has to mark it first.
    pub(super) fn mark_joiners(&mut self, joiners: ReplicaSet, offset: u64, length: u64) -> bool {
        let mut marks = false;
        for replica in joiners.iter() {
            if let Some(joiner) = self.joiner_mut(replica) {
                marks |= joiner.marked.insert_range(offset, length);
            }
        }
        marks
    }

    /// A change goes to all that are syncing, too. Durable it becomes there by the flush before they are in-sync.
    pub(super) fn mirror(
        &mut self,
        now: Nanos,
        offset: u64,
        length: u64,
        mut request: Request,
        out: &mut Vec<Effect>,
    ) {
        let marks = self.mark_joiners(self.mirrors, offset, length);
        let bytes = match &mut request {
            Request::Write { data, fua, .. } => {
                *fua = false;
                data.len() as u64
            }
            Request::Zero { fua, .. } => {
                *fua = false;
                0
            }
            _ => 0,
        };
        let mirror = Mirror {
            offset,
            length,
            bytes,
            marks,
        };
        self.mirrored += 1;
        self.mirrored_bytes += bytes;
        self.call(now, Work::Mirror(mirror), self.mirrors, request, out);
        if !self.mirrors_keep_up() && self.held.is_none() {
            self.held = Some(now + HOLD_MAX);
        }
    }

    /// A syncing replica's answer to a mirrored change.
    pub(super) fn mirror_reply(
        &mut self,
        now: Nanos,
        key: Key,
        replica: ReplicaIndex,
        reply: Reply,
        last: bool,
        out: &mut Vec<Effect>,
    ) {
        let Some(Work::Mirror(mirror)) = self.calls.get_mut(key).map(|call| &call.work) else {
            return;
        };
        let (offset, length) = (mirror.offset, mirror.length);
        match reply {
            Reply::Done => {}
            // It did nothing, or only a part, for a block that is bad there or because its disk is full: its content comes by a
            // copy.
            Reply::Corrupt { .. }
            | Reply::Failed {
                why: Failure::NoSpace,
                ..
            } => self.spoil(ReplicaSet::only(replica), offset, length),
            reply => return self.fail_call(now, key, replica, &complaint(&reply), out),
        }
        if last {
            self.mirror_completed(key);
        }
        self.mirror_answered(now, replica, out);
    }

    /// All have answered it, or are syncing no more.
    pub(super) fn mirror_completed(&mut self, key: Key) {
        if let Some(Work::Mirror(mirror)) = self.calls.remove(key) {
            self.mirrored -= 1;
            self.mirrored_bytes -= mirror.bytes;
            if self.mirrors_keep_up() {
                self.held = None;
            }
        }
    }

    /// What waited for mirrored changes of this one is looked at.
    fn mirror_answered(&mut self, now: Nanos, replica: ReplicaIndex, out: &mut Vec<Effect>) {
        let Some(joiner) = self.joiner_mut(replica) else {
            return;
        };
        for key in std::mem::take(&mut joiner.waiting) {
            self.hash_range(now, key, out);
        }
        self.resettle(now, replica, out);
    }

    /// Whether a mirrored change of this range (all, without one) is unanswered there.
    pub(super) fn mirrors_of(&self, replica: ReplicaIndex, range: Option<(u64, u64)>) -> bool {
        let overlaps = |mirror: &Mirror| {
            range.is_none_or(|(offset, length)| {
                mirror.offset < offset + length && offset < mirror.offset + mirror.length
            })
        };
        self.calls.iter().any(|(_, call)| match &call.work {
            Work::Mirror(mirror) => call.waiting.contains(replica) && overlaps(mirror),
            _ => false,
        })
    }

    /// What the members hold in this range may not be what was mirrored to these: it is copied (again).
    pub(super) fn spoil(&mut self, replicas: ReplicaSet, offset: u64, length: u64) {
        for replica in replicas.iter() {
            if let Some(joiner) = self.joiner_mut(replica) {
                joiner.todo.insert_range(offset, length);
            }
        }
    }

    /// A change that was mirrored to these is decided; `spoilt`: not everybody applied it as it was sent.
    pub(super) fn mirrored_decided(
        &mut self,
        now: Nanos,
        mirrors: ReplicaSet,
        spoilt: Option<(u64, u64)>,
        out: &mut Vec<Effect>,
    ) {
        if let Some((offset, length)) = spoilt {
            self.spoil(mirrors, offset, length);
        }
        for replica in mirrors.iter() {
            self.resettle(now, replica, out);
        }
    }

    /// One that has everything is copied again what it lacks by now. While it copies anyway, the end of a range looks at that.
    fn resettle(&mut self, now: Nanos, replica: ReplicaIndex, out: &mut Vec<Effect>) {
        let lacks = |joiner: &Joiner| joiner.stage == Stage::Settling && !joiner.todo.is_empty();
        if self.joiner(replica).is_some_and(lacks) {
            self.fill_lanes(now, replica, out);
        } else {
            self.settle(now, replica, out);
        }
    }

    /// Clients were held back for too long: who has not answered what is that old loses its attempt.
    pub(super) fn hold_over(&mut self, now: Nanos, out: &mut Vec<Effect>) {
        self.held = None;
        if self.mirrors_keep_up() {
            return;
        }
        let old = self.calls.iter().filter(|(_, call)| {
            matches!(call.work, Work::Mirror(_)) && now - call.sent >= HOLD_MAX
        });
        let slow = old.fold(ReplicaSet::EMPTY, |slow, (_, call)| {
            slow.union(call.waiting)
        });
        for replica in slow.iter() {
            self.fail(
                now,
                replica,
                "it does not keep up with what is written",
                out,
            );
        }
        if slow.is_empty() {
            self.held = Some(now + HOLD_MAX);
        }
    }
}
