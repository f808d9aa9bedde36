//! Writes and zeroes: marks, order, flushes, failures.

use super::*;

#[test]
fn the_first_change_of_a_region_is_marked_first_and_later_ones_are_not() {
    let mut rig = Rig::opened();
    let at = REGION_BYTES - 256;
    assert_eq!(rig.ask(A, write(1, at)), Reply::Done);
    assert_eq!(
        rig.log[0],
        Work::Mark(vec![RegionRun { first: 0, count: 2 }])
    );
    assert!(matches!(rig.log[1..], [Work::Write { .. }]));
    assert_eq!(rig.ask(A, write(2, 0)), Reply::Done);
    assert!(matches!(rig.log[2..], [Work::Write { .. }]));
}

#[test]
fn a_change_with_fua_is_synced_before_its_answer() {
    let mut rig = Rig::opened();
    rig.slow_sync = true;
    let data = Bytes::from_static(&[1; 512]);
    let tag = rig.tell(
        A,
        Request::Write {
            seq: 1,
            offset: 0,
            data,
            fua: true,
        },
    );
    assert!(rig.reply(tag).is_none());
    rig.finish_syncs(Outcome::Done);
    assert_eq!(rig.reply(tag), Some(Reply::Done));
}

#[test]
fn reads_and_writes_go_on_beside_a_sync_and_flushes_share_the_next() {
    let mut rig = Rig::opened();
    rig.slow_sync = true;
    rig.tell(A, write(1, 0));
    let first = rig.tell(A, Request::Flush { seq: 1 });
    assert_eq!(rig.ask(A, write(2, 0)), Reply::Done);
    let second = rig.tell(A, Request::Flush { seq: 2 });
    let third = rig.tell(A, Request::Flush { seq: 2 });
    assert!(matches!(rig.ask(A, read()), Reply::Data(_)));
    assert_eq!(rig.kept.len(), 1);
    rig.finish_syncs(Outcome::Done);
    assert_eq!(
        (rig.reply(first), rig.reply(second)),
        (Some(Reply::Done), None)
    );
    assert_eq!(rig.kept.len(), 1);
    rig.finish_syncs(Outcome::Done);
    assert_eq!(
        (rig.reply(second), rig.reply(third)),
        (Some(Reply::Done), Some(Reply::Done))
    );
    assert!(rig.kept.is_empty());
}

#[test]
fn changes_must_come_in_order() {
    let mut rig = Rig::opened();
    assert_eq!(rig.why(A, write(0, 0)), Refusal::Invalid);
    assert_eq!(rig.ask(A, write(3, 0)), Reply::Done);
    assert_eq!(rig.why(A, write(3, 0)), Refusal::Invalid);
    assert_eq!(rig.why(A, Request::Flush { seq: 2 }), Refusal::Invalid);
    rig.flush(A, 5);
    assert_eq!(
        rig.why(A, write(5, 0)),
        Refusal::Invalid,
        "the flush has covered it"
    );
    assert_eq!(rig.ask(A, write(6, 0)), Reply::Done);
}

#[test]
fn ranges_must_lie_inside_the_volume() {
    let mut rig = Rig::opened();
    let zero = |offset, length| Request::Zero {
        seq: 1,
        offset,
        length,
        punch: true,
        fua: false,
    };
    for request in [
        write(1, SIZE),
        write(1, SIZE - 511),
        write(1, u64::MAX),
        Request::Write {
            seq: 1,
            offset: 0,
            data: Bytes::new(),
            fua: false,
        },
        zero(0, 0),
        zero(1, SIZE),
        zero(u64::MAX, u64::MAX),
        Request::Read {
            offset: SIZE,
            length: 1,
        },
        Request::Read {
            offset: 0,
            length: PAYLOAD_BYTES_MAX + 1,
        },
        Request::Extents {
            offset: 1,
            length: SIZE,
        },
        Request::Hash {
            offset: 1,
            length: BLOCK_BYTES,
        },
        Request::Hash {
            offset: 0,
            length: 512,
        },
        Request::Fetch {
            offset: 0,
            length: 0,
        },
        Request::Fetch {
            offset: 0,
            length: REGION_BYTES as u32 + BLOCK_BYTES,
        },
        Request::Clear {
            m: 1,
            seq: 0,
            regions: vec![RegionRun { first: 8, count: 1 }],
        },
        Request::Clear {
            m: 1,
            seq: 0,
            regions: vec![RegionRun {
                first: u64::MAX,
                count: 2,
            }],
        },
    ] {
        assert_eq!(rig.why(A, request.clone()), Refusal::Invalid, "{request:?}");
    }
    assert_eq!(rig.ask(A, write(1, SIZE - 512)), Reply::Done);
}

