//! Switches that take one rule out, so that tests can prove that something notices.
//!
//! Compiled in only with the Cargo feature `mutants`; without it [`active`] is the constant false and nothing of the
//! switches is left in the programs. Which proof misses each of them: tests/mutants/catalogue.py.

/// Declares the switches: documentation, variant and name.
macro_rules! mutants {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// Rules that can be taken out, by name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Mutant {
            $($(#[$doc])* $variant,)*
        }

        impl Mutant {
            /// Every switch with its name.
            pub const ALL: &[(Self, &str)] = &[$((Self::$variant, $name),)*];
        }
    };
}

mutants! {
    /// A replica takes requests of any epoch and connection (docs/protocol.md, "A connection is a membership").
    NoEpochCheck = "no-epoch-check",
    /// The engine admits overlapping requests (Ranges; A4).
    NoRangeLock = "no-range-lock",
    /// Marked regions are made equal from any sealed replica, torn or not (Open; A1).
    AnySource = "any-source",
    /// Marked regions are not made equal at open (Open).
    NoEqualise = "no-equalise",
    /// A copy's target takes copies of an older epoch (A8).
    LateCopier = "late-copier",
    /// A seal answers without a sync of what an earlier program left in the page cache (A13).
    SealNoSync = "seal-no-sync",
    /// A change is acknowledged without a failed replica before its removal is committed and stored (Write; A3).
    AckBeforeRemoval = "ack-before-removal",
    /// A read completes without grants (Read; B10).
    NoGrants = "no-grants",
    /// A change that one replica has no space for fails, and the others keep it (A12).
    NospaceFails = "nospace-fails",
    /// A joiner is needed only from the answer to ReplicaSynced on (A7).
    JoinOnAnswer = "join-on-answer",
    /// A joiner is not flushed before ReplicaSynced is asked (A7).
    JoinNoFlush = "join-no-flush",
    /// A range is copied while mirrored writes of it are under way (A9).
    CopyOvertakes = "copy-overtakes",
    /// A read runs beside a write of its range (Ranges; A3).
    ReadInFlight = "read-in-flight",
    /// ReplicaSynced is asked before anything is copied (Resync; A7).
    EarlySynced = "early-synced",
    /// ReplicaSynced is asked while the last ranges are being copied (Resync).
    JoinUnfinished = "join-unfinished",
    /// Changes are not mirrored to a syncing replica (Write; Resync).
    NoMirror = "no-mirror",
    /// A range is compared and copied without its lock (Ranges; A9).
    CopyUnlocked = "copy-unlocked",
    /// A replica clears its marks after a sync of its own (Marks; A5).
    OwnClear = "own-clear",
    /// A clear also clears a mark that a later write set (Marks; A5).
    ClearUnordered = "clear-unordered",
    /// Marks are cleared before the members have finished a flush (Marks; Close).
    ClearUnflushed = "clear-unflushed",
    /// A region is marked after the write that makes it dirty (Marks).
    MarkAfterWrite = "mark-after-write",
    /// A connection is known by its epoch only: an older attempt's still changes data (A7).
    Reconnect = "reconnect",
    /// Requests are served before SessionOpened is committed (Open; B2).
    ServeUncommitted = "serve-uncommitted",
    /// An open after a loss of all copies is not called broken (Open; A2).
    SilentRestart = "silent-restart",
    /// A change is acknowledged when one replica has applied it (Write).
    AckOne = "ack-one",
    /// A flush is acknowledged when one replica has synced (Flush).
    FlushOne = "flush-one",
    /// A sync that failed is tried again into a success (Flush; A13).
    SyncRetried = "sync-retried",
    /// A seal does not wait for what is being applied (Seal; A13).
    SealUndrained = "seal-undrained",
    /// A seal takes an older epoch or attempt (Seal).
    SealAnyEpoch = "seal-any-epoch",
    /// A seal takes the same epoch again after it was opened (Seal; B15).
    SealAgain = "seal-again",
    /// A seal takes a document that is older than the replica's own (Seal; A15).
    SealOldDocument = "seal-old-document",
    /// A seal is answered before its epoch is on disk (Seal).
    EpochNotDurable = "epoch-not-durable",
    /// A seal ends torn (Open; A1).
    TornForgotten = "torn-forgotten",
    /// An open or a copy does not record its boot, so a power loss leaves nothing torn (A1).
    OpenUnrecorded = "open-unrecorded",
    /// An open takes another epoch or attempt than what is sealed (Open).
    OpenUnsealed = "open-unsealed",
    /// A membership older than what was stored is taken (The store; A15).
    MemberOlder = "member-older",
    /// A change of the membership is answered before it is on disk (The store; A15).
    MemberNotDurable = "member-not-durable",
    /// A syncing replica is read (Read).
    ReadSyncing = "read-syncing",
    /// Requests beyond the volume's end are taken, by engine and replica (Write).
    BeyondSize = "beyond-size",
    /// Changes and flushes are taken out of the order of their numbers (section 3).
    SeqUnordered = "seq-unordered",
    /// A syncing replica clears marks (Marks).
    ClearSyncing = "clear-syncing",
    /// A clear stamps regions with a membership that the replica was not told (A6).
    ClearBeyond = "clear-beyond",
    /// A member that serves a session takes copies (section 3).
    CopyToMember = "copy-to-member",
    /// A close is taken while regions are marked (Close).
    CloseMarked = "close-marked",
    /// A replica is sealed before it is judged by its own past (Open; A17).
    PastUnasked = "past-unasked",
    /// A settle clears the marks and copies nothing (Settle; A10).
    SettleUnequal = "settle-unequal",
    /// The copies of a task are not synced before it is ready (Move).
    MoveUnsynced = "move-unsynced",
    /// A folder is deleted although it stored a newer document than its tombstone's (C).
    DeleteNewer = "delete-newer",
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
