//! An open session, request by request.

#![allow(missing_docs, reason = "a test")]

mod bench;

use bench::*;
use bytes::Bytes;
use shorthorn_core::engine::{ClientAnswer, ClientError, ClientId, ClientOp, Event};
use shorthorn_wire::agent::Ask;
use shorthorn_wire::message::{Failure, RegionRun, Reply, Request};

fn no_space() -> Reply {
    Reply::Failed {
        why: Failure::NoSpace,
        detail: "full".to_owned(),
    }
}

#[test]
fn a_write_is_answered_when_every_needed_replica_has_it() {
    let mut bench = Bench::serving(3);
    let write = bench.write(1, 7);
    bench.done(0, is_write);
    bench.done(2, is_write);
    assert_eq!(bench.result(write), None);
    bench.done(1, is_write);
    assert!(bench.is_done(write));
}

#[test]
fn changes_carry_one_sequence_for_all_replicas() {
    let mut bench = Bench::serving(2);
    bench.write(1, 7);
    bench.call(
        0,
        BLOCK,
        ClientOp::Zero {
            punch: true,
            fua: true,
        },
    );
    bench.call(0, 0, ClientOp::Flush);
    for replica in 0..2 {
        let sent = bench.waiting(replica, |_| true);
        assert!(matches!(
            sent[0],
            Request::Write {
                seq: 1,
                fua: false,
                ..
            }
        ));
        assert!(matches!(
            sent[1],
            Request::Zero {
                seq: 2,
                fua: true,
                ..
            }
        ));
        assert!(matches!(sent[2], Request::Flush { seq: 2 }));
    }
}

#[test]
fn a_read_waits_for_an_overlapping_write_and_a_later_one_for_the_read() {
    let mut bench = Bench::serving(2);
    bench.write(1, 7);
    let read = bench.read(1);
    let later = bench.write(1, 8);
    let elsewhere = bench.read(2);
    assert_eq!(bench.waiting(0, is_read).len(), 1, "only the one elsewhere");
    bench.answer(0, is_read, data(0));
    assert!(bench.result(elsewhere).is_some());
    bench.done(0, is_write);
    assert!(
        bench.waiting(0, is_read).is_empty(),
        "r1 has not decided it"
    );
    bench.done(1, is_write);
    assert!(
        bench.waiting(0, is_write).is_empty(),
        "the read comes first"
    );
    bench.answer(0, is_read, data(7));
    assert!(bench.result(read).is_some());
    bench.agree();
    assert!(bench.is_done(later));
}

/// B10: the clock is read after the data came, and a grant counts from when its request was sent.
#[test]
fn a_read_is_completed_only_under_grants_of_all() {
    let mut bench = Bench::serving(2);
    bench.later(3000);
    let read = bench.read(1);
    bench.answer(0, is_read, data(7));
    assert_eq!(bench.result(read), None, "r1 has granted nothing for 3 s");
    bench.later(2500);
    bench.done(1, is_ping);
    assert_eq!(bench.result(read), None, "that was asked 2.5 s ago");
    bench.done(1, is_ping);
    bench.done(0, is_ping);
    bench.agree();
    assert_eq!(
        bench.result(read),
        Some(&Ok(ClientAnswer::Data(Bytes::from(vec![7; 4096]))))
    );
}

/// Its replicas may be sealed by then: what it acknowledged now would be done after the fence was held.
#[test]
fn what_was_decided_while_the_engine_stood_still_is_acknowledged_only_under_grants() {
    for op in [
        ClientOp::Write {
            data: Bytes::from(vec![7; 4096]),
            fua: false,
        },
        ClientOp::Flush,
    ] {
        let length = if op == ClientOp::Flush { 0 } else { BLOCK };
        let kind = |request: &Request| is_write(request) || is_flush(request);
        let mut bench = Bench::serving(2);
        let call = bench.call(0, length, op.clone());
        bench.done(0, kind);
        bench.later(3000);
        bench.done(1, kind);
        assert_eq!(bench.result(call), None, "r0 has granted nothing for 3 s");
        bench.done(0, is_ping);
        assert_eq!(bench.result(call), None, "nor has r1");
        bench.done(1, is_ping);
        assert!(bench.is_done(call));

        let mut bench = Bench::serving(2);
        let call = bench.call(0, length, op);
        bench.done(0, kind);
        bench.later(3000);
        bench.done(1, kind);
        bench.answer(0, is_ping, fenced());
        assert_eq!(bench.result(call), None);
        assert_eq!(bench.stopped, Some(true));
    }
}

