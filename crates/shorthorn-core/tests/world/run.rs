//! What happens next.

use shorthorn_core::Nanos;
use shorthorn_core::engine::Event;
use shorthorn_wire::agent::CopyWork;

use super::actors::{Machine, Reach};
use super::node::Cell;
use super::{BLOCKS, Chances, Stats, Violation, World};

/// Runs many seeds. What was seen, or the first seed that went wrong with why.
pub fn run_seeds(
    seeds: std::ops::Range<u64>,
    chances: &Chances,
) -> Result<Stats, (u64, Violation, Vec<String>)> {
    let mut stats = Stats::default();
    for seed in seeds {
        let mut world = World::new(seed, chances.clone());
        if let Err(violation) = world.run() {
            return Err((seed, violation, world.trace));
        }
        stats.add(world.stats);
    }
    Ok(stats)
}

/// One thing that can happen now.
#[derive(Clone, Copy, Debug)]
enum Next {
    Deliver(u64),
    Work(usize),
    Connect(u64, usize),
    Ask(u64),
    Answer(u64),
    Commit(u64),
    Wake(u64),
    Call(usize),
}

impl World {
    /// All steps of one seed.
    pub fn run(&mut self) -> Result<(), Violation> {
        for _ in 0..self.chances.steps {
            self.step()?;
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), Violation> {
        self.now = self.now + Nanos(self.rng.next() % 2_000_000);
        self.faults()?;
        self.control()?;
        let mut next = self.possible_steps();
        if next.is_empty() {
            // Nothing moves before the next timer.
            let wakes = self.actors.values().filter_map(|actor| actor.wake);
            if let Some(wake) = wakes.min() {
                self.now = self.now.max(wake);
            }
            next = self.possible_steps();
        }
        if next.is_empty() {
            return Ok(());
        }
        match *self.rng.pick(&next) {
            Next::Deliver(link) => self.deliver(link),
            Next::Work(node) => {
                if let Some(done) = self.nodes[node].work() {
                    self.at_replica(node, done);
                }
                Ok(())
            }
            Next::Connect(actor, node) => self.connect(actor, node),
            Next::Ask(actor) => self.bring_ask(actor),
            Next::Answer(actor) => {
                let answers = self.actors.get_mut(&actor).map(|actor| &mut actor.answers);
                match answers.and_then(|answers| answers.pop_front()) {
                    Some((id, answer)) => self.engine(actor, Event::Answer { id, answer }),
                    None => Ok(()),
                }
            }
            Next::Commit(actor) => {
                let known = self.actors.get_mut(&actor);
                match known.and_then(|known| known.committed.take()) {
                    Some(document) => {
                        let event = shorthorn_core::copier::Event::Committed { document };
                        self.copier(actor, event)
                    }
                    None => Ok(()),
                }
            }
            Next::Wake(actor) => self.wake(actor),
            Next::Call(client) => self.call(client),
        }
    }

    fn possible_steps(&mut self) -> Vec<Next> {
        let mut next = Vec::new();
        let now = self.now;
        let asleep = |actor: &u64| {
            self.actors
                .get(actor)
                .is_some_and(|actor| actor.paused > now)
        };
        for (id, link) in &self.links {
            let dead = !link.calls;
            if asleep(&link.actor) && link.requests.is_empty() {
                continue;
            }
            if !dead || self.rng.one_in(self.chances.late.max(1)) {
                let idle = link.requests.is_empty() && link.replies.is_empty();
                if !idle || dead || !link.serves {
                    next.push(Next::Deliver(*id));
                }
            }
        }
        for (index, node) in self.nodes.iter().enumerate() {
            if !node.queue.is_empty() {
                next.push(Next::Work(index));
            }
        }
        for (id, actor) in &self.actors {
            if actor.paused > now {
                continue;
            }
            for (node, reach) in &actor.reaches {
                if *reach == Reach::Dialling {
                    next.push(Next::Connect(*id, *node));
                }
            }
            if !actor.asks.is_empty() {
                next.push(Next::Ask(*id));
            }
            if !actor.answers.is_empty() {
                next.push(Next::Answer(*id));
            }
            if actor.committed.is_some() {
                next.push(Next::Commit(*id));
            }
            if actor.wake.is_some_and(|wake| wake <= self.now) {
                next.push(Next::Wake(*id));
            }
        }
        if self.actors.values().any(|actor| actor.serving) {
            for (index, client) in self.clients.iter().enumerate() {
                if client.is_none() {
                    next.push(Next::Call(index));
                }
            }
        }
        next
    }

    fn faults(&mut self) -> Result<(), Violation> {
        let chances = self.chances.clone();
        let node = self.rng.below(self.nodes.len());
        if self.chance(chances.replica_dies) && self.nodes[node].replica.is_some() {
            self.note(format!("replica program of n{node} dies"));
            self.nodes[node].kill();
            self.drop_links_of_node(node);
        }
        if self.chance(chances.power) {
            self.note(format!("n{node} loses power"));
            let mut rng = super::rng::Rng::new(self.rng.next());
            self.nodes[node].lose_power(&mut rng);
            self.drop_links_of_node(node);
            for id in self.actors_where(|actor| actor.node == node) {
                self.remove_actor(id);
            }
        }
        if self.nodes[node].replica.is_none() && self.rng.one_in(60) {
            self.nodes[node].start();
        }
        if self.chance(chances.engine_dies) {
            let engine = |actor: &super::Actor| matches!(actor.machine, Machine::Engine(_));
            for id in self.actors_where(engine) {
                self.note("the engine dies".to_owned());
                self.remove_actor(id);
            }
        }
        if self.chance(chances.copier_dies) {
            let copier = |actor: &super::Actor| matches!(actor.machine, Machine::Copier(..));
            for id in self.actors_where(copier) {
                self.note("the copier dies".to_owned());
                self.remove_actor(id);
            }
        }
        if self.nodes[node].full && self.rng.one_in(40) {
            self.nodes[node].full = false;
        } else if self.chance(chances.full) {
            self.nodes[node].full = true;
        }
        if self.chance(chances.sync_fails) {
            self.nodes[node].sync_fails = true;
        }
        if self.chance(chances.rot) {
            self.rot(node);
        }
        if self.chance(chances.agent_link) {
            for id in self.actors_where(|_| true) {
                if let Some(actor) = self.actors.get_mut(&id) {
                    actor.asks.clear();
                    actor.answers.clear();
                }
                self.engine(id, Event::AgentConnected)?;
            }
        }
        Ok(())
    }

    /// A checksum stops fitting, in cache and on disk.
    fn rot(&mut self, node: usize) {
        let block = BLOCKS[self.rng.below(BLOCKS.len())];
        let node = &mut self.nodes[node];
        for content in [&mut node.cache, &mut node.disk] {
            if let Some(cell) = content.get_mut(&block) {
                *cell = Cell { bad: true, ..*cell };
            }
        }
    }

    fn actors_where(&self, holds: impl Fn(&super::Actor) -> bool) -> Vec<u64> {
        let found = self.actors.iter().filter(|(_, actor)| holds(actor));
        found.map(|(id, _)| *id).collect()
    }

    /// What control and consumers do.
    fn control(&mut self) -> Result<(), Violation> {
        let chances = self.chances.clone();
        self.go_on_with_fence();
        if let Some((epoch, _)) = self.record.session {
            let found = self
                .actors
                .iter_mut()
                .find(|(_, actor)| actor.epoch == epoch);
            let Some((&id, actor)) = found else {
                return Ok(());
            };
            if chances.close > 0 && self.rng.one_in(chances.close) && !actor.closing {
                actor.closing = true;
                return self.engine(id, Event::Close);
            }
            if chances.fence > 0 && self.fence.is_none() && self.rng.one_in(chances.fence) {
                self.start_fence(epoch);
                if let Some(actor) = self.actors.get_mut(&id) {
                    actor.paused = self.now + Nanos(self.rng.next() % 400_000_000);
                }
                return Ok(());
            }
            if chances.leave > 0 && self.rng.one_in(chances.leave) {
                let members = self.record.in_sync();
                let replica = format!("r{}", self.rng.pick(&members));
                return self.engine(id, Event::Leave { replica });
            }
            return Ok(());
        }
        if !self.rng.one_in(10) {
            return Ok(());
        }
        let copying = self
            .actors
            .values()
            .any(|actor| matches!(actor.machine, Machine::Copier(..)));
        let spare: Vec<usize> = (0..self.nodes.len())
            .filter(|index| !self.record.replicas[*index].in_sync)
            .collect();
        match self.rng.below(4) {
            0 if !self.record.settled && !copying => self.start_copier(CopyWork::Settle),
            1 if self.record.settled && !copying && !spare.is_empty() => {
                let source = format!("r{}", self.rng.pick(&self.record.in_sync()));
                let target = format!("r{}", self.rng.pick(&spare));
                self.start_copier(CopyWork::Move { source, target })
            }
            // A session may come while a copier is at work.
            2 if !copying || self.rng.one_in(20) => {
                let node = self.rng.below(self.nodes.len());
                self.start_session(node)
            }
            _ => Ok(()),
        }
    }
}
