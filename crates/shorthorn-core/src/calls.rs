//! Requests under way: found by the tag of a reply without a search, and told apart from those that used the place before.

use shorthorn_wire::message::Tag;

use crate::{Nanos, ReplicaIndex, ReplicaSet};

/// Place of a call in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(u16);

/// Most calls at once.
pub(crate) const CALLS_MAX: usize = 1 << 14;

/// One request to a set of replicas, and what it is for.
#[derive(Debug)]
pub(crate) struct Call<W> {
    /// What it is for.
    pub work: W,
    /// Who has not answered yet. Empty too while nothing was sent.
    pub waiting: ReplicaSet,
    /// When it was sent.
    pub sent: Nanos,
}

#[derive(Debug)]
struct Place<W> {
    generation: u16,
    call: Option<Call<W>>,
}

/// The table.
#[derive(Debug)]
pub(crate) struct Calls<W> {
    places: Vec<Place<W>>,
    free: Vec<u16>,
}

impl<W> Default for Calls<W> {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<W> Calls<W> {
    /// A new call, not sent yet.
    pub fn insert(&mut self, work: W) -> Key {
        let call = Some(Call {
            work,
            waiting: ReplicaSet::EMPTY,
            sent: Nanos::default(),
        });
        if let Some(index) = self.free.pop() {
            self.places[usize::from(index)].call = call;
            return Key(index);
        }
        let index = u16::try_from(self.places.len()).expect("callers keep below CALLS_MAX");
        self.places.push(Place {
            generation: 0,
            call,
        });
        Key(index)
    }

    /// Sends it (again): a new tag, under which these answer.
    pub fn send(&mut self, key: Key, to: ReplicaSet, now: Nanos) -> Tag {
        let place = &mut self.places[usize::from(key.0)];
        place.generation = place.generation.wrapping_add(1);
        if let Some(call) = &mut place.call {
            call.waiting = to;
            call.sent = now;
        }
        Tag::from(place.generation) << 16 | Tag::from(key.0)
    }

    /// It goes on when these are forgotten; they answer nothing.
    pub fn wait(&mut self, key: Key, replicas: ReplicaSet) {
        if let Some(call) = &mut self.places[usize::from(key.0)].call {
            call.waiting = replicas;
        }
    }

    /// Takes note of an answer. None: nobody asked that replica under this tag.
    pub fn answered(&mut self, tag: Tag, replica: ReplicaIndex) -> Option<(Key, &mut Call<W>)> {
        let index = tag as u16;
        let place = self.places.get_mut(usize::from(index))?;
        if u32::from(place.generation) != tag >> 16 {
            return None;
        }
        let call = place.call.as_mut()?;
        call.waiting.remove(replica).then_some((Key(index), call))
    }

    /// A call that exists.
    pub fn get_mut(&mut self, key: Key) -> Option<&mut Call<W>> {
        self.places[usize::from(key.0)].call.as_mut()
    }

    /// Ends a call.
    pub fn remove(&mut self, key: Key) -> Option<W> {
        let call = self.places[usize::from(key.0)].call.take()?;
        self.free.push(key.0);
        Some(call.work)
    }

    /// Ends all.
    pub fn clear(&mut self) {
        let keys: Vec<Key> = self.iter().map(|(key, _)| key).collect();
        for key in keys {
            self.remove(key);
        }
    }

    /// All, by place.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &Call<W>)> {
        let keyed = self.places.iter().enumerate();
        keyed.filter_map(|(index, place)| Some((Key(index as u16), place.call.as_ref()?)))
    }

    /// The same, to change them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Call<W>> {
        self.places
            .iter_mut()
            .filter_map(|place| place.call.as_mut())
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Nobody is waited for any more. Returns what now has nobody left to wait for because of it.
    pub fn forget(&mut self, replica: ReplicaIndex) -> Vec<Key> {
        self.forget_if(replica, |_| true)
    }

    /// The same, only of calls for such work.
    pub fn forget_if(&mut self, replica: ReplicaIndex, holds: impl Fn(&W) -> bool) -> Vec<Key> {
        let mut ended = Vec::new();
        for (index, place) in self.places.iter_mut().enumerate() {
            let Some(call) = &mut place.call else {
                continue;
            };
            if holds(&call.work) && call.waiting.remove(replica) && call.waiting.is_empty() {
                ended.push(Key(index as u16));
            }
        }
        ended
    }
}