#[test]
fn a_refusal_is_no_grant_and_ends_the_session() {
    let mut bench = Bench::serving(2);
    bench.later(3000);
    let read = bench.read(1);
    bench.answer(0, is_read, data(7));
    bench.answer(1, is_ping, fenced());
    assert_eq!(bench.result(read), None);
    assert_eq!(bench.stopped, Some(true));
}

#[test]
fn under_load_grants_are_renewed_before_they_end() {
    let mut bench = Bench::serving(2);
    for _ in 0..20 {
        bench.later(300);
        let read = bench.read(1);
        bench.agree();
        bench.answer(0, is_read, data(7));
        assert!(bench.result(read).is_some(), "it never waits");
    }
}

#[test]
fn without_a_local_replica_reads_go_to_who_has_least_to_do() {
    let mut order = order(2);
    order.targets[0].local = false;
    let mut bench = Bench::new(order);
    for replica in 0..2 {
        bench.connect(replica);
        bench.seal(replica, standing());
    }
    bench.commit(3);
    bench.agree();
    for _ in 0..4 {
        bench.read(1);
    }
    assert_eq!(bench.waiting(0, is_read).len(), 2);
    assert_eq!(bench.waiting(1, is_read).len(), 2);
}

#[test]
fn bad_requests_are_refused_before_anything_is_sent() {
    let mut bench = Bench::serving(1);
    let past = bench.call(4 * MIB, BLOCK, ClientOp::Read);
    let over = bench.call(u64::MAX, BLOCK, ClientOp::Read);
    let empty = bench.call(0, 0, ClientOp::Read);
    let long = bench.call(0, (32 << 20) + 1, ClientOp::Read);
    for cookie in [past, over, empty, long] {
        assert_eq!(bench.result(cookie), Some(&Err(ClientError::Invalid)));
    }
    assert!(bench.sent.is_empty());
}

#[test]
fn the_last_replicas_failure_ends_the_session_without_an_answer() {
    let mut bench = Bench::serving(1);
    let write = bench.write(1, 7);
    bench.disconnect(0);
    assert_eq!(bench.result(write), None);
    assert_eq!(bench.stopped, Some(true));
    assert!(matches!(
        bench.asked.last(),
        Some((_, Ask::SessionClosed { clean: false, .. }))
    ));
    assert_eq!(bench.exit, None, "the record is told first");
    bench.commit(4);
    assert_eq!(bench.exit.as_ref().map(|exit| exit.0), Some(false));
}

#[test]
fn a_silent_replica_is_a_failed_one() {
    let mut bench = Bench::serving(2);
    bench.write(1, 6);
    bench.agree();
    let write = bench.write(1, 7);
    bench.done(0, is_write);
    bench.sleep(3900);
    assert!(bench.hung_up.is_empty());
    bench.sleep(1000);
    assert_eq!(bench.hung_up, [1]);
    assert_eq!(bench.result(write), None);
    assert_eq!(
        bench.waiting(0, is_ping).len(),
        1,
        "r0 is to be the witness"
    );
}

/// The first change of a region waits for the mark, which waits for a disk.
#[test]
fn a_mark_is_waited_for_like_a_sync() {
    let mut bench = Bench::serving(2);
    bench.write(1, 7);
    bench.done(0, is_write);
    bench.sleep(15_000);
    assert!(bench.hung_up.is_empty());
    bench.sleep(2000);
    assert_eq!(bench.hung_up, [1]);
}

