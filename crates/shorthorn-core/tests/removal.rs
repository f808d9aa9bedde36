//! Removal before acknowledge: a member fails while the session is open (docs/protocol.md, Write; A15, B6).

#![allow(missing_docs, reason = "a test")]

mod bench;

use bench::*;
use bytes::Bytes;
use shorthorn_core::engine::{ClientAnswer, ClientError, ClientOp, Event};
use shorthorn_wire::agent::{Answer, Ask, Phase};
use shorthorn_wire::message::{Failure, Reply, Request};

fn no_space() -> Reply {
    Reply::Failed {
        why: Failure::NoSpace,
        detail: "full".to_owned(),
    }
}

fn disk() -> Reply {
    Reply::Failed {
        why: Failure::Disk,
        detail: "io error".to_owned(),
    }
}

fn closed(bench: &Bench) -> Option<bool> {
    match bench.asked.last()?.1 {
        Ask::SessionClosed { clean, .. } => Some(clean),
        _ => None,
    }
}

#[test]
fn a_write_is_answered_only_when_the_removal_is_committed_and_stored() {
    let mut bench = Bench::serving(3);
    let write = bench.write(1, 7);
    bench.done(0, is_write);
    bench.done(2, is_write);
    bench.disconnect(1);
    assert!(bench.asked.is_empty(), "nobody has answered since");
    bench.done(2, is_ping);
    match &bench.asked.last().expect("it asks").1 {
        Ask::ReplicaLost {
            epoch: 5,
            replica,
            attempt: 1,
            witness,
            why,
        } => assert_eq!(
            (&replica[..], &witness[..], &why[..]),
            ("r1", "r2", "reset")
        ),
        other => panic!("{other:?}"),
    }
    assert_eq!(
        bench.waits_for(),
        "the record's answer to the removal of r1 on n1 (reset); writes wait"
    );
    assert_eq!(bench.needed(), ["r0", "r1", "r2"]);
    bench.commit(4);
    bench.done(0, is_member);
    assert_eq!(bench.result(write), None);
    bench.done(2, is_member);
    assert!(bench.is_done(write));
    assert_eq!(bench.needed(), ["r0", "r2"]);
    assert_eq!(bench.waits_for(), "");
    assert_eq!(bench.stopped, None);
    let next = bench.write(1, 8);
    assert!(bench.waiting(1, |_| true).is_empty());
    bench.agree();
    assert!(bench.is_done(next));
}

/// What it said last may have been a lie; what others say does not stand for it.
#[test]
fn an_error_of_a_replica_is_not_its_answer() {
    for reply in [disk(), Reply::Data(Bytes::new())] {
        let mut bench = Bench::serving(2);
        let write = bench.write(1, 7);
        bench.answer(1, is_write, reply);
        bench.done(0, is_write);
        assert_eq!(bench.hung_up, [1]);
        assert_eq!(bench.result(write), None);
        bench.remove("r1", 4);
        assert!(bench.is_done(write));
    }
}

/// A flush that failed on one disk is not tried again there, and succeeds without it.
#[test]
fn a_failed_sync_loses_its_replica_and_the_last_one_the_session() {
    let mut bench = Bench::serving(2);
    let flush = bench.call(0, 0, ClientOp::Flush);
    bench.done(0, is_flush);
    bench.answer(1, is_flush, disk());
    assert_eq!(bench.result(flush), None);
    bench.remove("r1", 4);
    assert!(bench.is_done(flush));
    let flush = bench.call(0, 0, ClientOp::Flush);
    bench.answer(0, is_flush, disk());
    assert_eq!(bench.result(flush), None);
    assert_eq!(closed(&bench), Some(false));
}

