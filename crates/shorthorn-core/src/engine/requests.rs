//! Clients' requests: checked, admitted by the range lock, sent to every needed replica, answered.

use shorthorn_wire::message::{Failure, Reply, Request};
use shorthorn_wire::{BLOCK_BYTES, PAYLOAD_BYTES_MAX};

use super::api::{ClientAnswer, ClientError, ClientId, ClientOp, ClientRequest, Effect};
use super::mend::Tally;
use super::work::{Change, ClientCall, Step, Work};
use super::{Engine, State};
use crate::calls::{CALLS_MAX, Key};
use crate::mutants::{self, Mutant};
use crate::{Nanos, ReplicaIndex, ReplicaSet};

/// Requests of clients that are taken at once. Far above any useful depth; bounds what a request has to be compared with.
pub(super) const REQUESTS_MAX: usize = 1024;
/// Bytes of them: two of the largest. Bounds the engine's memory together with the programs' buffers.
pub(super) const REQUEST_BYTES_MAX: u64 = 2 * PAYLOAD_BYTES_MAX as u64;

/// Blocks `first .. end` that a range touches.
pub(super) fn blocks_of(offset: u64, length: u64) -> (u64, u64) {
    let block = u64::from(BLOCK_BYTES);
    (offset / block, (offset + length).div_ceil(block))
}

impl Engine {
    /// Whether more client requests may be delivered now. Ask after every batch; it turns true again only in
    /// [`super::Event::Reply`], [`super::Event::ClientGone`] or, when a syncing replica is given up, in any event. A program that does not ask gets
    /// [`ClientError::NotServing`] in the end.
    pub fn can_take(&self) -> bool {
        let room = self.client_calls < REQUESTS_MAX && self.in_flight_bytes < REQUEST_BYTES_MAX;
        room && self.mirrors_keep_up() && self.space.has_room()
    }

    /// Bytes of reads and writes that are not decided yet.
    pub fn in_flight_bytes(&self) -> u64 {
        self.in_flight_bytes
    }

    pub(super) fn client_request(
        &mut self,
        now: Nanos,
        client: ClientId,
        cookie: u64,
        request: ClientRequest,
        out: &mut Vec<Effect>,
    ) {
        if let Err(error) = self.check(&request) {
            let result = Err(error);
            return out.push(Effect::Answer {
                client,
                cookie,
                result,
            });
        }
        let ClientRequest { offset, length, op } = request;
        let changes = matches!(op, ClientOp::Write { .. } | ClientOp::Zero { .. });
        let flush = matches!(op, ClientOp::Flush);
        let payload = match op {
            ClientOp::Read | ClientOp::Write { .. } => length,
            _ => 0,
        };
        let call = ClientCall {
            client,
            cookie,
            offset,
            length,
            payload,
            again: false,
            mirrors: ReplicaSet::EMPTY,
            refused: None,
            gone: false,
            mixed: false,
            step: Step::Queued(op),
        };
        let key = self.calls.insert(Work::Client(call));
        self.client_calls += 1;
        self.in_flight_bytes += payload;
        let (first, end) = blocks_of(offset, length);
        if flush || self.ranges.enter(key, first, end, changes) {
            self.begin(now, key, out);
        }
    }

    /// What is refused before anything is sent.
    fn check(&self, request: &ClientRequest) -> Result<(), ClientError> {
        if !matches!(self.state, State::Serving) || self.calls.len() + 64 > CALLS_MAX {
            return Err(ClientError::NotServing);
        }
        let payload = u64::from(PAYLOAD_BYTES_MAX);
        let legal = match &request.op {
            ClientOp::Flush => return Ok(()),
            ClientOp::Write { data, .. } => {
                data.len() as u64 == request.length && request.length <= payload
            }
            ClientOp::Read => request.length <= payload,
            ClientOp::Zero { .. } | ClientOp::BlockStatus => true,
        };
        let end = request.offset.checked_add(request.length);
        let inside = end.is_some_and(|end| end <= self.document.size);
        let inside = inside || mutants::active(Mutant::BeyondSize);
        if !legal || !inside || request.length == 0 {
            return Err(ClientError::Invalid);
        }
        let changes = matches!(request.op, ClientOp::Write { .. } | ClientOp::Zero { .. });
        if changes && self.order.read_only {
            return Err(ClientError::ReadOnly);
        }
        Ok(())
    }

