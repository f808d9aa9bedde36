//! What happens next.

use shorthorn_core::engine::Event;
use shorthorn_core::{Nanos, ReplicaIndex};
use shorthorn_wire::agent::CopyWork;

use super::actors::{Machine, Reach};
use super::record::Phase;
use super::{Chances, Stats, Violation, World};

/// The first seed that went wrong, with why, and what happened before.
pub type Wrong = (u64, Violation, Vec<String>);

/// Runs many seeds, each of which chooses its world. What was seen, or the first seed that went wrong.
pub fn run_worlds(
    seeds: std::ops::Range<u64>,
    chances: impl Fn(u64) -> Chances,
) -> Result<Stats, Wrong> {
    let mut stats = Stats::default();
    for seed in seeds {
        let mut world = World::new(seed, chances(seed));
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
    ToReplica(u64),
    ToActor(u64),
    Work(usize),
    Connect(u64, ReplicaIndex),
    Ask(u64),
    Answer(u64),
    Targets(u64),
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
        if self.chances.quiet {
            self.become_whole()?;
        }
        Ok(())
    }

    /// The next thing happens.
    pub(super) fn step(&mut self) -> Result<(), Violation> {
        let pace = self.chances.pace_ms * 1_000_000;
        let longest = if self.quiet { 200_000 } else { pace };
        self.now = self.now + Nanos(self.rng.next() % longest);
        self.faults()?;
        self.control()?;
        self.tell_targets();
        let mut next = self.possible_steps();
        if next.is_empty() {
            // Nothing moves before the next timer, or the end of an outage.
            let actors = self.actors.values();
            let wakes = actors.filter_map(|actor| {
                let until = self.asleep[actor.node].max(actor.paused);
                actor.wake.map(|wake| wake.max(until))
            });
            let moment = wakes.chain(self.next_relief()).min();
            // Not in one leap: programs start, and people do something, between two timers.
            let leap = self.now + Nanos::from_millis(if self.quiet { 10 } else { 1000 });
            self.now = moment.unwrap_or(leap).clamp(self.now, leap);
            next = self.possible_steps();
        }
        if next.is_empty() {
            return Ok(());
        }
        let chosen = *self.rng.pick(&next);
        self.take(chosen)?;
        if let Some(wrong) = self.nodes.iter_mut().find_map(|node| node.wrong.take()) {
            return Err(Violation(wrong));
        }
        self.check_needed()
    }

    fn take(&mut self, next: Next) -> Result<(), Violation> {
        match next {
            Next::ToReplica(link) => self.arrive_at_replica(link),
            Next::ToActor(link) => return self.arrive_at_actor(link),
            Next::Work(node) => {
                if let Some(done) = self.nodes[node].work() {
                    self.at_replica(node, done);
                }
            }
            Next::Connect(actor, replica) => return self.connect(actor, replica),
            Next::Ask(actor) => return self.bring_ask(actor),
            Next::Targets(actor) => return self.bring_targets(actor),
            Next::Answer(actor) => {
                let answers = self.actors.get_mut(&actor).map(|actor| &mut actor.answers);
                if let Some((id, answer)) = answers.and_then(|answers| answers.pop_front()) {
                    return self.engine(actor, Event::Answer { id, answer });
                }
            }
            Next::Commit(actor) => {
                let known = self.actors.get_mut(&actor);
                if let Some(document) = known.and_then(|known| known.committed.take()) {
                    let event = shorthorn_core::copier::Event::Committed { document };
                    return self.copier(actor, event);
                }
            }
            Next::Wake(actor) => return self.wake(actor),
            Next::Call(client) => return self.call(client),
        }
        Ok(())
    }

    fn possible_steps(&mut self) -> Vec<Next> {
        let mut next = Vec::new();
        for (id, link) in &self.links {
            let (there, back) = self.may_arrive(link);
            if there && (link.calls || self.rng.one_in(self.chances.late.max(1))) {
                next.push(Next::ToReplica(*id));
            }
            if back {
                next.push(Next::ToActor(*id));
            }
        }
        for (index, node) in self.nodes.iter().enumerate() {
            if !node.queue.is_empty() && !self.is_asleep(index) {
                next.push(Next::Work(index));
            }
        }
        for id in self.actors.keys().copied() {
            if !self.sleeps(id) {
                self.steps_of(id, &mut next);
            }
        }
        // Once faults are over, engines have time for their own work.
        let calls = !self.quiet || next.is_empty() || self.rng.one_in(4);
        let rarely = self.chances.calls > 1 && !self.quiet;
        let calls = calls && (!rarely || self.rng.one_in(self.chances.calls));
        if calls && self.actors.values().any(|actor| actor.serving) {
            for (index, client) in self.clients.iter().enumerate() {
                if client.is_none() {
                    next.push(Next::Call(index));
                }
            }
        }
        next
    }

    fn steps_of(&self, id: u64, next: &mut Vec<Next>) {
        let actor = &self.actors[&id];
        for (replica, reach) in &actor.reaches {
            if *reach == Reach::Dialling {
                next.push(Next::Connect(id, *replica));
            }
        }
        if actor.wake.is_some_and(|wake| wake <= self.now) {
            next.push(Next::Wake(id));
        }
        if self.away[actor.node] > self.now {
            return;
        }
        if !actor.asks.is_empty() {
            next.push(Next::Ask(id));
        }
        if !actor.answers.is_empty() {
            next.push(Next::Answer(id));
        }
        if !actor.targets.is_empty() {
            next.push(Next::Targets(id));
        }
        if actor.committed.is_some() {
            next.push(Next::Commit(id));
        }
    }

    /// What control and consumers do.
    fn control(&mut self) -> Result<(), Violation> {
        self.go_on_with_fence();
        self.replan();
        match self.record.session {
            Some((epoch, phase)) => self.control_session(epoch, phase),
            None => self.control_detached(),
        }
    }

    /// Planning places replicas, and gives syncing ones up.
    fn replan(&mut self) {
        let syncing = self.record.syncing();
        if self.chance(self.chances.give_up) && !syncing.is_empty() {
            let node = *self.rng.pick(&syncing);
            self.note(format!("the replica of n{node} is given up"));
            self.stats.given_up += 1;
            self.record.give_up(node);
        }
        let gone = |index: &usize| self.record.replicas[*index].leaving;
        if let Some(node) = syncing
            .into_iter()
            .find(gone)
            .filter(|_| self.rng.one_in(20))
        {
            self.record.give_up(node);
        }
        let node = self.rng.below(self.nodes.len());
        let free = !self.record.replicas[node].placed && self.nodes[node].replica.is_some();
        if free && self.chance(self.chances.place) {
            self.place(node);
        }
    }

    fn control_session(&mut self, epoch: u64, phase: Phase) -> Result<(), Violation> {
        let found = self.actors_where(|actor| {
            actor.epoch == epoch && matches!(actor.machine, Machine::Engine(_))
        });
        let Some(&id) = found.first() else {
            return Ok(());
        };
        let node = self.actors[&id].node;
        let reached = self.away[node] <= self.now && !self.is_asleep(node);
        let closing = self.actors[&id].closing;
        // Whoever waits for a broken session lets go of it in the end.
        let broken = self.quiet && self.actors[&id].status.starts_with("Broken");
        if reached
            && !closing
            && (self.chance(self.chances.close) || (broken && self.rng.one_in(50)))
        {
            return self.order_close(epoch);
        }
        if self.fence.is_none() && self.chance(self.chances.fence) {
            self.start_fence(epoch);
            let longest = 400_000_000;
            let until = self.now + Nanos(self.rng.next() % longest);
            if let Some(actor) = self.actors.get_mut(&id) {
                actor.paused = until;
            }
            return Ok(());
        }
        if reached && phase == Phase::Open && self.chance(self.chances.leave) {
            let members = self.record.in_sync();
            let index = *self.rng.pick(&members);
            self.record.replicas[index].leaving = true;
            let replica = self.record.replicas[index].name.clone();
            return self.engine(id, Event::Leave { replica });
        }
        Ok(())
    }

    fn control_detached(&mut self) -> Result<(), Violation> {
        if !self.rng.one_in(10) {
            return Ok(());
        }
        let copying = self
            .actors
            .values()
            .any(|actor| matches!(actor.machine, Machine::Copier(..)));
        if self.chances.held || self.quiet {
            let node = self.rng.below(self.nodes.len());
            return self.start_session(node);
        }
        let syncing = self.record.syncing();
        match self.rng.below(4) {
            0 if !self.record.settled && !copying => self.start_copier(CopyWork::Settle),
            1 if self.record.settled && !copying && !syncing.is_empty() => {
                let source = *self.rng.pick(&self.record.in_sync());
                let target = *self.rng.pick(&syncing);
                let name = |index: usize| self.record.replicas[index].name.clone();
                let (source, target) = (name(source), name(target));
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
