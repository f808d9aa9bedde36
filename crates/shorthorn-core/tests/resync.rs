//! Rejoin and resync in a session (docs/protocol.md, Resync; A7, A9, B3, B14).

#![allow(missing_docs, reason = "a test")]

mod bench;

use bench::*;
use bytes::Bytes;
use shorthorn_core::engine::{ClientOp, Event};
use shorthorn_wire::agent::{Answer, Ask, Target};
use shorthorn_wire::message::{
    BlockState, Blocks, Document, Failure, Refusal, RegionRun, Reply, Request, Role,
};

fn no_space() -> Reply {
    Reply::Failed {
        why: Failure::NoSpace,
        detail: "full".to_owned(),
    }
}

fn differs() -> Reply {
    Reply::Hash {
        digest: [9; 32],
        bad: false,
    }
}

fn region(first: Blocks) -> Reply {
    let mut blocks = first;
    blocks.states.resize(256, BlockState::Zero);
    Reply::Blocks(blocks)
}

fn hashes(bench: &Bench, replica: usize) -> Vec<u64> {
    let asked = bench.waiting(replica, is_hash);
    let offsets = asked.iter().map(|request| match request {
        Request::Hash { offset, .. } => *offset / MIB,
        _ => unreachable!(),
    });
    offsets.collect()
}

fn targets(list: &[(&str, u64, bool)]) -> Event {
    let targets = list.iter().map(|(name, attempt, in_sync)| Target {
        replica: (*name).to_owned(),
        node: format!("n-{name}"),
        address: Some(format!("{name}:8")),
        attempt: *attempt,
        in_sync: *in_sync,
        stored_m: 0,
        local: false,
    });
    Event::Targets {
        targets: targets.collect(),
        document: None,
    }
}

fn lost(bench: &Bench) -> Option<(String, u64, String)> {
    match &bench.asked.last()?.1 {
        Ask::ReplicaLost {
            replica,
            attempt,
            witness,
            ..
        } => Some((replica.clone(), *attempt, witness.clone())),
        _ => None,
    }
}

fn waits(bench: &Bench) -> String {
    let status = bench.status.as_ref().expect("it was told");
    let waits = status.resyncs.iter().map(|resync| resync.waits_for.clone());
    waits.flatten().collect::<Vec<_>>().join("; ")
}

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

/// Its program stands still under the last flush: clients wait for it, since it is needed, but not for long.
#[test]
fn a_joiner_that_stands_still_under_its_flush_is_found_by_a_ping() {
    let mut bench = Bench::with_joiners(1, 1);
    bench.open_joiner(1, vec![]);
    bench.all_equal();
    assert_eq!(bench.waiting(1, is_flush).len(), 1);
    bench.sleep(6100);
    assert_eq!(bench.hung_up, [1]);
    assert_eq!(lost(&bench).map(|(name, ..)| name).as_deref(), Some("r1"));
}

/// It is needed from before the record is asked, so only the record can say that it is not.
#[test]
fn one_that_fails_after_the_ask_is_removed_like_a_member() {
    let mut bench = Bench::with_joiners(1, 1);
    bench.open_joiner(1, vec![]);
    bench.all_equal();
    bench.done(1, is_flush);
    assert!(bench.synced().is_some());
    let write = bench.write(1, 7);
    bench.done(0, is_write);
    bench.disconnect(1);
    bench.done(0, is_ping);
    assert_eq!(lost(&bench), Some(("r1".to_owned(), 1, "r0".to_owned())));
    assert_eq!(bench.result(write), None);
    bench.commit(4);
    bench.agree();
    assert!(bench.is_done(write));
    assert_eq!(bench.needed(), ["r0"]);
    bench.sleep(1100);
    bench.open_joiner(1, vec![]);
    bench.join(1, 6);
    assert_eq!(bench.needed(), ["r0", "r1"]);
}

/// A7: a lost answer changes nothing.
#[test]
fn it_is_needed_while_the_record_does_not_answer() {
    let mut bench = Bench::with_joiners(1, 1);
    bench.open_joiner(1, vec![]);
    bench.all_equal();
    bench.done(1, is_flush);
    let (id, _) = bench.asked.last().cloned().expect("it asks");
    let why = "control is away".to_owned();
    bench.event(Event::Answer {
        id,
        answer: Answer::Unknown { why },
    });
    let write = bench.write(1, 7);
    bench.done(0, is_write);
    assert_eq!(bench.result(write), None);
    bench.done(1, is_write);
    assert!(bench.is_done(write));
    // Not a source of reads, and not cleared, before it was told.
    let read = bench.read(1);
    assert!(bench.waiting(1, is_read).is_empty());
    bench.answer(0, is_read, data(7));
    bench.agree();
    assert!(bench.result(read).is_some());
    bench.sleep(6000);
    bench.done(0, is_flush);
    bench.done(1, is_flush);
    assert_eq!(bench.waiting(0, is_clear).len(), 1);
    assert!(bench.waiting(1, is_clear).is_empty());
}

