//! A session's life around its requests: open, leave, close.

#![allow(missing_docs, reason = "a test")]

mod bench;

use bench::*;
use shorthorn_core::engine::{ClientError, ClientOp, Event};
use shorthorn_wire::agent::{Answer, Ask, Phase};
use shorthorn_wire::frame::RUNS_MAX;
use shorthorn_wire::message::{Reply, Request, Standing};
use shorthorn_wire::{BLOCK_BYTES, REGION_BYTES};

fn opened(bench: &Bench) -> Option<(Vec<String>, bool)> {
    match &bench.asked.last()?.1 {
        Ask::SessionOpened {
            members, broken, ..
        } => Some((members.clone(), *broken)),
        _ => None,
    }
}

/// B2: not before the commit is answered, and the members have stored it.
#[test]
fn nothing_is_served_before_the_members_have_stored_the_commit() {
    let mut bench = Bench::new(order(2));
    for replica in 0..2 {
        bench.connect(replica);
        bench.seal(replica, standing());
    }
    assert!(!bench.served);
    bench.commit(3);
    let is_open = |request: &Request| matches!(request, Request::Open(_));
    bench.done(0, is_open);
    assert!(!bench.served);
    let early = bench.read(1);
    assert_eq!(bench.result(early), Some(&Err(ClientError::NotServing)));
    bench.done(1, is_open);
    assert!(bench.served);
}

#[test]
fn a_missing_replica_is_waited_for_and_then_left_out() {
    let mut bench = Bench::new(order(2));
    bench.connect(0);
    bench.seal(0, standing());
    bench.sleep(900);
    assert_eq!(opened(&bench), None);
    bench.sleep(200);
    assert_eq!(opened(&bench), Some((vec!["r0".to_owned()], false)));
    assert!(bench.hung_up.contains(&1));
}

/// B7: unflushed writes may be on the one that is missing.
#[test]
fn torn_ones_alone_are_waited_for_longer_and_then_it_is_broken() {
    let mut bench = Bench::new(order(3));
    for replica in 0..2 {
        bench.connect(replica);
        bench.seal(replica, marked(true, 1));
    }
    bench.sleep(4900);
    assert_eq!(
        bench.status.as_ref().map(|status| status.phase),
        Some(Phase::Sealing)
    );
    bench.sleep(200);
    for replica in 0..2 {
        bench.answer(
            replica,
            is_hash,
            Reply::Hash {
                digest: [0; 32],
                bad: false,
            },
        );
    }
    bench.agree();
    assert_eq!(
        opened(&bench),
        Some((vec!["r0".to_owned(), "r1".to_owned()], true))
    );
    bench.commit(3);
    bench.agree();
    assert!(!bench.served, "it serves nobody");
    assert_eq!(
        bench.status.as_ref().map(|status| status.phase),
        Some(Phase::Broken)
    );
    bench.event(Event::Close);
    bench.agree();
    bench.commit(4);
    assert_eq!(bench.exit.as_ref().map(|exit| exit.0), Some(true));
}

/// The engine that opened the session as broken was killed, and its members are torn no more; those who held on then still
/// do. Only the record knows (A2).
#[test]
fn who_is_broken_by_the_record_serves_nobody() {
    let mut bench = Bench::new(order(1));
    bench.connect(0);
    bench.seal(0, standing());
    assert_eq!(opened(&bench).map(|(_, broken)| broken), Some(false));
    bench.commit_as(3, true);
    bench.agree();
    assert!(!bench.served);
    assert_eq!(bench.stopped, Some(true), "who came early is sent away");
    assert_eq!(
        bench.status.as_ref().map(|status| status.phase),
        Some(Phase::Broken)
    );
}

/// Everything lost power, but nobody holds on from before: there is no client to be deceived (A2).
#[test]
fn a_loss_that_no_client_saw_is_no_reason_to_serve_nobody() {
    let mut bench = Bench::new(order(2));
    for replica in 0..2 {
        bench.connect(replica);
        bench.seal(replica, marked(true, 1));
    }
    for replica in 0..2 {
        bench.answer(
            replica,
            is_hash,
            Reply::Hash {
                digest: [0; 32],
                bad: false,
            },
        );
    }
    bench.agree();
    assert_eq!(opened(&bench).map(|(_, broken)| broken), Some(true));
    bench.commit_as(3, false);
    bench.agree();
    assert!(bench.served);
}

