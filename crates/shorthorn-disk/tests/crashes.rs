//! Random work on a simulated disk, cut at any I/O step by a process crash or a power loss, against a naive model.
//!
//! The model keeps, for some blocks (ends of the volume, both sides of region borders), what they hold and everything they
//! have held since the last sync. What must hold is docs/formats/disk.md, "What a crash leaves".

mod common;

use common::*;
use proptest::prelude::*;
use shorthorn_disk::{DiskError, Header, ReplicaFiles, SimDisk, block_sum};
use shorthorn_wire::message::{BlockState, Blocks, RegionRun};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

const BLOCKS: u64 = 2 * 256 + 16;
const REGIONS: u64 = 3;
/// Tracked blocks: (first, count).
const RANGES: [(u64, u64); 4] = [(0, 6), (253, 6), (509, 6), (522, 6)];
/// A debug build takes 20 times as long for each.
const CASES: u32 = if cfg!(debug_assertions) { 64 } else { 1000 };
const RANGE_BYTES: u64 = 6 * BLOCK as u64;

#[derive(Clone, Debug)]
enum Op {
    Mark(RegionRun),
    Write {
        range: usize,
        from: u64,
        length: u64,
        seed: u8,
    },
    Zero {
        range: usize,
        from: u64,
        length: u64,
        punch: bool,
    },
    Copy {
        range: usize,
        kinds: [u8; 6],
        seed: u8,
    },
    Read {
        range: usize,
        from: u64,
        length: u64,
    },
    Look {
        range: usize,
    },
    Sync,
    Clear(u64),
    Seal {
        with_document: bool,
    },
    Reopen,
    Full(bool),
    Writeback(u64),
    /// The process dies, and with a seed the power goes too, in the middle of the I/O step so many from now.
    Crash {
        steps: u64,
        power: Option<u64>,
    },
}

fn span() -> impl Strategy<Value = (u64, u64)> {
    let block = BLOCK as u64;
    let aligned = (0..6u64, 1..=6u64).prop_map(move |(from, count)| (from * block, count * block));
    prop_oneof![aligned, (0..RANGE_BYTES, 0..3 * block)]
        .prop_map(|(from, length)| (from, length.min(RANGE_BYTES - from)))
}

fn op() -> impl Strategy<Value = Op> {
    let range = || 0..RANGES.len();
    let run = (0..REGIONS, 1..=REGIONS).prop_map(|(first, count)| RegionRun {
        first,
        count: count.min(REGIONS - first),
    });
    prop_oneof![
        2 => run.prop_map(Op::Mark),
        8 => (range(), span(), any::<u8>()).prop_map(|(range, (from, length), seed)| Op::Write { range, from, length, seed }),
        4 => (range(), span(), any::<bool>()).prop_map(|(range, (from, length), punch)| Op::Zero { range, from, length, punch }),
        2 => (range(), any::<[u8; 6]>(), any::<u8>()).prop_map(|(range, kinds, seed)| Op::Copy { range, kinds, seed }),
        2 => (range(), span()).prop_map(|(range, (from, length))| Op::Read { range, from, length }),
        1 => range().prop_map(|range| Op::Look { range }),
        3 => Just(Op::Sync),
        2 => (0..REGIONS).prop_map(Op::Clear),
        1 => any::<bool>().prop_map(|with_document| Op::Seal { with_document }),
        1 => Just(Op::Reopen),
        1 => any::<bool>().prop_map(Op::Full),
        1 => any::<u64>().prop_map(Op::Writeback),
        2 => (0..20u64, any::<Option<u64>>()).prop_map(|(steps, power)| Op::Crash { steps, power }),
    ]
}

type Content = Box<[u8]>;

/// What is known of one block.
struct Known {
    now: Content,
    /// Everything it held since the last sync, without `now`.
    since_sync: Vec<Content>,
}

/// What an operation that may be cut wants to change.
#[derive(Default)]
struct Change {
    blocks: BTreeMap<u64, Content>,
    marks: Vec<u64>,
    cleared: Option<u64>,
}

struct Run {
    disk: Arc<SimDisk>,
    layers: &'static [&'static str],
    files: Option<ReplicaFiles<SimDisk>>,
    blocks: BTreeMap<u64, Known>,
    marked: [bool; REGIONS as usize],
    /// Written since the last sync.
    unsynced: [bool; REGIONS as usize],
    boot: u64,
    seals: u64,
    documents: u64,
    power: Option<u64>,
}