    /// A call has its range: its first request goes out.
    pub(super) fn begin(&mut self, now: Nanos, key: Key, out: &mut Vec<Effect>) {
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        let call = match &mut call.work {
            Work::Client(call) => call,
            Work::Lane(_) => return self.hash_range(now, key, out),
            _ => return self.begin_repair(now, key, out),
        };
        let (offset, length) = (call.offset, call.length);
        let Step::Queued(op) = std::mem::replace(&mut call.step, Step::Flush) else {
            return;
        };
        match op {
            ClientOp::Flush => {
                let request = Request::Flush { seq: self.seq };
                self.send(now, key, self.needed, request, out);
            }
            ClientOp::Read => self.begin_read(now, key, false, out),
            ClientOp::BlockStatus => self.begin_read(now, key, true, out),
            change => {
                let marks = self.marks.begin(offset, length);
                self.send_change(now, key, change, marks, out);
            }
        }
    }

    /// A change goes to every needed replica, under a new number. `marks`: it has to be marked first.
    pub(super) fn send_change(
        &mut self,
        now: Nanos,
        key: Key,
        op: ClientOp,
        marks: bool,
        out: &mut Vec<Effect>,
    ) {
        let Some(Work::Client(call)) = self.calls.get_mut(key).map(|call| &mut call.work) else {
            return;
        };
        let (offset, length) = (call.offset, call.length);
        let seq = self.seq + 1;
        let request = match &op {
            ClientOp::Write { data, fua } => Request::Write {
                seq,
                offset,
                data: data.clone(),
                fua: *fua,
            },
            ClientOp::Zero { punch, fua } => Request::Zero {
                seq,
                offset,
                length,
                punch: *punch,
                fua: *fua,
            },
            _ => return,
        };
        // One that is needed since a moment may have a region clean which is marked on the members.
        let marks = self.mark_joiners(self.untold, offset, length) || marks;
        let mirrors = self.mirrors;
        let Some(call) = self.client_mut(key) else {
            return;
        };
        call.step = Step::Change(Change {
            op,
            marks,
            tally: Tally::default(),
        });
        call.mirrors = call.mirrors.union(mirrors);
        self.seq = seq;
        if !mirrors.is_empty() && !mutants::active(Mutant::NoMirror) {
            self.mirror(now, offset, length, request.clone(), out);
        }
        self.send(now, key, self.needed, request, out);
    }

    /// A replica's answer to a client's request.
    pub(super) fn client_reply(
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
        let mixed = client.mixed;
        match (&mut client.step, reply) {
            (Step::Change(change), Reply::Done) => change.tally.applied.insert(replica),
            (
                Step::Change(_),
                Reply::Failed {
                    why: Failure::NoSpace,
                    ..
                },
            ) if self.untold.contains(replica) => {
                // Its content is nobody's measure yet.
                return self.fail_call(now, key, replica, "it has no space", out);
            }
            (
                Step::Change(_),
                Reply::Failed {
                    why: Failure::NoSpace,
                    ..
                },
            ) if mixed => {
                // It may hold the change, or a part, from the first time: nothing says any more what was there before.
                return self.fail_call(now, key, replica, "what it did can't be put back", out);
            }
            (
                Step::Change(change),
                Reply::Failed {
                    why: Failure::NoSpace,
                    ..
                },
            ) => change.tally.full.insert(replica),
            (Step::Change(change), Reply::Corrupt { .. }) => change.tally.bad.insert(replica),
            (Step::Flush, Reply::Done) => {}
            (Step::Read(_), reply) => return self.read_reply(now, key, replica, reply, out),
            (Step::Mend(_), reply) => return self.mend_reply(now, key, replica, reply, out),
            (_, reply) => return self.fail_reply(now, key, replica, &reply, out),
        }
        if last || self.is_enough(key) {
            self.client_completed(now, key, out);
        }
    }