#[test]
fn late_answers_of_a_failed_replica_count_for_nothing() {
    let mut bench = Bench::serving(2);
    bench.write(1, 6);
    bench.agree();
    let write = bench.write(1, 7);
    let late = bench
        .sent
        .iter()
        .find(|sent| sent.to == 1)
        .cloned()
        .expect("it is asked");
    bench.done(0, is_write);
    bench.sleep(5000);
    assert_eq!(bench.hung_up, [1]);
    bench.event(Event::Reply {
        replica: shorthorn_core::ReplicaIndex(1),
        tag: late.tag,
        reply: Reply::Done,
    });
    assert_eq!(bench.result(write), None);
    bench.remove("r1", 4);
    assert!(bench.is_done(write));
}

/// The record can't be reached: writes wait at once, reads after T.
#[test]
fn reads_go_on_until_the_grant_of_the_failed_one_ends() {
    let mut bench = Bench::serving(2);
    bench.write(2, 7);
    bench.agree();
    bench.disconnect(1);
    bench.done(0, is_ping);
    let (id, _) = bench.asked.last().cloned().expect("it asks");
    let why = "control is away".to_owned();
    bench.event(Event::Answer {
        id,
        answer: Answer::Unknown { why },
    });
    let early = bench.read(1);
    bench.answer(0, is_read, data(7));
    assert!(bench.result(early).is_some());
    bench.later(2500);
    let late = bench.read(1);
    bench.answer(0, is_read, data(7));
    bench.agree();
    assert_eq!(bench.result(late), None);
    bench.event(Event::Timer);
    bench.remove("r1", 4);
    bench.agree();
    assert!(bench.result(late).is_some());
}

#[test]
fn reads_under_way_go_to_another_at_once() {
    let mut bench = Bench::serving(2);
    let read = bench.read(1);
    bench.disconnect(0);
    bench.answer(1, is_read, data(9));
    assert_eq!(
        bench.result(read),
        Some(&Ok(ClientAnswer::Data(Bytes::from(vec![9; 4096]))))
    );
}

#[test]
fn two_of_three_may_fail_at_once() {
    let mut bench = Bench::serving(3);
    let write = bench.write(1, 7);
    bench.done(0, is_write);
    bench.disconnect(1);
    bench.disconnect(2);
    bench.remove("r1", 4);
    assert_eq!(bench.result(write), None, "r2 is needed still");
    bench.remove("r2", 5);
    assert!(bench.is_done(write));
    assert_eq!(bench.needed(), ["r0"]);
}

/// The witness itself fails while the record is asked: it becomes the next one.
#[test]
fn a_witness_may_fail() {
    let mut bench = Bench::serving(3);
    let write = bench.write(1, 7);
    bench.done(0, is_write);
    bench.disconnect(2);
    bench.done(1, is_ping);
    bench.disconnect(1);
    bench.commit(4);
    assert!(bench.waiting(1, |_| true).is_empty());
    bench.done(0, is_member);
    assert_eq!(bench.result(write), None);
    assert_eq!(bench.needed(), ["r0", "r1"]);
    bench.remove("r1", 5);
    assert!(bench.is_done(write));
}

/// Nobody is waited for who can't answer: it fails while it is to store the removal of another.
#[test]
fn one_may_fail_while_it_stores_the_removal_of_another() {
    let mut bench = Bench::serving(3);
    let write = bench.write(1, 7);
    bench.done(0, is_write);
    bench.disconnect(2);
    bench.done(1, is_ping);
    bench.done(0, is_ping);
    bench.commit(4);
    bench.done(0, is_member);
    bench.disconnect(1);
    bench.remove("r1", 5);
    assert!(bench.is_done(write));
}

/// B6: nobody is left to say that it is not the engine that is cut off.
#[test]
fn nobody_is_removed_when_all_have_failed() {
    let mut bench = Bench::serving(3);
    let write = bench.write(1, 7);
    for replica in 0..3 {
        assert_eq!(closed(&bench), None);
        bench.disconnect(replica);
    }
    assert_eq!(closed(&bench), Some(false));
    assert_eq!(bench.result(write), None);
    assert!(bench.exit.is_none(), "the record is told first");
}

