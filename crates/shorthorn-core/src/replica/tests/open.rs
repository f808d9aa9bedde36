//! Opens, roles, and what a restart leaves.

use super::*;

#[test]
fn an_open_records_this_boot_and_ends_torn() {
    let durable = Durable {
        torn: true,
        role: Role::Member,
        ..start().durable
    };
    let mut rig = Rig::new(Start { durable, ..start() });
    rig.hello(A, "e5");
    let Reply::Standing(standing) = rig.seal(A, 5, 1) else {
        panic!("a standing")
    };
    assert!(
        standing.torn && rig.replica.standing().torn,
        "not before SessionOpened"
    );
    assert_eq!(rig.ask(A, open(5, 1, Role::Member, 3, 4)), Reply::Done);
    let Some(Work::Record { durable, document }) = rig.log.last() else {
        panic!("a record")
    };
    assert_eq!(
        (&durable.open_boot, durable.torn),
        (&Some("boot1".to_owned()), false)
    );
    assert_eq!(
        (durable.m, durable.epoch, durable.synced_through),
        (4, 5, Some(4))
    );
    assert_eq!(document.as_ref().map(|document| document.version), Some(3));
}

#[test]
fn a_syncing_replica_stays_torn_and_its_content_is_complete_up_to_what_it_was() {
    let durable = Durable {
        torn: true,
        synced_through: Some(2),
        ..start().durable
    };
    let mut rig = Rig::new(Start { durable, ..start() });
    rig.hello(A, "e5");
    rig.seal(A, 5, 1);
    assert_eq!(rig.ask(A, open(5, 1, Role::Syncing, 3, 4)), Reply::Done);
    let standing = rig.replica.standing();
    assert_eq!(
        (standing.torn, standing.synced_through, standing.m),
        (true, Some(2), 4)
    );
}

#[test]
fn an_open_must_be_exactly_what_is_sealed_once_on_its_connection() {
    let mut rig = Rig::new(start());
    rig.hello(A, "e5");
    assert_eq!(rig.why(A, open(5, 1, Role::Member, 2, 1)), Refusal::NotOpen);
    rig.seal(A, 5, 1);
    rig.hello(B, "e5");
    assert_eq!(rig.why(B, open(5, 1, Role::Member, 2, 1)), Refusal::NotOpen);
    assert_eq!(rig.why(A, open(5, 2, Role::Member, 2, 1)), Refusal::Fenced);
    assert_eq!(rig.why(A, open(6, 1, Role::Member, 2, 1)), Refusal::Fenced);
    assert_eq!(
        rig.why(A, open(5, 1, Role::Member, 1, 1)),
        Refusal::OldDocument
    );
    assert_eq!(rig.ask(A, open(5, 1, Role::Member, 2, 1)), Reply::Done);
    assert_eq!(rig.why(A, open(5, 1, Role::Member, 2, 1)), Refusal::Invalid);
}

#[test]
fn a_restarted_replica_that_was_opened_takes_only_something_greater() {
    for open_boot in [Some("boot1".to_owned()), None] {
        let durable = Durable {
            sealed: (5, 1),
            engine: "e5".into(),
            epoch: 5,
            open_boot,
            ..start().durable
        };
        let mut rig = Rig::new(Start { durable, ..start() });
        rig.hello(A, "e5");
        assert_eq!(rig.why(A, seal(5, 1, 2)), Refusal::Fenced);
        assert!(matches!(rig.seal(A, 5, 2), Reply::Standing(_)));
    }
    let durable = Durable {
        sealed: (5, 1),
        engine: "e5".into(),
        epoch: 4,
        ..start().durable
    };
    let mut rig = Rig::new(Start { durable, ..start() });
    rig.hello(A, "e5");
    assert!(
        matches!(rig.seal(A, 5, 1), Reply::Standing(_)),
        "it was sealed and not opened"
    );
}

#[test]
fn a_replica_that_becomes_a_member_gets_stamps_that_are_durable_first() {
    let mut rig = Rig::new(Start {
        marks: vec![RegionRun { first: 2, count: 1 }],
        ..start()
    });
    rig.hello(A, "e5");
    rig.seal(A, 5, 1);
    rig.log.clear();
    assert_eq!(rig.ask(A, open(5, 1, Role::Member, 3, 6)), Reply::Done);
    let regions = vec![
        RegionRun { first: 0, count: 2 },
        RegionRun { first: 3, count: 5 },
    ];
    assert_eq!(rig.log[..2], [Work::Clear { m: 6, regions }, Work::Sync]);
    assert!(matches!(rig.log[2..], [Work::Record { .. }]));
}

/// A member that was removed while it was away comes back by a copy. Nobody told it of its removal, so it still took
/// itself for a member: it kept the old stamps of regions that the copy had filled, and a later delta resync from it
/// would have left those out (A6).
#[test]
fn a_member_sealed_with_a_greater_attempt_has_left_the_set_and_joins_with_new_stamps() {
    let mut rig = Rig::opened();
    rig.hello(B, "copier");
    let Reply::Standing(standing) = ({
        let tag = rig.tell(B, seal(6, 2, 4));
        rig.reply(tag).expect("an answer")
    }) else {
        panic!("sealed");
    };
    assert_eq!(
        (standing.role, standing.synced_through),
        (Role::Syncing, Some(1))
    );
    rig.log.clear();
    assert_eq!(rig.ask(B, member(Role::Member, 5, 9)), Reply::Done);
    assert!(
        matches!(&rig.log[0], Work::Clear { m: 9, .. }),
        "{:?}",
        rig.log
    );
}
