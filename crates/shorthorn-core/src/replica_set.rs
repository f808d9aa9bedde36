//! How engine and copier name the replicas they work with.

/// Position of a replica among the targets of the order; stays for the life of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReplicaIndex(pub u8);

/// Most targets of one order: a set of them is one machine word.
pub const REPLICAS_MAX: usize = 32;

impl ReplicaIndex {
    /// As an index of a list with one entry a target.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A set of targets of one order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ReplicaSet(u32);

impl ReplicaSet {
    /// Nobody.
    pub const EMPTY: Self = Self(0);

    /// Only this one.
    pub const fn only(replica: ReplicaIndex) -> Self {
        Self(1 << replica.0)
    }

    /// Whether it is in.
    pub const fn contains(self, replica: ReplicaIndex) -> bool {
        self.0 & (1 << replica.0) != 0
    }

    /// Puts it in.
    pub const fn insert(&mut self, replica: ReplicaIndex) {
        self.0 |= 1 << replica.0;
    }

    /// Takes it out; whether it was in.
    pub const fn remove(&mut self, replica: ReplicaIndex) -> bool {
        let was = self.contains(replica);
        self.0 &= !(1 << replica.0);
        was
    }

    /// Those of this set that are not in the other.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Those of either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those of both.
    #[must_use]
    pub const fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Nobody is in.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many are in.
    pub const fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// The lowest one.
    pub const fn first(self) -> Option<ReplicaIndex> {
        if self.0 == 0 {
            None
        } else {
            Some(ReplicaIndex(self.0.trailing_zeros() as u8))
        }
    }

    /// From the lowest to the highest.
    pub fn iter(self) -> impl Iterator<Item = ReplicaIndex> {
        let mut rest = self;
        std::iter::from_fn(move || {
            let replica = rest.first()?;
            rest.remove(replica);
            Some(replica)
        })
    }
}

impl FromIterator<ReplicaIndex> for ReplicaSet {
    fn from_iter<I: IntoIterator<Item = ReplicaIndex>>(replicas: I) -> Self {
        let mut set = Self::EMPTY;
        for replica in replicas {
            set.insert(replica);
        }
        set
    }
}