/// The record may have removed r1 already: r0 was the last.
#[test]
fn the_last_that_is_not_asked_about_ends_the_session() {
    let mut bench = Bench::serving(2);
    bench.disconnect(1);
    bench.done(0, is_ping);
    bench.disconnect(0);
    assert_eq!(closed(&bench), Some(false));
}

#[test]
fn a_refused_removal_ends_the_session() {
    let mut bench = Bench::serving(2);
    bench.disconnect(1);
    bench.done(0, is_ping);
    let (id, _) = bench.asked.last().cloned().expect("it asks");
    let why = "v1 is being fenced".to_owned();
    bench.event(Event::Answer {
        id,
        answer: Answer::Refused { why },
    });
    assert_eq!(closed(&bench), Some(false));
}

/// A second failure is asked with who is left.
#[test]
fn one_after_the_other_until_one_is_left() {
    let mut bench = Bench::serving(3);
    bench.disconnect(0);
    bench.remove("r0", 4);
    bench.disconnect(1);
    bench.done(2, is_ping);
    assert_eq!(bench.lost(), Some(("r1".to_owned(), "r2".to_owned())));
    bench.commit(5);
    bench.agree();
    assert_eq!(bench.needed(), ["r2"]);
    bench.disconnect(2);
    assert_eq!(closed(&bench), Some(false));
}

#[test]
fn one_may_fail_before_it_has_stored_that_the_session_is_open() {
    let mut bench = Bench::new(order(2));
    for replica in 0..2 {
        bench.connect(replica);
        bench.seal(replica, standing());
    }
    bench.commit(3);
    bench.disconnect(1);
    assert!(!bench.served);
    bench.agree();
    assert!(!bench.served);
    bench.remove("r1", 4);
    assert!(bench.served);
    assert_eq!(
        bench.status.as_ref().map(|status| status.phase),
        Some(Phase::Serving)
    );
}

#[test]
fn a_failure_before_the_record_was_asked_ends_the_session() {
    let mut bench = Bench::new(order(2));
    for replica in 0..2 {
        bench.connect(replica);
        bench.seal(replica, marked(false, 1));
    }
    bench.disconnect(1);
    assert_eq!(closed(&bench), Some(false));
}

/// A close goes on with those that are left, and is clean: what is missing was removed.
#[test]
fn a_close_loses_a_replica_on_the_way_and_is_clean() {
    let is_close = |request: &Request| matches!(request, Request::Close);
    for stage in 0..4 {
        let mut bench = Bench::serving(2);
        let write = bench.write(1, 7);
        bench.event(Event::Close);
        if stage == 0 {
            bench.disconnect(1);
        }
        bench.done(0, is_write);
        if stage > 0 {
            bench.done(1, is_write);
            if stage == 1 {
                bench.disconnect(1);
            }
            bench.done(0, is_flush);
        }
        if stage == 2 {
            bench.done(1, is_flush);
            bench.disconnect(1);
            bench.done(0, is_clear);
        }
        if stage == 3 {
            bench.done(1, is_flush);
            bench.done(1, is_clear);
            bench.disconnect(1);
            bench.done(0, is_clear);
        }
        assert!(bench.waiting(0, is_close).is_empty(), "stage {stage}");
        bench.remove("r1", 4);
        assert!(bench.is_done(write));
        bench.agree();
        assert_eq!(closed(&bench), Some(true), "stage {stage}");
    }
}

/// B13.
#[test]
fn a_close_whose_removal_is_never_answered_does_not_hang() {
    let mut bench = Bench::serving(2);
    bench.write(1, 7);
    bench.event(Event::Close);
    bench.disconnect(1);
    bench.agree();
    bench.sleep(10_100);
    assert_eq!(closed(&bench), Some(false));
}

/// A12, with a failure in it: who refused for space is gone, so nothing has to be undone.
#[test]
fn a_refusal_for_space_counts_for_nothing_once_its_replica_is_removed() {
    let mut bench = Bench::serving(3);
    let write = bench.write(1, 7);
    bench.answer(1, is_write, no_space());
    bench.disconnect(1);
    bench.done(0, is_write);
    bench.done(2, is_write);
    assert_eq!(bench.result(write), None);
    assert!(bench.waiting(0, is_write).is_empty());
    bench.remove("r1", 4);
    assert!(bench.is_done(write));
}