/// The engine's own machine stood still: the answers may wait to be read.
#[test]
fn an_engine_that_was_kept_from_looking_does_not_call_the_others_silent() {
    let mut bench = Bench::serving(2);
    bench.write(1, 6);
    bench.agree();
    let write = bench.write(1, 7);
    bench.later(60_000);
    bench.event(Event::Timer);
    assert!(bench.hung_up.is_empty());
    bench.agree();
    assert!(bench.is_done(write));
}

/// A disk that is slow: the program answers meanwhile.
#[test]
fn a_long_sync_is_not_silence() {
    let mut bench = Bench::serving(2);
    bench.call(0, 0, ClientOp::Flush);
    for _ in 0..15 {
        bench.sleep(1000);
        answer_pings(&mut bench);
    }
    assert_eq!(bench.stopped, None);
    bench.sleep(2000);
    assert_eq!(
        bench.stopped,
        Some(true),
        "both are silent, so nobody is left"
    );
}

fn answer_pings(bench: &mut Bench) {
    while let Some(sent) = bench.sent.iter().find(|sent| is_ping(&sent.request)) {
        bench.done(sent.to, is_ping);
    }
}

/// A flush and the sync of a change with FUA leave the connection free: a program that does not even answer a ping is gone.
#[test]
fn a_program_that_stands_still_under_a_sync_is_found_by_a_ping() {
    for flushes in [true, false] {
        let mut bench = Bench::serving(2);
        bench.write(1, 6);
        bench.agree();
        if flushes {
            bench.call(0, 0, ClientOp::Flush);
            bench.done(0, is_flush);
        } else {
            let data = Bytes::from(vec![7; BLOCK as usize]);
            bench.call(BLOCK, BLOCK, ClientOp::Write { data, fua: true });
            bench.done(0, is_write);
        }
        bench.sleep(3900);
        assert!(bench.hung_up.is_empty());
        bench.sleep(2200);
        assert_eq!(bench.hung_up, [1], "flushes: {flushes}");
    }
}

/// It answered the first ping, and then stopped: it is asked again.
#[test]
fn a_program_that_stops_late_in_a_sync_is_found_by_a_ping() {
    let mut bench = Bench::serving(2);
    bench.call(0, 0, ClientOp::Flush);
    bench.done(0, is_flush);
    bench.sleep(2500);
    answer_pings(&mut bench);
    bench.sleep(7500);
    assert_eq!(bench.hung_up, [1]);
}

/// What does not sync is not given longer because something else does.
#[test]
fn a_flush_gives_a_write_no_longer_time() {
    let mut bench = Bench::serving(2);
    bench.write(1, 6);
    bench.agree();
    bench.call(0, 0, ClientOp::Flush);
    bench.done(0, is_flush);
    bench.write(1, 7);
    bench.done(0, is_write);
    bench.sleep(4900);
    assert_eq!(bench.hung_up, [1]);
}

/// While a mark is made durable the connection stands still, so nothing that is asked meanwhile says anything.
#[test]
fn a_mark_gives_everything_longer_time_and_nobody_is_pinged() {
    let mut bench = Bench::serving(2);
    bench.write(1, 7);
    bench.done(0, is_write);
    bench.call(0, 0, ClientOp::Flush);
    bench.done(0, is_flush);
    bench.sleep(15_000);
    assert!(bench.hung_up.is_empty());
    assert!(bench.waiting(1, is_ping).is_empty());
    bench.sleep(2000);
    assert_eq!(bench.hung_up, [1]);
}

#[test]
fn an_idle_clean_engine_sets_no_timer() {
    let mut bench = Bench::serving(3);
    bench.write(1, 7);
    bench.agree();
    bench.sleep(6000);
    bench.agree();
    bench.sleep(60_000);
    assert_eq!(bench.wake, None);
    assert_eq!(bench.stopped, None);
}

