//! Reads and block status: from one needed replica, completed only under grants (docs/protocol.md, Read).

use shorthorn_wire::message::{Extent, Reply, Request};

use super::Engine;
use super::api::{ClientAnswer, ClientError, ClientOp, Effect};
use super::requests::blocks_of;
use super::work::{Found, Read, Step, Work};
use crate::calls::Key;
use crate::{Nanos, ReplicaIndex, ReplicaSet};

impl Engine {
    /// The read has its range.
    pub(super) fn begin_read(
        &mut self,
        now: Nanos,
        key: Key,
        extents: bool,
        out: &mut Vec<Effect>,
    ) {
        self.refresh_grants(now, out);
        let round = self.join_round(now, out);
        let Some(from) = self.reader(ReplicaSet::EMPTY) else {
            return self.put_off(key, extents);
        };
        if let Some(step) = self.step_mut(key) {
            *step = Step::Read(Read {
                extents,
                round,
                from,
                tried: ReplicaSet::EMPTY,
                found: None,
            });
        }
        self.send_read(now, key, from, out);
    }

    /// Who is to be read: the local one, else who has least to read; never one whose removal was asked, if it can be helped.
    pub(super) fn reader(&self, tried: ReplicaSet) -> Option<ReplicaIndex> {
        let readable = self.needed.without(self.untold).without(tried);
        let staying = readable.without(self.removals.leaving());
        let staying = if staying.is_empty() {
            readable.without(self.removals.failed())
        } else {
            staying
        };
        if let Some(local) = staying.both(self.local).first() {
            return Some(local);
        }
        let reading = |replica: &ReplicaIndex| self.reading[replica.index()];
        staying.iter().min_by_key(reading)
    }

    fn send_read(&mut self, now: Nanos, key: Key, from: ReplicaIndex, out: &mut Vec<Effect>) {
        let Some(Work::Client(call)) = self.calls.get_mut(key).map(|call| &mut call.work) else {
            return;
        };
        let Step::Read(read) = &mut call.step else {
            return;
        };
        read.from = from;
        let (offset, length) = (call.offset, call.length);
        let request = if read.extents {
            Request::Extents { offset, length }
        } else {
            // Reads are checked to be no longer than a payload.
            let length = length as u32;
            Request::Read { offset, length }
        };
        self.reading[from.index()] += 1;
        self.send(now, key, ReplicaSet::only(from), request, out);
    }

    /// The answer to a read.
    pub(super) fn read_reply(
        &mut self,
        now: Nanos,
        key: Key,
        replica: ReplicaIndex,
        reply: Reply,
        out: &mut Vec<Effect>,
    ) {
        let Some(Work::Client(call)) = self.calls.get_mut(key).map(|call| &mut call.work) else {
            return;
        };
        let (offset, length) = (call.offset, call.length);
        let Step::Read(read) = &mut call.step else {
            return;
        };
        let found = match (read.extents, reply) {
            (false, Reply::Data(data)) if data.len() as u64 == length => Found::Data(data),
            (true, Reply::Extents(extents)) if covers(&extents, length) => Found::Extents(extents),
            (false, Reply::Corrupt { offset: bad })
                if bad < offset + length
                    && bad + u64::from(shorthorn_wire::BLOCK_BYTES) > offset =>
            {
                read.tried.insert(replica);
                let tried = read.tried;
                self.reading[replica.index()] -= 1;
                return self.corrupt(now, key, replica, bad, tried, out);
            }
            (_, reply) => return self.fail_reply(now, key, replica, &reply, out),
        };
        read.found = Some(found);
        self.reading[replica.index()] -= 1;
        self.complete_read(now, key, out);
    }

    /// A bad block: it is repaired, and another replica is read.
    fn corrupt(
        &mut self,
        now: Nanos,
        key: Key,
        replica: ReplicaIndex,
        bad: u64,
        tried: ReplicaSet,
        out: &mut Vec<Effect>,
    ) {
        self.repair(now, bad, replica, out);
        match self.reader(tried) {
            Some(next) => self.send_read(now, key, next, out),
            None => self.read_failed(now, key, out),
        }
    }

    /// Every replica has a bad block in the range, but perhaps not the same one: it is read once more after the repairs,
    /// which wait for the range.
    fn read_failed(&mut self, now: Nanos, key: Key, out: &mut Vec<Effect>) {
        let Some(Work::Client(call)) = self.calls.get_mut(key).map(|call| &mut call.work) else {
            return;
        };
        let Step::Read(read) = &call.step else {
            return;
        };
        if call.again || self.repairs == 0 {
            return self.finish(now, key, Err(ClientError::Io), out);
        }
        call.again = true;
        call.step = Step::Queued(if read.extents {
            ClientOp::BlockStatus
        } else {
            ClientOp::Read
        });
        let (first, end) = blocks_of(call.offset, call.length);
        self.leave_range(now, key, out);
        if self.ranges.enter(key, first, end, false) {
            self.begin(now, key, out);
        }
    }

    /// The data came, now or before: it goes to the client if every needed replica's grant stands.
    pub(super) fn complete_read(&mut self, now: Nanos, key: Key, out: &mut Vec<Effect>) {
        let stale = self.stale(now);
        let finished = self.rounds.finished();
        let Some(Step::Read(read)) = self.step_mut(key) else {
            return;
        };
        if !stale.is_empty() || read.round > finished {
            self.awaiting.push(key);
            return self.ping(now, stale, out);
        }
        let answer = match read.found.take() {
            Some(Found::Data(data)) => ClientAnswer::Data(data),
            Some(Found::Extents(extents)) => ClientAnswer::Extents(extents),
            None => return,
        };
        self.finish(now, key, Ok(answer), out);
    }

    /// The replica that was read is not needed any more: another is read.
    pub(super) fn read_deserted(&mut self, now: Nanos, key: Key, out: &mut Vec<Effect>) {
        let Some(Step::Read(read)) = self.step_mut(key) else {
            return;
        };
        let (from, tried, extents) = (read.from, read.tried, read.extents);
        self.reading[from.index()] -= 1;
        let soon = !self.untold.without(self.removals.failed()).is_empty();
        match self.reader(tried) {
            Some(next) => self.send_read(now, key, next, out),
            None if soon => self.put_off(key, extents),
            None => self.finish(now, key, Err(ClientError::Io), out),
        }
    }

    /// Nobody can be read now, but somebody soon.
    fn put_off(&mut self, key: Key, extents: bool) {
        let op = if extents {
            ClientOp::BlockStatus
        } else {
            ClientOp::Read
        };
        if let Some(step) = self.step_mut(key) {
            *step = Step::Queued(op);
            self.unread.push(key);
        }
    }

    fn step_mut(&mut self, key: Key) -> Option<&mut Step> {
        match &mut self.calls.get_mut(key)?.work {
            Work::Client(call) => Some(&mut call.step),
            _ => None,
        }
    }
}

/// Whether they describe a beginning of the range, and nothing else.
fn covers(extents: &[Extent], length: u64) -> bool {
    let mut left = length;
    let fit = extents.iter().all(|extent| {
        let fits = extent.length > 0 && extent.length <= left;
        left = left.saturating_sub(extent.length);
        fits
    });
    fit && !extents.is_empty()
}