/// The only member dies while the record is asked about the joiner: if it says yes, the session goes on with that.
#[test]
fn the_answer_may_come_just_in_time() {
    let mut bench = Bench::with_joiners(1, 1);
    bench.open_joiner(1, vec![]);
    bench.all_equal();
    bench.done(1, is_flush);
    let read = bench.read(1);
    bench.disconnect(0);
    assert_eq!(bench.stopped, None);
    assert_eq!(bench.result(read), None);
    bench.commit(4);
    bench.done(1, is_member);
    bench.remove("r0", 5);
    bench.answer(1, is_read, data(7));
    assert!(bench.result(read).is_some());
    let write = bench.write(1, 7);
    bench.agree();
    assert!(bench.is_done(write));
}

#[test]
fn a_removed_member_comes_back() {
    let mut bench = Bench::serving(2);
    let write = bench.write(1, 7);
    bench.done(0, is_write);
    bench.disconnect(1);
    bench.remove("r1", 4);
    assert!(bench.is_done(write));
    bench.sleep(600);
    bench.open_joiner(1, vec![RegionRun { first: 0, count: 1 }]);
    bench.join(1, 5);
    assert_eq!(bench.needed(), ["r0", "r1"]);
    // What was marked on it is cleared on all.
    bench.sleep(6000);
    bench.agree();
    bench.event(Event::Close);
    bench.agree();
    assert!(matches!(
        bench.asked.last(),
        Some((_, Ask::SessionClosed { clean: true, .. }))
    ));
}

/// Down to one, back to two, and then the first one dies; again and again.
#[test]
fn a_session_outlives_each_of_its_replicas() {
    let mut bench = Bench::serving(2);
    let mut m = 4;
    for round in 0..6 {
        let (dies, stays) = (round % 2, 1 - round % 2);
        let write = bench.write(1, round as u8);
        bench.done(stays, is_write);
        bench.disconnect(dies);
        bench.remove(&format!("r{dies}"), m);
        assert!(bench.is_done(write));
        // The pauses grow.
        bench.sleep(2100);
        bench.agree();
        bench.open_joiner(dies, vec![RegionRun { first: 0, count: 1 }]);
        bench.join(dies, m + 1);
        m += 2;
        bench.agree();
    }
    assert_eq!(bench.stopped, None);
}

#[test]
fn a_replica_that_is_placed_in_a_session_is_resynced() {
    let mut bench = Bench::serving(1);
    bench.event(targets(&[("r0", 1, true), ("r1", 1, false)]));
    assert_eq!(bench.dialled, [1]);
    assert_eq!(
        bench.engine.target(shorthorn_core::ReplicaIndex(1)).replica,
        "r1"
    );
    bench.open_joiner(1, vec![]);
    bench.join(1, 4);
    assert_eq!(bench.needed(), ["r0", "r1"]);
    // The list is repeated: nothing changes.
    bench.event(targets(&[("r0", 1, true), ("r1", 1, true)]));
    assert!(bench.dialled.is_empty());
}

/// Its folder was made with a document that this engine has not heard of.
#[test]
fn one_that_was_placed_since_is_sealed_with_the_documents_that_it_knows() {
    let mut bench = Bench::serving(1);
    bench.event(targets(&[("r0", 1, true), ("r1", 1, false)]));
    let is_seal = |request: &Request| matches!(request, Request::Seal(_));
    bench.connect(1);
    bench.greet(1, standing());
    let behind = Reply::Refused {
        why: Refusal::OldDocument,
        detail: "older".to_owned(),
    };
    bench.answer(1, is_seal, behind);
    // The record's answer brings its document.
    assert_eq!(lost(&bench), Some(("r1".to_owned(), 1, String::new())));
    bench.commit(8);
    bench.sleep(600);
    bench.connect(1);
    bench.greet(1, standing());
    let seal = bench.waiting(1, is_seal);
    assert!(
        matches!(&seal[..], [Request::Seal(seal)] if seal.attempt == 2 && seal.document.version == 8),
        "{seal:?}"
    );
    assert_eq!(bench.stopped, None);
}

