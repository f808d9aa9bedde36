//! A whole small cluster in one process: real engines, copiers and replicas, joined by a network, disks and a record that
//! a seed plays with. Messages are delivered in any order between connections and may come long after their sender died;
//! programs die, nodes lose power or stand still, networks are cut, disks fill up and fail. What clients see is judged by
//! [`monitor`]; in the end all faults stop, and everything must become whole again within a bound (`quiet`).

#![allow(dead_code, reason = "each test file uses a part of it")]

mod actors;
mod asks;
mod clients;
mod faults;
mod fence;
mod lies;
pub mod monitor;
mod named;
mod network;
pub mod node;
mod quiet;
pub mod record;
pub mod rng;
mod run;

#[allow(unused_imports, reason = "for those who hunt")]
pub use named::named;
pub use run::run_worlds;

use std::collections::BTreeMap;

use shorthorn_core::Nanos;
use shorthorn_core::engine::ClientOp;
use shorthorn_wire::agent::Ask;
use shorthorn_wire::message::Role;

use actors::Actor;
use monitor::{Op, Register, Value};
use network::Link;
use node::Node;
use record::{Record, Recorded};
use rng::Rng;

/// A region and a bit of a second one.
const SIZE: u64 = (1 << 20) + (64 << 10);
/// T.
const GRANT_MS: u64 = 200;
/// Blocks that clients use: neighbours, and the seam between regions.
const BLOCKS: [u64; 5] = [0, 1, 255, 256, 257];

/// What may happen, each once in so many steps; 0: never.
#[derive(Clone, Debug)]
pub struct Chances {
    pub nodes: usize,
    /// So many nodes hold no replica at first.
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
    /// A replica is told what it must refuse.
    pub lie: usize,
    /// Clients call only in one of so many steps.
    pub calls: usize,
    /// T of the sessions, where nobody is fenced.
    pub grant_ms: u64,
    /// The longest time of a step.
    pub pace_ms: u64,
    /// A disk goes back in time, once in a run.
    pub rewind: usize,
    pub copier_dies: usize,
    /// A message of a dead sender is delivered.
    pub late: usize,
    pub agent_link: usize,
    /// A session is fenced; its engine may live on.
    pub fence: usize,
    /// Clients use only so many of the blocks.
    pub hot: usize,
    /// So many nodes hold a syncing replica at first.
    pub syncing: usize,
    /// One connection breaks.
    pub cut: usize,
    /// Nothing comes through between two nodes, or from one to any other, for a while.
    pub partition: usize,
    /// A node can't reach control for a while.
    pub away: usize,
    /// All programs of a node stand still for a while.
    pub sleep: usize,
    /// Longest of those whiles.
    pub outage_ms: u64,
    /// All disks are full.
    pub all_full: usize,
    /// Planning gives a syncing replica up.
    pub give_up: usize,
    /// Planning places a new replica on a node that has none.
    pub place: usize,
    /// Sessions and copiers start only for work that is left: a session as soon as there is none.
    pub held: bool,
    pub silence_ms: u64,
    pub space_wait_ms: Option<u64>,
    pub strict: bool,
    /// In the end all faults stop, and everything becomes whole.
    pub quiet: bool,
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
            rewind: 0,
            lie: 0,
            calls: 1,
            grant_ms: GRANT_MS,
            pace_ms: 2,
            copier_dies: 200,
            late: 40,
            agent_link: 200,
            fence: 0,
            hot: BLOCKS.len(),
            syncing: 0,
            cut: 0,
            partition: 0,
            away: 0,
            sleep: 0,
            outage_ms: 400,
            all_full: 0,
            give_up: 0,
            place: 0,
            held: false,
            silence_ms: 5000,
            space_wait_ms: None,
            strict: false,
            quiet: false,
        }
    }
}

