//! A change that a replica refused for space is taken back (docs/protocol.md, No space; A12).
//!
//! The range stays locked; those that applied it get the refusing replica's content back, chunk by chunk, and only then
//! is the client told. What can't be put back is a failed replica.

use shorthorn_wire::message::{Reply, Request};
use shorthorn_wire::{BLOCK_BYTES, REGION_BYTES};

use super::Engine;
use super::api::{ClientError, Effect};
use super::requests::blocks_of;
use super::work::{ClientCall, Step, Undo, Work};
use crate::blocks;
use crate::calls::Key;
use crate::post::complaint;
use crate::{Nanos, ReplicaIndex, ReplicaSet};

/// The chunk of a change's range that begins at a block: up to the end of the range or of the region.
fn chunk(call: &ClientCall, offset: u64) -> Option<u32> {
    let (_, end) = blocks_of(call.offset, call.length);
    let end = end * u64::from(BLOCK_BYTES);
    let region_end = (offset / REGION_BYTES + 1) * REGION_BYTES;
    // At most a region.
    (offset < end).then(|| (end.min(region_end) - offset) as u32)
}

impl Engine {
    /// All have answered, and one refused for space.
    pub(super) fn undo(
        &mut self,
        now: Nanos,
        key: Key,
        refuser: ReplicaIndex,
        appliers: ReplicaSet,
        out: &mut Vec<Effect>,
    ) {
        let Some(call) = self.changing_mut(key) else {
            return;
        };
        let (first, _) = blocks_of(call.offset, call.length);
        call.step = Step::Undo(Undo {
            refuser,
            appliers,
            offset: first * u64::from(BLOCK_BYTES),
            length: 0,
            copying: false,
        });
        self.undo_chunk(now, key, out);
    }

    /// Fetches the chunk at the undo's offset; at the end the client is told.
    fn undo_chunk(&mut self, now: Nanos, key: Key, out: &mut Vec<Effect>) {
        let needed = self.needed;
        let Some(call) = self.changing_mut(key) else {
            return;
        };
        let Step::Undo(undo) = &call.step else {
            return;
        };
        let offset = undo.offset;
        let nobody = undo.appliers.both(needed).is_empty();
        let Some(length) = chunk(call, offset).filter(|_| !nobody) else {
            return self.finish(now, key, Err(ClientError::NoSpace), out);
        };
        let Step::Undo(undo) = &mut call.step else {
            return;
        };
        undo.length = length;
        undo.copying = false;
        let to = ReplicaSet::only(undo.refuser);
        self.send(now, key, to, Request::Fetch { offset, length }, out);
    }

    pub(super) fn undo_reply(
        &mut self,
        now: Nanos,
        key: Key,
        replica: ReplicaIndex,
        reply: Reply,
        out: &mut Vec<Effect>,
    ) {
        let needed = self.needed;
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        let last = call.waiting.is_empty();
        let Work::Client(ClientCall {
            step: Step::Undo(undo),
            ..
        }) = &mut call.work
        else {
            return;
        };
        match reply {
            Reply::Blocks(blocks) if !undo.copying && blocks::fits(&blocks, undo.length) => {
                undo.copying = true;
                let (offset, to) = (undo.offset, undo.appliers.both(needed));
                if to.is_empty() {
                    return self.undo_completed(now, key, out);
                }
                self.send(now, key, to, Request::Copy { offset, blocks }, out);
            }
            Reply::Done if undo.copying => {
                if last {
                    self.undo_completed(now, key, out);
                }
            }
            reply => self.fail(now, replica, &complaint(&reply), out),
        }
    }

    /// Nobody is waited for any more.
    pub(super) fn undo_completed(&mut self, now: Nanos, key: Key, out: &mut Vec<Effect>) {
        let Some(call) = self.changing_mut(key) else {
            return;
        };
        let Step::Undo(undo) = &mut call.step else {
            return;
        };
        if undo.copying {
            undo.offset += u64::from(undo.length);
            return self.undo_chunk(now, key, out);
        }
        // The refusing one has left, and its content with it: who applied may still differ from who did not.
        let refuser = undo.refuser;
        self.fail(now, refuser, "it left while a change was taken back", out);
    }

    fn changing_mut(&mut self, key: Key) -> Option<&mut ClientCall> {
        match &mut self.calls.get_mut(key)?.work {
            Work::Client(call) => Some(call),
            _ => None,
        }
    }
}
