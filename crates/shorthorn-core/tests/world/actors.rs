//! Engines and copiers in the world: their effects carried out, their asks brought to the record.

use std::collections::{BTreeMap, VecDeque};

use shorthorn_core::engine::{Effect, Engine, Event};
use shorthorn_core::{Nanos, ReplicaIndex, copier};
use shorthorn_wire::agent::{Answer, Ask, CopyOrder, CopyWork, SessionOrder, Target};
use shorthorn_wire::message::{Document, Reply, Request, Tag};

use super::record::Phase;
use super::{Violation, World};

/// An engine or a copier: a process.
pub enum Machine {
    Engine(Box<Engine>),
    Copier(Box<copier::Copier>, CopyWork),
}

/// A connection of an actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    Dialling,
    Linked(u64),
}

pub struct Actor {
    pub machine: Machine,
    pub node: usize,
    pub epoch: u64,
    pub reaches: BTreeMap<ReplicaIndex, Reach>,
    pub wake: Option<Nanos>,
    /// On their way to the record.
    pub asks: VecDeque<(u64, Ask)>,
    /// On their way back.
    pub answers: VecDeque<(u64, Answer)>,
    /// What an engine is to be told of the record's replicas, in order.
    pub targets: VecDeque<(Vec<Target>, Document)>,
    /// The document to tell a copier.
    pub committed: Option<Document>,
    pub serving: bool,
    pub closing: bool,
    /// The newest [`Effect::Status`].
    pub status: String,
    /// It does not run before then.
    pub paused: Nanos,
    /// Told by the seals: for each replica whether it is torn.
    torn: BTreeMap<ReplicaIndex, bool>,
}

impl World {
    /// Control: a session on a node.
    pub(super) fn start_session(&mut self, node: usize) -> Result<(), Violation> {
        self.record.epoch += 1;
        self.record.version += 1;
        self.record.session = Some((self.record.epoch, Phase::Opening));
        let order = SessionOrder {
            cluster: "c".to_owned(),
            volume: "v".to_owned(),
            name: "v1".to_owned(),
            epoch: self.record.epoch,
            opened_epoch: self.record.opened_epoch,
            settled: self.record.settled,
            read_only: false,
            targets: self.record.targets(node),
            document: self.record.document(),
            endpoint: "/v1.sock".to_owned(),
            agent: "/agent.sock".to_owned(),
            open_grace_ms: 300,
            open_grace_torn_ms: 600,
            grant_ms: self.chances.grant_ms,
            silence_ms: self.chances.silence_ms,
            close_ms: 3000,
            space_wait_ms: self.chances.space_wait_ms,
            strict_reads: self.chances.strict,
        };
        let id = self.id();
        let engine = Engine::new(order, format!("e{id}")).expect("the order is legal");
        self.add(id, node, Machine::Engine(Box::new(engine)));
        self.note(format!("session {} on n{node}", self.record.epoch));
        self.engine(id, Event::AgentConnected)?;
        self.engine(id, Event::Start)
    }

    /// Control: work without a session. The epoch is raised, so that every seal is a new one.
    pub(super) fn start_copier(&mut self, work: CopyWork) -> Result<(), Violation> {
        self.record.epoch += 1;
        self.record.version += 1;
        let node = self.rng.below(self.nodes.len());
        let order = CopyOrder {
            task: format!("t{}", self.record.epoch),
            cluster: "c".to_owned(),
            volume: "v".to_owned(),
            epoch: self.record.epoch,
            opened_epoch: self.record.opened_epoch,
            work: work.clone(),
            targets: self.record.targets(node),
            without: vec![],
            document: self.record.document(),
        };
        let id = self.id();
        let copier = copier::Copier::new(order, format!("k{id}")).expect("the order is legal");
        self.note(format!("copier {} {work:?}", self.record.epoch));
        self.add(id, node, Machine::Copier(Box::new(copier), work));
        self.copier(id, copier::Event::Start)
    }

    fn add(&mut self, id: u64, node: usize, machine: Machine) {
        let actor = Actor {
            machine,
            node,
            epoch: self.record.epoch,
            reaches: BTreeMap::new(),
            wake: None,
            asks: VecDeque::new(),
            answers: VecDeque::new(),
            targets: VecDeque::new(),
            committed: None,
            serving: false,
            closing: false,
            status: String::new(),
            paused: Nanos::default(),
            torn: BTreeMap::new(),
        };
        self.actors.insert(id, actor);
    }