impl Chances {
    /// Sessions that live long, and lose replicas in every way; what exactly, and how often, the seed chooses.
    pub fn losses(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x5EED_0F0A_11C4_A05E);
        let mut often = |least: usize, most: usize| -> usize {
            if rng.one_in(3) {
                0
            } else {
                least + rng.below(most - least)
            }
        };
        Self {
            cut: often(80, 800),
            partition: often(150, 1000),
            away: often(150, 1000),
            sleep: often(300, 1500),
            outage_ms: [50, 400, 1000][often(1, 3)],
            replica_dies: often(150, 1500),
            engine_dies: often(600, 4000),
            power: often(400, 3000),
            sync_fails: often(500, 3000),
            full: often(200, 1500),
            all_full: often(400, 3000),
            rot: 0,
            rewind: 0,
            lie: 0,
            calls: 1,
            grant_ms: GRANT_MS,
            pace_ms: 2,
            agent_link: often(100, 800),
            fence: often(600, 3000),
            close: often(800, 4000),
            leave: often(300, 2000),
            give_up: often(200, 1500),
            place: often(100, 800),
            copier_dies: 200,
            late: 10 + often(1, 80),
            hot: 1 + often(1, BLOCKS.len()),
            nodes: 1 + rng.below(4),
            spare: 0,
            syncing: 0,
            clients: 1 + rng.below(5),
            steps: 3000,
            held: !rng.one_in(4),
            silence_ms: [60, 150, 400][rng.below(3)],
            space_wait_ms: [None, Some(0), Some(200)][rng.below(3)],
            strict: rng.one_in(4),
            quiet: true,
        }
        .with_some_syncing(&mut rng)
    }

    fn with_some_syncing(mut self, rng: &mut Rng) -> Self {
        self.syncing = rng.below(self.nodes);
        self.spare = rng.below(self.nodes - self.syncing);
        self
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
    /// Asks whose agent still brings them, while their engine is gone or asks again.
    orphans: Vec<Ask>,
    /// The version of the record that engines were, or will be, told.
    told_version: u64,
    /// From an actor's node to a replica's: nothing comes through before then.
    cuts: BTreeMap<(usize, usize), Nanos>,
    /// For each node: its programs do nothing before then.
    asleep: Vec<Nanos>,
    /// For each node: it can't reach control before then.
    away: Vec<Nanos>,
    /// Faults are over.
    pub quiet: bool,
    /// Disks that went back in time.
    rewound: usize,
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
    /// Attempts of syncing replicas that broke.
    pub broke: usize,
    /// Replicas that became in-sync in a session.
    pub synced: usize,
    /// Asks that came late, and were committed.
    pub orphans: usize,
    pub given_up: usize,
    pub placed: usize,
    pub calls_in_quiet: usize,
    pub writes_in_quiet: usize,
    /// The longest time from the last fault until everything was whole, milliseconds.
    pub whole_after_ms: u64,
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
        self.broke += other.broke;
        self.synced += other.synced;
        self.orphans += other.orphans;
        self.given_up += other.given_up;
        self.placed += other.placed;
        self.calls_in_quiet += other.calls_in_quiet;
        self.writes_in_quiet += other.writes_in_quiet;
        self.whole_after_ms = self.whole_after_ms.max(other.whole_after_ms);
    }
}

/// What must never happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(pub String);

impl World {
    pub fn new(seed: u64, chances: Chances) -> Self {
        let members = chances.nodes - chances.spare - chances.syncing;
        let replicas = (0..chances.nodes).map(|index| Recorded {
            name: format!("r{index}"),
            placed: index < members + chances.syncing,
            in_sync: index < members,
            attempt: 1,
            stored_m: 0,
            leaving: false,
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
            tombstones: Vec::new(),
        };
        let document = record.document();
        let role = |index| {
            if index < members {
                Role::Member
            } else {
                Role::Syncing
            }
        };
        let nodes = (0..chances.nodes)
            .map(|index| Node::new(format!("r{index}"), &document, 1, role(index)));
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
            orphans: Vec::new(),
            told_version: 1,
            cuts: BTreeMap::new(),
            asleep: vec![Nanos(0); chances.nodes],
            away: vec![Nanos(0); chances.nodes],
            quiet: false,
            rewound: 0,
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
        let ms = self.now.0 / 1_000_000;
        self.trace.push(format!("{ms} ms: {line}"));
    }

    /// Once in so many times; never for 0, nor once faults are over.
    fn chance(&mut self, n: usize) -> bool {
        n > 0 && !self.quiet && self.rng.one_in(n)
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