/// The list that names it brings the document with which its folder was made: no attempt is lost.
#[test]
fn one_that_was_placed_since_is_sealed_with_the_document_of_its_list() {
    let mut bench = Bench::serving(1);
    let Event::Targets { targets, .. } = targets(&[("r0", 1, true), ("r1", 1, false)]) else {
        unreachable!("a list of targets");
    };
    let listed = Document {
        version: 9,
        ..document(3)
    };
    bench.event(Event::Targets {
        targets,
        document: Some(listed),
    });
    let is_seal = |request: &Request| matches!(request, Request::Seal(_));
    bench.connect(1);
    bench.greet(1, standing());
    let seal = bench.waiting(1, is_seal);
    assert!(
        matches!(&seal[..], [Request::Seal(seal)] if seal.attempt == 1 && seal.document.version == 9),
        "{seal:?}"
    );
}

#[test]
fn a_syncing_replica_that_is_given_up_is_let_go() {
    let mut bench = Bench::with_joiners(1, 1);
    bench.open_joiner(1, vec![]);
    bench.event(targets(&[("r0", 1, true)]));
    assert_eq!(bench.hung_up, [1]);
    assert!(bench.asked.is_empty());
    let write = bench.write(1, 7);
    bench.done(0, is_write);
    assert!(bench.is_done(write), "its range is free");
    bench.event(targets(&[("r0", 1, true), ("r1", 3, false)]));
    bench.connect(1);
    bench.greet(1, standing());
    let seal = bench.waiting(1, |request| matches!(request, Request::Seal(_)));
    assert!(matches!(&seal[..], [Request::Seal(seal)] if seal.attempt == 3));
}

/// A6: nothing is left of an attempt that the record has ended.
#[test]
fn a_greater_attempt_begins_anew() {
    let mut bench = Bench::with_joiners(1, 1);
    bench.open_joiner(1, vec![]);
    bench.event(targets(&[("r0", 1, true), ("r1", 2, false)]));
    assert_eq!(bench.hung_up, [1]);
    bench.open_joiner(1, vec![]);
    bench.join(1, 4);
    assert_eq!(bench.needed(), ["r0", "r1"]);
}

#[test]
fn one_that_was_missing_at_the_open_is_resynced_with_the_next_attempt() {
    let mut bench = Bench::new(order(2));
    bench.connect(0);
    bench.seal(0, standing());
    bench.sleep(1200);
    bench.dialled.clear();
    bench.commit(3);
    bench.agree();
    assert!(bench.dialled.contains(&1));
    bench.open_joiner(1, vec![]);
    bench.all_equal();
    bench.done(1, is_flush);
    assert_eq!(bench.synced(), Some(("r1".to_owned(), 2)));
}

#[test]
fn a_close_does_not_wait_for_a_joiner() {
    let mut bench = Bench::with_joiners(1, 1);
    bench.open_joiner(1, vec![]);
    bench.event(Event::Close);
    assert_eq!(bench.hung_up, [1]);
    bench.agree();
    assert!(matches!(
        bench.asked.last(),
        Some((_, Ask::SessionClosed { clean: true, .. }))
    ));
}

/// One that may be in-sync is waited for: it has to be told, or removed.
#[test]
fn a_close_waits_for_the_answer_about_one_that_may_be_in_sync() {
    let mut bench = Bench::with_joiners(1, 1);
    bench.open_joiner(1, vec![]);
    bench.all_equal();
    bench.done(1, is_flush);
    bench.event(Event::Close);
    assert!(bench.waiting(0, is_flush).is_empty());
    bench.commit(4);
    bench.agree();
    assert!(matches!(
        bench.asked.last(),
        Some((_, Ask::SessionClosed { clean: true, .. }))
    ));
}

#[test]
fn the_source_may_die_under_a_copy() {
    let mut bench = Bench::with_joiners(2, 1);
    bench.open_joiner(2, vec![]);
    bench.answer(2, is_hash, equal());
    bench.answer(0, is_hash, differs());
    assert_eq!(bench.waiting(0, is_fetch).len(), 1);
    bench.disconnect(0);
    bench.remove("r0", 4);
    bench.answer(1, is_fetch, region(good(5)));
    bench.done(2, is_copy);
    bench.all_equal();
    bench.done(2, is_flush);
    assert!(bench.synced().is_some());
}

