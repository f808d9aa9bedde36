//! Reaching replicas and sealing them: who is dialled when, what is said, and whether the answer makes a source.
//!
//! Shared by engine and copier, which send what this says and bring back what was answered.

use shorthorn_wire::WIRE_VERSION;
use shorthorn_wire::agent::Target;
use shorthorn_wire::message::{
    Attempt, Document, Epoch, Hello, Membership, Request, Seal, Standing,
};

use crate::mutants::{self, Mutant};
use crate::post::Post;
use crate::replica_set::REPLICAS_MAX;
use crate::{Nanos, ReplicaIndex, ReplicaSet};

/// First pause before dialling again; doubles up to [`DIAL_PAUSE_MAX`].
const DIAL_PAUSE: Nanos = Nanos::from_millis(50);
/// A replica program that starts again is found within this.
const DIAL_PAUSE_MAX: Nanos = Nanos::from_millis(1000);

/// Who seals, and what.
#[derive(Debug)]
pub(crate) struct Identity {
    pub cluster: String,
    pub volume: String,
    pub engine: String,
    pub epoch: Epoch,
    /// See [`shorthorn_wire::agent::SessionOrder::opened_epoch`].
    pub opened_epoch: Epoch,
}

/// Where a connection is.
#[derive(Debug)]
enum Link {
    /// Nobody dials.
    Idle,
    /// To be dialled then.
    Pausing(Nanos),
    Dialling,
    /// It stands; hello or seal is under way.
    Sealing,
    Sealed,
    /// It counts as unreachable for the life of this machine.
    Unfit,
}

#[derive(Debug)]
struct Reach {
    link: Link,
    pause: Nanos,
    /// Why it is not sealed, for people.
    why: String,
    standing: Option<Standing>,
}

impl Reach {
    fn new() -> Self {
        Self {
            link: Link::Idle,
            pause: DIAL_PAUSE,
            why: "not reached yet".to_owned(),
            standing: None,
        }
    }
}

/// All targets with their connections.
#[derive(Debug)]
pub(crate) struct Sealer {
    identity: Identity,
    targets: Vec<Target>,
    reaches: Vec<Reach>,
}

impl Sealer {
    pub fn new(identity: Identity, targets: Vec<Target>) -> Self {
        let reaches = targets.iter().map(|_| Reach::new()).collect();
        Self {
            identity,
            targets,
            reaches,
        }
    }

    pub fn target(&self, replica: ReplicaIndex) -> &Target {
        &self.targets[replica.index()]
    }

    /// How many there are: those of the order, and who came later.
    pub fn count(&self) -> usize {
        self.targets.len()
    }

    /// All targets for which a condition holds.
    pub fn targets(&self, holds: impl Fn(&Target) -> bool) -> ReplicaSet {
        let indexed = self.targets.iter().enumerate();
        indexed
            .filter(|(_, target)| holds(target))
            .map(|(index, _)| ReplicaIndex(index as u8))
            .collect()
    }

    pub fn find(&self, replica: &str) -> Option<ReplicaIndex> {
        self.targets(|target| target.replica == replica).first()
    }

    pub fn names(&self, replicas: ReplicaSet) -> Vec<String> {
        let named = replicas.iter();
        named
            .map(|replica| self.target(replica).replica.clone())
            .collect()
    }

    /// New addresses; who waits for one is dialled at the next [`Self::dial_due`].
    pub fn addresses(&mut self, now: Nanos, targets: Vec<Target>) {
        for new in targets {
            let Some(replica) = self.find(&new.replica) else {
                continue;
            };
            let known = &mut self.targets[replica.index()];
            if known.address != new.address {
                known.address = new.address;
                let reach = &mut self.reaches[replica.index()];
                if let Link::Pausing(until) = &mut reach.link {
                    *until = now;
                }
            }
        }
    }

    /// From now on these are dialled until they are sealed.
    pub fn want(&mut self, now: Nanos, replicas: ReplicaSet) {
        for replica in replicas.iter() {
            self.reaches[replica.index()].link = Link::Pausing(now);
        }
    }

    /// From then on it is dialled until it is sealed.
    pub fn want_at(&mut self, moment: Nanos, replica: ReplicaIndex) {
        let reach = &mut self.reaches[replica.index()];
        reach.link = Link::Pausing(moment);
        reach.standing = None;
    }

