//! Engines and copiers in the world: their effects carried out, their asks brought to the record.

use std::collections::{BTreeMap, VecDeque};

use shorthorn_core::engine::{
    ClientAnswer, ClientError, ClientId, ClientOp, ClientRequest, Effect, Engine, Event,
};
use shorthorn_core::{Nanos, ReplicaIndex, copier};
use shorthorn_wire::BLOCK_BYTES;
use shorthorn_wire::agent::{Answer, Ask, CopyOrder, CopyWork, SessionOrder};
use shorthorn_wire::message::{Document, Reply, Request, Tag};

use super::node::{Node, content_of, value_of};
use super::record::{Committed, Phase};
use super::{BLOCKS, Calling, Violation, World};

const BLOCK: u64 = BLOCK_BYTES as u64;

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
    pub reaches: BTreeMap<usize, Reach>,
    pub wake: Option<Nanos>,
    /// On their way to the record.
    pub asks: VecDeque<(u64, Ask)>,
    /// On their way back.
    pub answers: VecDeque<(u64, Answer)>,
    /// The document to tell a copier.
    pub committed: Option<Document>,
    pub serving: bool,
    pub closing: bool,
    /// It does not run before then.
    pub paused: Nanos,
    /// Told by the seals: for each replica whether it is torn.
    torn: BTreeMap<usize, bool>,
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
            grant_ms: 200,
            silence_ms: 5000,
            close_ms: 3000,
            space_wait_ms: None,
            strict_reads: false,
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
            committed: None,
            serving: false,
            closing: false,
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
        for node in actor.reaches.keys() {
            self.drop_link(id, *node);
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

    /// Clients of an engine get no answers any more.
    fn abandon_clients(&mut self, actor: u64) {
        for index in 0..self.clients.len() {
            let Some(calling) = self.clients[index].take_if(|calling| calling.actor == actor)
            else {
                continue;
            };
            if matches!(calling.kind, ClientOp::Read | ClientOp::Flush) {
                for block in &calling.blocks {
                    self.register(*block).forget(calling.op);
                }
            }
        }
    }

    fn register(&mut self, block: u64) -> &mut super::Register {
        self.registers.get_mut(&block).expect("a known block")
    }

    pub(super) fn linked(&mut self, actor: u64, node: usize, link: u64) {
        if let Some(actor) = self.actors.get_mut(&actor) {
            actor.reaches.insert(node, Reach::Linked(link));
        }
    }

    pub(super) fn unlinked(&mut self, actor: u64, node: usize) {
        if let Some(actor) = self.actors.get_mut(&actor) {
            actor.reaches.remove(&node);
        }
    }

    pub(super) fn tell_link(
        &mut self,
        actor: u64,
        replica: ReplicaIndex,
        up: bool,
    ) -> Result<(), Violation> {
        let why = "nobody listens".to_owned();
        if !up {
            self.unlinked(actor, replica.index());
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
        node: usize,
        tag: Tag,
        reply: Reply,
    ) -> Result<(), Violation> {
        let replica = ReplicaIndex(node as u8);
        if let (Reply::Standing(standing), Some(known)) = (&reply, self.actors.get_mut(&actor)) {
            known.torn.insert(node, standing.torn);
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
            } => self.send(id, replica, tag, request),
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
            Effect::Status(_) => {}
            Effect::Exit { clean, why } => {
                let epoch = actor.epoch;
                self.note(format!("engine {epoch} exits, clean {clean}: {why}"));
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
            self.copier_effect(id, &work, effect);
        }
        Ok(())
    }

    fn copier_effect(&mut self, id: u64, work: &CopyWork, effect: copier::Effect) {
        let Some(actor) = self.actors.get_mut(&id) else {
            return;
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
                self.send(id, replica, tag, request);
            }
            copier::Effect::Ready { .. } => {
                let epoch = actor.epoch;
                let attempt = match work {
                    CopyWork::Settle => 0,
                    CopyWork::Move { target, .. } => {
                        let index: usize = target[1..].parse().expect("r and a number");
                        self.record.replicas[index].attempt
                    }
                };
                match self.record.copied(epoch, attempt, work) {
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
    }

    fn dial(&mut self, id: u64, replica: ReplicaIndex) {
        if let Some(actor) = self.actors.get_mut(&id) {
            let before = actor.reaches.insert(replica.index(), Reach::Dialling);
            assert_eq!(before, None, "a dial beside a connection");
        }
    }

    fn hang_up(&mut self, id: u64, replica: ReplicaIndex) {
        self.drop_link(id, replica.index());
        self.unlinked(id, replica.index());
    }

    fn send(&mut self, id: u64, replica: ReplicaIndex, tag: Tag, request: Request) {
        let reach = self
            .actors
            .get(&id)
            .and_then(|actor| actor.reaches.get(&replica.index()));
        let Some(Reach::Linked(link)) = reach else {
            panic!("{request:?} is sent to {replica:?}, which is not connected");
        };
        if let Some(link) = self.links.get_mut(link) {
            link.requests.push_back((tag, request));
        }
    }

    /// An ask reaches the record; its answer may get lost.
    pub(super) fn bring_ask(&mut self, id: u64) -> Result<(), Violation> {
        let lost = self.chance(8);
        let early = self.chance(2);
        let Some(actor) = self.actors.get_mut(&id) else {
            return Ok(());
        };
        let Some((ask_id, ask)) = actor.asks.pop_front() else {
            return Ok(());
        };
        let unknown = Answer::Unknown {
            why: "control is away".to_owned(),
        };
        if lost && early {
            actor.answers.push_back((ask_id, unknown));
            return Ok(());
        }
        let (answer, committed) = self.record.ask(&ask);
        let answer = if lost { unknown } else { answer };
        actor.answers.push_back((ask_id, answer));
        if committed != Committed::Nothing {
            self.note(format!("{ask:?} is committed"));
        }
        self.committed(committed)
    }

    fn committed(&mut self, committed: Committed) -> Result<(), Violation> {
        match committed {
            Committed::Opened { broken } => {
                self.stats.opened += 1;
                self.stats.broken += usize::from(broken);
                let awaited = self
                    .clients
                    .iter()
                    .flatten()
                    .map(|calling| calling.op)
                    .collect();
                for block in BLOCKS {
                    self.register(block).opened(broken, &awaited);
                    self.judge(block, || "nothing fits at open".to_owned())?;
                }
            }
            Committed::Closed { clean: true } => {
                self.stats.clean += 1;
                self.check_settled()?;
            }
            Committed::Lost => self.stats.left += 1,
            Committed::Closed { clean: false } | Committed::Nothing => {}
        }
        Ok(())
    }

    /// Settled: all in-sync replicas are equal, on disk, without marks. Rot is not the protocol's.
    fn check_settled(&self) -> Result<(), Violation> {
        let values = |node: &Node| -> Vec<(u64, u64)> {
            let cells = node.disk.iter();
            cells.map(|(block, cell)| (*block, cell.value)).collect()
        };
        let members = self.record.in_sync();
        let first = &self.nodes[members[0]];
        for index in &members {
            let node = &self.nodes[*index];
            if values(node) != values(first) {
                let why = format!("settled, but {} differs from {}", node.name, first.name);
                return Err(Violation(why));
            }
            if !node.marks.is_empty() {
                return Err(Violation(format!("settled, but {} has marks", node.name)));
            }
        }
        Ok(())
    }

    /// A client that waits for nothing asks the engine that serves.
    pub(super) fn call(&mut self, client: usize) -> Result<(), Violation> {
        let serving = self.actors.iter().filter(|(_, actor)| actor.serving);
        let serving: Vec<(u64, u64)> = serving.map(|(id, actor)| (*id, actor.epoch)).collect();
        if serving.is_empty() || self.clients[client].is_some() {
            return Ok(());
        }
        let (actor, epoch) = *self.rng.pick(&serving);
        // An engine whose time is over can do nothing any more: its writes are not even possible.
        let over = epoch < self.record.opened_epoch;
        let start = self.rng.below(self.chances.hot);
        let first = BLOCKS[start];
        let next = BLOCKS.get(start + 1).filter(|next| **next == first + 1);
        let mut blocks: Vec<u64> = vec![first];
        if self.rng.one_in(3) {
            blocks.extend(next);
        }
        let op = self.id();
        let fua = self.rng.one_in(6);
        let kind = match self.rng.below(10) {
            0..4 => ClientOp::Read,
            4..8 => ClientOp::Write {
                data: blocks
                    .iter()
                    .flat_map(|_| content_of(op).to_vec())
                    .collect::<Vec<u8>>()
                    .into(),
                fua,
            },
            8 => ClientOp::Zero { punch: true, fua },
            _ => ClientOp::Flush,
        };
        if matches!(kind, ClientOp::Flush) {
            blocks = BLOCKS.to_vec();
        }
        for block in blocks.clone() {
            match kind {
                ClientOp::Write { .. } | ClientOp::Zero { .. } if over => {}
                ClientOp::Write { .. } => self.register(block).write(op, op),
                ClientOp::Zero { .. } => self.register(block).write(op, 0),
                ClientOp::Flush => self.register(block).flush(op),
                _ => self.register(block).look(op),
            }
        }
        let request = ClientRequest {
            offset: first * BLOCK,
            length: blocks.len() as u64 * BLOCK,
            op: kind.clone(),
        };
        let shown = match kind {
            ClientOp::Read => "read",
            ClientOp::Write { fua: true, .. } => "write, on disk,",
            ClientOp::Write { .. } => "write",
            ClientOp::Zero { .. } => "zero",
            _ => "flush",
        };
        self.note(format!("client {client} calls {op}: {shown} {blocks:?}"));
        self.clients[client] = Some(Calling {
            op,
            actor,
            blocks,
            kind,
        });
        let event = Event::Client {
            client: ClientId(client as u64),
            cookie: op,
            request,
        };
        self.engine(actor, event)
    }

    fn answer(
        &mut self,
        client: ClientId,
        cookie: u64,
        result: Result<ClientAnswer, ClientError>,
    ) -> Result<(), Violation> {
        let place = &mut self.clients[client.0 as usize];
        let Some(calling) = place.take_if(|calling| calling.op == cookie) else {
            return Ok(());
        };
        let Calling {
            op, blocks, kind, ..
        } = calling;
        let shown = match &result {
            Ok(ClientAnswer::Data(data)) => {
                let values = data.chunks_exact(BLOCK as usize).map(value_of);
                format!("{:?}", values.collect::<Vec<_>>())
            }
            other => format!("{other:?}"),
        };
        self.note(format!("{op} is answered: {shown}"));
        match result {
            Err(ClientError::NoSpace) => self.stats.no_space += 1,
            Err(ClientError::Io) => self.stats.io_errors += 1,
            Err(_) => {}
            Ok(_) => match kind {
                ClientOp::Flush => self.stats.flushes += 1,
                ClientOp::Read => self.stats.reads += 1,
                _ => self.stats.writes += 1,
            },
        }
        for (index, block) in blocks.iter().enumerate() {
            let possible = self.possible(*block);
            let register = self.register(*block);
            match (&kind, &result) {
                (ClientOp::Read, Ok(ClientAnswer::Data(data))) => {
                    self.stats.reads_beside_fence += usize::from(self.fence.is_some());
                    let register = self.registers.get_mut(block).expect("a known block");
                    let at = index * BLOCK as usize;
                    let value = value_of(&data[at..at + BLOCK as usize]);
                    register.read(op, value);
                    self.judge(*block, || {
                        format!("read {op} returned {value}, possible were {possible:?}")
                    })?;
                }
                (ClientOp::Read | ClientOp::Flush, Err(_)) => register.forget(op),
                (ClientOp::Flush, Ok(_)) => register.flushed(op),
                (ClientOp::Write { fua, .. } | ClientOp::Zero { fua, .. }, Ok(_)) => {
                    register.written(op, *fua);
                    self.judge(*block, || format!("write {op} was answered, and can't be"))?;
                }
                (_, Err(_)) => {
                    register.refused(op);
                    self.judge(*block, || format!("write {op} failed, and was seen"))?;
                }
                (_, Ok(_)) => {}
            }
        }
        Ok(())
    }
}
