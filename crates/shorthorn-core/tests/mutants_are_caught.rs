//! Each rule that can be taken out is missed by a world: with it out, some seed shows a client what is impossible; with
//! it in, the same seeds pass.

#![cfg(feature = "mutants")]
#![allow(missing_docs, reason = "a test")]

mod world;

use std::sync::{Mutex, PoisonError};

use shorthorn_core::mutants;
use world::Chances;

/// Seeds until a mutant is caught, at most: some need a thousand, and which ones changes with every repair of the core.
const SEEDS: u64 = 5000;

/// The switch is one for the process: one hunt at a time.
static SWITCH: Mutex<()> = Mutex::new(());

fn hunt(mutant: &str, chances: &Chances) {
    hunt_worlds(mutant, |_| chances.clone());
}

/// Each seed chooses its world.
fn hunt_worlds(mutant: &str, chances: impl Fn(u64) -> Chances) {
    let _alone = SWITCH.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(mutants::choose(mutant), "{mutant} is no mutant");
    let caught = world::run_worlds(0..SEEDS, &chances);
    assert!(mutants::choose(""), "all rules are back");
    let Err((seed, violation, _)) = caught else {
        panic!("{mutant} was not caught by {SEEDS} seeds");
    };
    println!("{mutant} is caught by seed {seed}: {}", violation.0);
    if let Err((seed, violation, trace)) = world::run_worlds(0..seed + 1, &chances) {
        panic!(
            "without {mutant}, seed {seed}: {violation:?}\n{}",
            trace.join("\n")
        );
    }
}

/// Worlds in which replicas are lost in every way, without the wait for everything to become whole.
fn losses(seed: u64) -> Chances {
    Chances {
        quiet: false,
        strict: false,
        ..Chances::losses(seed)
    }
}

#[test]
fn no_range_lock_is_caught() {
    let chances = Chances {
        nodes: 2,
        engine_dies: 100,
        replica_dies: 200,
        power: 0,
        hot: 2,
        ..Chances::default()
    };
    hunt("no-range-lock", &chances);
}

#[test]
fn any_source_is_caught() {
    hunt("any-source", &Chances::default());
}

#[test]
fn no_equalise_is_caught() {
    hunt("no-equalise", &Chances::default());
}

#[test]
fn no_epoch_check_is_caught() {
    hunt("no-epoch-check", &Chances::default());
}

#[test]
fn late_copier_is_caught() {
    let chances = Chances {
        nodes: 2,
        engine_dies: 120,
        copier_dies: 15,
        late: 400,
        close: 100,
        power: 0,
        ..Chances::default()
    };
    hunt("late-copier", &chances);
}

#[test]
fn ack_before_removal_is_caught() {
    hunt_worlds("ack-before-removal", losses);
}

#[test]
fn no_grants_is_caught() {
    let chances = Chances {
        nodes: 2,
        fence: 60,
        partition: 100,
        sleep: 200,
        engine_dies: 0,
        replica_dies: 0,
        power: 0,
        close: 0,
        held: true,
        hot: 1,
        silence_ms: 400,
        ..Chances::default()
    };
    hunt("no-grants", &chances);
}

#[test]
fn nospace_fails_is_caught() {
    let chances = Chances {
        full: 60,
        space_wait_ms: Some(0),
        hot: 2,
        ..Chances::default()
    };
    hunt("nospace-fails", &chances);
}

#[test]
fn join_on_answer_is_caught() {
    hunt_worlds("join-on-answer", losses);
}

#[test]
fn join_no_flush_is_caught() {
    let chances = |seed| Chances {
        power: 150,
        engine_dies: 300,
        hot: 2,
        ..losses(seed)
    };
    hunt_worlds("join-no-flush", chances);
}

#[test]
fn copy_overtakes_is_caught() {
    hunt_worlds("copy-overtakes", losses);
}

#[test]
fn read_in_flight_is_caught() {
    let chances = Chances {
        nodes: 2,
        engine_dies: 100,
        replica_dies: 200,
        power: 0,
        hot: 1,
        ..Chances::default()
    };
    hunt("read-in-flight", &chances);
}

#[test]
fn seal_no_sync_is_caught() {
    let chances = Chances {
        nodes: 2,
        engine_dies: 60,
        power: 100,
        held: true,
        hot: 2,
        ..Chances::default()
    };
    hunt("seal-no-sync", &chances);
}