    /// One more target, in the place of one of `unused` if there is no other. None: there is no place.
    pub fn add(&mut self, target: Target, unused: ReplicaSet) -> Option<ReplicaIndex> {
        let reach = Reach::new();
        if self.targets.len() < REPLICAS_MAX {
            self.targets.push(target);
            self.reaches.push(reach);
            return Some(ReplicaIndex(self.targets.len() as u8 - 1));
        }
        let replica = unused.first()?;
        self.targets[replica.index()] = target;
        self.reaches[replica.index()] = reach;
        Some(replica)
    }

    /// By the record it is syncing, in this attempt.
    pub fn set_syncing(&mut self, replica: ReplicaIndex, attempt: Attempt) {
        let target = &mut self.targets[replica.index()];
        target.in_sync = false;
        target.attempt = attempt;
    }

    /// By the record it is in-sync now.
    pub fn set_in_sync(&mut self, replica: ReplicaIndex) {
        self.targets[replica.index()].in_sync = true;
    }

    /// Dials everybody whose time has come.
    pub fn dial_due(&mut self, now: Nanos, out: &mut impl Post) {
        for (index, reach) in self.reaches.iter_mut().enumerate() {
            if !matches!(reach.link, Link::Pausing(until) if until <= now) {
                continue;
            }
            if let Some(address) = &self.targets[index].address {
                reach.link = Link::Dialling;
                out.dial(ReplicaIndex(index as u8), address.clone());
            } else {
                // No timer for it: only a new address helps.
                reach.why = "its address is not known".to_owned();
                reach.link = Link::Pausing(Nanos(u64::MAX));
            }
        }
    }

    /// When somebody is to be dialled next.
    pub fn next_dial(&self) -> Option<Nanos> {
        let pauses = self.reaches.iter().filter_map(|reach| match reach.link {
            Link::Pausing(until) if until != Nanos(u64::MAX) => Some(until),
            _ => None,
        });
        pauses.min()
    }

    /// A connection stands: the hello to send, if it is wanted.
    pub fn connected(&mut self, replica: ReplicaIndex) -> Option<Request> {
        let reach = &mut self.reaches[replica.index()];
        if !matches!(reach.link, Link::Dialling) {
            return None;
        }
        reach.link = Link::Sealing;
        reach.why = "its seal is under way".to_owned();
        let identity = &self.identity;
        Some(Request::Hello(Hello {
            wire: WIRE_VERSION,
            cluster: identity.cluster.clone(),
            volume: identity.volume.clone(),
            replica: self.targets[replica.index()].replica.clone(),
            engine: identity.engine.clone(),
        }))
    }

    /// The hello was taken: what it is has to be known before it is sealed.
    pub fn probe() -> Request {
        let drop = String::new();
        Request::Probe { drop }
    }

    /// What it was found to be, before its seal. False: it is no source by the record, counts as unreachable from now on,
    /// and was hung up.
    ///
    /// Not sealed, because a seal raises what it is judged by: the next session, or the next try of a task, would take
    /// it for a source (A17).
    pub fn found(
        &mut self,
        replica: ReplicaIndex,
        standing: &Standing,
        out: &mut impl Post,
    ) -> bool {
        // One that failed says so to its seal, and is whole again once its machine has booted.
        let unfit = unfit(&self.identity, self.target(replica), standing);
        let asked = standing.failed.is_none() && !mutants::active(Mutant::PastUnasked);
        let Some(why) = unfit.filter(|_| asked) else {
            return true;
        };
        self.give_up(replica, why, out);
        false
    }

    fn give_up(&mut self, replica: ReplicaIndex, why: String, out: &mut impl Post) {
        let reach = &mut self.reaches[replica.index()];
        reach.why = why;
        reach.link = Link::Unfit;
        out.hang_up(replica);
    }

    /// It was found fit: the seal to send, with the newest document.
    pub fn seal(&self, replica: ReplicaIndex, document: &Document) -> Request {
        Request::Seal(Seal {
            epoch: self.identity.epoch,
            attempt: self.target(replica).attempt,
            document: document.clone(),
        })
    }

    /// It is sealed. False: it is no source by the record, counts as unreachable from now on, and was hung up.
    pub fn sealed(
        &mut self,
        replica: ReplicaIndex,
        standing: Standing,
        out: &mut impl Post,
    ) -> bool {
        let unfit = unfit(&self.identity, self.target(replica), &standing);
        let reach = &mut self.reaches[replica.index()];
        reach.standing = Some(standing);
        reach.link = Link::Sealed;
        if let Some(why) = unfit {
            self.give_up(replica, why, out);
            return false;
        }
        true
    }

