//! A node's disk with one replica: the real replica core over a naive store with a page cache.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::{Bytes, BytesMut};
use shorthorn_core::replica::{
    Durable, Effect, Event, Identity, Outcome, Replica, Start, Token, Work,
};
use shorthorn_wire::message::{BlockState, Blocks, Document, Extent, RegionRun, Role, Standing};
use shorthorn_wire::{BLOCK_BYTES, REGION_BYTES};

use super::monitor::Value;
use super::rng::Rng;

const BLOCK: u64 = BLOCK_BYTES as u64;

/// What is stored of a block: its one value, and whether its checksum fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    pub value: Value,
    pub bad: bool,
}

/// Blocks that are not zero.
pub type Content = BTreeMap<u64, Cell>;

/// A block of one value.
pub fn content_of(value: Value) -> Bytes {
    let mut data = BytesMut::with_capacity(BLOCK as usize);
    for _ in 0..BLOCK / 8 {
        data.extend_from_slice(&value.to_le_bytes());
    }
    data.freeze()
}

/// The one value of a block.
pub fn value_of(data: &[u8]) -> Value {
    let value = data[..8].try_into().map(Value::from_le_bytes);
    let value = value.expect("a block has 8 bytes");
    assert!(
        data.chunks_exact(8).all(|word| word == &data[..8]),
        "a block holds parts of two writes"
    );
    value
}

pub struct Node {
    pub name: String,
    pub disk: Content,
    pub cache: Content,
    durable: Durable,
    document: Document,
    pub marks: BTreeSet<u64>,
    failed: Option<String>,
    boot: u64,
    /// None: its program does not run.
    pub replica: Option<Replica>,
    /// Work under way.
    pub queue: VecDeque<(Token, Work)>,
    /// No space for what needs some.
    pub full: bool,
    /// The next sync fails.
    pub sync_fails: bool,
    /// What a failed sync has dropped: block and what is in the cache.
    dropped: BTreeMap<u64, Option<Cell>>,
    /// What this replica said of itself last: neither ever falls (docs/protocol.md, section 2).
    said: ((u64, u64), u64),
    /// What must never be on a disk, or be said of one.
    pub wrong: Option<String>,
    /// A copy of the disk, of the folder's files and of what they were then.
    image: Option<Image>,
}

/// The disk of one moment, as an administrator's backup of it has it.
struct Image {
    disk: Content,
    durable: Durable,
    document: Document,
    marks: BTreeSet<u64>,
}

impl Node {
    pub fn new(name: String, document: &Document, attempt: u64, role: Role) -> Self {
        let mut node = Self {
            name,
            disk: Content::new(),
            cache: Content::new(),
            durable: Durable {
                sealed: (0, attempt),
                engine: String::new(),
                role,
                m: if role == Role::Member { document.m } else { 0 },
                epoch: 0,
                synced_through: None,
                open_boot: None,
                torn: false,
            },
            document: document.clone(),
            marks: BTreeSet::new(),
            failed: None,
            boot: 1,
            replica: None,
            queue: VecDeque::new(),
            full: false,
            sync_fails: false,
            dropped: BTreeMap::new(),
            said: ((0, 0), 0),
            wrong: None,
            image: None,
        };
        node.start();
        node
    }

    /// The replica program starts.
    pub fn start(&mut self) {
        let boot = format!("boot{}", self.boot);
        if self
            .durable
            .open_boot
            .as_ref()
            .is_some_and(|open| *open != boot)
        {
            self.durable.torn = true;
        }
        self.replica = Some(Replica::new(Start {
            identity: Identity {
                cluster: "c".to_owned(),
                volume: "v".to_owned(),
                replica: self.name.clone(),
            },
            boot,
            durable: self.durable.clone(),
            failed: self.failed.clone(),
            document: self.document.clone(),
            marks: self.runs(),
        }));
    }

    /// The replica program dies.
    pub fn kill(&mut self) {
        self.replica = None;
        self.queue.clear();
    }

    /// The node loses power: of what was not synced, anything may be left.
    pub fn lose_power(&mut self, rng: &mut Rng) {
        self.kill();
        let blocks: BTreeSet<u64> = self.cache.keys().chain(self.disk.keys()).copied().collect();
        for block in blocks {
            if rng.one_in(3) && !self.dropped.contains_key(&block) {
                put(&mut self.disk, block, self.cache.get(&block).copied());
            }
        }
        self.cache = self.disk.clone();
        self.dropped.clear();
        self.boot += 1;
        self.failed = None;
    }

