//! Where a reply goes, by what was asked.

use shorthorn_wire::message::{Reply, Tag};

use super::Engine;
use super::api::Effect;
use super::work::Work;
use crate::calls::Key;
use crate::{Nanos, ReplicaIndex};

impl Engine {
    /// A replica's reply.
    pub(super) fn reply(
        &mut self,
        now: Nanos,
        replica: ReplicaIndex,
        tag: Tag,
        reply: Reply,
        out: &mut Vec<Effect>,
    ) {
        if self.removals.failed().contains(replica) {
            // It is never counted again.
            return;
        }
        let Some((key, call)) = self.calls.answered(tag, replica) else {
            // Of a call that was given up with its replica.
            return;
        };
        let last = call.waiting.is_empty();
        if !matches!(reply, Reply::Refused { .. }) {
            let granted = &mut self.granted[replica.index()];
            *granted = (*granted).max(Some(call.sent));
        }
        match call.work {
            Work::Client(_) => self.client_reply(now, key, replica, reply, out),
            Work::Repair(_) => self.repair_reply(now, key, replica, reply, out),
            Work::Hello | Work::Probe | Work::Seal => {
                self.sealing_reply(now, key, replica, reply, out);
            }
            Work::Mirror(_) => self.mirror_reply(now, key, replica, reply, last, out),
            Work::Lane(_) => self.lane_reply(now, key, replica, reply, last, out),
            Work::Equalise(_) => self.equalise_reply(now, key, replica, reply, last, out),
            _ if reply == Reply::Done => {
                self.noted(key, replica, out);
                if last {
                    self.completed(now, key, out);
                }
            }
            _ => self.fail_reply(now, key, replica, &reply, out),
        }
        self.complete_awaiting(now, out);
    }

    /// One of several has done what was asked.
    fn noted(&mut self, key: Key, replica: ReplicaIndex, out: &mut Vec<Effect>) {
        match self.calls.get_mut(key).map(|call| &call.work) {
            Some(Work::Ping) => {
                self.pinging.remove(replica);
            }
            Some(Work::Close) => self.closed.insert(replica),
            Some(Work::Witness(turn)) => {
                let turn = *turn;
                self.witnessed(turn, replica, out);
            }
            _ => {}
        }
    }

    /// Nobody is waited for any more: all have answered, or the last that had not is not needed any more.
    pub(super) fn completed(&mut self, now: Nanos, key: Key, out: &mut Vec<Effect>) {
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        match call.work {
            Work::Client(_) => return self.client_completed(now, key, out),
            Work::Repair(_) => return self.repair_completed(now, key, out),
            Work::Mirror(_) => return self.mirror_completed(key),
            Work::Lane(_) => return self.lane_completed(now, key, out),
            _ => {}
        }
        match self.calls.remove(key) {
            Some(Work::EqualiseFlush) => self.ask_opened(now, out),
            Some(Work::Open) => self.stored(now, out),
            Some(Work::MarksFlush) => self.marks_flushed(now, out),
            Some(Work::MarksClear) => self.marks_cleared(now, out),
            Some(Work::LeaveFlush(turn)) => self.leave_flushed(turn, out),
            Some(Work::Witness(turn)) => self.no_witness(now, turn, out),
            Some(Work::RemovalStore(turn)) => self.removal_stored(now, turn, out),
            Some(Work::JoinOpen(replica)) => self.joiner_opened(now, replica, out),
            Some(Work::JoinFlush(replica)) => self.ask_synced(replica, out),
            Some(Work::JoinStore(replica)) => self.told(now, replica, out),
            Some(Work::Round) => self.round_finished(now, out),
            Some(Work::CloseFlush) => self.close_flushed(now, out),
            Some(Work::CloseClear) => self.close_cleared(now, out),
            Some(Work::Close) => self.close_told(now, out),
            _ => {}
        }
    }
}
