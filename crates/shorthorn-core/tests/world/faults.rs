//! What goes wrong: programs and nodes die, stand still or are cut off, disks fail and fill up.

use shorthorn_core::Nanos;
use shorthorn_core::engine::Event;
use shorthorn_wire::message::Role;

use super::actors::Machine;
use super::node::{Cell, Node};
use super::rng::Rng;
use super::{Actor, BLOCKS, Violation, World};

impl World {
    pub(super) fn faults(&mut self) -> Result<(), Violation> {
        let node = self.rng.below(self.nodes.len());
        let restarts = if self.quiet { 5 } else { 60 };
        if self.nodes[node].replica.is_none() && self.rng.one_in(restarts) {
            self.note(format!("replica program of n{node} starts"));
            self.nodes[node].start();
        }
        if self.nodes[node].full && self.rng.one_in(40) {
            self.nodes[node].full = false;
        }
        if self.quiet {
            if self.nodes[node].has_failed() {
                self.lose_power(node);
            }
            return Ok(());
        }
        self.deaths(node);
        self.disks(node);
        self.network(node);
        if self.chance(self.chances.lie) {
            self.lie(node)?;
        }
        if self.chance(self.chances.agent_link) {
            return self.agent_link();
        }
        if self.chance(20) {
            return self.bring_orphan();
        }
        Ok(())
    }

    fn deaths(&mut self, node: usize) {
        if self.chance(self.chances.replica_dies) && self.nodes[node].replica.is_some() {
            self.note(format!("replica program of n{node} dies"));
            self.nodes[node].kill();
            self.drop_links_of_node(node);
        }
        if self.chance(self.chances.power) {
            self.lose_power(node);
        }
        if self.chance(self.chances.engine_dies) {
            for id in self.actors_where(|actor| matches!(actor.machine, Machine::Engine(_))) {
                self.note("the engine dies".to_owned());
                self.remove_actor(id);
            }
        }
        if self.chance(self.chances.copier_dies) {
            for id in self.actors_where(|actor| matches!(actor.machine, Machine::Copier(..))) {
                self.note("the copier dies".to_owned());
                self.remove_actor(id);
            }
        }
    }

    pub(super) fn lose_power(&mut self, node: usize) {
        self.note(format!("n{node} loses power"));
        let mut rng = Rng::new(self.rng.next());
        self.nodes[node].lose_power(&mut rng);
        self.drop_links_of_node(node);
        for id in self.actors_where(|actor| actor.node == node) {
            self.remove_actor(id);
        }
    }

    fn disks(&mut self, node: usize) {
        if self.chance(self.chances.full) {
            self.note(format!("n{node} is full"));
            self.nodes[node].full = true;
        }
        if self.chance(self.chances.all_full) {
            self.note("all are full".to_owned());
            for node in &mut self.nodes {
                node.full = true;
            }
        }
        if self.chance(self.chances.sync_fails) {
            self.note(format!("the next sync of n{node} fails"));
            self.nodes[node].sync_fails = true;
        }
        if self.chance(self.chances.rot) {
            self.rot(node);
        }
        self.images(node);
    }

    /// Disks are copied, and old copies put back; never those of all replicas that the record counts on.
    fn images(&mut self, node: usize) {
        if self.chance(self.chances.rewind / 4) {
            self.nodes[node].copy_disk();
        }
        let members = self.record.in_sync();
        if !self.chance(self.chances.rewind) || members.len() < 2 || self.rewound > 0 {
            return;
        }
        let mut rng = Rng::new(self.rng.next());
        if self.nodes[node].rewind(self.record.opened_epoch, &mut rng) {
            self.rewound += 1;
            self.note(format!("the disk of n{node} goes back in time"));
            self.drop_links_of_node(node);
            for id in self.actors_where(|actor| actor.node == node) {
                self.remove_actor(id);
            }
        }
    }

    fn network(&mut self, node: usize) {
        if self.chance(self.chances.cut) && !self.links.is_empty() {
            let all: Vec<u64> = self.links.keys().copied().collect();
            let id = *self.rng.pick(&all);
            let to = self.links[&id].node;
            self.note(format!("a connection to n{to} breaks"));
            self.cut_link(id);
        }
        if self.chance(self.chances.partition) {
            let until = self.a_while();
            let all = 0..self.nodes.len();
            let others = if self.rng.one_in(3) {
                all.collect()
            } else {
                vec![self.rng.below(self.nodes.len())]
            };
            for other in others.into_iter().filter(|other| *other != node) {
                self.note(format!("n{node} and n{other} are cut off until {until:?}"));
                self.cuts.insert((node, other), until);
                self.cuts.insert((other, node), until);
            }
        }
        if self.chance(self.chances.away) {
            self.away[node] = self.a_while();
            self.note(format!("n{node} can't reach control"));
        }
        if self.chance(self.chances.sleep) {
            self.asleep[node] = self.a_while();
            let until = self.asleep[node];
            self.note(format!("n{node} stands still until {until:?}"));
        }
    }

    fn a_while(&mut self) -> Nanos {
        let longest = self.chances.outage_ms * 1_000_000;
        self.now + Nanos(self.rng.next() % longest)
    }

    /// The links of programs to their agents end, and stand again.
    fn agent_link(&mut self) -> Result<(), Violation> {
        for id in self.actors_where(|_| true) {
            let latest = self.actors.get(&id).map(|actor| actor.node);
            let latest = latest.map(|node| (self.record.targets(node), self.record.document()));
            if let Some(actor) = self.actors.get_mut(&id) {
                for (_, ask) in actor.asks.drain(..) {
                    if self.rng.one_in(3) {
                        self.orphans.push(ask);
                    }
                }
                actor.answers.clear();
                actor.targets.clear();
                actor.targets.extend(latest);
            }
            self.engine(id, Event::AgentConnected)?;
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

    /// A node's replica is a new, empty one.
    pub(super) fn place(&mut self, node: usize) {
        let id = self.id();
        let name = format!("r{node}g{id}");
        self.note(format!("{name} is placed"));
        self.stats.placed += 1;
        self.record.place(node, name.clone());
        self.drop_links_of_node(node);
        let boot = self.nodes[node].boot();
        self.nodes[node] = Node::new(name, &self.record.document(), 1, Role::Syncing);
        self.nodes[node].set_boot(boot);
    }

    pub(super) fn actors_where(&self, holds: impl Fn(&Actor) -> bool) -> Vec<u64> {
        let found = self.actors.iter().filter(|(_, actor)| holds(actor));
        found.map(|(id, _)| *id).collect()
    }

    /// All faults are over: what is down starts, what was cut stands.
    pub(super) fn relieve(&mut self) {
        self.note("faults are over".to_owned());
        self.quiet = true;
        self.cuts.clear();
        self.asleep.fill(Nanos(0));
        self.away.fill(Nanos(0));
        for actor in self.actors.values_mut() {
            actor.paused = Nanos(0);
        }
        for node in 0..self.nodes.len() {
            self.nodes[node].sync_fails = false;
            self.nodes[node].full = false;
        }
    }
}
