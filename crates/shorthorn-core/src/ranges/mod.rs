//! The range lock: which requests run, which wait for whom (docs/protocol.md, Ranges).
//!
//! A request waits for every earlier one that overlaps with it, if either of them changes data; so those that wait run in
//! the order in which they came, and none is overtaken for ever. Each entry counts whom it waits for, which makes leaving
//! one pass over the list without any memory taken.

use crate::mutants::{self, Mutant};

#[derive(Clone, Copy, Debug)]
struct Entry<K> {
    key: K,
    /// Blocks `first .. end`.
    first: u64,
    end: u64,
    changes: bool,
    /// Number in the order of arrival.
    number: u64,
    /// Earlier entries that must leave first.
    waits_for: u32,
}

impl<K> Entry<K> {
    fn conflicts<L>(&self, other: &Entry<L>) -> bool {
        let change = match mutants::active(Mutant::ReadInFlight) {
            true => self.changes && other.changes,
            false => self.changes || other.changes,
        };
        change
            && self.first < other.end
            && other.first < self.end
            && !mutants::active(Mutant::NoRangeLock)
    }
}

/// The lock of one volume.
#[derive(Debug)]
pub(crate) struct Ranges<K> {
    entries: Vec<Entry<K>>,
    arrived: u64,
    /// Scratch: who may run now, with its number.
    ready: Vec<(u64, K)>,
}

impl<K> Default for Ranges<K> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            arrived: 0,
            ready: Vec::new(),
        }
    }
}

impl<K: Copy + PartialEq> Ranges<K> {
    /// A request arrives for blocks `first .. end`. True: it may run; else `leave` of another names it later.
    ///
    /// `key`: unique among those inside.
    pub fn enter(&mut self, key: K, first: u64, end: u64, changes: bool) -> bool {
        self.arrived += 1;
        let mut new = Entry {
            key,
            first,
            end,
            changes,
            number: self.arrived,
            waits_for: 0,
        };
        let earlier = self.entries.iter().filter(|entry| entry.conflicts(&new));
        new.waits_for = earlier.count() as u32;
        self.entries.push(new);
        new.waits_for == 0
    }

    /// A request is decided, or given up while it waited. Appends those that may run now, in the order of their arrival.
    pub fn leave(&mut self, key: K, ready: &mut Vec<K>) {
        let Some(place) = self.entries.iter().position(|entry| entry.key == key) else {
            return;
        };
        let gone = self.entries.swap_remove(place);
        for entry in &mut self.entries {
            if entry.waits_for > 0 && entry.number > gone.number && entry.conflicts(&gone) {
                entry.waits_for -= 1;
                if entry.waits_for == 0 {
                    self.ready.push((entry.number, entry.key));
                }
            }
        }
        self.ready.sort_unstable_by_key(|(number, _)| *number);
        ready.extend(self.ready.drain(..).map(|(_, key)| key));
    }
}

#[cfg(test)]
mod tests;