    pub fn boot(&self) -> u64 {
        self.boot
    }

    /// For a new replica on a node that has booted before.
    pub fn set_boot(&mut self, boot: u64) {
        self.boot = boot;
        self.start();
    }

    /// A sync failed in this boot: it is good for nothing before the next.
    pub fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    pub fn is_torn(&self) -> bool {
        self.durable.torn
    }

    pub fn handle(&mut self, event: Event) -> Vec<Effect> {
        let mut out = Vec::new();
        if let Some(replica) = &mut self.replica {
            replica.handle(event, &mut out);
        }
        out
    }

    /// Work for its disk. A seal is recorded only when nothing is being applied any more (docs/protocol.md, Seal).
    pub fn add(&mut self, token: Token, work: Work) {
        let changes = |(_, work): &(Token, Work)| {
            matches!(
                work,
                Work::Write { .. } | Work::Zero { .. } | Work::Copy { .. } | Work::Mark(_)
            )
        };
        if let Work::Record { durable, .. } = &work {
            if durable.sealed > self.durable.sealed && self.queue.iter().any(changes) {
                self.wrong = Some(format!("{} seals while a change is under way", self.name));
            }
        }
        self.queue.push_back((token, work));
    }

    /// The last epoch that it was durably sealed for.
    pub fn sealed_epoch(&self) -> u64 {
        self.durable.sealed.0
    }

    /// What the replica answers of itself.
    pub fn says(&mut self, standing: &Standing) {
        let says = (standing.sealed, standing.m);
        if says.0 < self.said.0 || says.1 < self.said.1 {
            self.wrong = Some(format!("{} says {says:?} after {:?}", self.name, self.said));
        }
        self.said = (says.0.max(self.said.0), says.1.max(self.said.1));
    }

    /// Its disk is copied.
    pub fn copy_disk(&mut self) {
        self.image.get_or_insert_with(|| Image {
            disk: self.disk.clone(),
            durable: self.durable.clone(),
            document: self.document.clone(),
            marks: self.marks.clone(),
        });
    }

    /// The node loses power, and its disk is what it was when it was copied, before this epoch (A17). False: it was not.
    pub fn rewind(&mut self, before: u64, rng: &mut Rng) -> bool {
        let Some(image) = self.image.take_if(|image| image.durable.sealed.0 < before) else {
            return false;
        };
        self.lose_power(rng);
        self.disk = image.disk;
        self.cache = self.disk.clone();
        self.durable = image.durable;
        self.document = image.document;
        self.marks = image.marks;
        self.said = ((0, 0), 0);
        true
    }

    /// Does the next piece of work.
    pub fn work(&mut self) -> Option<Event> {
        let (token, work) = self.queue.pop_front()?;
        let outcome = self.execute(work);
        Some(Event::Done { token, outcome })
    }

    fn execute(&mut self, work: Work) -> Outcome {
        match work {
            Work::Record { durable, document } => {
                if durable.sealed < self.durable.sealed || durable.m < self.durable.m {
                    self.wrong = Some(format!("{}: what is sealed, or m, falls", self.name));
                }
                self.durable = *durable;
                if let Some(document) = document {
                    self.document = *document;
                }
            }
            Work::NoteFailed(why) => self.failed = Some(why),
            Work::Mark(runs) => self.marks.extend(runs.iter().flat_map(|run| regions(*run))),
            Work::Clear { regions: runs, .. } => {
                for region in runs.iter().flat_map(|run| regions(*run)) {
                    self.marks.remove(&region);
                }
            }
            Work::Write { .. } | Work::Zero { .. } | Work::Copy { .. } if self.full => {
                return Outcome::NoSpace("full".to_owned());
            }
            Work::Write { offset, data } => {
                assert!(offset % BLOCK == 0 && data.len() as u64 % BLOCK == 0);
                for (index, data) in data.chunks_exact(BLOCK as usize).enumerate() {
                    let value = value_of(data);
                    let cell = Cell { value, bad: false };
                    put(&mut self.cache, offset / BLOCK + index as u64, Some(cell));
                }
            }
            Work::Zero { offset, length, .. } => {
                self.cache
                    .retain(|block, _| !(offset..offset + length).contains(&(block * BLOCK)));
            }
            Work::Copy { offset, blocks } => self.copy(offset / BLOCK, &blocks),
            Work::Read { offset, length } => return self.read(offset, u64::from(length)),
            Work::Extents { length, .. } => {
                return Outcome::Extents(vec![Extent { length, data: true }]);
            }
            Work::Hash { offset, length } => return self.hash(offset, length),
            Work::Fetch { offset, length } => return self.fetch(offset, length),
            Work::Sync if std::mem::take(&mut self.sync_fails) => {
                self.drop_unwritten();
                return Outcome::Disk("sync failed".to_owned());
            }
            Work::Sync => self.write_back(),
        }
        Outcome::Done
    }

