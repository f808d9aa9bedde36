//! Switches that take one rule out, so that tests can prove that something notices.
//!
//! Compiled in only with the Cargo feature `mutants`; without it [`active`] is the constant false and nothing of the
//! switches is left in the programs. The table of rules, switches and the tests that must fail is in tests/mutants.

/// Rules that can be taken out, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// A replica takes requests of any epoch and connection (docs/protocol.md, "A connection is a membership").
    NoEpochCheck,
    /// The engine admits overlapping requests (Ranges; A4).
    NoRangeLock,
    /// Marked regions are made equal from any sealed replica, torn or not (Open; A1).
    AnySource,
    /// Marked regions are not made equal at open (Open).
    NoEqualise,
    /// A copy's target takes copies of an older epoch (A8).
    LateCopier,
    /// A seal answers without a sync of what an earlier program left in the page cache (A13).
    SealNoSync,
    /// A change is acknowledged without a failed replica before its removal is committed and stored (Write; A3).
    AckBeforeRemoval,
    /// A read completes without grants (Read; B10).
    NoGrants,
    /// A change that one replica has no space for fails, and the others keep it (A12).
    NospaceFails,
    /// A joiner is needed only from the answer to ReplicaSynced on (A7).
    JoinOnAnswer,
    /// A joiner is not flushed before ReplicaSynced is asked (A7).
    JoinNoFlush,
    /// A range is copied while mirrored writes of it are under way (A9).
    CopyOvertakes,
    /// A read runs beside a write of its range (Ranges; A3).
    ReadInFlight,
}

impl Mutant {
    /// Every switch with its name.
    pub const ALL: [(Self, &'static str); 13] = [
        (Self::NoEpochCheck, "no-epoch-check"),
        (Self::NoRangeLock, "no-range-lock"),
        (Self::AnySource, "any-source"),
        (Self::NoEqualise, "no-equalise"),
        (Self::LateCopier, "late-copier"),
        (Self::SealNoSync, "seal-no-sync"),
        (Self::AckBeforeRemoval, "ack-before-removal"),
        (Self::NoGrants, "no-grants"),
        (Self::NospaceFails, "nospace-fails"),
        (Self::JoinOnAnswer, "join-on-answer"),
        (Self::JoinNoFlush, "join-no-flush"),
        (Self::CopyOvertakes, "copy-overtakes"),
        (Self::ReadInFlight, "read-in-flight"),
    ];
}

#[cfg(feature = "mutants")]
mod switch {
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// 0: none; otherwise 1 + the index in `Mutant::ALL`.
    static CHOSEN: AtomicUsize = AtomicUsize::new(0);

    /// Takes the named rule out of this process; an empty name puts all rules back. False: no such name.
    pub fn choose(name: &str) -> bool {
        let index = super::Mutant::ALL
            .iter()
            .position(|(_, known)| *known == name);
        CHOSEN.store(index.map_or(0, |i| i + 1), Ordering::SeqCst);
        name.is_empty() || index.is_some()
    }

    /// Whether this rule is out.
    pub fn active(mutant: super::Mutant) -> bool {
        match CHOSEN.load(Ordering::Relaxed) {
            0 => false,
            chosen => super::Mutant::ALL[chosen - 1].0 == mutant,
        }
    }
}

#[cfg(feature = "mutants")]
pub use switch::{active, choose};

/// Whether this rule is out: never, without the feature.
#[cfg(not(feature = "mutants"))]
#[inline(always)]
pub const fn active(_mutant: Mutant) -> bool {
    false
}
