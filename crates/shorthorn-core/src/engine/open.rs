//! From the order to the first request: seal, equalise, SessionOpened (docs/protocol.md, Open).

use shorthorn_wire::agent::Ask;
use shorthorn_wire::message::{Open, Reply, Request, Role};

use super::api::Effect;
use super::asks::Committed;
use super::work::Work;
use super::{Engine, State};
use crate::calls::Key;
use crate::equaliser::{Equaliser, Roles, Sending};
use crate::mutants::{self, Mutant};
use crate::post::{complaint, is_final};
use crate::sealer::Sealer;
use crate::{Nanos, ReplicaIndex, ReplicaSet};

impl Engine {
    pub(super) fn start(&mut self, now: Nanos, out: &mut Vec<Effect>) {
        if !matches!(self.state, State::New) {
            return;
        }
        self.enter(State::Sealing);
        let wanted = self.sealer.targets(|target| target.in_sync);
        self.sealer.want(now, wanted);
        self.weigh(now, out);
        self.dial(now, out);
    }

    /// Dials who is to be dialled now.
    pub(super) fn dial(&mut self, now: Nanos, out: &mut Vec<Effect>) {
        if matches!(self.state, State::Sealing | State::Serving) {
            self.sealer.dial_due(now, out);
        }
    }

    pub(super) fn connected(&mut self, now: Nanos, replica: ReplicaIndex, out: &mut Vec<Effect>) {
        if let Some(hello) = self.sealer.connected(replica) {
            self.call(now, Work::Hello, ReplicaSet::only(replica), hello, out);
        }
    }

    /// A connection ended by itself.
    pub(super) fn disconnected(
        &mut self,
        now: Nanos,
        replica: ReplicaIndex,
        why: String,
        out: &mut Vec<Effect>,
    ) {
        match self.state {
            State::Sealing => self.unsealed(now, replica, why, out),
            State::Closing if self.closed.contains(replica) => self.sealer.ended(replica),
            State::New | State::Ending { .. } | State::Over => {}
            _ => {
                // It ended by itself: nothing to hang up.
                self.sealer.ended(replica);
                self.fail(now, replica, &why, out);
            }
        }
    }

    /// While sealing, a lost connection is only a missing replica.
    pub(super) fn unsealed(
        &mut self,
        now: Nanos,
        replica: ReplicaIndex,
        why: String,
        out: &mut Vec<Effect>,
    ) {
        for key in self.calls.forget(replica) {
            self.calls.remove(key);
        }
        self.sealer.lost(now, replica, why);
        self.weigh(now, out);
    }

    /// The answer to hello, probe or seal.
    pub(super) fn sealing_reply(
        &mut self,
        now: Nanos,
        key: Key,
        replica: ReplicaIndex,
        reply: Reply,
        out: &mut Vec<Effect>,
    ) {
        let work = self.calls.remove(key);
        if !matches!(self.state, State::Sealing) {
            return self.joiner_sealing(now, work, replica, reply, out);
        }
        match (work, reply) {
            (Some(Work::Hello), Reply::Done) => {
                let only = ReplicaSet::only(replica);
                self.call(now, Work::Probe, only, Sealer::probe(), out);
            }
            (Some(Work::Probe), Reply::Standing(standing)) => {
                if self.sealer.found(replica, &standing, out) {
                    let seal = self.sealer.seal(replica, &self.document);
                    self.call(now, Work::Seal, ReplicaSet::only(replica), seal, out);
                } else {
                    self.weigh(now, out);
                }
            }
            (Some(Work::Seal), Reply::Standing(standing)) => {
                self.sealer.sealed(replica, standing, out);
                self.weigh(now, out);
            }
            (_, reply) if is_final(&reply) => self.fail(now, replica, &complaint(&reply), out),
            (_, reply) => {
                self.sealer.hang_up(ReplicaSet::only(replica), out);
                self.unsealed(now, replica, complaint(&reply), out);
            }
        }
        self.tell_status(out);
    }

    /// Whether to go on with those that are sealed, or to wait for the missing (B7).
    pub(super) fn weigh(&mut self, now: Nanos, out: &mut Vec<Effect>) {
        if !matches!(self.state, State::Sealing) {
            return;
        }
        let sealed = self.sealer.all_sealed();
        self.grace = None;
        if sealed.is_empty() {
            self.sealed_since = None;
            return;
        }
        // From then on, not from the start: after an outage of all, whoever comes back first must not be taken for all
        // there is.
        let since = *self.sealed_since.get_or_insert(now);
        if !self.missing().is_empty() {
            let mut grace = Nanos::from_millis(self.order.open_grace_ms);
            if self.sealer.all_torn() == sealed {
                grace = grace.max(Nanos::from_millis(self.order.open_grace_torn_ms));
            }
            let until = since + grace;
            if now < until {
                self.grace = Some(until);
                return;
            }
        }
        self.equalise(now, sealed, out);
    }

