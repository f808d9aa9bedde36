//! Changes wait for space (docs/protocol.md, No space; A12).

#![allow(missing_docs, reason = "a test")]

mod bench;

use bench::*;
use bytes::Bytes;
use shorthorn_core::engine::{ClientError, ClientId, ClientOp, Event};
use shorthorn_wire::agent::Ask;
use shorthorn_wire::message::{Failure, Reply, Request};

fn no_space() -> Reply {
    Reply::Failed {
        why: Failure::NoSpace,
        detail: "full".to_owned(),
    }
}

/// Two members; changes wait so long for space.
fn waiting(space_wait_ms: Option<u64>) -> Bench {
    let mut order = order(2);
    order.space_wait_ms = space_wait_ms;
    let mut bench = Bench::new(order);
    for replica in 0..2 {
        bench.connect(replica);
        bench.seal(replica, standing());
    }
    bench.commit(3);
    bench.agree();
    bench
}

/// A write that r1 has no space for is sent, and taken back on r0.
fn refuse(bench: &mut Bench) {
    bench.done(0, is_write);
    bench.answer(1, is_write, no_space());
    bench.answer(1, is_fetch, Reply::Blocks(good(3)));
    bench.done(0, is_write);
}

#[test]
fn a_change_waits_and_is_tried_again() {
    let mut bench = waiting(None);
    let write = bench.write(1, 7);
    refuse(&mut bench);
    assert_eq!(bench.result(write), None);
    assert_eq!(bench.waits_for(), "space for r1 on n1; changes wait");
    for _ in 0..3 {
        assert!(bench.waiting(0, is_write).is_empty());
        bench.sleep(1100);
        let again = bench.waiting(0, is_write);
        assert!(matches!(&again[..], [Request::Write { data, .. }] if data[0] == 7));
        refuse(&mut bench);
        assert_eq!(bench.result(write), None);
    }
    bench.sleep(1100);
    bench.done(0, is_write);
    bench.done(1, is_write);
    assert!(bench.is_done(write));
    assert_eq!(bench.waits_for(), "");
    bench.sleep(10_000);
    assert!(bench.waiting(0, is_write).is_empty());
}

#[test]
fn the_oldest_is_tried_and_the_next_as_soon_as_it_got_through() {
    let mut bench = waiting(None);
    let mut writes = vec![];
    for block in 1..4 {
        writes.push(bench.write(block, block as u8));
        refuse(&mut bench);
        bench.later(1);
    }
    bench.sleep(1100);
    for (number, write) in writes.into_iter().enumerate() {
        let again = bench.waiting(1, is_write);
        let byte = number as u8 + 1;
        assert!(matches!(&again[..], [Request::Write { data, .. }] if data[0] == byte));
        bench.done(0, is_write);
        bench.done(1, is_write);
        assert!(bench.is_done(write));
    }
}

#[test]
fn other_ranges_and_flushes_go_on() {
    let mut bench = waiting(None);
    let write = bench.write(1, 7);
    refuse(&mut bench);
    let flush = bench.call(0, 0, ClientOp::Flush);
    bench.agree();
    assert!(bench.is_done(flush));
    let read = bench.read(2);
    bench.answer(0, is_read, bench::data(1));
    assert!(bench.result(read).is_some());
    // Nothing of the change is left, so the same range may be read, too.
    let same = bench.read(1);
    bench.answer(0, is_read, bench::data(3));
    assert!(bench.result(same).is_some());
    assert_eq!(bench.result(write), None);
}

/// The same for two blocks.
fn refuse_two(bench: &mut Bench) {
    bench.done(0, is_write);
    bench.answer(1, is_write, no_space());
    let mut two = good(3);
    two.states.push(two.states[0]);
    two.data = Bytes::from(vec![3; 2 * BLOCK as usize]);
    bench.answer(1, is_fetch, Reply::Blocks(two));
    bench.done(0, is_write);
}

/// Each holds the range of the other for a while: they do not wait for each other.
#[test]
fn overlapping_changes_wait_beside_each_other() {
    let mut bench = waiting(None);
    let data = Bytes::from(vec![7; 2 * BLOCK as usize]);
    let both = bench.call(0, 2 * BLOCK, ClientOp::Write { data, fua: false });
    refuse_two(&mut bench);
    bench.later(1);
    let one = bench.write(1, 8);
    refuse(&mut bench);
    for _ in 0..3 {
        bench.sleep(1100);
        refuse_two(&mut bench);
    }
    bench.sleep(1100);
    bench.agree();
    assert!(bench.is_done(both) && bench.is_done(one));
}

