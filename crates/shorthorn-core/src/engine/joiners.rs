//! Syncing replicas of the session: reached, sealed and opened beside the members, attempt by attempt (docs/protocol.md, Resync,
//! "A connection is a membership"; B3, B14).
//!
//! What is copied is `resync`, what is mirrored is `mirror`, how one becomes a member is `join`.

use shorthorn_wire::agent::Ask;
use shorthorn_wire::message::{Attempt, Document, Open, Reply, Request, Role};

use super::Engine;
use super::api::Effect;
use super::crowded::Crowded;
use super::marks::Regions;
use super::work::Work;
use crate::calls::Key;
use crate::mutants::{self, Mutant};
use crate::post::{complaint, is_final};
use crate::sealer::Sealer;
use crate::{Nanos, ReplicaIndex, ReplicaSet};

/// First pause after an attempt that broke; doubles up to [`PAUSE_MAX`] (B14).
const PAUSE: Nanos = Nanos::from_millis(500);
const PAUSE_MAX: Nanos = Nanos::from_millis(30_000);
/// Nothing is journaled for one that can't be reached, so it may be looked for more often.
const DIAL_PAUSE_MAX: Nanos = Nanos::from_millis(5_000);
/// An attempt that lived so long was no flapping.
const LASTING: Nanos = Nanos::from_millis(60_000);
/// Where an attempt is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Pausing, or being dialled and sealed.
    Reaching,
    /// An attempt broke; the record is to say so before the next.
    Breaking,
    /// It is opened as syncing; changes are mirrored to it.
    Opening,
    /// Range by range it is made equal.
    Copying,
    /// It has everything and is needed: what was under way before that is decided.
    Settling,
    /// That becomes durable.
    Flushing,
    /// ReplicaSynced is asked.
    Asked,
    /// It is in-sync by the record; all store that.
    Telling,
}

/// A syncing replica.
#[derive(Debug)]
pub(super) struct Joiner {
    pub stage: Stage,
    /// After the next break.
    pause: Nanos,
    /// After the next dial that fails.
    dial_pause: Nanos,
    opened_at: Nanos,
    /// Regions that may differ from the members'.
    pub todo: Regions,
    /// Regions that may be marked on it.
    pub marked: Regions,
    /// Where the search for the next region begins.
    pub cursor: u64,
    /// Ranges under way.
    pub lanes: usize,
    /// Of these, the ones that wait for mirrored changes.
    pub waiting: Vec<Key>,
    /// Its disk was full, last time.
    pub crowded: Option<Crowded>,
    /// Bytes done, as told.
    pub shown: u64,
    /// Its attempt on the record's last list, while one is breaking.
    pub listed: Attempt,
    /// Why it does not go on, for people.
    pub why: Option<String>,
    /// The record's, when it listed this one or heard of its last attempt that broke. For this one only: the members were not
    /// told.
    document: Option<Document>,
}

impl Joiner {
    fn new(size: u64) -> Self {
        Self {
            stage: Stage::Reaching,
            pause: PAUSE,
            dial_pause: PAUSE,
            opened_at: Nanos::default(),
            todo: Regions::of(size),
            marked: Regions::of(size),
            cursor: 0,
            lanes: 0,
            waiting: Vec::new(),
            crowded: None,
            shown: 0,
            listed: 0,
            why: None,
            document: None,
        }
    }

    /// The record may count it as in-sync: it goes only by a removal.
    pub fn is_asked(&self) -> bool {
        matches!(self.stage, Stage::Asked | Stage::Telling)
    }

    /// It is copied to.
    pub fn copies(&self) -> bool {
        matches!(self.stage, Stage::Copying | Stage::Settling)
    }
}

impl Engine {
    pub(super) fn joiner(&self, replica: ReplicaIndex) -> Option<&Joiner> {
        self.joiners[replica.index()].as_deref()
    }

    pub(super) fn joiner_mut(&mut self, replica: ReplicaIndex) -> Option<&mut Joiner> {
        self.joiners[replica.index()].as_deref_mut()
    }

    /// All syncing replicas that the session works on.
    pub(super) fn all_joiners(&self) -> ReplicaSet {
        let indexed = self.joiners.iter().enumerate();
        let some = indexed.filter(|(_, joiner)| joiner.is_some());
        some.map(|(index, _)| ReplicaIndex(index as u8)).collect()
    }

    pub(super) fn add_joiner(&mut self, now: Nanos, replica: ReplicaIndex, pause: Nanos) {
        let mut joiner = Joiner::new(self.document.size);
        joiner.pause = pause.max(PAUSE);
        self.joiners[replica.index()] = Some(Box::new(joiner));
        self.sealer.want_at(now + pause, replica);
    }