#[test]
fn marks_go_when_nothing_was_written_for_a_while() {
    let mut bench = Bench::serving(2);
    bench.write(1, 7);
    bench.write(MIB * 3 / BLOCK, 7);
    bench.agree();
    bench.sleep(5500);
    bench.done(0, is_flush);
    assert!(
        bench.waiting(0, is_clear).is_empty(),
        "r1 has not flushed (A5)"
    );
    // A write after that flush: its region stays marked.
    bench.write(2, 8);
    bench.done(1, is_flush);
    let regions = vec![RegionRun { first: 3, count: 1 }];
    for replica in 0..2 {
        let clear = Request::Clear {
            m: 3,
            seq: 2,
            regions: regions.clone(),
        };
        assert_eq!(bench.waiting(replica, is_clear), [clear]);
    }
    bench.agree();
    bench.sleep(5500);
    bench.done(0, is_flush);
    bench.done(1, is_flush);
    let regions = vec![RegionRun { first: 0, count: 1 }];
    let clear = Request::Clear {
        m: 3,
        seq: 3,
        regions,
    };
    assert_eq!(bench.waiting(1, is_clear), [clear]);
}

/// A12: nobody may keep what the client was told has failed.
#[test]
fn a_refusal_for_space_is_undone_on_the_others() {
    let mut bench = Bench::serving(3);
    let write = bench.write(1, 7);
    let read = bench.read(1);
    bench.done(0, is_write);
    bench.done(2, is_write);
    bench.answer(1, is_write, no_space());
    assert_eq!(bench.result(write), None);
    bench.answer(1, is_fetch, Reply::Blocks(good(3)));
    assert!(bench.waiting(1, is_write).is_empty());
    for replica in [0, 2] {
        let back = bench.waiting(replica, is_write);
        assert!(
            matches!(&back[..], [Request::Write { seq: 2, offset: 4096, data, .. }] if data[0] == 3)
        );
    }
    assert!(
        bench.waiting(0, is_read).is_empty(),
        "the range is still locked"
    );
    bench.done(0, is_write);
    bench.done(2, is_write);
    assert_eq!(bench.result(write), Some(&Err(ClientError::NoSpace)));
    bench.answer(0, is_read, data(3));
    assert!(bench.result(read).is_some());
    assert_eq!(bench.stopped, None, "no copy is dropped for it");
}

#[test]
fn what_no_replica_has_room_for_simply_fails() {
    let mut bench = Bench::serving(2);
    let write = bench.write(1, 7);
    bench.answer(0, is_write, no_space());
    bench.answer(1, is_write, no_space());
    assert_eq!(bench.result(write), Some(&Err(ClientError::NoSpace)));
    assert!(bench.sent.is_empty());
}

#[test]
fn what_cannot_be_put_back_is_a_lost_replica() {
    let mut bench = Bench::serving(2);
    let write = bench.write(1, 7);
    bench.done(0, is_write);
    bench.answer(1, is_write, no_space());
    bench.answer(1, is_fetch, Reply::Blocks(good(3)));
    bench.answer(0, is_write, no_space());
    assert_eq!(bench.result(write), None);
    assert_eq!(bench.hung_up, [0]);
    bench.remove("r0", 4);
    assert_eq!(bench.result(write), Some(&Err(ClientError::NoSpace)));
    assert_eq!(bench.stopped, None);
}

#[test]
fn a_write_of_part_of_a_bad_block_is_made_whole_from_another_replica() {
    let mut bench = Bench::serving(2);
    let part = Bytes::from_static(&[7; 512]);
    let write = bench.call(
        BLOCK + 512,
        512,
        ClientOp::Write {
            data: part,
            fua: true,
        },
    );
    bench.done(0, is_write);
    bench.answer(1, is_write, Reply::Corrupt { offset: BLOCK });
    bench.answer(0, is_fetch, Reply::Blocks(good(5)));
    let whole = bench.waiting(1, is_write);
    assert!(
        matches!(&whole[..], [Request::Write { offset: 4096, data, fua: true, .. }] if data.len() == 4096)
    );
    bench.done(1, is_write);
    assert!(bench.is_done(write));
}