#[test]
fn what_waits_does_not_keep_others_from_being_taken() {
    let mut bench = waiting(None);
    let data = Bytes::from(vec![7; 1 << 20]);
    for number in 0..64 {
        assert!(bench.engine.can_take(), "{number}");
        let offset = number % 4 * MIB;
        let data = data.clone();
        bench.call(offset, MIB, ClientOp::Write { data, fua: false });
        if number < 4 {
            bench.answer(0, is_write, no_space());
            bench.answer(1, is_write, no_space());
        }
    }
    assert!(bench.engine.can_take(), "60 MiB are under way, 4 wait");
    assert_eq!(bench.engine.in_flight_bytes(), 60 * MIB);
}

#[test]
fn it_fails_when_its_time_is_over() {
    let mut bench = waiting(Some(2500));
    let write = bench.write(1, 7);
    refuse(&mut bench);
    for _ in 0..2 {
        bench.sleep(1000);
        refuse(&mut bench);
        assert_eq!(bench.result(write), None);
    }
    bench.sleep(600);
    assert_eq!(bench.result(write), Some(&Err(ClientError::NoSpace)));
    bench.sleep(10_000);
    assert!(bench.waiting(0, is_write).is_empty());
    assert_eq!(bench.stopped, None);
}

#[test]
fn a_close_ends_what_waits() {
    for trying in [false, true] {
        let mut bench = waiting(None);
        let write = bench.write(1, 7);
        refuse(&mut bench);
        if trying {
            bench.sleep(1100);
        }
        bench.event(Event::Close);
        if trying {
            refuse(&mut bench);
        }
        assert_eq!(bench.result(write), Some(&Err(ClientError::NoSpace)));
        bench.agree();
        assert!(matches!(
            bench.asked.last(),
            Some((_, Ask::SessionClosed { clean: true, .. }))
        ));
    }
}

#[test]
fn what_waits_for_a_client_that_is_gone_ends() {
    for trying in [false, true] {
        let mut bench = waiting(None);
        let write = bench.write(1, 7);
        refuse(&mut bench);
        if trying {
            bench.sleep(1100);
        }
        bench.event(Event::ClientGone {
            client: ClientId(1),
        });
        if trying {
            refuse(&mut bench);
        }
        assert_eq!(bench.result(write), Some(&Err(ClientError::NoSpace)));
        assert_eq!(bench.engine.in_flight_bytes(), 0);
        let next = bench.write(1, 8);
        bench.agree();
        assert!(bench.is_done(next), "the range is free");
    }
}

/// The one without space fails: the others have it.
#[test]
fn a_removal_may_make_space() {
    let mut bench = waiting(None);
    let write = bench.write(1, 7);
    refuse(&mut bench);
    bench.disconnect(1);
    bench.remove("r1", 4);
    bench.sleep(1);
    bench.done(0, is_write);
    assert!(bench.is_done(write));
    assert_eq!(bench.waits_for(), "");
}

/// What waits is decided, so it keeps no mark from being cleared once the tries are over.
#[test]
fn marks_are_cleared_after_a_change_waited() {
    let mut bench = waiting(None);
    bench.write(1, 7);
    refuse(&mut bench);
    bench.event(Event::ClientGone {
        client: ClientId(1),
    });
    bench.sleep(5500);
    bench.done(0, is_flush);
    bench.done(1, is_flush);
    assert_eq!(bench.waiting(0, is_clear).len(), 1);
}

/// A12: r0 applied it; whose content it was to get back is gone; the change is sent again, and r0 has no space for it any
/// more. What it holds is the change, so it must not fail as if it never was.
#[test]
fn who_holds_a_change_and_refuses_it_the_second_time_is_lost() {
    let mut bench = waiting(Some(0));
    let write = bench.write(1, 7);
    bench.done(0, is_write);
    bench.answer(1, is_write, no_space());
    bench.disconnect(1);
    bench.answer(0, is_write, no_space());
    assert_eq!(bench.result(write), None);
    let ended = bench.asked.last().map(|(_, ask)| ask.clone());
    assert!(
        matches!(ended, Some(Ask::SessionClosed { clean: false, .. })),
        "{ended:?}"
    );
}