    /// It is a member now, or is lost while it becomes one: the next pause is longer if that comes soon.
    pub(super) fn joiner_over(&mut self, now: Nanos, replica: ReplicaIndex) -> Option<Box<Joiner>> {
        let joiner = self.joiners[replica.index()].take()?;
        let pause = (joiner.pause + joiner.pause).min(PAUSE_MAX);
        self.joined[replica.index()] = Some((now, pause));
        Some(joiner)
    }

    /// How long one that was lost stays away.
    pub(super) fn rejoin_pause(&self, now: Nanos, replica: ReplicaIndex) -> Nanos {
        let joined = self.joined[replica.index()];
        let soon = joined.filter(|(since, _)| now - *since <= LASTING);
        soon.map_or(PAUSE, |(_, pause)| pause)
    }

    /// The record has this document, which names it.
    pub(super) fn hear_of(&mut self, replica: ReplicaIndex, document: &Document) {
        let known = self.document_for(replica);
        if (document.era, document.version) <= (known.era, known.version) {
            return;
        }
        if let Some(joiner) = self.joiner_mut(replica) {
            joiner.document = Some(document.clone());
        }
    }

    /// The newest that the engine knows: one that was placed since refuses what is older than itself.
    fn document_for(&self, replica: ReplicaIndex) -> Document {
        let version = |document: &Document| (document.era, document.version);
        let own = self
            .joiner(replica)
            .and_then(|joiner| joiner.document.as_ref());
        let newer = own.filter(|own| version(own) > version(&self.document));
        newer.unwrap_or(&self.document).clone()
    }

    /// Hello, probe and seal of a joiner: as when opening, but a refusal only breaks the attempt.
    pub(super) fn joiner_sealing(
        &mut self,
        now: Nanos,
        work: Option<Work>,
        replica: ReplicaIndex,
        reply: Reply,
        out: &mut Vec<Effect>,
    ) {
        let only = ReplicaSet::only(replica);
        match (work, reply) {
            (Some(Work::Hello), Reply::Done) => {
                self.call(now, Work::Probe, only, Sealer::probe(), out);
            }
            (Some(Work::Probe), Reply::Standing(standing)) => match standing.failed {
                Some(why) => {
                    let why = format!("it failed in this boot: {why}");
                    self.break_attempt(now, replica, &why, out);
                }
                None => {
                    let document = self.document_for(replica);
                    let seal = self.sealer.seal(replica, &document);
                    self.call(now, Work::Seal, only, seal, out);
                }
            },
            (Some(Work::Seal), Reply::Standing(standing)) => {
                let marks = standing.marks.clone();
                if self.sealer.sealed(replica, standing, out) {
                    self.open_joiner(now, replica, &marks, out);
                } else {
                    self.break_attempt(now, replica, "it failed in this boot", out);
                }
            }
            (_, reply) => {
                // This attempt can't be sealed any more, or not with this document (one that was placed since knows a newer
                // one): the record's answer brings the next.
                let over = is_final(&reply);
                self.stop_attempt(now, replica, &complaint(&reply), over, out);
            }
        }
    }

    /// It is sealed for this attempt: from the open on every change is mirrored to it.
    fn open_joiner(
        &mut self,
        now: Nanos,
        replica: ReplicaIndex,
        marks: &[shorthorn_wire::message::RegionRun],
        out: &mut Vec<Effect>,
    ) {
        let open = Open {
            epoch: self.order.epoch,
            attempt: self.sealer.target(replica).attempt,
            role: Role::Syncing,
            document: self.document_for(replica),
        };
        let Some(joiner) = self.joiner_mut(replica) else {
            return;
        };
        joiner.stage = Stage::Opening;
        joiner.opened_at = now;
        if !mutants::active(Mutant::EarlySynced) {
            joiner.todo.insert_everything();
        }
        joiner.marked.clear();
        for run in marks {
            joiner.marked.insert_run(*run);
        }
        (joiner.cursor, joiner.shown, joiner.why) = (0, 0, None);
        joiner.crowded = None;
        joiner.dial_pause = PAUSE;
        self.mirrors.insert(replica);
        let only = ReplicaSet::only(replica);
        self.call(now, Work::JoinOpen(replica), only, Request::Open(open), out);
        self.tell_status(out);
    }