    /// In-sync replicas that may still become sealed.
    pub(super) fn missing(&self) -> ReplicaSet {
        let wanted = self.sealer.targets(|target| target.in_sync);
        let known = self.sealer.all_sealed().union(self.sealer.all_unfit());
        wanted.without(known)
    }

    /// These are the session's replicas from now on: the loss of one ends it.
    fn equalise(&mut self, now: Nanos, members: ReplicaSet, out: &mut Vec<Effect>) {
        let others = self.sealer.targets(|_| true).without(members);
        for replica in others.iter() {
            for key in self.calls.forget(replica) {
                self.calls.remove(key);
            }
        }
        self.sealer.hang_up(others, out);
        self.needed = members;
        for replica in members.iter() {
            let standing = self.sealer.standing(replica);
            for run in standing.map_or(&[][..], |standing| &standing.marks) {
                self.marks.dirty_mut().insert_run(*run);
            }
        }
        let torn = self.sealer.all_torn();
        let loud = !mutants::active(Mutant::SilentRestart);
        self.broken = loud && torn == members && !self.marks.dirty_mut().is_empty();
        let roles = Roles::choose(members, torn, self.local);
        let (false, Some(roles)) = (self.marks.dirty_mut().is_empty(), roles) else {
            return self.ask_opened(now, out);
        };
        if mutants::active(Mutant::NoEqualise) {
            return self.ask_opened(now, out);
        }
        let runs = self.marks.runs();
        let mut equaliser = Box::new(Equaliser::new(roles, self.document.size, runs));
        let sendings = equaliser.start();
        self.enter(State::Equalising(equaliser));
        for sending in sendings {
            self.send_range(now, sending, out);
        }
    }

    fn send_range(&mut self, now: Nanos, sending: Sending, out: &mut Vec<Effect>) {
        let work = Work::Equalise(sending.lane);
        self.call(now, work, sending.to, sending.request, out);
    }

    /// A replica's answer on one of the equaliser's lanes.
    pub(super) fn equalise_reply(
        &mut self,
        now: Nanos,
        key: Key,
        replica: ReplicaIndex,
        reply: Reply,
        last: bool,
        out: &mut Vec<Effect>,
    ) {
        let (State::Equalising(equaliser), Some(call)) = (&mut self.state, self.calls.get_mut(key))
        else {
            return;
        };
        let Work::Equalise(lane) = call.work else {
            return;
        };
        match equaliser.reply(lane, replica, reply, last) {
            Err(fault) => self.fail(now, fault.replica, &fault.why, out),
            Ok(next) => {
                let finished = equaliser.finished();
                if last {
                    self.calls.remove(key);
                }
                if let Some(sending) = next {
                    self.send_range(now, sending, out);
                }
                if finished {
                    self.enter(State::Syncing);
                    self.flush(now, Work::EqualiseFlush, out);
                }
            }
        }
    }

    /// All is equal and durable: the record is asked.
    pub(super) fn ask_opened(&mut self, now: Nanos, out: &mut Vec<Effect>) {
        self.enter(State::Opening);
        let ask = Ask::SessionOpened {
            epoch: self.order.epoch,
            members: self.sealer.names(self.needed),
            broken: self.broken,
            endpoint: self.order.endpoint.clone(),
        };
        self.asks.ask(ask, out);
        if mutants::active(Mutant::ServeUncommitted) {
            let (document, broken) = (self.document.clone(), self.broken);
            self.opened(now, Committed { document, broken }, out);
        }
        self.tell_status(out);
    }

    /// SessionOpened is committed: the members store it (which ends torn) before anything is served (B2).
    ///
    /// Whether it is broken is the record's word: it knows of losses before this session, and who holds on (A2).
    pub(super) fn opened(&mut self, now: Nanos, record: Committed, out: &mut Vec<Effect>) {
        if !matches!(self.state, State::Opening) {
            return;
        }
        self.document = record.document;
        self.broken = record.broken && !mutants::active(Mutant::SilentRestart);
        self.enter(State::Storing);
        for replica in self.needed.iter() {
            let open = Open {
                epoch: self.order.epoch,
                attempt: self.sealer.target(replica).attempt,
                role: Role::Member,
                document: self.document.clone(),
            };
            let to = ReplicaSet::only(replica);
            self.call(now, Work::Open, to, Request::Open(open), out);
        }
    }

    /// A member has stored it.
    pub(super) fn stored(&mut self, now: Nanos, out: &mut Vec<Effect>) {
        let storing = |call: &Work| matches!(call, Work::Open);
        if self.calls.iter().any(|(_, call)| storing(&call.work)) {
            return;
        }
        self.marks.rest(now);
        if self.close_wanted {
            return self.begin_close(now, out);
        }
        if self.broken {
            self.enter(State::Broken);
            out.push(Effect::StopServing {
                break_clients: true,
            });
        } else {
            self.enter(State::Serving);
            let endpoint = self.order.endpoint.clone();
            out.push(Effect::Serve { endpoint });
            self.start_joiners(now, out);
        }
        self.next_removal(now, out);
        self.tell_status(out);
    }
}
