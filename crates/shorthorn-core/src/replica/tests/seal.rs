//! Seals: who may, what they end, what they answer.

use super::*;

#[test]
fn a_seal_syncs_then_records_then_answers() {
    let mut rig = Rig::new(start());
    rig.hello(A, "e5");
    let Reply::Standing(standing) = rig.seal(A, 5, 1) else {
        panic!("a standing")
    };
    assert_eq!((standing.sealed_before, standing.sealed), ((0, 1), (5, 1)));
    assert_eq!(rig.log[0], Work::Sync);
    let Work::Record { durable, document } = &rig.log[1] else {
        panic!("a record")
    };
    assert_eq!(
        (durable.sealed, durable.engine.as_str(), &durable.open_boot),
        ((5, 1), "e5", &None)
    );
    assert_eq!(
        document.as_deref().map(|document| document.version),
        Some(2)
    );
    assert_eq!(rig.log.len(), 2);
}

#[test]
fn a_seal_takes_only_greater_ones_or_the_same_engine_before_it_was_opened() {
    let sealed = |open_it: bool, engine: &str, epoch, attempt| {
        let mut rig = Rig::new(start());
        rig.hello(A, "e5");
        rig.seal(A, 5, 2);
        if open_it {
            assert_eq!(rig.ask(A, open(5, 2, Role::Member, 2, 1)), Reply::Done);
        }
        rig.hello(B, engine);
        matches!(rig.seal(B, epoch, attempt), Reply::Standing(_))
    };
    assert!(sealed(true, "e6", 6, 1));
    assert!(sealed(true, "e6", 5, 3));
    assert!(sealed(false, "e5", 5, 2));
    assert!(
        !sealed(false, "e6", 5, 2),
        "another engine of the same epoch"
    );
    assert!(!sealed(true, "e5", 5, 2), "opened before");
    assert!(!sealed(false, "e5", 5, 1));
    assert!(!sealed(false, "e4", 4, 9));
}

#[test]
fn a_seal_with_an_older_document_is_refused_for_ever() {
    let mut rig = Rig::new(Start {
        document: document(7, 1),
        ..start()
    });
    rig.hello(A, "e9");
    assert_eq!(rig.why(A, seal(9, 9, 6)), Refusal::OldDocument);
    let older_era = Document {
        era: 0,
        ..document(99, 1)
    };
    assert_eq!(
        rig.why(
            A,
            Request::Seal(Seal {
                epoch: 9,
                attempt: 9,
                document: older_era
            })
        ),
        Refusal::OldDocument
    );
    assert!(matches!(rig.ask(A, seal(9, 9, 7)), Reply::Standing(_)));
}

#[test]
fn a_seal_with_other_layers_is_refused_and_ends_nobody() {
    let mut rig = Rig::opened();
    rig.hello(B, "e6");
    let shrunk = Document {
        size: SIZE / 2,
        ..document(9, 1)
    };
    assert_eq!(
        rig.why(
            B,
            Request::Seal(Seal {
                epoch: 6,
                attempt: 1,
                document: shrunk
            })
        ),
        Refusal::Invalid
    );
    assert_eq!(rig.ask(A, read()), Reply::Data(Bytes::from(vec![7; 512])));
}

/// Changes of one connection are applied in their order where they overlap: an engine mirrors changes to a syncing replica
/// without waiting for each (docs/protocol.md, A9).
#[test]
fn a_change_does_not_overtake_one_that_waits_for_its_mark() {
    let mut rig = Rig::opened();
    assert_eq!(rig.ask(A, write(1, 0)), Reply::Done);
    rig.log.clear();
    rig.slow_marks = true;
    // Of two regions, the second clean; then of the first alone, which is marked; then of one beside them.
    let both = rig.tell(A, write_of(2, REGION_BYTES - 4096, 8192));
    let first = rig.tell(A, write(3, REGION_BYTES - 4096));
    let behind = rig.tell(A, write(4, REGION_BYTES));
    let flush = rig.tell(A, Request::Flush { seq: 4 });
    let apart = rig.tell(A, write(5, 3 * REGION_BYTES));
    assert!(rig.log.is_empty(), "{:?}", rig.log);
    assert_eq!(rig.marking.len(), 2);
    rig.finish_marks(Outcome::Done);
    let written = |work: &Work| match work {
        Work::Write { offset, data } => Some((*offset, data.len())),
        _ => None,
    };
    let order: Vec<_> = rig.log.iter().filter_map(written).collect();
    let edge = REGION_BYTES - 4096;
    assert_eq!(
        order,
        [
            (edge, 8192),
            (edge, 512),
            (REGION_BYTES, 512),
            (3 * REGION_BYTES, 512)
        ]
    );
    for tag in [both, first, behind, flush, apart] {
        assert_eq!(rig.reply(tag), Some(Reply::Done));
    }
}

