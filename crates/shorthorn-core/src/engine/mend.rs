//! A change that only some replicas applied is made whole again, in its range alone, which stays locked.
//!
//! - Refused for space by one: those that applied it get that one's content back, and the request fails (docs/protocol.md,
//!   No space; A12).
//! - Not applied by one because a block that it covers in part is bad there: that one gets the others' content.
//!
//! Content goes chunk by chunk: fetched from one, then written to the others as changes of their own, so that every rule
//! of a change holds for it. What can't be made whole is a failed replica.

use bytes::Bytes;
use shorthorn_wire::message::{BlockState, Blocks, Reply, Request};
use shorthorn_wire::{BLOCK_BYTES, REGION_BYTES};

use super::Engine;
use super::api::{ClientAnswer, ClientError, Effect};
use super::requests::blocks_of;
use super::work::{Change, ClientCall, Mend, Step, Work};
use crate::blocks;
use crate::calls::Key;
use crate::mutants::{self, Mutant};
use crate::{Nanos, ReplicaIndex, ReplicaSet};

/// A part of a chunk that is one change: where it begins and what it becomes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Data { offset: u64, data: Bytes },
    Hole { offset: u64, length: u64 },
}

/// Who has done what with a change.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub applied: ReplicaSet,
    /// Refused it for space.
    pub full: ReplicaSet,
    /// Did nothing: a block that it covers in part is bad.
    pub bad: ReplicaSet,
}

/// The chunk of a change's range that begins at a block: up to the end of the range or of the region.
fn chunk(call: &ClientCall, offset: u64) -> Option<u32> {
    let (_, end) = blocks_of(call.offset, call.length);
    let end = end * u64::from(BLOCK_BYTES);
    let region_end = (offset / REGION_BYTES + 1) * REGION_BYTES;
    // At most a region.
    (offset < end).then(|| (end.min(region_end) - offset) as u32)
}

/// Content as changes, the last first. None: a block is bad.
pub(super) fn pieces(offset: u64, content: &Blocks) -> Option<Vec<Piece>> {
    if blocks::has_bad(content) {
        return None;
    }
    let block = u64::from(BLOCK_BYTES);
    let mut pieces = Vec::new();
    let (mut at, mut used) = (offset, 0);
    let is_hole = |state: &BlockState| *state == BlockState::Zero;
    for run in content
        .states
        .chunk_by(|one, next| is_hole(one) == is_hole(next))
    {
        let length = run.len() as u64 * block;
        if is_hole(&run[0]) {
            pieces.push(Piece::Hole { offset: at, length });
        } else {
            let data = content.data.slice(used..used + length as usize);
            used += length as usize;
            pieces.push(Piece::Data { offset: at, data });
        }
        at += length;
    }
    pieces.reverse();
    Some(pieces)
}

impl Engine {
    /// All have answered a change.
    pub(super) fn change_decided(
        &mut self,
        now: Nanos,
        key: Key,
        tally: Tally,
        out: &mut Vec<Effect>,
    ) {
        // Who refused it and failed then: what it said counts until its removal is stored, and then for nothing.
        let gone = tally.full.union(tally.bad).both(self.removals.failed());
        if !gone.is_empty() {
            return self.calls.wait(key, gone);
        }
        // Who has left meanwhile does not count.
        let applied = tally.applied.both(self.needed);
        let sources = applied.without(self.untold);
        let full = tally.full.both(self.needed);
        let bad = tally.bad.both(self.needed);
        if full.is_empty() && bad.is_empty() {
            return self.acknowledge(now, key, out);
        }
        if mutants::active(Mutant::NospaceFails) && !full.is_empty() {
            return self.finish(now, key, Err(ClientError::NoSpace), out);
        }
        let (sources, to, result) = match (full.is_empty(), sources.is_empty()) {
            (false, _) => (full, applied, Err(ClientError::NoSpace)),
            (true, false) => (sources, bad, Ok(ClientAnswer::Done)),
            (true, true) => return self.change_failed(now, key, bad, out),
        };
        let Some(call) = self.client_mut(key) else {
            return;
        };
        call.mixed = true;
        let (first, _) = blocks_of(call.offset, call.length);
        let offset = first * u64::from(BLOCK_BYTES);
        let Step::Change(Change { op, .. }) = std::mem::replace(&mut call.step, Step::Flush) else {
            return;
        };
        call.step = Step::Mend(Box::new(Mend {
            sources,
            to,
            result,
            op,
            offset,
            length: 0,
            pieces: None,
        }));
        self.mend_chunk(now, key, out);
    }

