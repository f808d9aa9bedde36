//! Resync in a session: compare, copy, mirror, flush (docs/protocol.md, Resync; A9, B14).

#![allow(missing_docs, reason = "a test")]

mod bench;

use bench::joiners::*;
use bench::*;
use bytes::Bytes;
use shorthorn_core::engine::{ClientOp, Event};
use shorthorn_wire::agent::Ask;
use shorthorn_wire::message::{BlockState, Reply, Request, Role};

#[test]
fn a_syncing_replica_becomes_a_member() {
    let mut bench = Bench::with_joiners(1, 1);
    bench.open_joiner(1, vec![]);
    // Nobody uses the volume: a few ranges at once.
    assert_eq!(hashes(&bench, 0), [0, 1, 2, 3]);
    bench.all_equal();
    assert!(bench.asked.is_empty(), "it is flushed first (A7)");
    assert_eq!(bench.needed(), ["r0", "r1"], "and needed before that");
    bench.done(1, is_flush);
    match &bench.asked.last().expect("it asks").1 {
        Ask::ReplicaSynced {
            epoch: 5,
            replica,
            attempt: 1,
            base,
        } => assert_eq!(
            (&replica[..], &base.chain[..], base.size),
            ("r1", &["l1".to_owned()][..], 4 * MIB)
        ),
        other => panic!("{other:?}"),
    }
    bench.commit(4);
    for replica in 0..2 {
        let told = bench.waiting(replica, is_member);
        assert!(
            matches!(&told[..], [Request::Member(member)] if member.role == Role::Member && member.document.m == 4)
        );
    }
    bench.agree();
    let status = bench.status.clone().expect("it was told");
    assert!(status.resyncs.is_empty());
    // It counts as every other: when the first dies, the session goes on.
    bench.disconnect(0);
    bench.remove("r0", 5);
    let write = bench.write(1, 7);
    bench.done(1, is_write);
    assert!(bench.is_done(write));
    let read = bench.read(1);
    bench.answer(1, is_read, data(7));
    assert!(bench.result(read).is_some());
}

#[test]
fn what_differs_is_copied_from_a_member() {
    let mut bench = Bench::with_joiners(2, 1);
    bench.open_joiner(2, vec![]);
    bench.answer(0, is_hash, equal());
    bench.answer(2, is_hash, differs());
    bench.answer(0, is_fetch, region(good(5)));
    let copies = bench.waiting(2, is_copy);
    assert!(matches!(&copies[..], [Request::Copy { offset: 0, blocks }] if blocks.data[0] == 5));
    assert!(
        bench.waiting(1, |_| true).is_empty(),
        "one source is enough"
    );
    bench.done(2, is_copy);
    bench.join(2, 4);
    assert_eq!(bench.needed(), ["r0", "r1", "r2"]);
}

#[test]
fn a_bad_block_is_taken_from_another_member_and_else_copied_as_bad() {
    for other in [good(6), bad(6)] {
        let mut bench = Bench::with_joiners(2, 1);
        bench.open_joiner(2, vec![]);
        let hash = Reply::Hash {
            digest: [1; 32],
            bad: true,
        };
        bench.answer(0, is_hash, hash);
        bench.answer(2, is_hash, differs());
        bench.answer(0, is_fetch, region(bad(5)));
        bench.answer(1, is_fetch, region(other.clone()));
        let copies = bench.waiting(2, is_copy);
        let is_good = matches!(other.states[0], BlockState::Good { .. });
        let expected = if is_good { other } else { bad(5) };
        assert!(
            matches!(&copies[..], [Request::Copy { blocks, .. }] if blocks.states[0] == expected.states[0])
        );
    }
}

#[test]
fn changes_are_mirrored_under_the_same_number_and_not_waited_for() {
    let mut bench = Bench::with_joiners(1, 1);
    bench.write(0, 6);
    bench.agree();
    bench.open_joiner(1, vec![]);
    bench.all_equal();
    let mut bench = Bench::with_joiners(1, 1);
    bench.open_joiner(1, vec![]);
    let data = Bytes::from(vec![7; BLOCK as usize]);
    // Range 0 is being compared, so the change waits for it.
    let held = bench.call(0, BLOCK, ClientOp::Write { data, fua: true });
    assert!(bench.waiting(0, is_write).is_empty());
    bench.answer(0, is_hash, equal());
    bench.answer(1, is_hash, equal());
    let mirrored = bench.waiting(1, is_write);
    assert!(matches!(
        &mirrored[..],
        [Request::Write {
            seq: 1,
            fua: false,
            ..
        }]
    ));
    bench.done(0, is_write);
    assert!(bench.is_done(held), "nobody waits for the joiner");
}