/// Removed between its hash and the joiner's: it is no more asked for what it has.
#[test]
fn the_source_may_go_between_two_hashes() {
    let mut bench = Bench::with_joiners(2, 1);
    bench.open_joiner(2, vec![]);
    bench.answer(0, is_hash, differs());
    bench.disconnect(0);
    bench.remove("r0", 4);
    bench.answer(2, is_hash, equal());
    assert!(bench.waiting(0, is_fetch).is_empty());
    assert_eq!(hashes(&bench, 1), [0]);
}

#[test]
fn one_range_at_a_time_while_clients_have_requests() {
    let mut bench = Bench::with_joiners(1, 1);
    bench.event(targets(&[("r0", 1, true), ("r1", 1, false)]));
    bench.write(300, 7);
    bench.open_joiner(1, vec![]);
    assert_eq!(hashes(&bench, 0), [0]);
    bench.agree();
    bench.answer(0, is_hash, equal());
    bench.answer(1, is_hash, equal());
    assert_eq!(hashes(&bench, 0), [1, 2, 3]);
}

#[test]
fn progress_is_told_now_and_then() {
    let mut bench = Bench::with_joiners(1, 1);
    bench.open_joiner(1, vec![]);
    bench.answer(0, is_hash, equal());
    bench.answer(1, is_hash, equal());
    let done = |bench: &Bench| bench.status.as_ref().map(|status| status.resyncs[0].done);
    assert_eq!(done(&bench), Some(0));
    bench.sleep(600);
    assert!(done(&bench) > Some(0));
    assert_eq!(
        bench.status.as_ref().map(|status| status.resyncs[0].total),
        Some(4 * MIB)
    );
}

#[test]
fn a_joiner_that_does_not_keep_up_holds_clients_back_only_for_a_moment() {
    let mut bench = Bench::with_joiners(1, 1);
    bench.open_joiner(1, vec![]);
    bench.all_equal_but_last(1);
    let data = Bytes::from(vec![0; 1 << 20]);
    for _ in 0..64 {
        assert!(bench.engine.can_take());
        let data = data.clone();
        bench.call(0, 1 << 20, ClientOp::Write { data, fua: false });
        bench.done(0, is_write);
    }
    assert!(!bench.engine.can_take());
    bench.sleep(2100);
    assert!(bench.engine.can_take());
    assert_eq!(lost(&bench).map(|lost| lost.0), Some("r1".to_owned()));
}

/// B14: the list with the next attempt may come before the answer.
#[test]
fn a_list_that_overtakes_the_answer_does_not_shorten_the_pause() {
    let mut bench = Bench::with_joiners(1, 1);
    bench.open_joiner(1, vec![]);
    bench.disconnect(1);
    bench.event(targets(&[("r0", 1, true), ("r1", 2, false)]));
    bench.sleep(10_000);
    assert!(!bench.dialled.contains(&1), "the record has not answered");
    bench.commit(3);
    bench.sleep(490);
    assert!(!bench.dialled.contains(&1));
    bench.sleep(20);
    bench.open_joiner(1, vec![]);
    bench.all_equal();
    bench.done(1, is_flush);
    assert_eq!(bench.synced(), Some(("r1".to_owned(), 2)));
}

/// One that fails before it has stored that the session is open comes back when it serves: it is dialled once.
#[test]
fn one_that_is_removed_while_opening_is_dialled_once() {
    let mut bench = Bench::new(order(2));
    for replica in 0..2 {
        bench.connect(replica);
        bench.seal(replica, standing());
    }
    bench.commit(3);
    bench.disconnect(1);
    bench.agree();
    bench.remove("r1", 4);
    bench.sleep(600);
    assert_eq!(bench.dialled, [1]);
    bench.open_joiner(1, vec![]);
    bench.join(1, 5);
    assert_eq!(bench.needed(), ["r0", "r1"]);
}

/// A leave of the only one that can be read waits for the joiner, and so does nobody who reads.
#[test]
fn a_leave_waits_for_a_joiner_and_reads_do_not() {
    let mut bench = Bench::with_joiners(1, 1);
    bench.open_joiner(1, vec![]);
    bench.all_equal();
    let replica = "r0".to_owned();
    bench.event(Event::Leave { replica });
    bench.done(1, is_flush);
    let read = bench.read(1);
    bench.answer(0, is_read, data(7));
    bench.agree();
    assert!(bench.result(read).is_some());
    assert!(bench.synced().is_some());
    bench.commit(4);
    bench.agree();
    assert_eq!(bench.lost(), Some(("r0".to_owned(), "r1".to_owned())));
    bench.commit(5);
    bench.agree();
    assert_eq!(bench.needed(), ["r1"]);
}

