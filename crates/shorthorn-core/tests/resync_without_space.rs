//! A joiner whose disk is full keeps its attempt (docs/protocol.md, Resync and No space; L8).

#![allow(missing_docs, reason = "a test")]

mod bench;

use bench::joiners::*;
use bench::*;
use shorthorn_wire::message::Reply;

/// A range differs, and the joiner gets the source's content of it.
fn copy_to(bench: &mut Bench, joiner: usize, reply: Reply) {
    bench.answer(joiner, is_hash, differs());
    bench.answer(0, is_hash, equal());
    bench.answer(0, is_fetch, region(good(5)));
    bench.answer(joiner, is_copy, reply);
}

/// Its disk is full: its attempt goes on, with pauses, and nothing is journaled (L8).
#[test]
fn a_copy_without_space_is_tried_again_after_growing_pauses() {
    let mut bench = Bench::with_joiners(1, 1);
    bench.open_joiner(1, vec![]);
    bench.all_equal_but_last(1);
    copy_to(&mut bench, 1, no_space());
    assert_eq!(waits(&bench), "space on its disk");
    for pause in [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000] {
        bench.sleep(pause - 10);
        assert!(hashes(&bench, 1).is_empty());
        bench.sleep(20);
        assert_eq!(hashes(&bench, 1), [3]);
        copy_to(&mut bench, 1, no_space());
    }
    bench.sleep(30_010);
    copy_to(&mut bench, 1, Reply::Done);
    assert_eq!(waits(&bench), "");
    assert!(bench.asked.is_empty(), "{:?}", bench.asked);
    bench.done(1, is_flush);
    assert_eq!(bench.synced(), Some(("r1".to_owned(), 1)));
    assert!(bench.hung_up.is_empty());
}

/// Four ranges are refused at once, which is one refusal; what needs no space goes on after each pause.
#[test]
fn ranges_that_are_refused_together_pause_once() {
    let mut bench = Bench::with_joiners(1, 1);
    bench.open_joiner(1, vec![]);
    for _ in 0..4 {
        copy_to(&mut bench, 1, no_space());
    }
    bench.sleep(1010);
    assert_eq!(hashes(&bench, 1), [0, 1, 2, 3]);
    copy_to(&mut bench, 1, Reply::Done);
    assert_eq!(waits(&bench), "");
    copy_to(&mut bench, 1, no_space());
    assert_eq!(waits(&bench), "space on its disk");
    bench.all_equal();
    assert!(bench.waiting(1, is_flush).is_empty(), "a range is left");
    bench.sleep(1010);
    assert_eq!(hashes(&bench, 1), [1]);
    bench.join(1, 4);
}

/// What a joiner has no space for is copied to it later; no client waits, and nothing is journaled.
#[test]
fn a_mirrored_change_without_space_is_copied_later() {
    let mut bench = Bench::with_joiners(1, 1);
    bench.open_joiner(1, vec![]);
    bench.all_equal_but_last(1);
    let write = bench.write(1, 7);
    bench.done(0, is_write);
    assert!(bench.is_done(write));
    bench.answer(1, is_write, no_space());
    assert!(bench.asked.is_empty() && bench.hung_up.is_empty());
    bench.answer(0, is_hash, equal());
    bench.answer(1, is_hash, equal());
    assert_eq!(hashes(&bench, 1), [0], "it lacks the change");
    copy_to(&mut bench, 1, no_space());
    let next = bench.write(MIB / BLOCK, 8);
    bench.done(0, is_write);
    assert!(bench.is_done(next), "nobody waits for a full joiner");
    bench.answer(1, is_write, no_space());
    bench.sleep(1010);
    assert_eq!(hashes(&bench, 1), [1, 0]);
    bench.join(1, 4);
    assert_eq!(bench.needed(), ["r0", "r1"]);
}

/// The refusal comes when it has everything else, after the change was decided: the range is copied before it is flushed.
#[test]
fn a_mirrored_change_that_is_refused_last_is_copied_before_the_flush() {
    for refusal in [no_space(), Reply::Corrupt { offset: BLOCK }] {
        let mut bench = Bench::with_joiners(1, 1);
        bench.open_joiner(1, vec![]);
        bench.all_equal_but_last(1);
        let write = bench.write(1, 7);
        bench.done(0, is_write);
        assert!(bench.is_done(write));
        bench.all_equal();
        assert_eq!(bench.engine.needed(), ["r0", "r1"]);
        bench.answer(1, is_write, refusal);
        assert!(bench.waiting(1, is_flush).is_empty());
        assert_eq!(hashes(&bench, 1), [0]);
        copy_to(&mut bench, 1, no_space());
        assert!(bench.waiting(1, is_flush).is_empty());
        bench.sleep(1010);
        copy_to(&mut bench, 1, Reply::Done);
        bench.join(1, 4);
    }
}