    /// Mutants only: one replica has done it, and that is taken for all.
    fn is_enough(&mut self, key: Key) -> bool {
        match self.client_mut(key).map(|client| &client.step) {
            Some(Step::Change(change)) => {
                mutants::active(Mutant::AckOne) && !change.tally.applied.is_empty()
            }
            Some(Step::Flush) => mutants::active(Mutant::FlushOne),
            _ => false,
        }
    }

    /// Nobody is waited for any more.
    pub(super) fn client_completed(&mut self, now: Nanos, key: Key, out: &mut Vec<Effect>) {
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        let Work::Client(client) = &call.work else {
            return;
        };
        match &client.step {
            Step::Queued(_) | Step::Parked(_) => {}
            Step::Flush => self.acknowledge(now, key, out),
            Step::Change(change) => {
                let tally = change.tally;
                self.change_decided(now, key, tally, out);
            }
            Step::Read(_) => self.read_deserted(now, key, out),
            Step::Mend(_) => self.mend_deserted(now, key, out),
        }
    }

    /// A request is decided on every needed replica: it is answered and its range is free.
    pub(super) fn finish(
        &mut self,
        now: Nanos,
        key: Key,
        result: Result<ClientAnswer, ClientError>,
        out: &mut Vec<Effect>,
    ) {
        let Some(Work::Client(call)) = self.calls.remove(key) else {
            return;
        };
        if matches!(call.step, Step::Change(_) | Step::Mend(_)) {
            self.marks.decided(now);
        }
        self.forget_client(&call);
        let (client, cookie) = (call.client, call.cookie);
        let mixed = call.mixed || result.is_err();
        let spoilt = mixed.then_some((call.offset, call.length));
        out.push(Effect::Answer {
            client,
            cookie,
            result,
        });
        self.leave_range(now, key, out);
        if !call.mirrors.is_empty() {
            self.mirrored_decided(now, call.mirrors, spoilt, out);
        }
        self.tried(now, key, out);
        self.drained(now, out);
    }

    fn forget_client(&mut self, call: &ClientCall) {
        self.client_calls -= 1;
        self.in_flight_bytes -= call.payload;
    }

    /// A range is free: those that waited only for it begin.
    pub(super) fn leave_range(&mut self, now: Nanos, key: Key, out: &mut Vec<Effect>) {
        let mut ready = std::mem::take(&mut self.ready);
        self.ranges.leave(key, &mut ready);
        for key in ready.drain(..) {
            self.begin(now, key, out);
        }
        self.ready = ready;
    }

    /// What the client sent and was not begun is forgotten.
    pub(super) fn client_gone(&mut self, now: Nanos, gone: ClientId, out: &mut Vec<Effect>) {
        for call in self.calls.iter_mut() {
            if let Work::Client(call) = &mut call.work {
                call.gone |= call.client == gone;
            }
        }
        self.end_all_parked(now, |call| call.client == gone, out);
        let queued = self.calls.iter().filter(|(_, call)| match &call.work {
            Work::Client(call) => call.client == gone && matches!(call.step, Step::Queued(_)),
            _ => false,
        });
        let queued: Vec<Key> = queued.map(|(key, _)| key).collect();
        for key in queued {
            // One that was before it on this list may just have let it begin.
            let waits = self.calls.get_mut(key).is_some_and(|call| {
                matches!(&call.work, Work::Client(call) if matches!(call.step, Step::Queued(_)))
            });
            if !waits {
                continue;
            }
            if let Some(Work::Client(call)) = self.calls.remove(key) {
                self.forget_client(&call);
            }
            self.unread.retain(|unread| *unread != key);
            self.leave_range(now, key, out);
            self.tried(now, key, out);
        }
        self.drained(now, out);
    }
}