/// Two members and one of which the record is asked whether it is in-sync.
fn with_hope() -> Bench {
    let mut bench = Bench::with_joiners(2, 1);
    bench.open_joiner(2, vec![]);
    bench.all_equal();
    bench.done(2, is_flush);
    assert!(bench.synced().is_some());
    bench
}

/// Both members fail while the record is asked: the only witness of the first removal is gone, and the next one may come.
#[test]
fn a_removal_whose_only_witness_fails_waits_for_the_next_one() {
    let mut bench = with_hope();
    let write = bench.write(1, 7);
    bench.done(2, is_write);
    bench.disconnect(1);
    bench.disconnect(0);
    assert_eq!(bench.stopped, None);
    bench.commit(4);
    bench.done(2, is_member);
    bench.remove("r1", 5);
    bench.remove("r0", 6);
    assert!(bench.is_done(write));
    assert_eq!(bench.needed(), ["r2"]);
}

/// The same, after it was asked: nobody is left who could store the first removal.
#[test]
fn a_removal_that_nobody_can_store_yet_goes_on() {
    let mut bench = with_hope();
    let (id, _) = bench.asked.pop().expect("it asks to join");
    let write = bench.write(1, 7);
    bench.done(2, is_write);
    bench.disconnect(1);
    bench.done(0, is_ping);
    bench.disconnect(0);
    bench.commit(4);
    assert_eq!(bench.stopped, None);
    assert_eq!(bench.result(write), None);
    let document = document(5);
    let broken = false;
    bench.event(Event::Answer {
        id,
        answer: Answer::Committed { document, broken },
    });
    bench.done(2, is_member);
    bench.remove("r0", 6);
    assert!(bench.is_done(write));
    assert_eq!(bench.needed(), ["r2"]);
}

/// Its seal was durable when its program started anew: that attempt can't be sealed again, the next one can.
#[test]
fn an_attempt_that_can_not_be_sealed_again_gives_way_to_the_next() {
    let mut bench = Bench::with_joiners(1, 1);
    bench.connect(1);
    bench.greet(1, standing());
    bench.answer(1, |request| matches!(request, Request::Seal(_)), fenced());
    assert_eq!(lost(&bench), Some(("r1".to_owned(), 1, String::new())));
    bench.commit(4);
    bench.sleep(600);
    bench.open_joiner(1, vec![]);
    bench.join(1, 6);
}

/// B14: one that is lost again and again soon after it became a member comes back after growing pauses.
#[test]
fn a_member_that_does_not_last_comes_back_after_growing_pauses() {
    let mut bench = Bench::serving(2);
    let mut m = 3;
    for pause in [500, 1000, 2000, 4000] {
        bench.disconnect(1);
        bench.remove("r1", m + 1);
        bench.sleep(pause - 100);
        assert!(bench.dialled.is_empty(), "not before {pause} ms");
        bench.sleep(200);
        bench.open_joiner(1, vec![]);
        bench.join(1, m + 2);
        m += 2;
    }
    // One that has lasted did not flap.
    for _ in 0..61 {
        bench.sleep(1000);
        bench.agree();
    }
    bench.disconnect(1);
    bench.remove("r1", m + 1);
    bench.sleep(600);
    assert_eq!(bench.dialled, [1]);
}

/// A member can't do a change, for a block that is bad there; one that the record may count as in-sync did it. The client is
/// told that nothing was done only when that one counts for nothing any more.
#[test]
fn a_change_fails_only_when_nobody_who_did_it_can_be_in_sync() {
    for asked in [false, true] {
        let mut bench = Bench::with_joiners(1, 1);
        bench.open_joiner(1, vec![]);
        bench.all_equal();
        if asked {
            bench.done(1, is_flush);
        }
        let data = Bytes::from(vec![7; 512]);
        let write = bench.call(0, 512, ClientOp::Write { data, fua: false });
        bench.done(1, is_write);
        bench.answer(0, is_write, Reply::Corrupt { offset: 0 });
        if asked {
            assert_eq!(bench.result(write), None);
            bench.remove("r1", 4);
        }
        assert!(
            matches!(bench.result(write), Some(Err(_))),
            "asked: {asked}"
        );
        assert_eq!(bench.needed(), ["r0"]);
        assert_eq!(bench.stopped, None);
    }
}