/// A17 and others: what does not fulfil the record is no source, however reachable.
#[test]
fn replicas_that_are_older_than_the_record_requires_count_as_unreachable() {
    let old = [
        Standing {
            sealed_before: (3, 1),
            ..standing()
        },
        Standing {
            sealed_before: (0, 0),
            ..standing()
        },
        Standing {
            sealed_before: (4, 2),
            ..standing()
        },
        Standing { m: 1, ..standing() },
        Standing {
            failed: Some("sync failed".to_owned()),
            ..standing()
        },
    ];
    for old in old {
        let mut bench = Bench::new(order(2));
        bench.connect(0);
        bench.seal(0, old);
        assert_eq!(bench.hung_up, [0]);
        assert!(!bench.dialled.contains(&0), "and is not tried again");
        bench.connect(1);
        bench.seal(1, standing());
        assert_eq!(opened(&bench), Some((vec!["r1".to_owned()], false)));
    }
}

/// It waits for ever, so it says for whom.
#[test]
fn an_engine_without_any_fit_replica_says_so() {
    let mut bench = Bench::new(order(2));
    for replica in 0..2 {
        bench.connect(replica);
        let sealed_before = (3, 1);
        bench.seal(
            replica,
            Standing {
                sealed_before,
                ..standing()
            },
        );
    }
    let waits_for = bench.waits_for();
    assert!(
        waits_for.contains("r0 on n0: its last epoch 3 is older") && waits_for.contains("r1 on n1"),
        "{waits_for}"
    );
}

#[test]
fn a_fence_ends_the_engine_at_once() {
    let mut bench = Bench::new(order(2));
    bench.connect(0);
    bench.greet(0, standing());
    bench.answer(0, |request| matches!(request, Request::Seal(_)), fenced());
    assert!(matches!(
        bench.asked.last(),
        Some((_, Ask::SessionClosed { clean: false, .. }))
    ));
    bench.sleep(11_000);
    assert_eq!(bench.exit.as_ref().map(|exit| exit.0), Some(false));
}

#[test]
fn who_does_not_answer_is_dialled_again_until_the_grace_is_over() {
    let mut bench = Bench::new(order(2));
    bench.connect(0);
    bench.seal(0, standing());
    let mut dials = 0;
    for _ in 0..6 {
        if bench.dialled.contains(&1) {
            dials += 1;
            bench.dialled.clear();
            let replica = shorthorn_core::ReplicaIndex(1);
            bench.event(Event::Unreachable {
                replica,
                why: "refused".to_owned(),
            });
        }
        bench.sleep(150);
    }
    assert!(dials >= 3);
    let waits = bench
        .status
        .as_ref()
        .and_then(|status| status.waits_for.clone());
    assert_eq!(waits.as_deref(), Some("r1 on n1: refused"));
}

/// A1: content comes from a replica that did not lose power.
#[test]
fn the_source_is_not_torn_if_any_is_not() {
    let mut bench = Bench::new(order(2));
    bench.connect(0);
    bench.seal(0, marked(true, 2));
    bench.connect(1);
    bench.seal(1, marked(false, 2));
    bench.answer(
        0,
        is_hash,
        Reply::Hash {
            digest: [0; 32],
            bad: false,
        },
    );
    bench.answer(
        1,
        is_hash,
        Reply::Hash {
            digest: [1; 32],
            bad: false,
        },
    );
    assert!(bench.waiting(0, is_fetch).is_empty());
    assert_eq!(
        bench.waiting(1, is_fetch),
        [Request::Fetch {
            offset: 2 * MIB,
            length: 1 << 20
        }]
    );
}

fn region_of(first: shorthorn_wire::message::Blocks) -> Reply {
    let mut blocks = first;
    blocks
        .states
        .resize(256, shorthorn_wire::message::BlockState::Zero);
    Reply::Blocks(blocks)
}

fn copied(bench: &Bench, replica: usize) -> shorthorn_wire::message::BlockState {
    match &bench.waiting(replica, is_copy)[..] {
        [Request::Copy { blocks, .. }] => blocks.states[0],
        other => panic!("r{replica} is sent {other:?}"),
    }
}

