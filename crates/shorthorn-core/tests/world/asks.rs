//! Asks on their way to the record, answers and orders on their way back; what a commit means is judged at once.

use std::collections::BTreeSet;

use shorthorn_core::engine::Event;
use shorthorn_wire::agent::{Answer, Ask, Target};
use shorthorn_wire::message::Document;

use super::actors::Machine;
use super::node::Node;
use super::record::{Committed, Phase};
use super::{BLOCKS, Violation, World};

impl World {
    /// An ask reaches the record; its answer may get lost, and the ask may come again.
    pub(super) fn bring_ask(&mut self, id: u64) -> Result<(), Violation> {
        let lost = !self.quiet && self.rng.one_in(8);
        let early = self.rng.one_in(2);
        let twice = !self.quiet && self.rng.one_in(12);
        let late = self.rng.one_in(2);
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
            if late {
                self.orphans.push(ask);
            }
            return Ok(());
        }
        if twice {
            actor.asks.push_back((ask_id, ask.clone()));
        }
        let (answer, committed) = self.record.ask(&ask);
        let answer = if lost { unknown } else { answer };
        actor.answers.push_back((ask_id, answer.clone()));
        self.decided(&ask, &answer, committed)
    }

    /// An ask comes to the record, late: whoever asked does not wait for it any more.
    pub(super) fn bring_orphan(&mut self) -> Result<(), Violation> {
        if self.orphans.is_empty() {
            return Ok(());
        }
        let ask = self.orphans.swap_remove(self.rng.below(self.orphans.len()));
        let (answer, committed) = self.record.ask(&ask);
        if committed != Committed::Nothing {
            self.stats.orphans += 1;
        }
        self.decided(&ask, &answer, committed)
    }

    fn decided(&mut self, ask: &Ask, answer: &Answer, what: Committed) -> Result<(), Violation> {
        match (answer, &what) {
            (Answer::Refused { why }, _) => self.note(format!("{ask:?} is refused: {why}")),
            (_, Committed::Nothing) => {}
            _ => self.note(format!("{ask:?} is committed")),
        }
        self.committed(what)
    }

    /// The record has changed: the session's engine is told, later.
    pub(super) fn tell_targets(&mut self) {
        if self.told_version == self.record.version {
            return;
        }
        self.told_version = self.record.version;
        let Some((epoch, _)) = self.record.session else {
            return;
        };
        for actor in self.actors.values_mut() {
            if actor.epoch == epoch && matches!(actor.machine, Machine::Engine(_)) {
                let named = (self.record.targets(actor.node), self.record.document());
                actor.targets.push_back(named);
            }
        }
    }

    /// An engine hears of the record's replicas; sometimes twice.
    pub(super) fn bring_targets(&mut self, id: u64) -> Result<(), Violation> {
        let twice = self.rng.one_in(4);
        let Some(actor) = self.actors.get_mut(&id) else {
            return Ok(());
        };
        let known: Option<(Vec<Target>, Document)> = if twice {
            actor.targets.front().cloned()
        } else {
            actor.targets.pop_front()
        };
        match known {
            Some((targets, document)) => {
                // An agent of before this was told says none.
                let document = Some(document).filter(|_| !self.rng.one_in(4));
                self.engine(id, Event::Targets { targets, document })
            }
            None => Ok(()),
        }
    }

    /// "The engine's set contains the record's in-sync set at every moment" (docs/protocol.md, section 1).
    pub(super) fn check_needed(&self) -> Result<(), Violation> {
        let Some((epoch, Phase::Open | Phase::Closing { opened: true })) = self.record.session
        else {
            return Ok(());
        };
        for actor in self.actors.values().filter(|actor| actor.epoch == epoch) {
            let Machine::Engine(engine) = &actor.machine else {
                continue;
            };
            let needed: BTreeSet<String> = engine.needed().into_iter().collect();
            for index in self.record.in_sync() {
                let name = &self.record.replicas[index].name;
                if !needed.contains(name) {
                    let why = format!("{name} is in-sync, and engine {epoch} needs {needed:?}");
                    return Err(Violation(why));
                }
            }
        }
        Ok(())
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
            Committed::AttemptBroke => self.stats.broke += 1,
            Committed::Synced => self.stats.synced += 1,
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
        // One whose disk went back in time is found out at the next seal (A17).
        let mut members = self.record.in_sync();
        members.retain(|index| self.nodes[*index].sealed_epoch() >= self.record.opened_epoch);
        let Some(first) = members.first() else {
            return Ok(());
        };
        let first = &self.nodes[*first];
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
}
