//! Whole worlds, many seeds: with all rules in place nothing that clients see is impossible.

#![allow(missing_docs, reason = "a test")]

mod world;

use world::{Chances, Stats};

fn holds(seeds: u64, chances: &Chances) -> Stats {
    match world::run_seeds(0..seeds, chances) {
        Ok(stats) => stats,
        Err((seed, violation, trace)) => {
            let last = trace.len().saturating_sub(60);
            panic!("seed {seed}: {violation:?}\n{}", trace[last..].join("\n"));
        }
    }
}

#[test]
fn crashes_and_power_losses() {
    let stats = holds(60, &Chances::default());
    println!("{stats:?}");
    assert!(stats.opened > 100 && stats.reads > 1000 && stats.writes > 1000);
}
