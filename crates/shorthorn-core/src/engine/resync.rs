//! Range by range a syncing replica is made equal to the members (docs/protocol.md, Resync; A9).
//!
//! A range is locked like a change; then its mirrored changes are answered; then source and joiner compare it by a strong
//! hash; and only where that differs the source's content is copied. Foreground comes first: while clients have requests
//! under way one range is worked on, else a few. A range is one region, so a client that needs it waits for milliseconds.

use shorthorn_wire::REGION_BYTES;
use shorthorn_wire::message::{Failure, Reply, Request};

use super::Engine;
use super::api::Effect;
use super::requests::blocks_of;
use super::work::{Lane, LaneStep, Work};
use crate::blocks;
use crate::calls::{CALLS_MAX, Key};
use crate::equaliser::LANES;
use crate::mutants::{self, Mutant};
use crate::{Nanos, ReplicaIndex, ReplicaSet};

impl Engine {
    /// Begins ranges, as many as may be under way; if there is none left, the joiner has everything.
    pub(super) fn fill_lanes(&mut self, now: Nanos, replica: ReplicaIndex, out: &mut Vec<Effect>) {
        let size = self.document.size;
        let wanted = if self.client_calls > 0 { 1 } else { LANES };
        loop {
            let room = self.calls.len() + 64 <= CALLS_MAX;
            let readable = self.reader(ReplicaSet::EMPTY).is_some();
            let Some(joiner) = self.joiner_mut(replica).filter(|joiner| joiner.copies()) else {
                return;
            };
            let pauses = joiner.crowded.is_some_and(|crowded| crowded.pauses(now));
            if pauses || joiner.lanes >= wanted || !(room && readable) {
                return;
            }
            let Some(region) = joiner.todo.take_next(joiner.cursor) else {
                break;
            };
            joiner.cursor = region + 1;
            joiner.lanes += 1;
            let offset = region * REGION_BYTES;
            // At most a region.
            let length = REGION_BYTES.min(size - offset) as u32;
            let lane = Lane {
                replica,
                offset,
                length,
                source: replica,
                tried: ReplicaSet::EMPTY,
                step: LaneStep::Queued,
            };
            let key = self.calls.insert(Work::Lane(Box::new(lane)));
            let (first, end) = blocks_of(offset, u64::from(length));
            let unlocked = mutants::active(Mutant::CopyUnlocked);
            if unlocked || self.ranges.enter(key, first, end, true) {
                self.hash_range(now, key, out);
            }
        }
        self.all_copied(now, replica, out);
    }

    fn lane_mut(&mut self, key: Key) -> Option<&mut Lane> {
        match &mut self.calls.get_mut(key)?.work {
            Work::Lane(lane) => Some(lane),
            _ => None,
        }
    }

    /// The range is locked: once its mirrored changes are answered, it is compared with a member's.
    pub(super) fn hash_range(&mut self, now: Nanos, key: Key, out: &mut Vec<Effect>) {
        let source = self.reader(ReplicaSet::EMPTY);
        let Some(lane) = self.lane_mut(key) else {
            return;
        };
        let (replica, offset, length) = (lane.replica, lane.offset, lane.length);
        let range = (offset, u64::from(length));
        if self.mirrors_of(replica, Some(range)) && !mutants::active(Mutant::CopyOvertakes) {
            if let Some(joiner) = self.joiner_mut(replica) {
                joiner.waiting.push(key);
            }
            return;
        }
        let Some(source) = source else {
            return self.put_back(now, key, out);
        };
        if let Some(lane) = self.lane_mut(key) {
            lane.source = source;
            lane.tried = ReplicaSet::only(source);
            lane.step = LaneStep::Hashing(None, None);
        }
        let both = ReplicaSet::from_iter([source, replica]);
        self.send(now, key, both, Request::Hash { offset, length }, out);
    }

    pub(super) fn lane_reply(
        &mut self,
        now: Nanos,
        key: Key,
        replica: ReplicaIndex,
        reply: Reply,
        last: bool,
        out: &mut Vec<Effect>,
    ) {
        let Some(lane) = self.lane_mut(key) else {
            return;
        };
        let of_joiner = replica == lane.replica;
        match (&mut lane.step, reply) {
            (LaneStep::Hashing(_, theirs), Reply::Hash { digest, bad }) if of_joiner => {
                *theirs = Some((digest, bad));
            }
            (LaneStep::Hashing(ours, _), Reply::Hash { digest, bad }) => {
                *ours = Some((digest, bad));
            }
            (LaneStep::Fetching(before), Reply::Blocks(content))
                if blocks::fits(&content, lane.length) =>
            {
                match before {
                    Some(before) => {
                        blocks::patch(before, &[content]);
                    }
                    None => *before = Some(content),
                }
            }
            (LaneStep::Copying, Reply::Done) => self.copy_taken(now, replica, out),
            (
                LaneStep::Copying,
                Reply::Failed {
                    why: Failure::NoSpace,
                    ..
                },
            ) => return self.copy_refused(now, key, replica, out),
            (_, reply) => return self.fail_reply(now, key, replica, &reply, out),
        }
        if last {
            self.lane_completed(now, key, out);
        }
    }

