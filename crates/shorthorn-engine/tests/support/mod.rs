//! A world for one engine program: fake replicas, a fake agent and a hand-made NBD client, on real sockets.
#![allow(dead_code, reason = "each test file uses its part")]

pub mod agent;
pub mod engine;
pub mod nbd;
pub mod replica;

use std::time::{Duration, Instant};

/// How long anything may take before a test fails.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Waits for a condition, with a bound.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LIMIT, "never came: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