/// A14: a block torn on its way to disk must not stay bad for ever.
#[test]
fn a_block_that_fits_nowhere_is_accepted_from_a_torn_source() {
    let mut bench = Bench::new(order(2));
    for replica in 0..2 {
        bench.connect(replica);
        bench.seal(replica, marked(true, 0));
        assert!(bench.waiting(0, is_copy).is_empty());
    }
    for replica in 0..2 {
        bench.answer(
            replica,
            is_hash,
            Reply::Hash {
                digest: [0; 32],
                bad: true,
            },
        );
    }
    bench.answer(0, is_fetch, region_of(bad(5)));
    bench.answer(1, is_fetch, region_of(bad(5)));
    for replica in 0..2 {
        assert_eq!(copied(&bench, replica), good(5).states[0]);
    }
}

#[test]
fn badness_is_copied_from_a_whole_source_and_never_healed_from_a_torn_one() {
    let mut bench = Bench::new(order(2));
    bench.connect(0);
    bench.seal(0, marked(false, 0));
    bench.connect(1);
    bench.seal(1, marked(true, 0));
    bench.answer(
        0,
        is_hash,
        Reply::Hash {
            digest: [0; 32],
            bad: true,
        },
    );
    bench.answer(
        1,
        is_hash,
        Reply::Hash {
            digest: [1; 32],
            bad: false,
        },
    );
    bench.answer(0, is_fetch, region_of(bad(5)));
    assert!(bench.waiting(1, is_fetch).is_empty());
    assert_eq!(copied(&bench, 1), bad(5).states[0]);
}

#[test]
fn a_bad_block_of_the_source_is_taken_from_another_whole_replica() {
    let mut bench = Bench::new(order(2));
    for replica in 0..2 {
        bench.connect(replica);
        bench.seal(replica, marked(false, 0));
    }
    bench.answer(
        0,
        is_hash,
        Reply::Hash {
            digest: [0; 32],
            bad: true,
        },
    );
    bench.answer(
        1,
        is_hash,
        Reply::Hash {
            digest: [1; 32],
            bad: false,
        },
    );
    bench.answer(0, is_fetch, region_of(bad(5)));
    bench.answer(1, is_fetch, region_of(good(6)));
    for replica in 0..2 {
        assert_eq!(copied(&bench, replica), good(6).states[0]);
    }
    bench.agree();
    assert!(opened(&bench).is_some());
}

#[test]
fn what_was_not_answered_is_asked_again() {
    let mut bench = Bench::new(order(1));
    bench.connect(0);
    bench.seal(0, standing());
    let (first, _) = bench.asked[0].clone();
    bench.event(Event::AgentConnected);
    let (second, ask) = bench.asked[1].clone();
    assert!(second > first && matches!(ask, Ask::SessionOpened { .. }));
    let why = "control is away".to_owned();
    bench.event(Event::Answer {
        id: second,
        answer: Answer::Unknown { why },
    });
    bench.sleep(600);
    let (third, _) = bench.asked[2].clone();
    // A late answer to an old id decides nothing.
    let answer = Answer::Committed {
        document: document(3),
        broken: false,
    };
    bench.event(Event::Answer {
        id: first,
        answer: answer.clone(),
    });
    assert!(bench.sent.is_empty());
    bench.event(Event::Answer { id: third, answer });
    bench.agree();
    assert!(bench.served);
}

#[test]
fn a_refused_open_ends_the_engine() {
    let mut bench = Bench::new(order(1));
    bench.connect(0);
    bench.seal(0, standing());
    let (id, _) = bench.asked[0].clone();
    let why = "session 5 is over".to_owned();
    bench.event(Event::Answer {
        id,
        answer: Answer::Refused { why },
    });
    assert_eq!(bench.exit.as_ref().map(|exit| exit.0), Some(false));
    assert!(!bench.served);
}

