//! The only clock that decides anything in this program.

use rustix::time::{ClockId, clock_gettime};
use shorthorn_core::Nanos;

/// `CLOCK_BOOTTIME`: only goes forward, and runs on through suspend, as grants need (docs/protocol.md, Read and B10).
pub fn now() -> Nanos {
    let time = clock_gettime(ClockId::Boottime);
    // Since boot: neither part is negative.
    Nanos(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}