    /// All that were asked have answered, or are gone.
    pub(super) fn lane_completed(&mut self, now: Nanos, key: Key, out: &mut Vec<Effect>) {
        let there = self.needed.without(self.removals.failed());
        let Some(lane) = self.lane_mut(key) else {
            return;
        };
        let source_is_there = there.contains(lane.source);
        match &mut lane.step {
            LaneStep::Queued => {}
            LaneStep::Hashing(Some(ours), Some(theirs)) if ours == theirs && !ours.1 => {
                self.end_lane(now, key, out);
            }
            LaneStep::Hashing(Some(_), Some(_)) if source_is_there => {
                lane.step = LaneStep::Fetching(None);
                let source = lane.source;
                self.fetch_range(now, key, source, out);
            }
            // The source is gone: another one is compared with.
            LaneStep::Hashing(..) => self.hash_range(now, key, out),
            LaneStep::Fetching(Some(content)) if !blocks::has_bad(content) => {
                self.copy_range(now, key, out);
            }
            // A bad block, or nothing came: another one may have it.
            LaneStep::Fetching(content) => {
                let nothing = content.is_none();
                let tried = lane.tried;
                match self.reader(tried) {
                    Some(next) => self.fetch_range(now, key, next, out),
                    None if nothing => self.put_back(now, key, out),
                    None => self.copy_range(now, key, out),
                }
            }
            LaneStep::Copying => self.end_lane(now, key, out),
        }
    }

    fn fetch_range(&mut self, now: Nanos, key: Key, from: ReplicaIndex, out: &mut Vec<Effect>) {
        let Some(lane) = self.lane_mut(key) else {
            return;
        };
        lane.tried.insert(from);
        let (offset, length) = (lane.offset, lane.length);
        let request = Request::Fetch { offset, length };
        self.send(now, key, ReplicaSet::only(from), request, out);
    }

    /// The content, with the badness of what is bad on every member.
    fn copy_range(&mut self, now: Nanos, key: Key, out: &mut Vec<Effect>) {
        let Some(lane) = self.lane_mut(key) else {
            return;
        };
        let step = std::mem::replace(&mut lane.step, LaneStep::Copying);
        let LaneStep::Fetching(Some(blocks)) = step else {
            return;
        };
        let (replica, offset, length) = (lane.replica, lane.offset, lane.length);
        if let Some(joiner) = self.joiner_mut(replica) {
            joiner.marked.insert_range(offset, u64::from(length));
        }
        let request = Request::Copy { offset, blocks };
        self.send(now, key, ReplicaSet::only(replica), request, out);
    }

    /// There is nobody to compare with now: it is left for later.
    pub(super) fn put_back(&mut self, now: Nanos, key: Key, out: &mut Vec<Effect>) {
        if let Some(lane) = self.lane_mut(key) {
            let (replica, offset, length) = (lane.replica, lane.offset, u64::from(lane.length));
            self.spoil(ReplicaSet::only(replica), offset, length);
        }
        self.end_lane(now, key, out);
    }

    fn end_lane(&mut self, now: Nanos, key: Key, out: &mut Vec<Effect>) {
        let Some(Work::Lane(lane)) = self.calls.remove(key) else {
            return;
        };
        if let Some(joiner) = self.joiner_mut(lane.replica) {
            joiner.lanes -= 1;
        }
        self.leave_range(now, key, out);
        self.fill_lanes(now, lane.replica, out);
    }

    /// The attempt is over: its ranges are free.
    pub(super) fn end_lanes(&mut self, now: Nanos, replica: ReplicaIndex, out: &mut Vec<Effect>) {
        let of_it = |work: &Work| matches!(work, Work::Lane(lane) if lane.replica == replica);
        let lanes = self.calls.iter().filter(|(_, call)| of_it(&call.work));
        let keys: Vec<Key> = lanes.map(|(key, _)| key).collect();
        if let Some(joiner) = self.joiner_mut(replica) {
            joiner.lanes = 0;
            joiner.waiting.clear();
        }
        for key in keys {
            self.calls.remove(key);
            self.leave_range(now, key, out);
        }
    }
}