#[test]
fn a_close_decides_flushes_clears_and_tells_everybody() {
    let mut bench = Bench::serving(2);
    let write = bench.write(1, 7);
    bench.event(Event::Close);
    assert_eq!(bench.stopped, Some(false));
    let late = bench.read(1);
    assert_eq!(bench.result(late), Some(&Err(ClientError::NotServing)));
    for replica in 0..2 {
        assert!(
            bench.waiting(replica, is_flush).is_empty(),
            "a write is in flight"
        );
        bench.done(replica, is_write);
    }
    assert!(bench.is_done(write));
    for replica in 0..2 {
        bench.done(replica, is_flush);
    }
    for replica in 0..2 {
        bench.done(replica, is_clear);
    }
    let is_close = |request: &Request| matches!(request, Request::Close);
    bench.done(0, is_close);
    bench.disconnect(0);
    assert!(bench.asked.is_empty());
    bench.done(1, is_close);
    assert!(matches!(
        bench.asked.last(),
        Some((_, Ask::SessionClosed { clean: true, .. }))
    ));
    bench.commit(4);
    assert_eq!(bench.exit.as_ref().map(|exit| exit.0), Some(true));
}

/// A clear with more runs than one request carries could not be sent: the close of a large volume with scattered writes
/// ended unclean.
#[test]
fn more_marks_than_one_request_carries_are_cleared_in_parts() {
    let regions = RUNS_MAX as u64 + 5;
    let mut order = order(1);
    order.document.size = 2 * regions * REGION_BYTES;
    let mut bench = Bench::new(order);
    bench.connect(0);
    bench.seal(0, standing());
    bench.commit(3);
    bench.agree();
    for region in 0..regions {
        bench.write(2 * region * (REGION_BYTES / u64::from(BLOCK_BYTES)), 7);
        bench.done(0, is_write);
    }
    bench.event(Event::Close);
    bench.done(0, is_flush);
    let mut cleared = 0;
    while let [Request::Clear { regions, .. }] = &bench.waiting(0, is_clear)[..] {
        assert!(regions.len() <= RUNS_MAX);
        cleared += regions.len() as u64;
        bench.done(0, is_clear);
    }
    assert_eq!(cleared, regions);
    bench.done(0, |request| matches!(request, Request::Close));
    assert!(matches!(
        bench.asked.last(),
        Some((_, Ask::SessionClosed { clean: true, .. }))
    ));
}

/// B13: no replica answers the last flush.
#[test]
fn a_close_does_not_hang() {
    let mut order = order(1);
    order.silence_ms = 1_000_000;
    let mut bench = Bench::new(order);
    bench.connect(0);
    bench.seal(0, standing());
    bench.commit(3);
    bench.agree();
    bench.event(Event::Close);
    bench.sleep(10_100);
    assert!(matches!(
        bench.asked.last(),
        Some((_, Ask::SessionClosed { clean: false, .. }))
    ));
    bench.sleep(10_100);
    assert_eq!(bench.exit.as_ref().map(|exit| exit.0), Some(false));
}

#[test]
fn a_close_while_the_record_decides_is_a_clean_one() {
    let mut bench = Bench::new(order(1));
    bench.connect(0);
    bench.seal(0, standing());
    bench.event(Event::Close);
    bench.commit(3);
    bench.agree();
    assert!(!bench.served);
    assert!(matches!(
        bench.asked.last(),
        Some((_, Ask::SessionClosed { clean: true, .. }))
    ));
}

fn leave(bench: &mut Bench, replica: &str) {
    let replica = replica.to_owned();
    bench.event(Event::Leave { replica });
}

#[test]
fn a_leaving_replica_is_needed_until_the_others_have_stored_its_removal() {
    let mut bench = Bench::serving(3);
    leave(&mut bench, "r1");
    assert!(bench.waiting(1, is_flush).is_empty());
    bench.done(0, is_flush);
    assert!(bench.asked.is_empty());
    bench.done(2, is_flush);
    match &bench.asked.last().expect("it asks").1 {
        Ask::ReplicaLost {
            replica,
            witness,
            attempt: 1,
            ..
        } => {
            assert_eq!((replica.as_str(), witness.as_str()), ("r1", "r0"));
        }
        other => panic!("{other:?}"),
    }
    let write = bench.write(1, 7);
    bench.done(0, is_write);
    bench.done(2, is_write);
    bench.commit(4);
    assert_eq!(bench.result(write), None);
    let is_member = |request: &Request| matches!(request, Request::Member(_));
    bench.done(0, is_member);
    assert_eq!(bench.result(write), None);
    bench.done(2, is_member);
    assert!(bench.is_done(write), "it is not needed any more");
    assert!(bench.hung_up.contains(&1));
    bench.write(2, 7);
    assert!(bench.waiting(1, |_| true).is_empty());
}