    /// What the kernel could not write counts as written from now on: it is read from the cache, and never reaches the disk.
    fn drop_unwritten(&mut self) {
        let blocks = self.cache.keys().chain(self.disk.keys());
        let unwritten = blocks.filter(|block| self.cache.get(block) != self.disk.get(block));
        let unwritten: Vec<(u64, Option<Cell>)> = unwritten
            .map(|block| (*block, self.cache.get(block).copied()))
            .collect();
        self.dropped.extend(unwritten);
    }

    /// All that was written since, but what was dropped and not written again.
    fn write_back(&mut self) {
        let blocks: BTreeSet<u64> = self.cache.keys().chain(self.disk.keys()).copied().collect();
        for block in blocks {
            let cell = self.cache.get(&block).copied();
            if self.dropped.get(&block) != Some(&cell) {
                self.dropped.remove(&block);
                put(&mut self.disk, block, cell);
            }
        }
    }

    fn copy(&mut self, first: u64, blocks: &Blocks) {
        let mut data = blocks.data.chunks_exact(BLOCK as usize);
        for (index, state) in blocks.states.iter().enumerate() {
            let cell = match state {
                BlockState::Zero => None,
                state => Some(Cell {
                    value: data.next().map_or(0, value_of),
                    bad: matches!(state, BlockState::Bad { .. }),
                }),
            };
            put(&mut self.cache, first + index as u64, cell);
        }
    }

    fn read(&self, offset: u64, length: u64) -> Outcome {
        let mut data = BytesMut::new();
        for block in offset / BLOCK..(offset + length) / BLOCK {
            let cell = self.cache.get(&block);
            if cell.is_some_and(|cell| cell.bad) {
                let offset = block * BLOCK;
                return Outcome::Corrupt { offset };
            }
            data.extend_from_slice(&content_of(cell.map_or(0, |cell| cell.value)));
        }
        Outcome::Data(data.freeze())
    }

    fn range(&self, offset: u64, length: u32) -> impl Iterator<Item = (&u64, &Cell)> {
        let first = offset / BLOCK;
        self.cache.range(first..first + u64::from(length) / BLOCK)
    }

    fn hash(&self, offset: u64, length: u32) -> Outcome {
        let mut hasher = blake3::Hasher::new();
        let mut bad = false;
        for (block, cell) in self.range(offset, length) {
            hasher.update(&block.to_le_bytes());
            hasher.update(&cell.value.to_le_bytes());
            hasher.update(&[u8::from(cell.bad)]);
            bad |= cell.bad;
        }
        let digest = *hasher.finalize().as_bytes();
        Outcome::Hash { digest, bad }
    }

    fn fetch(&self, offset: u64, length: u32) -> Outcome {
        let mut states = vec![BlockState::Zero; (u64::from(length) / BLOCK) as usize];
        let mut data = BytesMut::new();
        for (block, cell) in self.range(offset, length) {
            let content = content_of(cell.value);
            let sum = shorthorn_wire::sum::block_sum(&content);
            states[(block - offset / BLOCK) as usize] = if cell.bad {
                BlockState::Bad { sum: sum ^ 1 }
            } else {
                BlockState::Good { sum }
            };
            data.extend_from_slice(&content);
        }
        let data = data.freeze();
        Outcome::Blocks(Blocks { states, data })
    }

    fn runs(&self) -> Vec<RegionRun> {
        let one = |region: &u64| RegionRun {
            first: *region,
            count: 1,
        };
        self.marks.iter().map(one).collect()
    }
}

fn regions(run: RegionRun) -> std::ops::Range<u64> {
    run.first..run.first + run.count
}

fn put(content: &mut Content, block: u64, cell: Option<Cell>) {
    match cell {
        Some(cell) if cell.value != 0 || cell.bad => content.insert(block, cell),
        _ => content.remove(&block),
    };
}

/// The region of a block.
pub fn region_of(block: u64) -> u64 {
    block * BLOCK / REGION_BYTES
}