    /// It has opened: the copying begins.
    pub(super) fn joiner_opened(
        &mut self,
        now: Nanos,
        replica: ReplicaIndex,
        out: &mut Vec<Effect>,
    ) {
        if self
            .joiner(replica)
            .is_some_and(|joiner| joiner.stage == Stage::Opening)
        {
            self.set_stage(replica, Stage::Copying);
            self.show_progress(now);
            self.tell_status(out);
            self.fill_lanes(now, replica, out);
        }
    }

    /// A dial failed: it is tried again after a pause.
    pub(super) fn joiner_unreachable(&mut self, now: Nanos, replica: ReplicaIndex, why: String) {
        let Some(joiner) = self.joiner_mut(replica) else {
            return;
        };
        let pause = joiner.dial_pause;
        joiner.dial_pause = (pause + pause).min(DIAL_PAUSE_MAX);
        joiner.why = Some(why);
        self.sealer.want_at(now + pause, replica);
    }

    /// A joiner failed before the record was asked to count it as in-sync.
    pub(super) fn break_attempt(
        &mut self,
        now: Nanos,
        replica: ReplicaIndex,
        why: &str,
        out: &mut Vec<Effect>,
    ) {
        let opened = self.mirrors.union(self.joining).contains(replica);
        self.stop_attempt(now, replica, why, opened, out);
    }

    /// `journaled`: the record has to hear of it, for the next is another attempt.
    fn stop_attempt(
        &mut self,
        now: Nanos,
        replica: ReplicaIndex,
        why: &str,
        journaled: bool,
        out: &mut Vec<Effect>,
    ) {
        self.set_stage(replica, Stage::Breaking);
        self.detach_joiner(now, replica, out);
        let target = self.sealer.target(replica);
        let ask = Ask::ReplicaLost {
            epoch: self.order.epoch,
            replica: target.replica.clone(),
            attempt: target.attempt,
            witness: String::new(),
            why: why.to_owned(),
        };
        let Some(joiner) = self.joiner_mut(replica) else {
            return;
        };
        joiner.why = Some(why.to_owned());
        if journaled {
            self.asks.ask(ask, out);
        } else {
            self.pause_joiner(now, replica);
        }
        self.tell_status(out);
    }

    /// The next attempt begins after a pause.
    fn pause_joiner(&mut self, now: Nanos, replica: ReplicaIndex) {
        let Some(joiner) = self.joiner_mut(replica) else {
            return;
        };
        if joiner.opened_at > Nanos::default() && now - joiner.opened_at > LASTING {
            joiner.pause = PAUSE;
        }
        let pause = joiner.pause;
        joiner.pause = (pause + pause).min(PAUSE_MAX);
        joiner.stage = Stage::Reaching;
        let seconds = pause.0.div_ceil(1_000_000_000);
        let why = joiner.why.take().unwrap_or_default();
        joiner.why = Some(format!("next attempt in {seconds} s: {why}"));
        self.sealer.want_at(now + pause, replica);
    }

    /// The record has heard of a broken attempt, or refuses to.
    pub(super) fn attempt_broken(
        &mut self,
        now: Nanos,
        replica: ReplicaIndex,
        attempt: u64,
        outcome: Result<Document, String>,
        out: &mut Vec<Effect>,
    ) {
        let breaking = self
            .joiner(replica)
            .is_some_and(|joiner| joiner.stage == Stage::Breaking);
        if !breaking || self.sealer.target(replica).attempt != attempt {
            return;
        }
        match outcome {
            Ok(document) => {
                self.sealer.set_syncing(replica, attempt + 1);
                if let Some(joiner) = self.joiner_mut(replica) {
                    joiner.document = Some(document);
                }
                self.pause_joiner(now, replica);
            }
            // It knows something else of it: what it listed last, or will list next.
            Err(_) => {
                let listed = self.joiner(replica).map_or(0, |joiner| joiner.listed);
                if listed > attempt {
                    self.sealer.set_syncing(replica, listed);
                    self.pause_joiner(now, replica);
                } else {
                    self.joiners[replica.index()] = None;
                }
            }
        }
        self.dial(now, out);
    }

    /// Nothing of this session goes to it any more; what waited only for it goes on.
    pub(super) fn detach_joiner(
        &mut self,
        now: Nanos,
        replica: ReplicaIndex,
        out: &mut Vec<Effect>,
    ) {
        self.sealer.hang_up(ReplicaSet::only(replica), out);
        self.mirrors.remove(replica);
        self.joining.remove(replica);
        self.untold.remove(replica);
        self.needed.remove(replica);
        self.pinging.remove(replica);
        self.end_lanes(now, replica, out);
        self.release(now, replica, out);
    }
}