/// A mark that fails fails its own change; what waited behind it is tried for itself.
#[test]
fn what_waited_behind_a_mark_without_space_goes_on() {
    let mut rig = Rig::opened();
    rig.slow_marks = true;
    let first = rig.tell(A, write(1, 0));
    let second = rig.tell(A, write(2, 0));
    rig.finish_marks(Outcome::NoSpace("full".to_owned()));
    assert!(matches!(rig.reply(first), Some(Reply::Failed { .. })));
    assert!(rig.reply(second).is_none(), "its own mark is under way");
    rig.finish_marks(Outcome::Done);
    assert_eq!(rig.reply(second), Some(Reply::Done));
}

#[test]
fn a_seal_ends_the_older_connection_at_once_and_waits_for_what_is_under_way() {
    let mut rig = Rig::opened();
    rig.slow_sync = true;
    rig.tell(A, write(1, 0));
    let flush = rig.tell(A, Request::Flush { seq: 1 });
    rig.hello(B, "e6");
    rig.log.clear();
    let sealing = rig.tell(B, seal(6, 1, 3));
    assert_eq!(rig.ended, [A]);
    rig.tell(A, write(2, 0));
    assert!(
        rig.log.is_empty() && rig.reply(sealing).is_none(),
        "the older sync is under way"
    );
    rig.finish_syncs(Outcome::Done);
    assert!(rig.reply(sealing).is_none(), "its own sync is under way");
    rig.finish_syncs(Outcome::Done);
    assert!(matches!(rig.reply(sealing), Some(Reply::Standing(_))));
    assert!(rig.reply(flush).is_none(), "its connection has ended");
    assert!(matches!(
        rig.log[..],
        [Work::Sync, Work::Sync, Work::Record { .. }]
    ));
}

#[test]
fn a_seal_answers_with_the_marks_of_what_was_drained() {
    let mut rig = Rig::opened();
    rig.tell(A, write(1, 3 * REGION_BYTES));
    rig.hello(B, "e6");
    let Reply::Standing(standing) = rig.ask(B, seal(6, 1, 3)) else {
        panic!("a standing")
    };
    assert_eq!(standing.marks, [RegionRun { first: 3, count: 1 }]);
}

#[test]
fn a_newer_connection_of_the_same_engine_ends_the_older() {
    let mut rig = Rig::new(start());
    rig.hello(A, "e5");
    rig.seal(A, 5, 1);
    rig.hello(B, "e5");
    assert!(matches!(rig.seal(B, 5, 1), Reply::Standing(_)));
    assert_eq!(rig.ended, [A]);
}

#[test]
fn a_seal_that_can_not_be_recorded_seals_nothing() {
    let mut rig = Rig::new(start());
    rig.hello(A, "e5");
    rig.next = Some(("Record", Outcome::NoSpace("full".into())));
    assert!(matches!(
        rig.seal(A, 5, 1),
        Reply::Failed {
            why: Failure::NoSpace,
            ..
        }
    ));
    assert_eq!(rig.replica.standing().sealed, (0, 1));
    assert_eq!(rig.why(A, Request::Ping), Refusal::NotOpen);
    assert!(matches!(rig.seal(A, 5, 1), Reply::Standing(_)));
}
