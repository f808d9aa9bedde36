//! Judges what clients saw, block by block: a strictly linearizable register, with what a power loss may take back.
//!
//! For each block all histories that fit are kept, as the set of states that the block may be in, without those that allow
//! nothing that another doesn't. It is empty when, and only when, what clients saw is impossible. After the protocol model's monitor (docs/protocol.md, section 5), made for
//! operations that overlap.

use std::collections::{BTreeMap, BTreeSet};

/// A value that a block holds: unique for each write; 0 is zeroes.
pub type Value = u64;
/// An operation of a client, unique.
pub type Op = u64;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Config {
    value: Value,
    /// Writes that may still take effect; true: on disk before they are answered.
    pending: BTreeMap<Op, (Value, bool)>,
    /// Writes that took effect and are not answered.
    landed: BTreeSet<Op>,
    /// May be left after a power loss of all copies.
    left: BTreeSet<Value>,
    /// Values since a read was called: any of them may be its answer.
    seen: BTreeMap<Op, BTreeSet<Value>>,
    /// Values since a flush was called, or since a write that goes to disk took effect: any of them may be on disk by its
    /// answer.
    since: BTreeMap<Op, BTreeSet<Value>>,
}

impl Config {
    /// Nothing that may follow the other can't follow this one: they differ in what may be read, or left by a power loss,
    /// and this one allows more.
    fn allows_all_of(&self, other: &Self) -> bool {
        let wider = |ours: &BTreeMap<Op, BTreeSet<Value>>,
                     theirs: &BTreeMap<Op, BTreeSet<Value>>| {
            ours.len() == theirs.len()
                && ours.iter().all(|(op, values)| {
                    theirs
                        .get(op)
                        .is_some_and(|known| values.is_superset(known))
                })
        };
        self.left.is_superset(&other.left)
            && wider(&self.seen, &other.seen)
            && wider(&self.since, &other.since)
    }

    fn land(&self, op: Op) -> Self {
        let mut next = self.clone();
        if let Some((value, fua)) = next.pending.remove(&op) {
            next.value = value;
            next.landed.insert(op);
            next.left.insert(value);
            let watchers = next.since.values_mut().chain(next.seen.values_mut());
            for values in watchers {
                values.insert(value);
            }
            if fua {
                next.since.insert(op, BTreeSet::from([value]));
            }
        }
        next
    }
}

/// What two histories must have in common to be compared: value, pending and landed writes.
type State = (Value, BTreeMap<Op, (Value, bool)>, BTreeSet<Op>);

/// All histories of one block.
#[derive(Debug)]
pub struct Register {
    configs: BTreeSet<Config>,
}

impl Register {
    pub fn new() -> Self {
        Self {
            configs: BTreeSet::from([Config {
                value: 0,
                pending: BTreeMap::new(),
                landed: BTreeSet::new(),
                left: BTreeSet::from([0]),
                seen: BTreeMap::new(),
                since: BTreeMap::new(),
            }]),
        }
    }

    fn closure(&self) -> BTreeSet<Config> {
        let mut seen = self.configs.clone();
        let mut todo: Vec<Config> = seen.iter().cloned().collect();
        while let Some(config) = todo.pop() {
            for op in config.pending.keys() {
                let next = config.land(*op);
                if seen.insert(next.clone()) {
                    todo.push(next);
                }
            }
        }
        seen
    }

    fn map(&mut self, closed: bool, change: impl Fn(Config) -> Vec<Config>) {
        let from = if closed {
            self.closure()
        } else {
            self.configs.clone()
        };
        let mut kept: BTreeMap<State, Vec<Config>> = BTreeMap::new();
        for config in from.into_iter().flat_map(change) {
            let state = (config.value, config.pending.clone(), config.landed.clone());
            let alike = kept.entry(state).or_default();
            if !alike.iter().any(|known| known.allows_all_of(&config)) {
                alike.retain(|known| !config.allows_all_of(known));
                alike.push(config);
            }
        }
        self.configs = kept.into_values().flatten().collect();
    }

    /// A write is called.
    pub fn write(&mut self, op: Op, value: Value, fua: bool) {
        self.map(false, |mut config| {
            config.pending.insert(op, (value, fua));
            vec![config]
        });
    }

    /// A read is called.
    pub fn look(&mut self, op: Op) {
        self.map(true, |mut config| {
            config.seen.insert(op, BTreeSet::from([config.value]));
            vec![config]
        });
    }

    /// A flush is called.
    pub fn flush(&mut self, op: Op) {
        self.map(true, |mut config| {
            config.since.insert(op, BTreeSet::from([config.value]));
            vec![config]
        });
    }

    /// A write was answered: it has taken effect.
    pub fn written(&mut self, op: Op) {
        self.map(true, |mut config| {
            if !config.landed.remove(&op) {
                return vec![];
            }
            let since = config.since.remove(&op);
            if let Some(since) = since {
                config.left = since;
            }
            vec![config]
        });
    }

    /// A write was answered with an error: it has no effect, and never will; but what was undone may have been on disk,
    /// and be left there until a later flush.
    pub fn refused(&mut self, op: Op) {
        self.map(true, |mut config| {
            let Some((value, _)) = config.pending.remove(&op) else {
                return vec![];
            };
            config.left.insert(value);
            for values in config.since.values_mut() {
                values.insert(value);
            }
            vec![config]
        });
    }

    /// A read was answered.
    pub fn read(&mut self, op: Op, value: Value) {
        self.map(true, |mut config| match config.seen.remove(&op) {
            Some(seen) if seen.contains(&value) => vec![config],
            _ => vec![],
        });
    }

    /// A flush was answered.
    pub fn flushed(&mut self, op: Op) {
        self.map(true, |mut config| {
            if let Some(since) = config.since.remove(&op) {
                config.left = since;
            }
            vec![config]
        });
    }

    /// A read or flush will never be answered, or failed.
    pub fn forget(&mut self, op: Op) {
        self.map(false, |mut config| {
            config.since.remove(&op);
            config.seen.remove(&op);
            vec![config]
        });
    }

    /// All copies lost power, and one of them becomes the content: what was not flushed may be gone.
    pub fn lose(&mut self) {
        self.map(true, |config| {
            let values = config.left.clone();
            let lost = values.into_iter().map(|value| Config {
                value,
                ..config.clone()
            });
            lost.collect()
        });
    }

    /// A session was opened: what the ones before had not decided has happened by now, or never; all is durable.
    ///
    /// `awaited`: operations whose answer may still come, from an engine that decided them before and was paused (B11).
    pub fn opened(&mut self, broken: bool, awaited: &BTreeSet<Op>) {
        if broken {
            self.lose();
        }
        self.map(true, |config| {
            vec![Config {
                value: config.value,
                pending: BTreeMap::new(),
                landed: config.landed.intersection(awaited).copied().collect(),
                left: BTreeSet::from([config.value]),
                seen: BTreeMap::new(),
                since: BTreeMap::new(),
            }]
        });
    }

    /// No history fits.
    pub fn is_impossible(&self) -> bool {
        self.configs.is_empty()
    }

    /// What it may hold.
    pub fn values(&self) -> BTreeSet<Value> {
        self.closure().iter().map(|config| config.value).collect()
    }
}
