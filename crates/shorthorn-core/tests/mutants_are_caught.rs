//! Each rule that can be taken out is missed by a world: with it out, some seed shows what is impossible; with it in, the same
//! seeds pass.
//!
//! `MUTANTS` (names, by commas) in the environment chooses some; `WORLDS` tries other worlds than the table's, each up to the
//! best seed so far, which is how the table was made. A line a mutant says by what it is caught, and how fast.

#![cfg(feature = "mutants")]
#![allow(missing_docs, reason = "a test")]

mod world;

use std::time::Instant;

use shorthorn_core::mutants::{self, Mutant};
use world::named;

/// Seeds until a mutant is caught, at most: some need a thousand, and which ones changes with every repair of the core.
const SEEDS: u64 = 6000;

/// Each switch, and a world that misses its rule soon.
const TABLE: &[(&str, &str)] = &[
    ("no-epoch-check", "copies"),
    ("no-range-lock", "hot"),
    ("any-source", "crashes"),
    ("no-equalise", "copies"),
    ("late-copier", "copies"),
    ("seal-no-sync", "power"),
    ("ack-before-removal", "losses"),
    ("no-grants", "fences"),
    ("nospace-fails", "full"),
    ("join-on-answer", "losses"),
    ("join-no-flush", "joins"),
    ("copy-overtakes", "losses"),
    ("read-in-flight", "hot"),
    ("early-synced", "losses"),
    ("join-unfinished", "losses"),
    ("no-mirror", "losses"),
    ("copy-unlocked", "losses"),
    ("own-clear", "power"),
    ("clear-unordered", "idle"),
    ("clear-unflushed", "moves"),
    ("mark-after-write", "joins"),
    ("reconnect", "losses"),
    ("serve-uncommitted", "fences"),
    ("silent-restart", "moves"),
    ("ack-one", "copies"),
    ("flush-one", "leaves"),
    ("sync-retried", "syncs"),
    ("seal-undrained", "crashes"),
    ("seal-any-epoch", "lies"),
    ("seal-again", "lies"),
    ("seal-old-document", "lies"),
    ("epoch-not-durable", "crashes"),
    ("torn-forgotten", "joins"),
    ("open-unrecorded", "joins"),
    ("open-unsealed", "lies"),
    ("member-older", "lies"),
    ("member-not-durable", "losses"),
    ("read-syncing", "lies"),
    ("beyond-size", "lies"),
    ("seq-unordered", "lies"),
    ("clear-syncing", "lies"),
    ("clear-beyond", "lies"),
    ("copy-to-member", "lies"),
    ("close-marked", "lies"),
    ("past-unasked", "rewinds"),
    ("settle-unequal", "moves"),
    ("move-unsynced", "moves"),
    ("delete-newer", "lies"),
];

/// Names by commas, if the environment has some.
fn list(name: &str) -> Option<Vec<String>> {
    let given = std::env::var(name).ok()?;
    Some(given.split(',').map(str::to_owned).collect())
}

/// The first seed of a world that shows a violation, and which.
fn hunt(mutant: &str, world: &str, seeds: u64) -> Option<(u64, String)> {
    assert!(mutants::choose(mutant), "{mutant} is no mutant");
    let caught = world::run_worlds(0..seeds, |seed| named(world, seed));
    assert!(mutants::choose(""), "all rules are back");
    let (seed, violation, trace) = caught.err()?;
    let tail = std::env::var("TAIL").map_or(0, |text| text.parse().expect("a number"));
    for line in &trace[trace.len().saturating_sub(tail)..] {
        println!("  {line}");
    }
    let why: String = violation.0.chars().take(150).collect();
    Some((seed, why.replace('\n', "; ")))
}

fn catches(mutant: &str, worlds: &[String]) -> bool {
    let began = Instant::now();
    let mut best: Option<(u64, &str, String)> = None;
    for world in worlds {
        let limit = best.as_ref().map_or(SEEDS, |(seed, ..)| *seed);
        if let Some((seed, why)) = hunt(mutant, world, limit) {
            best = Some((seed, world, why));
        }
    }
    let Some((seed, world, why)) = best else {
        println!("survives {mutant}");
        return false;
    };
    let seconds = began.elapsed().as_secs_f64();
    println!("caught {mutant} by {world} seed {seed} in {seconds:.2} s: {why}");
    if let Some((seed, why)) = hunt("", world, seed + 1) {
        panic!("with all rules in, seed {seed} of {world}: {why}");
    }
    true
}

/// One test: the switch is one for the process.
#[test]
fn a_world_misses_each_rule() {
    let known: Vec<&str> = Mutant::ALL.iter().map(|(_, name)| *name).collect();
    let listed: Vec<&str> = TABLE.iter().map(|(name, _)| *name).collect();
    assert_eq!(listed, known, "the table names every switch, in order");
    let chosen = list("MUTANTS");
    let worlds = list("WORLDS");
    let mut survivors = Vec::new();
    for (mutant, world) in TABLE {
        let wanted = |names: &Vec<String>| names.iter().any(|name| name == mutant);
        if !chosen.as_ref().is_none_or(wanted) {
            continue;
        }
        let own = [(*world).to_owned()];
        if !catches(mutant, worlds.as_deref().unwrap_or(&own)) {
            survivors.push(*mutant);
        }
    }
    assert!(survivors.is_empty(), "nothing misses {survivors:?}");
}
