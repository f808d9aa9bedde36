//! Which replicas are syncing: by the order, and by the lists that the record sends later (docs/protocol.md, Resync).
//!
//! The attempt of a needed replica changes only by answers to what the engine itself asks; lists count for the others.

use shorthorn_wire::agent::Target;
use shorthorn_wire::message::Document;

use super::api::Effect;
use super::joiners::{Joiner, Stage};
use super::{Engine, State};
use crate::{Nanos, ReplicaIndex, ReplicaSet};

impl Engine {
    /// The session serves: whoever is not in-sync is to be.
    pub(super) fn start_joiners(&mut self, now: Nanos, out: &mut Vec<Effect>) {
        // SessionOpened's commit removed them.
        let missed = self.sealer.targets(|target| target.in_sync);
        for replica in missed.without(self.needed).iter() {
            let attempt = self.sealer.target(replica).attempt + 1;
            self.sealer.set_syncing(replica, attempt);
        }
        let syncing = self.sealer.targets(|target| !target.in_sync);
        for replica in syncing.without(self.given_up).iter() {
            self.add_joiner(now, replica, Nanos::default());
        }
        self.dial(now, out);
    }

    /// A member was removed: it comes back with a greater attempt.
    pub(super) fn rejoin(&mut self, now: Nanos, replica: ReplicaIndex, out: &mut Vec<Effect>) {
        let known = self.given_up.union(self.all_joiners()).contains(replica);
        if matches!(self.state, State::Serving) && !known {
            let pause = self.rejoin_pause(now, replica);
            self.add_joiner(now, replica, pause);
            self.dial(now, out);
        }
    }

    /// The record's replicas now. `document` is for those that are to be sealed: one that was placed since knows it.
    pub(super) fn retarget(
        &mut self,
        now: Nanos,
        targets: Vec<Target>,
        document: Option<Document>,
        out: &mut Vec<Effect>,
    ) {
        let mut listed = ReplicaSet::EMPTY;
        for target in targets {
            let known = self.sealer.find(&target.replica);
            let Some(replica) = known.or_else(|| self.add_target(&target)) else {
                continue;
            };
            listed.insert(replica);
            self.renew(now, replica, target, out);
        }
        self.given_up = self.sealer.targets(|_| true).without(listed);
        for replica in self.given_up.both(self.all_joiners()).iter() {
            // Who may be in-sync by now is needed until the record says otherwise about that very attempt.
            if self
                .joiner(replica)
                .is_some_and(|joiner| !joiner.is_asked())
            {
                self.let_joiner_go(now, replica, out);
            }
        }
        if let Some(document) = document {
            for replica in listed.both(self.all_joiners()).iter() {
                self.hear_of(replica, &document);
            }
        }
        self.dial(now, out);
    }

    /// A replica that was placed since. None: there is no room for it in this session.
    fn add_target(&mut self, target: &Target) -> Option<ReplicaIndex> {
        if target.in_sync {
            return None;
        }
        let unused = self
            .given_up
            .without(self.needed)
            .without(self.all_joiners());
        let replica = self.sealer.add(target.clone(), unused)?;
        if replica.index() == self.granted.len() {
            self.granted.push(None);
            self.reading.push(0);
            self.joiners.push(None);
            self.joined.push(None);
        }
        self.joined[replica.index()] = None;
        self.granted[replica.index()] = None;
        if target.local {
            self.local.insert(replica);
        } else {
            self.local.remove(replica);
        }
        Some(replica)
    }

    /// Address and attempt of one that is known. An attempt counts only for who is not needed: of the others the engine
    /// hears by the answers to what it asks.
    fn renew(&mut self, now: Nanos, replica: ReplicaIndex, target: Target, out: &mut Vec<Effect>) {
        let greater = target.attempt > self.sealer.target(replica).attempt;
        let syncing = !target.in_sync;
        self.sealer.addresses(now, vec![target.clone()]);
        let opening = matches!(
            self.state,
            State::New | State::Sealing | State::Equalising(_) | State::Syncing
        );
        if opening || !syncing || self.needed.contains(replica) {
            return;
        }
        let breaking = |joiner: &&mut Joiner| joiner.stage == Stage::Breaking;
        if let Some(joiner) = self.joiner_mut(replica).filter(breaking) {
            // That is most likely the engine's own doing, whose answer brings the next attempt after its pause.
            joiner.listed = target.attempt;
            return;
        }
        if greater {
            self.let_joiner_go(now, replica, out);
            self.sealer.set_syncing(replica, target.attempt);
        }
        let current = target.attempt >= self.sealer.target(replica).attempt;
        let idle = self.joiner(replica).is_none();
        if idle && current && matches!(self.state, State::Serving) {
            self.add_joiner(now, replica, Nanos::default());
        }
    }

    /// The record has given it up, or the session needs no joiners any more.
    pub(super) fn let_joiner_go(
        &mut self,
        now: Nanos,
        replica: ReplicaIndex,
        out: &mut Vec<Effect>,
    ) {
        if self.joiners[replica.index()].take().is_some() {
            self.detach_joiner(now, replica, out);
            self.asks
                .forget_replica(&self.sealer.target(replica).replica);
        }
    }

    /// The session closes: only who may be in-sync already is waited for.
    pub(super) fn forget_joiners(&mut self, now: Nanos, out: &mut Vec<Effect>) {
        for replica in self.all_joiners().iter() {
            if self
                .joiner(replica)
                .is_some_and(|joiner| !joiner.is_asked())
            {
                self.let_joiner_go(now, replica, out);
            }
        }
    }
}