/// A9.
#[test]
fn a_range_is_copied_only_when_its_mirrored_changes_are_answered() {
    let mut bench = Bench::with_joiners(1, 1);
    bench.open_joiner(1, vec![]);
    bench.answer(0, is_hash, equal());
    bench.answer(1, is_hash, equal());
    // Region 0 is done; it is written, and spoilt: the joiner had a bad block there.
    let write = bench.write(1, 7);
    bench.done(0, is_write);
    assert!(bench.is_done(write));
    bench.answer(1, is_write, Reply::Corrupt { offset: BLOCK });
    let again = bench.write(2, 8);
    bench.done(0, is_write);
    assert!(bench.is_done(again));
    bench.all_equal();
    assert!(
        hashes(&bench, 0).is_empty(),
        "a mirrored write of region 0 is unanswered"
    );
    assert!(bench.asked.is_empty());
    bench.done(1, is_write);
    assert_eq!(hashes(&bench, 0), [0]);
    bench.join(1, 4);
}

/// A7: what was under way when it became needed is there before it is flushed.
#[test]
fn it_is_flushed_only_after_everything_that_was_mirrored_before() {
    let mut bench = Bench::with_joiners(1, 1);
    bench.open_joiner(1, vec![]);
    for _ in 0..2 {
        bench.answer(0, is_hash, equal());
        bench.answer(1, is_hash, equal());
    }
    let before = bench.write(1, 7);
    bench.all_equal();
    assert_eq!(bench.needed(), ["r0"], "told on change only");
    // It is needed now.
    let after = bench.write(300, 8);
    bench.done(0, is_write);
    bench.done(0, is_write);
    assert!(bench.is_done(before));
    assert_eq!(bench.result(after), None);
    assert!(bench.waiting(1, is_flush).is_empty());
    bench.done(1, is_write);
    assert!(matches!(
        bench.waiting(1, is_flush)[..],
        [Request::Flush { seq: 2 }]
    ));
    bench.done(1, is_write);
    assert!(bench.is_done(after));
    bench.done(1, is_flush);
    assert!(bench.synced().is_some());
}

/// A12 with a joiner: what the members take back is copied to it again.
#[test]
fn a_change_that_is_undone_is_copied_again() {
    let mut bench = Bench::with_joiners(2, 1);
    bench.open_joiner(2, vec![]);
    bench.all_equal_but_last(2);
    let write = bench.write(1, 7);
    bench.done(2, is_write);
    bench.done(0, is_write);
    bench.all_equal();
    bench.answer(1, is_write, no_space());
    assert!(bench.waiting(2, is_flush).is_empty());
    bench.answer(1, is_fetch, Reply::Blocks(good(3)));
    bench.done(0, is_write);
    assert!(bench.result(write).is_some());
    assert_eq!(hashes(&bench, 2), [0], "its content is not the members'");
    bench.join(2, 4);
}

#[test]
fn an_attempt_that_breaks_is_journaled_and_tried_again_after_growing_pauses() {
    let mut bench = Bench::with_joiners(1, 1);
    for (attempt, pause) in [(1, 500), (2, 1000), (3, 2000)] {
        bench.open_joiner(1, vec![]);
        bench.disconnect(1);
        assert_eq!(
            lost(&bench),
            Some(("r1".to_owned(), attempt, String::new()))
        );
        assert!(
            waits(&bench).contains("the record's answer"),
            "{}",
            waits(&bench)
        );
        bench.commit(3);
        assert!(
            waits(&bench).starts_with("next attempt in"),
            "{}",
            waits(&bench)
        );
        bench.sleep(pause - 10);
        assert!(!bench.dialled.contains(&1));
        bench.sleep(20);
        assert!(bench.dialled.contains(&1));
    }
    bench.connect(1);
    bench.greet(1, standing());
    let seal = bench.waiting(1, |request| matches!(request, Request::Seal(_)));
    assert!(
        matches!(&seal[..], [Request::Seal(seal)] if seal.attempt == 4 && seal.document.m == 3)
    );
    // B14: before its open was sent nothing is journaled.
    bench.disconnect(1);
    assert!(bench.asked.is_empty());
    assert_eq!(bench.stopped, None);
}

#[test]
fn who_can_not_be_reached_is_journaled_by_nobody() {
    let mut bench = Bench::with_joiners(1, 1);
    let mut dials = 0;
    for _ in 0..60 {
        if bench.dialled.contains(&1) {
            dials += 1;
            bench.dialled.clear();
            bench.event(Event::Unreachable {
                replica: shorthorn_core::ReplicaIndex(1),
                why: "no route".to_owned(),
            });
        }
        bench.sleep(1000);
    }
    assert!((10..30).contains(&dials), "{dials}");
    assert!(bench.asked.is_empty());
    assert_eq!(waits(&bench), "no route");
}

#[test]
fn clients_go_on_when_a_joiner_is_silent() {
    let mut bench = Bench::with_joiners(1, 1);
    bench.open_joiner(1, vec![]);
    bench.all_equal_but_last(1);
    let write = bench.write(1, 7);
    bench.done(0, is_write);
    assert!(bench.is_done(write));
    bench.answer(0, is_hash, equal());
    bench.sleep(17_000);
    assert_eq!(lost(&bench).map(|lost| lost.0), Some("r1".to_owned()));
    assert_eq!(bench.needed(), ["r0"]);
    let next = bench.write(1, 8);
    bench.done(0, is_write);
    assert!(bench.is_done(next));
}
