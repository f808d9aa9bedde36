//! Whole worlds, many seeds: with all rules in place nothing that clients see is impossible.
//!
//! `SEEDS_FROM` and `SEEDS` (numbers) in the environment choose other seeds: how a failure is repeated, and long runs.

#![allow(missing_docs, reason = "a test")]

mod world;

use world::{Chances, Stats};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn holds(seeds: u64, chances: &Chances) -> Stats {
    worlds_hold(seeds, |_| chances.clone())
}

/// Each seed chooses its world.
fn worlds_hold(seeds: u64, chances: impl Fn(u64) -> Chances) -> Stats {
    let from = number("SEEDS_FROM").unwrap_or(0);
    let seeds = number("SEEDS").unwrap_or(seeds);
    if number("EACH").is_some() {
        for seed in from..from + seeds {
            let before = std::time::Instant::now();
            let ended = match world::run_worlds(seed..seed + 1, &chances) {
                Ok(stats) => format!("whole after {} ms", stats.whole_after_ms),
                Err((_, violation, _)) => violation.0.replace('\n', "; "),
            };
            let took = before.elapsed().as_millis();
            println!("seed {seed} took {took} ms: {ended}");
        }
    }
    let tail = number("TAIL").unwrap_or(80) as usize;
    match world::run_worlds(from..from + seeds, chances) {
        Ok(stats) => {
            println!("{stats:?}");
            stats
        }
        Err((seed, violation, trace)) => {
            let last = trace.len().saturating_sub(tail);
            panic!("seed {seed}: {}\n{}", violation.0, trace[last..].join("\n"));
        }
    }
}

#[test]
fn crashes_and_power_losses() {
    let stats = holds(60, &Chances::default());
    assert!(
        stats.opened > 300 && stats.clean > 50 && stats.broken > 0,
        "{stats:?}"
    );
    assert!(
        stats.reads > 1500 && stats.writes > 1500 && stats.flushes > 300,
        "{stats:?}"
    );
    assert!(
        stats.settled > 50 && stats.moved > 20 && stats.late > 100,
        "{stats:?}"
    );
}

#[test]
fn replicas_leave_and_come_back_by_moves() {
    let chances = Chances {
        nodes: 4,
        syncing: 1,
        leave: 60,
        engine_dies: 500,
        ..Chances::default()
    };
    let stats = holds(60, &chances);
    assert!(stats.left > 50 && stats.moved > 50, "{stats:?}");
}

#[test]
fn disks_fill_up() {
    let chances = Chances {
        full: 60,
        leave: 400,
        ..Chances::default()
    };
    let stats = holds(60, &chances);
    assert!(stats.no_space > 50, "{stats:?}");
}

#[test]
fn blocks_rot_and_syncs_fail() {
    let chances = Chances {
        rot: 40,
        sync_fails: 600,
        power: 1500,
        ..Chances::default()
    };
    let stats = holds(60, &chances);
    assert!(stats.reads > 500 && stats.opened > 100, "{stats:?}");
}

/// S2, B10: an engine that was fenced, paused and woken completes nothing that is old.
#[test]
fn fenced_engines_live_on() {
    let chances = Chances {
        fence: 100,
        engine_dies: 0,
        power: 2000,
        replica_dies: 1500,
        close: 0,
        ..Chances::default()
    };
    let stats = holds(60, &chances);
    assert!(
        stats.fenced > 50 && stats.reads_beside_fence > 20,
        "{stats:?}"
    );
}

#[test]
fn one_replica_alone() {
    let chances = Chances {
        nodes: 1,
        ..Chances::default()
    };
    let stats = holds(40, &chances);
    assert!(stats.opened > 50 && stats.broken > 0, "{stats:?}");
}

/// Replicas are lost in every way while a session serves; in the end everything becomes whole.
#[test]
fn replicas_are_lost_in_every_way() {
    let stats = worlds_hold(60, Chances::losses);
    assert!(stats.opened > 100 && stats.writes > 1000, "{stats:?}");
    assert!(
        stats.left > 20 && stats.broke > 10 && stats.synced > 30,
        "{stats:?}"
    );
    assert!(
        stats.placed > 5 && stats.given_up > 5 && stats.no_space > 50,
        "{stats:?}"
    );
}

#[test]
fn a_seed_repeats_exactly() {
    let run = || {
        let mut world = world::World::new(7, Chances::default());
        world.run().expect("it holds");
        world.trace
    };
    assert_eq!(run(), run());
}