#[test]
fn a_bad_block_is_read_elsewhere_and_repaired() {
    let mut bench = Bench::serving(3);
    let read = bench.read(1);
    bench.answer(0, is_read, Reply::Corrupt { offset: BLOCK });
    bench.answer(1, is_read, data(9));
    assert!(matches!(bench.result(read), Some(Ok(ClientAnswer::Data(data))) if data[0] == 9));
    let later = bench.write(1, 4);
    bench.answer(1, is_fetch, Reply::Blocks(bad(1)));
    bench.answer(2, is_fetch, Reply::Blocks(good(9)));
    for replica in [0, 1] {
        let repair = bench.waiting(replica, is_write);
        assert!(matches!(&repair[..], [Request::Write { data, .. }] if data[0] == 9));
    }
    assert!(bench.waiting(2, is_write).is_empty(), "the range is locked");
    bench.agree();
    assert!(bench.is_done(later));
}

#[test]
fn a_block_that_is_bad_everywhere_is_an_error_and_drops_nobody() {
    let mut bench = Bench::serving(2);
    let read = bench.read(1);
    for replica in [0, 1] {
        bench.answer(replica, is_read, Reply::Corrupt { offset: BLOCK });
    }
    bench.answer(1, is_fetch, Reply::Blocks(bad(1)));
    for replica in [0, 1] {
        bench.answer(replica, is_read, Reply::Corrupt { offset: BLOCK });
    }
    assert_eq!(bench.result(read), Some(&Err(ClientError::Io)));
    bench.answer(1, is_fetch, Reply::Blocks(bad(1)));
    assert!(bench.sent.is_empty());
    assert_eq!(bench.stopped, None);
}

#[test]
fn a_range_with_a_different_bad_block_on_each_replica_is_read_after_the_repairs() {
    let mut bench = Bench::serving(2);
    let read = bench.call(BLOCK, 2 * BLOCK, ClientOp::Read);
    bench.answer(0, is_read, Reply::Corrupt { offset: BLOCK });
    bench.answer(1, is_read, Reply::Corrupt { offset: 2 * BLOCK });
    assert_eq!(bench.result(read), None);
    bench.answer(1, is_fetch, Reply::Blocks(good(1)));
    bench.answer(0, is_fetch, Reply::Blocks(good(2)));
    bench.agree();
    let both = [vec![1; BLOCK as usize], vec![2; BLOCK as usize]].concat();
    let both = Bytes::from(both);
    bench.answer(0, is_read, Reply::Data(both.clone()));
    assert_eq!(bench.result(read), Some(&Ok(ClientAnswer::Data(both))));
}

#[test]
fn what_a_client_that_is_gone_had_waiting_is_forgotten() {
    let mut bench = Bench::serving(1);
    bench.write(1, 7);
    bench.call_from(2, BLOCK, BLOCK, ClientOp::Read);
    let behind = bench.call_from(
        3,
        BLOCK,
        BLOCK,
        ClientOp::Zero {
            punch: true,
            fua: false,
        },
    );
    bench.event(Event::ClientGone {
        client: ClientId(2),
    });
    bench.done(0, is_write);
    bench.agree();
    assert!(bench.is_done(behind));
    assert_eq!(bench.engine.in_flight_bytes(), 0);
}

#[test]
fn a_reply_that_nobody_waits_for_changes_nothing() {
    let mut bench = Bench::serving(1);
    for tag in [0, 1 << 16, u32::MAX] {
        bench.event(Event::Reply {
            replica: shorthorn_core::ReplicaIndex(0),
            tag,
            reply: fenced(),
        });
    }
    assert_eq!(bench.stopped, None);
}

#[test]
fn too_much_in_flight_is_said() {
    let mut bench = Bench::serving(1);
    let data = Bytes::from(vec![0; 2 << 20]);
    for _ in 0..32 {
        assert!(bench.engine.can_take());
        let data = data.clone();
        bench.call(0, 2 << 20, ClientOp::Write { data, fua: false });
    }
    assert!(!bench.engine.can_take());
    bench.done(0, is_write);
    assert!(bench.engine.can_take());
}
