//! Member, close and probe.

use super::*;

#[test]
fn a_membership_is_durable_before_its_answer_and_never_goes_back() {
    let mut rig = Rig::opened();
    assert_eq!(rig.ask(A, member(Role::Member, 4, 2)), Reply::Done);
    assert!(
        matches!(&rig.log[..], [Work::Record { durable, document: Some(_) }] if durable.m == 2)
    );
    assert_eq!(rig.why(A, member(Role::Member, 3, 3)), Refusal::OldDocument);
    assert_eq!(rig.why(A, member(Role::Member, 5, 1)), Refusal::OldDocument);
    assert_eq!(rig.ask(A, member(Role::Member, 4, 2)), Reply::Done);
}

#[test]
fn a_joiner_becomes_a_member_and_is_read_from() {
    let mut rig = Rig::new(start());
    rig.hello(A, "e5");
    rig.seal(A, 5, 1);
    rig.ask(A, open(5, 1, Role::Syncing, 2, 1));
    assert_eq!(rig.why(A, read()), Refusal::Role);
    assert_eq!(rig.ask(A, copy(0)), Reply::Done);
    rig.flush(A, 0);
    assert_eq!(rig.ask(A, member(Role::Member, 3, 2)), Reply::Done);
    assert_eq!(rig.replica.standing().synced_through, Some(2));
    assert!(matches!(rig.ask(A, read()), Reply::Data(_)));
    assert_eq!(rig.why(A, copy(0)), Refusal::Role);
    assert_eq!(rig.ask(A, clear(2, 0)), Reply::Done);
    assert_eq!(rig.ask(A, Request::Close), Reply::Done);
}

#[test]
fn a_close_empties_the_boot_answers_and_ends_the_connection() {
    let mut rig = Rig::opened();
    assert_eq!(rig.ask(A, Request::Close), Reply::Done);
    assert!(matches!(&rig.log[..], [Work::Record { durable, .. }] if durable.open_boot.is_none()));
    assert_eq!(rig.ended, [A]);
    assert!(!rig.replica.is_open());
    rig.hello(B, "e5");
    assert_eq!(rig.why(B, seal(5, 1, 3)), Refusal::Fenced);
}

#[test]
fn a_probe_changes_nothing() {
    let mut rig = Rig::opened();
    rig.hello(B, "probe");
    let Reply::Standing(standing) = rig.ask(B, Request::Probe { drop: "d".into() }) else {
        panic!("a standing")
    };
    assert_eq!(
        (standing.sealed, standing.role, standing.m),
        ((5, 1), Role::Member, 1)
    );
    assert!(rig.log.is_empty() && rig.ended.is_empty());
    assert_eq!(rig.ask(A, Request::Ping), Reply::Done);
}

#[test]
fn a_folder_is_deleted_only_for_a_tombstone_that_is_not_older() {
    let rig = Rig::opened();
    assert_eq!(rig.replica.document().version, 3);
    assert!(rig.replica.may_delete(1, 3) && rig.replica.may_delete(2, 1));
    assert!(!rig.replica.may_delete(1, 2) && !rig.replica.may_delete(0, 9));
}

#[test]
fn what_an_agent_should_hear_of_changes_the_revision() {
    let mut rig = Rig::new(start());
    let mut seen = rig.replica.revision();
    let mut grew =
        |rig: &Rig| std::mem::replace(&mut seen, rig.replica.revision()) < rig.replica.revision();
    rig.hello(A, "e5");
    assert!(!grew(&rig));
    rig.seal(A, 5, 1);
    assert!(grew(&rig));
    rig.ask(A, open(5, 1, Role::Member, 2, 1));
    assert!(grew(&rig));
    rig.ask(A, write(1, 0));
    assert!(!grew(&rig));
    rig.feed(Event::Ended { conn: A });
    assert!(grew(&rig));
}