    /// A process is gone, with all it knew.
    pub(super) fn remove_actor(&mut self, id: u64) {
        let Some(actor) = self.actors.remove(&id) else {
            return;
        };
        for replica in actor.reaches.keys() {
            self.drop_link(id, *replica);
        }
        // What its agent has taken of it may still come.
        for (_, ask) in actor.asks {
            if self.rng.one_in(3) {
                self.orphans.push(ask);
            }
        }
        self.abandon_clients(id);
        if matches!(actor.machine, Machine::Engine(_)) {
            // Its lock is free: evidence of its end.
            if self
                .record
                .session
                .is_some_and(|(epoch, _)| epoch == actor.epoch)
            {
                self.record.close(false);
                self.record.version += 1;
            }
        }
    }

    pub(super) fn linked(&mut self, actor: u64, replica: ReplicaIndex, link: u64) {
        if let Some(actor) = self.actors.get_mut(&actor) {
            actor.reaches.insert(replica, Reach::Linked(link));
        }
    }

    pub(super) fn unlinked(&mut self, actor: u64, replica: ReplicaIndex) {
        if let Some(actor) = self.actors.get_mut(&actor) {
            actor.reaches.remove(&replica);
        }
    }

    /// Where the replica is that an actor calls so: its name begins with r and the number of the node.
    pub(super) fn node_of(&self, actor: u64, replica: ReplicaIndex) -> usize {
        let name = match &self.actors[&actor].machine {
            Machine::Engine(engine) => &engine.target(replica).replica,
            Machine::Copier(copier, _) => &copier.target(replica).replica,
        };
        let digits = name[1..].split('g').next();
        let node = digits.and_then(|digits| digits.parse().ok());
        node.expect("r and a number")
    }

    /// It does nothing now.
    pub(super) fn sleeps(&self, actor: u64) -> bool {
        self.actors
            .get(&actor)
            .is_none_or(|actor| actor.paused > self.now || self.is_asleep(actor.node))
    }

    pub(super) fn tell_link(
        &mut self,
        actor: u64,
        replica: ReplicaIndex,
        up: bool,
    ) -> Result<(), Violation> {
        let why = "nobody listens".to_owned();
        if !up {
            self.unlinked(actor, replica);
        }
        match (self.is_engine(actor), up) {
            (true, true) => self.engine(actor, Event::Connected { replica }),
            (true, false) => self.engine(actor, Event::Unreachable { replica, why }),
            (false, true) => self.copier(actor, copier::Event::Connected { replica }),
            (false, false) => self.copier(actor, copier::Event::Unreachable { replica, why }),
        }
    }

    pub(super) fn end_of_link(
        &mut self,
        actor: u64,
        replica: ReplicaIndex,
    ) -> Result<(), Violation> {
        let why = "connection ended".to_owned();
        if self.is_engine(actor) {
            self.engine(actor, Event::Disconnected { replica, why })
        } else {
            self.copier(actor, copier::Event::Disconnected { replica, why })
        }
    }

    pub(super) fn reply(
        &mut self,
        actor: u64,
        replica: ReplicaIndex,
        tag: Tag,
        reply: Reply,
    ) -> Result<(), Violation> {
        if let (Reply::Standing(standing), Some(known)) = (&reply, self.actors.get_mut(&actor)) {
            known.torn.insert(replica, standing.torn);
        }
        if self.is_engine(actor) {
            self.engine(
                actor,
                Event::Reply {
                    replica,
                    tag,
                    reply,
                },
            )
        } else {
            self.copier(
                actor,
                copier::Event::Reply {
                    replica,
                    tag,
                    reply,
                },
            )
        }
    }

    pub(super) fn is_engine(&self, id: u64) -> bool {
        self.actors
            .get(&id)
            .is_some_and(|actor| matches!(actor.machine, Machine::Engine(_)))
    }

    /// The time of an actor's timer has come.
    pub(super) fn wake(&mut self, id: u64) -> Result<(), Violation> {
        if let Some(actor) = self.actors.get_mut(&id) {
            actor.wake = None;
        }
        if self.is_engine(id) {
            self.engine(id, Event::Timer)
        } else {
            self.copier(id, copier::Event::Timer)
        }
    }

    pub(super) fn engine(&mut self, id: u64, event: Event) -> Result<(), Violation> {
        let mut out = Vec::new();
        let now = self.now;
        match self.actors.get_mut(&id).map(|actor| &mut actor.machine) {
            Some(Machine::Engine(engine)) => engine.handle(now, event, &mut out),
            _ => return Ok(()),
        }
        for effect in out {
            self.engine_effect(id, effect)?;
        }
        Ok(())
    }