    /// A block that it covers in part is bad on every member: they did nothing.
    ///
    /// One that is becoming a member may have done it, and then it is not equal to them. It goes first: until it counts for
    /// nothing the record may say that it is in-sync, and the client is to be told that nothing was done.
    fn change_failed(&mut self, now: Nanos, key: Key, bad: ReplicaSet, out: &mut Vec<Effect>) {
        let applied = self.needed.without(bad);
        if applied.is_empty() {
            return self.finish(now, key, Err(ClientError::Io), out);
        }
        self.calls.wait(key, applied);
        for replica in applied.iter() {
            self.fail(now, replica, "it did what no member could", out);
        }
    }

    /// Fetches the chunk at the mend's offset; at the end the client is told.
    fn mend_chunk(&mut self, now: Nanos, key: Key, out: &mut Vec<Effect>) {
        let needed = self.needed;
        let reachable = needed.without(self.removals.failed());
        let Some(call) = self.client_mut(key) else {
            return;
        };
        let Step::Mend(mend) = &call.step else {
            return;
        };
        let (offset, sources) = (mend.offset, mend.sources);
        let nobody = mend.to.both(needed).is_empty();
        let next = chunk(call, offset).filter(|_| !nobody);
        let Step::Mend(mend) = &mut call.step else {
            return;
        };
        let Some(length) = next else {
            let result = mend.result.clone();
            if result == Err(ClientError::NoSpace) {
                return self.no_space(now, key, sources, out);
            }
            return self.acknowledge(now, key, out);
        };
        mend.length = length;
        mend.pieces = None;
        let Some(from) = sources.both(reachable).first() else {
            // Their content went with them: those that are left become equal by the change itself.
            let op = mend.op.clone();
            return self.send_change(now, key, op, false, out);
        };
        let request = Request::Fetch { offset, length };
        self.send(now, key, ReplicaSet::only(from), request, out);
    }

    pub(super) fn mend_reply(
        &mut self,
        now: Nanos,
        key: Key,
        replica: ReplicaIndex,
        reply: Reply,
        out: &mut Vec<Effect>,
    ) {
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        let last = call.waiting.is_empty();
        let Work::Client(client) = &mut call.work else {
            return;
        };
        let Step::Mend(mend) = &mut client.step else {
            return;
        };
        match (reply, &mend.pieces) {
            (Reply::Blocks(content), None) if blocks::fits(&content, mend.length) => {
                mend.pieces = pieces(mend.offset, &content);
                if mend.pieces.is_none() {
                    let why = "a bad block keeps it from being made equal";
                    return self.fail_call(now, key, replica, why, out);
                }
                self.mend_piece(now, key, out);
            }
            (Reply::Done, Some(_)) => {
                if last {
                    self.mend_piece(now, key, out);
                }
            }
            (reply, _) => self.fail_reply(now, key, replica, &reply, out),
        }
    }

    /// Writes the next piece of a chunk, or goes on to the next chunk.
    fn mend_piece(&mut self, now: Nanos, key: Key, out: &mut Vec<Effect>) {
        let needed = self.needed;
        let Some(Step::Mend(mend)) = self.client_mut(key).map(|call| &mut call.step) else {
            return;
        };
        let (to, fua) = (mend.to.both(needed), mend.op.fua());
        let piece = mend.pieces.as_mut().and_then(Vec::pop);
        let Some(piece) = piece.filter(|_| !to.is_empty()) else {
            mend.offset += u64::from(mend.length);
            return self.mend_chunk(now, key, out);
        };
        let request = self.change_of(piece, fua);
        self.send(now, key, to, request, out);
    }

    /// A piece as a change under a number of its own.
    pub(super) fn change_of(&mut self, piece: Piece, fua: bool) -> Request {
        self.seq += 1;
        let seq = self.seq;
        match piece {
            Piece::Data { offset, data } => Request::Write {
                seq,
                offset,
                data,
                fua,
            },
            Piece::Hole { offset, length } => Request::Zero {
                seq,
                offset,
                length,
                punch: true,
                fua,
            },
        }
    }

    /// Who was waited for last is not needed any more.
    pub(super) fn mend_deserted(&mut self, now: Nanos, key: Key, out: &mut Vec<Effect>) {
        let Some(Step::Mend(mend)) = self.client_mut(key).map(|call| &call.step) else {
            return;
        };
        if mend.pieces.is_some() {
            self.mend_piece(now, key, out);
        } else {
            self.mend_chunk(now, key, out);
        }
    }

    pub(super) fn client_mut(&mut self, key: Key) -> Option<&mut ClientCall> {
        match &mut self.calls.get_mut(key)?.work {
            Work::Client(call) => Some(call),
            _ => None,
        }
    }
}
