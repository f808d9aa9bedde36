//! Repair of bad blocks: good content from another replica, written under the block's range lock (docs/protocol.md,
//! section 4 C).

use shorthorn_wire::BLOCK_BYTES;
use shorthorn_wire::message::{Failure, Reply, Request};

use super::Engine;
use super::api::Effect;
use super::mend::pieces;
use super::requests::blocks_of;
use super::work::{Repair, Work};
use crate::blocks;
use crate::calls::{CALLS_MAX, Key};
use crate::{Nanos, ReplicaIndex, ReplicaSet};

/// Repairs at once; what is found beyond is found again by the next read.
const REPAIRS_MAX: usize = 16;

impl Engine {
    /// A replica has a bad block.
    pub(super) fn repair(
        &mut self,
        now: Nanos,
        offset: u64,
        bad: ReplicaIndex,
        out: &mut Vec<Effect>,
    ) {
        let (block, end) = blocks_of(offset, 1);
        let offset = block * u64::from(BLOCK_BYTES);
        let full = self.repairs >= REPAIRS_MAX || self.calls.len() + 64 > CALLS_MAX;
        if self.needed.len() < 2 || full || self.repairs_of(offset) {
            return;
        }
        let repair = Repair {
            offset,
            bad: ReplicaSet::only(bad),
            from: None,
            writing: false,
        };
        let key = self.calls.insert(Work::Repair(repair));
        self.repairs += 1;
        if self.ranges.enter(key, block, end, true) {
            self.begin_repair(now, key, out);
        }
    }

    fn repairs_of(&self, offset: u64) -> bool {
        self.repairs > 0
            && self.calls.iter().any(
                |(_, call)| matches!(&call.work, Work::Repair(repair) if repair.offset == offset),
            )
    }

    /// It has its range, or the last one asked has the block bad too: the next is asked.
    pub(super) fn begin_repair(&mut self, now: Nanos, key: Key, out: &mut Vec<Effect>) {
        let (needed, leaving) = (self.needed, self.removals.leaving());
        let untold = self.untold;
        let Some(repair) = self.repair_mut(key) else {
            return;
        };
        let sources = needed.without(leaving).without(untold);
        let Some(from) = sources.without(repair.bad).first() else {
            return self.end_repair(now, key, out);
        };
        repair.from = Some(from);
        let request = Request::Fetch {
            offset: repair.offset,
            length: BLOCK_BYTES,
        };
        self.send(now, key, ReplicaSet::only(from), request, out);
    }

    pub(super) fn repair_reply(
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
        let Work::Repair(repair) = &mut call.work else {
            return;
        };
        match reply {
            Reply::Blocks(content) if !repair.writing && blocks::fits(&content, BLOCK_BYTES) => {
                if blocks::has_bad(&content) {
                    repair.bad.insert(replica);
                    return self.begin_repair(now, key, out);
                }
                repair.writing = true;
                let (offset, bad) = (repair.offset, repair.bad.both(needed));
                let piece = pieces(offset, &content).and_then(|mut pieces| pieces.pop());
                let Some(piece) = piece.filter(|_| !bad.is_empty()) else {
                    repair.writing = false;
                    return self.end_repair(now, key, out);
                };
                self.marks.begin(offset, u64::from(BLOCK_BYTES));
                let request = self.change_of(piece, false);
                self.send(now, key, bad, request, out);
            }
            // It stays bad there: nothing is lost by it.
            Reply::Done
            | Reply::Failed {
                why: Failure::NoSpace,
                ..
            } if repair.writing => {
                if last {
                    self.end_repair(now, key, out);
                }
            }
            reply => self.fail_reply(now, key, replica, &reply, out),
        }
    }

    /// Who was waited for last is not needed any more.
    pub(super) fn repair_completed(&mut self, now: Nanos, key: Key, out: &mut Vec<Effect>) {
        match self.repair_mut(key) {
            Some(repair) if !repair.writing => {
                repair.bad = repair.bad.union(repair.from.into_iter().collect());
                self.begin_repair(now, key, out);
            }
            _ => self.end_repair(now, key, out),
        }
    }

    fn end_repair(&mut self, now: Nanos, key: Key, out: &mut Vec<Effect>) {
        if let Some(Work::Repair(repair)) = self.calls.remove(key) {
            if repair.writing {
                self.marks.decided(now);
            }
            self.repairs -= 1;
            self.leave_range(now, key, out);
            self.drained(now, out);
        }
    }

    fn repair_mut(&mut self, key: Key) -> Option<&mut Repair> {
        match &mut self.calls.get_mut(key)?.work {
            Work::Repair(repair) => Some(repair),
            _ => None,
        }
    }
}
