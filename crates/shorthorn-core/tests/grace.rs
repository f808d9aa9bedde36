//! The grace time of an open counts from the first replica that is sealed, not from the engine's start.

#![allow(missing_docs, reason = "a test")]

mod bench;

use bench::*;
use shorthorn_wire::agent::Ask;

fn opened(bench: &Bench) -> Option<(Vec<String>, bool)> {
    match &bench.asked.last()?.1 {
        Ask::SessionOpened {
            members, broken, ..
        } => Some((members.clone(), *broken)),
        _ => None,
    }
}

fn both() -> Vec<String> {
    vec!["r0".to_owned(), "r1".to_owned()]
}

/// The engine's node came back first after an outage of all: whoever answers first is not all there is (B7).
#[test]
fn the_first_to_answer_after_a_long_silence_waits_for_the_others() {
    let mut bench = Bench::new(order(2));
    bench.sleep(60_000);
    bench.connect(0);
    bench.seal(0, standing());
    assert_eq!(opened(&bench), None, "r1 is a moment away");
    bench.sleep(100);
    bench.connect(1);
    bench.seal(1, standing());
    assert_eq!(opened(&bench), Some((both(), false)));
}

/// S3: nothing is lost as long as one that did not lose power comes within the grace time.
#[test]
fn a_torn_first_one_does_not_lose_what_the_whole_one_has() {
    let mut bench = Bench::new(order(2));
    bench.sleep(60_000);
    bench.connect(0);
    bench.seal(0, marked(true, 1));
    bench.sleep(4_900);
    assert_eq!(opened(&bench), None);
    assert!(bench.waiting(0, is_hash).is_empty());
    bench.connect(1);
    bench.seal(1, marked(false, 1));
    assert_eq!(bench.waiting(0, is_hash).len(), 1);
    assert_eq!(bench.waiting(1, is_hash).len(), 1);
}

/// And it still ends: a replica that never comes is left out.
#[test]
fn the_grace_time_begins_again_with_the_first_that_stays() {
    let mut bench = Bench::new(order(2));
    bench.connect(0);
    bench.seal(0, standing());
    bench.sleep(900);
    bench.disconnect(0);
    bench.sleep(50);
    bench.connect(0);
    bench.seal(0, standing());
    bench.sleep(900);
    assert_eq!(opened(&bench), None);
    bench.sleep(200);
    assert_eq!(opened(&bench), Some((vec!["r0".to_owned()], false)));
}