    fn engine_effect(&mut self, id: u64, effect: Effect) -> Result<(), Violation> {
        let Some(actor) = self.actors.get_mut(&id) else {
            return Ok(());
        };
        match effect {
            Effect::Dial { replica, .. } => self.dial(id, replica),
            Effect::HangUp { replica } => self.hang_up(id, replica),
            Effect::Send {
                replica,
                tag,
                request,
            } => return self.send(id, replica, tag, request),
            Effect::Answer {
                client,
                cookie,
                result,
            } => return self.answer(client, cookie, result),
            Effect::Ask { id, ask } => actor.asks.push_back((id, ask)),
            Effect::Serve { .. } => actor.serving = true,
            Effect::StopServing { break_clients } => {
                actor.serving = false;
                if break_clients {
                    self.abandon_clients(id);
                }
            }
            Effect::Status(status) => {
                actor.status = format!(
                    "{:?}, needs {:?}, waits for {:?}, {:?}",
                    status.phase, status.needed, status.waits_for, status.resyncs
                );
            }
            Effect::Exit { clean, why } => {
                let epoch = actor.epoch;
                self.note(format!("engine {epoch} exits, clean {clean}: {why}"));
                if clean && self.clients.iter().flatten().any(|call| call.actor == id) {
                    return Err(Violation(format!(
                        "engine {epoch} closes and owes an answer"
                    )));
                }
                self.remove_actor(id);
            }
            Effect::WakeAt(moment) => actor.wake = Some(moment),
        }
        Ok(())
    }

    pub(super) fn copier(&mut self, id: u64, event: copier::Event) -> Result<(), Violation> {
        let mut out = Vec::new();
        let now = self.now;
        let Some(actor) = self.actors.get_mut(&id) else {
            return Ok(());
        };
        let Machine::Copier(copier, work) = &mut actor.machine else {
            return Ok(());
        };
        copier.handle(now, event, &mut out);
        let work = work.clone();
        for effect in out {
            self.copier_effect(id, &work, effect)?;
        }
        Ok(())
    }

    fn copier_effect(
        &mut self,
        id: u64,
        work: &CopyWork,
        effect: copier::Effect,
    ) -> Result<(), Violation> {
        let Some(actor) = self.actors.get_mut(&id) else {
            return Ok(());
        };
        match effect {
            copier::Effect::Dial { replica, .. } => self.dial(id, replica),
            copier::Effect::HangUp { replica } => self.hang_up(id, replica),
            copier::Effect::Send {
                replica,
                tag,
                request,
            } => {
                let hashes = matches!(request, Request::Hash { .. });
                let torn = !actor.torn.is_empty() && actor.torn.values().all(|torn| *torn);
                if hashes && torn && *work == CopyWork::Settle {
                    // From here on unflushed writes may be gone; clients from before have let go of a detached volume.
                    for register in self.registers.values_mut() {
                        register.lose();
                    }
                }
                return self.send(id, replica, tag, request);
            }
            copier::Effect::Ready { .. } => {
                let epoch = actor.epoch;
                match self.record.copied(epoch, work) {
                    Some(document) => {
                        self.note(format!("copier {epoch} is committed"));
                        match work {
                            CopyWork::Settle => self.stats.settled += 1,
                            CopyWork::Move { .. } => self.stats.moved += 1,
                        }
                        if let Some(actor) = self.actors.get_mut(&id) {
                            actor.committed = Some(document);
                        }
                    }
                    None => self.remove_actor(id),
                }
            }
            copier::Effect::Progress { .. } => {}
            copier::Effect::Finished => self.remove_actor(id),
            copier::Effect::Failed { why } => {
                let epoch = actor.epoch;
                self.note(format!("copier {epoch} failed: {why}"));
                self.remove_actor(id);
            }
            copier::Effect::WakeAt(moment) => actor.wake = Some(moment),
        }
        Ok(())
    }

    fn dial(&mut self, id: u64, replica: ReplicaIndex) {
        if let Some(actor) = self.actors.get_mut(&id) {
            let before = actor.reaches.insert(replica, Reach::Dialling);
            assert_eq!(before, None, "a dial beside a connection");
        }
    }

    fn hang_up(&mut self, id: u64, replica: ReplicaIndex) {
        self.drop_link(id, replica);
        self.unlinked(id, replica);
    }

    fn send(
        &mut self,
        id: u64,
        replica: ReplicaIndex,
        tag: Tag,
        request: Request,
    ) -> Result<(), Violation> {
        let reach = self
            .actors
            .get(&id)
            .and_then(|actor| actor.reaches.get(&replica));
        let Some(Reach::Linked(link)) = reach else {
            panic!("{request:?} is sent to {replica:?}, which is not connected");
        };
        if let Some(link) = self.links.get_mut(link).filter(|link| !link.cut) {
            link.sends(tag, &request)?;
            link.requests.push_back((tag, request));
        }
        Ok(())
    }
}
