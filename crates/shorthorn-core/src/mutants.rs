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
}

impl Mutant {
    /// Every switch with its name.
    pub const ALL: [(Self, &'static str); 5] = [
        (Self::NoEpochCheck, "no-epoch-check"),
        (Self::NoRangeLock, "no-range-lock"),
        (Self::AnySource, "any-source"),
        (Self::NoEqualise, "no-equalise"),
        (Self::LateCopier, "late-copier"),
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