/// The content to put back is gone with its replica: the change itself makes the others equal.
#[test]
fn a_change_is_sent_again_when_it_can_not_be_undone() {
    let mut bench = Bench::serving(3);
    let write = bench.write(1, 7);
    bench.done(0, is_write);
    bench.done(2, is_write);
    bench.answer(1, is_write, no_space());
    assert_eq!(bench.waiting(1, is_fetch).len(), 1);
    bench.disconnect(1);
    for replica in [0, 2] {
        let again = bench.waiting(replica, is_write);
        assert!(matches!(&again[..], [Request::Write { seq: 2, data, .. }] if data[0] == 7));
        bench.done(replica, is_write);
    }
    assert_eq!(bench.result(write), None);
    bench.remove("r1", 4);
    assert!(bench.is_done(write));
}

#[test]
fn a_source_with_a_bad_block_is_lost_and_the_change_goes_on() {
    let mut bench = Bench::serving(2);
    let write = bench.write(1, 7);
    bench.done(0, is_write);
    bench.answer(1, is_write, no_space());
    bench.answer(1, is_fetch, Reply::Blocks(bad(3)));
    assert_eq!(bench.hung_up, [1]);
    bench.done(0, is_write);
    bench.remove("r1", 4);
    assert!(bench.is_done(write));
}

#[test]
fn a_repair_goes_on_without_its_source() {
    let mut bench = Bench::serving(3);
    let read = bench.read(1);
    bench.answer(0, is_read, Reply::Corrupt { offset: BLOCK });
    bench.answer(1, is_read, data(9));
    assert!(bench.result(read).is_some());
    bench.disconnect(1);
    bench.answer(2, is_fetch, Reply::Blocks(good(9)));
    assert_eq!(bench.waiting(0, is_write).len(), 1);
    bench.agree();
    bench.remove("r1", 4);
    let write = bench.write(1, 4);
    bench.agree();
    assert!(bench.is_done(write), "the range is free");
}

fn strict(replicas: usize) -> Bench {
    let mut order = order(replicas);
    order.strict_reads = true;
    let mut bench = Bench::new(order);
    for replica in 0..replicas {
        bench.connect(replica);
        bench.seal(replica, standing());
    }
    bench.commit(3);
    bench.agree();
    bench
}

/// Any of them may have been sealed by a fence.
#[test]
fn a_strict_read_waits_for_an_answer_of_everybody_to_something_sent_after_it_came() {
    let mut bench = strict(3);
    let read = bench.read(1);
    bench.answer(0, is_read, data(7));
    bench.done(0, is_ping);
    // Comes while that round is under way: it needs the next one.
    let second = bench.read(2);
    bench.answer(0, is_read, data(8));
    bench.done(1, is_ping);
    assert_eq!(bench.result(read), None);
    bench.done(2, is_ping);
    assert!(bench.result(read).is_some());
    assert_eq!(bench.result(second), None);
    bench.agree();
    assert!(bench.result(second).is_some());
}

#[test]
fn a_strict_read_waits_for_the_removal_at_once() {
    let mut bench = strict(2);
    bench.disconnect(1);
    let read = bench.read(1);
    bench.answer(0, is_read, data(7));
    bench.agree();
    assert_eq!(bench.result(read), None);
    bench.remove("r1", 4);
    assert!(bench.result(read).is_some());
}

#[test]
fn nothing_is_taken_while_a_refusal_says_that_somebody_newer_is_in_charge() {
    let mut bench = Bench::serving(3);
    let write = bench.write(1, 7);
    bench.answer(1, is_write, fenced());
    bench.agree();
    assert_eq!(bench.result(write), None);
    assert_eq!(closed(&bench), Some(false));
    let late = bench.write(1, 7);
    assert_eq!(bench.result(late), Some(&Err(ClientError::NotServing)));
}