    /// It could not be reached, or what stood is gone: it is dialled again after a pause.
    pub fn lost(&mut self, now: Nanos, replica: ReplicaIndex, why: String) {
        let reach = &mut self.reaches[replica.index()];
        reach.why = why;
        reach.standing = None;
        reach.link = Link::Pausing(now + reach.pause);
        reach.pause = (reach.pause + reach.pause).min(DIAL_PAUSE_MAX);
    }

    /// Ends every connection and dial of these.
    pub fn hang_up(&mut self, replicas: ReplicaSet, out: &mut impl Post) {
        for replica in replicas.iter() {
            let reach = &mut self.reaches[replica.index()];
            let stands = matches!(reach.link, Link::Dialling | Link::Sealing | Link::Sealed);
            reach.link = Link::Idle;
            if stands {
                out.hang_up(replica);
            }
        }
    }

    /// Its connection ended by itself, and it is not wanted any more.
    pub fn ended(&mut self, replica: ReplicaIndex) {
        self.reaches[replica.index()].link = Link::Idle;
    }

    /// Who is sealed and fit.
    pub fn all_sealed(&self) -> ReplicaSet {
        self.with(|reach| matches!(reach.link, Link::Sealed))
    }

    /// Who can't become sealed and fit any more.
    pub fn all_unfit(&self) -> ReplicaSet {
        self.with(|reach| matches!(reach.link, Link::Unfit))
    }

    /// Sealed and torn.
    pub fn all_torn(&self) -> ReplicaSet {
        self.with(|reach| {
            matches!(reach.link, Link::Sealed)
                && reach.standing.as_ref().is_some_and(|seen| seen.torn)
        })
    }

    fn with(&self, holds: impl Fn(&Reach) -> bool) -> ReplicaSet {
        let indexed = self.reaches.iter().enumerate();
        indexed
            .filter(|(_, reach)| holds(reach))
            .map(|(index, _)| ReplicaIndex(index as u8))
            .collect()
    }

    /// What it was when it was sealed.
    pub fn standing(&self, replica: ReplicaIndex) -> Option<&Standing> {
        self.reaches[replica.index()].standing.as_ref()
    }

    /// Why these are not sealed, for people.
    pub fn explain(&self, missing: ReplicaSet) -> String {
        let mut lines = Vec::new();
        for replica in missing.iter() {
            let target = self.target(replica);
            let why = &self.reaches[replica.index()].why;
            lines.push(format!("{} on {}: {why}", target.replica, target.node));
        }
        lines.join("; ")
    }
}

/// Why a replica that was sealed is no source by the record; none: it is one.
///
/// Only an in-sync target is judged. Its own past must be at least what the record requires (A17): it was sealed for the
/// last session that was opened, or later, under the attempt under which it is in-sync, and it stored the membership
/// that it was told ([`why_behind`]). Never sealed is right only in a volume that was never open.
fn unfit(identity: &Identity, target: &Target, standing: &Standing) -> Option<String> {
    if let Some(why) = &standing.failed {
        return Some(format!("it failed in this boot: {why}"));
    }
    if !target.in_sync {
        return None;
    }
    why_behind(
        standing,
        identity.opened_epoch,
        target.attempt,
        target.stored_m,
    )
}

/// Why an in-sync replica's own past is less than the record requires; none: it is enough (docs/protocol.md, A17).
///
/// Judged before it is sealed: a seal raises what it is judged by. `opened_epoch`: of the last session that was open, or
/// of the last settle; `in_sync`: the attempt under which it is in-sync; `stored_m`: the membership number that it had
/// stored.
pub fn why_behind(
    standing: &Standing,
    opened_epoch: Epoch,
    in_sync: Attempt,
    stored_m: Membership,
) -> Option<String> {
    let (epoch, attempt) = standing.sealed_before;
    if epoch < opened_epoch {
        return Some(format!(
            "its last epoch {epoch} is older than {opened_epoch}, the last that was open or settled"
        ));
    }
    if epoch > 0 && attempt != in_sync {
        return Some(format!("its attempt was {attempt}, in-sync is {in_sync}"));
    }
    if standing.m < stored_m {
        return Some(format!(
            "its membership number {} is older than {stored_m}, which it had stored",
            standing.m
        ));
    }
    None
}