/// A17: a clean close says that the members have stored the newest membership, and this one may be committed already.
#[test]
fn a_close_carries_through_a_leave_that_was_asked() {
    let mut bench = Bench::serving(3);
    leave(&mut bench, "r1");
    bench.done(0, is_flush);
    bench.done(2, is_flush);
    bench.event(Event::Close);
    assert!(bench.waiting(0, is_flush).is_empty(), "the close waits");
    bench.commit(4);
    bench.done(0, is_member);
    bench.done(2, is_member);
    for replica in [0, 2] {
        bench.done(replica, is_flush);
    }
    for replica in [0, 2] {
        bench.done(replica, |request| matches!(request, Request::Close));
    }
    let ended = bench.asked.last().map(|(_, ask)| ask.clone());
    assert!(
        matches!(ended, Some(Ask::SessionClosed { clean: true, .. })),
        "{ended:?}"
    );
}

#[test]
fn a_leaving_replica_may_die_before_and_after_the_commit() {
    for committed in [false, true] {
        let mut bench = Bench::serving(2);
        leave(&mut bench, "r1");
        bench.agree();
        if committed {
            bench.commit(4);
        }
        bench.disconnect(1);
        assert_eq!(bench.stopped, None);
        let write = bench.write(1, 7);
        bench.done(0, is_write);
        assert_eq!(bench.result(write), None);
        if !committed {
            bench.commit(4);
        }
        assert_eq!(bench.result(write), None);
        bench.agree();
        assert!(bench.is_done(write));
    }
}

/// One that dies while it flushes before it leaves is a failure: it needs a witness after that.
#[test]
fn a_leaving_replica_that_dies_before_the_ask_needs_a_witness() {
    let mut bench = Bench::serving(2);
    leave(&mut bench, "r1");
    bench.disconnect(1);
    bench.done(0, is_flush);
    assert!(bench.asked.is_empty(), "the flush was sent before");
    bench.remove("r1", 4);
    let write = bench.write(1, 7);
    bench.done(0, is_write);
    assert!(bench.is_done(write));
}

/// A failure goes first; the leave is carried out afterwards, with the others as they are then.
#[test]
fn a_failure_puts_a_leave_off() {
    let mut bench = Bench::serving(3);
    leave(&mut bench, "r1");
    bench.disconnect(2);
    bench.agree();
    bench.remove("r2", 4);
    bench.agree();
    assert_eq!(bench.lost(), Some(("r1".to_owned(), "r0".to_owned())));
}

/// S5.
#[test]
fn the_last_replica_never_leaves() {
    let mut bench = Bench::serving(2);
    leave(&mut bench, "r0");
    leave(&mut bench, "r1");
    bench.agree();
    bench.commit(4);
    bench.agree();
    bench.sleep(60_000);
    assert!(bench.asked.is_empty());
    let needed = bench.status.as_ref().map(|status| status.needed.clone());
    assert_eq!(needed, Some(vec!["r1".to_owned()]));
    assert_eq!(bench.stopped, None);
}

#[test]
fn reads_of_a_replica_that_left_go_to_another() {
    let mut bench = Bench::serving(2);
    let read = bench.read(1);
    leave(&mut bench, "r0");
    bench.agree();
    bench.commit(4);
    bench.agree();
    bench.answer(1, is_read, data(7));
    assert!(bench.result(read).is_some());
}

#[test]
fn a_read_only_session_takes_no_changes() {
    let mut order = order(1);
    order.read_only = true;
    let mut bench = Bench::new(order);
    bench.connect(0);
    bench.seal(0, standing());
    bench.commit(3);
    bench.agree();
    let zero = bench.call(
        0,
        BLOCK,
        ClientOp::Zero {
            punch: true,
            fua: false,
        },
    );
    assert_eq!(bench.result(zero), Some(&Err(ClientError::ReadOnly)));
    let read = bench.read(0);
    bench.answer(0, is_read, data(0));
    assert!(bench.result(read).is_some());
}
