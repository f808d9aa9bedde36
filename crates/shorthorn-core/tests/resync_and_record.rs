//! A joiner and the record: asked, answered, removed, placed, come back (docs/protocol.md, Resync; A7, B3).

#![allow(missing_docs, reason = "a test")]

mod bench;

use bench::joiners::*;
use bench::*;
use bytes::Bytes;
use shorthorn_core::engine::{ClientOp, Event};
use shorthorn_wire::agent::{Answer, Ask};
use shorthorn_wire::message::{Document, Refusal, RegionRun, Reply, Request};

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
