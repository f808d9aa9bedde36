//! Time as the machines are told it.

use std::ops::{Add, Sub};

/// A moment of a clock that only goes forward, also through suspend; nanoseconds since any fixed start.
///
/// The programs read `CLOCK_BOOTTIME` (docs/protocol.md, Read: "clocks run on through suspend"); tests count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Nanos(pub u64);

impl Nanos {
    /// A span of whole milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }
}

impl Add for Nanos {
    type Output = Self;

    fn add(self, span: Self) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl Sub for Nanos {
    type Output = Self;

    /// The span between two moments; nothing if the other is later.
    fn sub(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }
}
