//! Which world misses which rule, and how fast: run by hand when a switch or a world is new.
//!
//! `MUTANTS` (names, by commas; all without it), `WORLDS` and `SEEDS` in the environment choose.

#![cfg(feature = "mutants")]
#![allow(missing_docs, reason = "a test")]

mod world;

use shorthorn_core::mutants::{self, Mutant};
use world::{NAMED, named};

fn list(name: &str) -> Option<Vec<String>> {
    let given = std::env::var(name).ok()?;
    Some(given.split(',').map(str::to_owned).collect())
}

#[test]
#[ignore = "a tool"]
fn survey() {
    let seeds = std::env::var("SEEDS").map_or(300, |text| text.parse().expect("a number"));
    let chosen = list("MUTANTS");
    let worlds = list("WORLDS");
    for (_, name) in Mutant::ALL {
        if chosen
            .as_ref()
            .is_some_and(|chosen| !chosen.iter().any(|one| one == name))
        {
            continue;
        }
        let mut best: Option<(u64, &str, String)> = None;
        for world in NAMED {
            if worlds
                .as_ref()
                .is_some_and(|worlds| !worlds.iter().any(|one| one == world))
            {
                continue;
            }
            let limit = best.as_ref().map_or(seeds, |(seed, ..)| *seed);
            assert!(mutants::choose(name));
            let hunt = || world::run_worlds(0..limit, |seed| named(world, seed));
            let caught = std::panic::catch_unwind(hunt);
            mutants::choose("");
            match caught {
                Ok(Ok(_)) => {}
                Ok(Err((seed, violation, _))) => best = Some((seed, world, violation.0)),
                Err(_) => println!("{name} panics in {world}"),
            }
        }
        match best {
            Some((seed, world, why)) => {
                let why: String = why.chars().take(110).collect();
                println!("{name}: {world} seed {seed}: {}", why.replace('\n', "; "));
            }
            None => println!("{name}: NOT CAUGHT"),
        }
    }
}
