//! A whole small cluster in one process: real engines, copiers and replicas, joined by a network, disks and a record that
//! a seed plays with. Messages are delivered in any order between connections and may come long after their sender died;
//! programs die, nodes lose power, disks fill up and fail. What clients see is judged by [`monitor`].

#![allow(dead_code, reason = "each test file uses a part of it")]

mod actors;
mod fence;
pub mod monitor;
mod network;
pub mod node;
pub mod record;
pub mod rng;
mod run;

pub use run::run_seeds;

use std::collections::BTreeMap;

use shorthorn_core::Nanos;
use shorthorn_core::engine::ClientOp;
use shorthorn_wire::message::Role;

use actors::Actor;
use monitor::{Op, Register, Value};
use network::Link;
use node::Node;
use record::{Record, Recorded};
use rng::Rng;

/// Two regions and a bit.
const SIZE: u64 = (2 << 20) + (64 << 10);
/// Blocks that clients use: neighbours, and the seam between regions.
const BLOCKS: [u64; 5] = [0, 1, 255, 256, 257];

/// What may happen, each once in so many steps; 0: never.
#[derive(Clone, Debug)]
pub struct Chances {
    pub nodes: usize,
    /// The last so many nodes hold no in-sync replica at first.
    pub spare: usize,
    pub clients: usize,
    pub steps: usize,
    pub engine_dies: usize,
    pub replica_dies: usize,
    pub power: usize,
    pub close: usize,
    pub leave: usize,
    pub full: usize,
    pub sync_fails: usize,
    pub rot: usize,
    pub copier_dies: usize,
    /// A message of a dead sender is delivered.
    pub late: usize,
    pub agent_link: usize,
    /// A session is fenced; its engine may live on.
    pub fence: usize,
    /// Clients use only so many of the blocks.
    pub hot: usize,
}

impl Default for Chances {
    fn default() -> Self {
        Self {
            nodes: 3,
            spare: 0,
            clients: 4,
            steps: 3000,
            engine_dies: 250,
            replica_dies: 700,
            power: 500,
            close: 300,
            leave: 0,
            full: 0,
            sync_fails: 0,
            rot: 0,
            copier_dies: 200,
            late: 40,
            agent_link: 200,
            fence: 0,
            hot: BLOCKS.len(),
        }
    }
}

/// What a client waits for.
#[derive(Clone, Debug)]
pub struct Calling {
    op: Op,
    /// Who was asked.
    actor: u64,
    blocks: Vec<u64>,
    kind: ClientOp,
}

pub struct World {
    pub rng: Rng,
    pub chances: Chances,
    pub now: Nanos,
    pub record: Record,
    pub nodes: Vec<Node>,
    actors: BTreeMap<u64, Actor>,
    links: BTreeMap<u64, Link>,
    registers: BTreeMap<u64, Register>,
    clients: Vec<Option<Calling>>,
    fence: Option<fence::Fence>,
    last_id: u64,
    pub trace: Vec<String>,
    pub stats: Stats,
}

/// What a run has seen: a world in which nothing happens proves nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    pub opened: usize,
    pub broken: usize,
    pub clean: usize,
    pub reads: usize,
    pub writes: usize,
    pub flushes: usize,
    pub no_space: usize,
    pub io_errors: usize,
    pub settled: usize,
    pub moved: usize,
    pub left: usize,
    pub late: usize,
    pub fenced: usize,
    /// Reads that an engine answered while its fence was under way.
    pub reads_beside_fence: usize,
}

impl Stats {
    pub fn add(&mut self, other: Self) {
        self.opened += other.opened;
        self.broken += other.broken;
        self.clean += other.clean;
        self.reads += other.reads;
        self.writes += other.writes;
        self.flushes += other.flushes;
        self.no_space += other.no_space;
        self.io_errors += other.io_errors;
        self.settled += other.settled;
        self.moved += other.moved;
        self.left += other.left;
        self.late += other.late;
        self.fenced += other.fenced;
        self.reads_beside_fence += other.reads_beside_fence;
    }
}

/// What must never happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(pub String);

impl World {
    pub fn new(seed: u64, chances: Chances) -> Self {
        let members = chances.nodes - chances.spare;
        let replicas = (0..chances.nodes).map(|index| Recorded {
            in_sync: index < members,
            attempt: 1,
            stored_m: 0,
        });
        let record = Record {
            epoch: 0,
            opened_epoch: 0,
            m: 1,
            version: 1,
            settled: true,
            replicas: replicas.collect(),
            session: None,
            size: SIZE,
        };
        let document = record.document();
        let role = |index| {
            if index < members {
                Role::Member
            } else {
                Role::Syncing
            }
        };
        let nodes = (0..chances.nodes).map(|index| Node::new(index, &document, 1, role(index)));
        Self {
            rng: Rng::new(seed),
            now: Nanos(1),
            nodes: nodes.collect(),
            actors: BTreeMap::new(),
            links: BTreeMap::new(),
            registers: BLOCKS
                .iter()
                .map(|block| (*block, Register::new()))
                .collect(),
            clients: vec![None; chances.clients],
            fence: None,
            last_id: 0,
            trace: Vec::new(),
            stats: Stats::default(),
            record,
            chances,
        }
    }

    fn id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn note(&mut self, line: String) {
        self.trace.push(line);
    }

    /// Once in so many times; never for 0.
    fn chance(&mut self, n: usize) -> bool {
        n > 0 && self.rng.one_in(n)
    }

    fn judge(&self, block: u64, what: impl FnOnce() -> String) -> Result<(), Violation> {
        if self.registers[&block].is_impossible() {
            return Err(Violation(format!("block {block}: {}", what())));
        }
        Ok(())
    }

    /// The values that a block may have, for messages.
    fn possible(&self, block: u64) -> Vec<Value> {
        self.registers[&block].values().into_iter().collect()
    }
}