fn root() -> &'static Path {
    Path::new("/r1")
}

/// Whether each sector is that of one of the contents: what a power loss may leave of a block that was being overwritten.
/// Mostly its checksum tells; by chance the mixture is what the block held before, and fits the checksum of then.
fn mixed(found: &[u8], allowed: &[&Content]) -> bool {
    const SECTOR: usize = 512;
    (0..BLOCK).step_by(SECTOR).all(|at| {
        let sector = at..at + SECTOR;
        allowed
            .iter()
            .any(|content| content[sector.clone()] == found[sector.clone()])
    })
}

impl Run {
    fn new(layers: &'static [&'static str]) -> Self {
        let disk = Arc::new(SimDisk::new());
        let document = document_of(BLOCKS * BLOCK as u64, layers);
        let files = ReplicaFiles::create(Arc::clone(&disk), root(), identity(), 1, &document, "b0")
            .expect("create");
        let mut run = Self {
            disk,
            layers,
            files: Some(files),
            blocks: BTreeMap::new(),
            marked: [false; 3],
            unsynced: [false; 3],
            boot: 0,
            seals: 0,
            documents: 1,
            power: None,
        };
        for (first, count) in RANGES {
            for number in first..first + count {
                let now = vec![0; BLOCK].into_boxed_slice();
                run.blocks.insert(
                    number,
                    Known {
                        now,
                        since_sync: Vec::new(),
                    },
                );
            }
        }
        if layers.len() > 1 {
            run.fill_below();
        }
        let header = run.files().header().clone();
        run.files()
            .set_header(Header {
                open_boot: Some("b0".into()),
                ..header
            })
            .expect("set");
        run
    }

    /// Gives every other tracked block content in the lower layer, through a replica that has only that one.
    fn fill_below(&mut self) {
        let other = Path::new("/below");
        let document = document_of(BLOCKS * BLOCK as u64, &self.layers[..1]);
        let mut below = ReplicaFiles::create(
            Arc::clone(&self.disk),
            other,
            identity(),
            1,
            &document,
            "b0",
        )
        .expect("create");
        mark_all(&mut below);
        for (number, known) in self
            .blocks
            .iter_mut()
            .filter(|(number, _)| *number % 2 == 0)
        {
            known.now = pattern(*number as u8, BLOCK).into();
            below
                .write(number * BLOCK as u64, &known.now)
                .expect("write");
        }
        drop(below);
        for kind in ["data", "sums"] {
            let name = format!("layers/{}.{kind}", self.layers[0]);
            copy_file(&self.disk, &other.join(&name), &root().join(&name));
        }
    }

    fn files(&mut self) -> &mut ReplicaFiles<SimDisk> {
        self.files.as_mut().expect("open")
    }

    fn open(&mut self) {
        self.files = None;
        let boot = format!("b{}", self.boot);
        self.files = Some(ReplicaFiles::open(Arc::clone(&self.disk), root(), &boot).expect("open"));
    }

    fn range_content(&self, range: usize) -> Vec<u8> {
        let (first, count) = RANGES[range];
        (first..first + count)
            .flat_map(|number| self.blocks[&number].now.iter().copied())
            .collect()
    }

    /// The change that new content of a range would be, in whole blocks that a byte range touches.
    fn change(range: usize, content: &[u8], from: u64, length: u64) -> Change {
        let mut change = Change::default();
        let touched = from / BLOCK as u64..(from + length).div_ceil(BLOCK as u64);
        for index in touched.filter(|_| length > 0) {
            let bytes = &content[index as usize * BLOCK..][..BLOCK];
            change.blocks.insert(RANGES[range].0 + index, bytes.into());
        }
        change
    }

    fn all_marked(&self, change: &Change) -> bool {
        change
            .blocks
            .keys()
            .all(|number| self.marked[(number / 256) as usize])
    }

    fn do_op(&mut self, op: &Op) {
        let block = BLOCK as u64;
        match op {
            Op::Mark(run) => {
                let regions = run.first..run.first + run.count;
                let change = Change {
                    marks: regions.clone().collect(),
                    ..Change::default()
                };
                let result = self.files().mark(&[*run]);
                self.settle(result, change);
            }
            Op::Write {
                range,
                from,
                length,
                seed,
            } => {
                let data = pattern(*seed, *length as usize);
                let mut content = self.range_content(*range);
                content[*from as usize..][..data.len()].copy_from_slice(&data);
                let change = Self::change(*range, &content, *from, *length);
                let offset = RANGES[*range].0 * block + from;
                let marked = self.all_marked(&change);
                let result = self.files().write(offset, &data);
                assert_eq!(marked, !matches!(result, Err(DiskError::Unmarked { .. })));
                self.settle(result, change);
            }
            Op::Zero {
                range,
                from,
                length,
                punch,
            } => {
                let mut content = self.range_content(*range);
                content[*from as usize..][..*length as usize].fill(0);
                let change = Self::change(*range, &content, *from, *length);
                let offset = RANGES[*range].0 * block + from;
                let marked = self.all_marked(&change);
                let result = self.files().zero(offset, *length, *punch);
                assert_eq!(marked, !matches!(result, Err(DiskError::Unmarked { .. })));
                self.settle(result, change);
            }
            Op::Copy { range, kinds, seed } => {
                let mut blocks = Blocks::default();
                let mut content = vec![0; RANGE_BYTES as usize];
                let mut data = Vec::new();
                for (index, kind) in kinds.iter().enumerate() {
                    if kind % 2 == 0 {
                        blocks.states.push(BlockState::Zero);
                        continue;
                    }
                    let bytes = pattern(seed.wrapping_add(*kind), BLOCK);
                    content[index * BLOCK..][..BLOCK].copy_from_slice(&bytes);
                    blocks.states.push(BlockState::Good {
                        sum: block_sum(&bytes),
                    });
                    data.extend_from_slice(&bytes);
                }
                blocks.data = data.into();
                let change = Self::change(*range, &content, 0, RANGE_BYTES);
                let offset = RANGES[*range].0 * block;
                let result = self.files().copy(offset, &blocks);
                self.settle(result, change);
            }
            Op::Read {
                range,
                from,
                length,
            } => {
                let expected =
                    self.range_content(*range)[*from as usize..][..*length as usize].to_vec();
                let offset = RANGES[*range].0 * block + from;
                match read(self.files(), offset, *length as usize) {
                    Ok(found) => assert!(found == expected, "read {offset}+{length}"),
                    Err(error) => self.crashed(&error, Change::default()),
                }
            }
            Op::Look { range } => self.look(*range),
            Op::Sync => match self.files().sync() {
                Ok(()) => {
                    self.blocks
                        .values_mut()
                        .for_each(|known| known.since_sync.clear());
                    self.unsynced = [false; 3];
                }
                Err(error) => self.crashed(&error, Change::default()),
            },
            Op::Clear(region) => {
                // As the engine does it: only what a sync has covered.
                if !self.unsynced[*region as usize] {
                    let result = self.files().clear(1, &[run(*region, 1)]);
                    self.settle(
                        result,
                        Change {
                            cleared: Some(*region),
                            ..Change::default()
                        },
                    );
                }
            }
            Op::Seal { with_document } => self.seal(*with_document),
            Op::Reopen => {
                self.files = None;
                let boot = format!("b{}", self.boot);
                match ReplicaFiles::open(Arc::clone(&self.disk), root(), &boot) {
                    Ok(files) => self.files = Some(files),
                    Err(error) => self.crashed(&error, Change::default()),
                }
            }
            Op::Full(full) => {
                let used = self.disk.used();
                self.disk.set_capacity(full.then_some(used));
            }
            Op::Writeback(seed) => self.disk.writeback(*seed),
            Op::Crash { steps, power } => {
                self.disk.crash_at(self.disk.steps() + steps);
                self.power = *power;
            }
        }
    }

    /// Hash, fetch and extents agree with the content.
    fn look(&mut self, range: usize) {
        let content = self.range_content(range);
        let offset = RANGES[range].0 * BLOCK as u64;
        let zero = |bytes: &[u8]| bytes.iter().all(|&byte| byte == 0);
        let looked = self.files().fetch(offset, RANGE_BYTES).and_then(|blocks| {
            let hashed = self.files().hash(offset, RANGE_BYTES)?;
            Ok((
                blocks,
                hashed,
                self.files().extents(offset, RANGE_BYTES, 100)?,
            ))
        });
        let (blocks, hashed, extents) = match looked {
            Ok(looked) => looked,
            Err(error) => return self.crashed(&error, Change::default()),
        };
        let mut hasher = blake3::Hasher::new();
        let mut data = Vec::new();
        for (bytes, state) in content.chunks(BLOCK).zip(&blocks.states) {
            if zero(bytes) {
                assert_eq!(*state, BlockState::Zero);
                hasher.update(&[0]);
            } else {
                assert_eq!(
                    *state,
                    BlockState::Good {
                        sum: block_sum(bytes)
                    }
                );
                hasher.update(&[1]);
                data.extend_from_slice(bytes);
            }
        }
        hasher.update(blake3::hash(&data).as_bytes());
        assert!(blocks.data[..] == data[..]);
        assert_eq!(
            (hashed.digest, hashed.bad),
            (*hasher.finalize().as_bytes(), false)
        );
        let mut at = 0;
        for extent in extents {
            let bytes = &content[at as usize..][..extent.length as usize];
            assert!(extent.data || zero(bytes), "a hole holds data");
            at += extent.length;
        }
        assert_eq!(at, RANGE_BYTES);
    }

    fn seal(&mut self, with_document: bool) {
        let mut header = self.files().header().clone();
        header.sealed = (self.seals + 1, 1);
        let mut document = self.files().document().clone();
        document.version = self.documents + 1;
        document.body = "x".repeat((self.documents * 9_000 % 60_000) as usize);
        let result = match with_document {
            true => self.files().commit(header, &document),
            false => self.files().set_header(header),
        };
        match result {
            Ok(()) => {
                self.seals += 1;
                self.documents += u64::from(with_document);
            }
            Err(error) => {
                self.crashed(&error, Change::default());
                let (sealed, version) = (
                    self.files().header().sealed.0,
                    self.files().document().version,
                );
                let done = sealed == self.seals + 1;
                assert!(
                    done || sealed == self.seals,
                    "sealed {sealed} after {}",
                    self.seals
                );
                assert_eq!(
                    version,
                    self.documents + u64::from(done && with_document),
                    "header and document as one"
                );
                (self.seals, self.documents) = (sealed, version);
            }
        }
    }

    /// The end of an operation: it happened, was refused, or the disk is down.
    fn settle(&mut self, result: Result<(), DiskError>, change: Change) {
        match result {
            Ok(()) => {
                for (number, content) in change.blocks {
                    self.unsynced[(number / 256) as usize] = true;
                    let known = self.blocks.get_mut(&number).expect("tracked");
                    known
                        .since_sync
                        .push(std::mem::replace(&mut known.now, content));
                }
                change
                    .marks
                    .iter()
                    .for_each(|&region| self.marked[region as usize] = true);
                change
                    .cleared
                    .iter()
                    .for_each(|&region| self.marked[region as usize] = false);
            }
            Err(DiskError::Unmarked { .. }) => {}
            Err(DiskError::NoSpace { .. }) => {
                for number in change.blocks.keys() {
                    let found = read(self.files(), number * BLOCK as u64, BLOCK);
                    match found {
                        Ok(found) => {
                            assert!(found[..] == self.blocks[number].now[..], "applied in part")
                        }
                        Err(error) => return self.crashed(&error, Change::default()),
                    }
                }
            }
            Err(error) => self.crashed(&error, change),
        }
    }

    /// Comes back after the crash that an error must come from, and checks everything.
    fn crashed(&mut self, error: &DiskError, change: Change) {
        assert!(self.disk.is_down(), "{error}");
        self.come_back(change);
    }

    fn come_back(&mut self, change: Change) {
        let power = self.power.take();
        match power {
            None => self.disk.crash_process(),
            Some(seed) => {
                self.disk.power_loss(seed);
                self.boot += 1;
            }
        }
        self.open();
        let power_was_lost = self.boot > 0;
        assert_eq!(self.files().header().torn, power_was_lost);
        self.check_marks(&change, power.is_some());
        self.check_blocks(change, power.is_some());
    }

    fn check_marks(&mut self, change: &Change, power: bool) {
        for region in 0..REGIONS {
            let found = self.files().is_marked(region * (1 << 20), 1);
            let known = self.marked[region as usize];
            if known && change.cleared != Some(region) {
                assert!(found, "a mark of region {region} is gone");
            }
            if !known && !power && !change.marks.contains(&region) {
                assert!(!found, "a mark of region {region} out of nowhere");
            }
            self.marked[region as usize] = found;
        }
    }

    fn check_blocks(&mut self, change: Change, power: bool) {
        let numbers: Vec<u64> = self.blocks.keys().copied().collect();
        for number in numbers {
            let offset = number * BLOCK as u64;
            let raw = read(self.files(), offset, BLOCK);
            let fetched = self.files().fetch(offset, BLOCK as u64).expect("fetch");
            let again = read(self.files(), offset, BLOCK);
            let known = &self.blocks[&number];
            let flying = change.blocks.get(&number);
            let allowed: Vec<&Content> = if power {
                known
                    .since_sync
                    .iter()
                    .chain([&known.now])
                    .chain(flying)
                    .collect()
            } else {
                [&known.now].into_iter().chain(flying).collect()
            };
            let found: Vec<u8> = match (raw, again) {
                (Ok(raw), Ok(again)) => {
                    assert!(raw == again, "block {number} changed by being looked at");
                    let fits = allowed.iter().any(|content| content[..] == raw[..]);
                    assert!(
                        fits || (power
                            && self.marked[(number / 256) as usize]
                            && mixed(&raw, &allowed)),
                        "block {number} holds what it never held, or has lost something"
                    );
                    raw
                }
                (Err(DiskError::Corrupt { .. }), Err(DiskError::Corrupt { .. })) => {
                    let region = (number / 256) as usize;
                    assert!(power && self.marked[region], "block {number} is bad");
                    assert!(
                        allowed.len() > 1,
                        "block {number} was synced and not written since, and is bad"
                    );
                    assert!(matches!(fetched.states[..], [BlockState::Bad { .. }]));
                    // Above another layer a torn first write may show zeroes: to be mended with snapshots.
                    assert!(
                        self.layers.len() > 1 || mixed(&fetched.data, &allowed),
                        "block {number} has lost something"
                    );
                    // No other copy here: accept and recompute, as the engine does in a dirty region of torn replicas.
                    let sum = block_sum(&fetched.data);
                    let accepted = Blocks {
                        states: vec![BlockState::Good { sum }],
                        data: fetched.data.clone(),
                    };
                    self.disk.set_capacity(None);
                    self.files().copy(offset, &accepted).expect("copy");
                    fetched.data.to_vec()
                }
                other => panic!("block {number}: {other:?}"),
            };
            let known = self.blocks.get_mut(&number).expect("tracked");
            if flying.is_some() {
                self.unsynced[(number / 256) as usize] = true;
                known.since_sync.extend(flying.cloned());
            }
            known
                .since_sync
                .push(std::mem::replace(&mut known.now, found.into()));
        }
        if power {
            // As the seal does.
            self.files().sync().expect("sync");
            self.blocks
                .values_mut()
                .for_each(|known| known.since_sync.clear());
            self.unsynced = [false; 3];
        } else {
            // What was equal before and after is one version.
            self.blocks
                .values_mut()
                .for_each(|known| known.since_sync.retain(|old| *old != known.now));
        }
    }

    fn play(mut self, ops: &[Op]) {
        for op in ops {
            self.do_op(op);
        }
        for (power, range) in [(None, 0), (Some(7), 1), (None, 2)] {
            self.power = power;
            self.come_back(Change::default());
            self.look(range);
        }
    }
}

fn copy_file(disk: &SimDisk, from: &Path, to: &Path) {
    use shorthorn_disk::{Disk, File};
    let (from, to) = (disk.open(from).expect("open"), disk.open(to).expect("open"));
    let mut content = vec![0; from.len().expect("len") as usize];
    from.read_at(&mut content, 0).expect("read");
    to.write_at(&content, 0).expect("write");
    to.sync().expect("sync");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, ..ProptestConfig::default() })]

    #[test]
    fn one_layer_survives_every_crash(ops in prop::collection::vec(op(), 1..60)) {
        Run::new(&["l1"]).play(&ops);
    }

    #[test]
    fn two_layers_survive_every_crash(ops in prop::collection::vec(op(), 1..60)) {
        Run::new(&["l1", "l2"]).play(&ops);
    }
}