#[test]
fn no_space_and_a_bad_block_fail_the_request_only() {
    let mut rig = Rig::opened();
    rig.next = Some(("Write", Outcome::NoSpace("full".into())));
    assert!(matches!(
        rig.ask(A, write(1, 0)),
        Reply::Failed {
            why: Failure::NoSpace,
            ..
        }
    ));
    rig.next = Some(("Write", Outcome::Corrupt { offset: 4096 }));
    assert_eq!(rig.ask(A, write(2, 4096)), Reply::Corrupt { offset: 4096 });
    rig.next = Some(("Read", Outcome::Corrupt { offset: 0 }));
    assert_eq!(rig.ask(A, read()), Reply::Corrupt { offset: 0 });
    assert_eq!(rig.ask(A, write(3, 0)), Reply::Done);
    assert_eq!(rig.replica.standing().failed, None);
}

#[test]
fn a_failed_sync_is_never_retried_into_an_ok() {
    let mut rig = Rig::opened();
    rig.slow_sync = true;
    rig.tell(A, write(1, 0));
    let first = rig.tell(A, Request::Flush { seq: 1 });
    let second = rig.tell(A, Request::Flush { seq: 1 });
    rig.finish_syncs(Outcome::Disk("fdatasync: EIO".into()));
    assert!(matches!(
        rig.reply(first),
        Some(Reply::Failed {
            why: Failure::Disk,
            ..
        })
    ));
    assert!(rig.log.contains(&Work::NoteFailed("fdatasync: EIO".into())));
    rig.finish_syncs(Outcome::Done);
    assert!(matches!(
        rig.reply(second),
        Some(Reply::Failed {
            why: Failure::Disk,
            ..
        })
    ));
    let reply = rig.ask(A, Request::Flush { seq: 1 });
    assert!(matches!(
        reply,
        Reply::Failed {
            why: Failure::Disk,
            ..
        }
    ));
}

#[test]
fn a_failed_replica_serves_nothing_and_says_so_to_a_probe() {
    let mut rig = Rig::opened();
    rig.next = Some(("Mark", Outcome::Disk("EIO".into())));
    assert!(matches!(
        rig.ask(A, write(1, 0)),
        Reply::Failed {
            why: Failure::Disk,
            ..
        }
    ));
    assert!(
        !rig.log
            .iter()
            .any(|work| matches!(work, Work::Write { .. })),
        "never without its mark"
    );
    for request in [
        read(),
        write(2, 0),
        Request::Close,
        member(Role::Member, 4, 4),
    ] {
        assert!(matches!(
            rig.ask(A, request),
            Reply::Failed {
                why: Failure::Disk,
                ..
            }
        ));
    }
    rig.hello(B, "e6");
    assert!(matches!(
        rig.ask(B, seal(6, 1, 3)),
        Reply::Failed {
            why: Failure::Disk,
            ..
        }
    ));
    let Reply::Standing(standing) = rig.ask(B, Request::Probe { drop: "d".into() }) else {
        panic!("a standing")
    };
    assert_eq!(standing.failed.as_deref(), Some("EIO"));
}

#[test]
fn a_replica_that_failed_in_this_boot_stays_failed_after_a_restart() {
    let mut rig = Rig::new(Start {
        failed: Some("EIO".into()),
        ..start()
    });
    rig.hello(A, "e5");
    assert!(matches!(
        rig.seal(A, 5, 1),
        Reply::Failed {
            why: Failure::Disk,
            ..
        }
    ));
}
