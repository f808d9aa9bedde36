//! Clears: what they may take away.

use super::*;

#[test]
fn a_clear_skips_what_was_written_after_its_flush() {
    let mut rig = Rig::opened();
    rig.ask(A, write(1, 0));
    rig.ask(A, write(2, REGION_BYTES));
    rig.flush(A, 2);
    rig.ask(A, write(3, 0));
    rig.log.clear();
    assert_eq!(rig.ask(A, clear(1, 2)), Reply::Done);
    assert_eq!(
        rig.log,
        [Work::Clear {
            m: 1,
            regions: vec![RegionRun { first: 1, count: 1 }]
        }]
    );
    assert_eq!(rig.why(A, Request::Close), Refusal::MarksSet);
}

#[test]
fn a_clear_needs_a_finished_flush_here() {
    let mut rig = Rig::opened();
    rig.ask(A, write(1, 0));
    assert_eq!(rig.why(A, clear(1, 1)), Refusal::Invalid);
    rig.slow_sync = true;
    rig.tell(A, Request::Flush { seq: 1 });
    assert_eq!(rig.why(A, clear(1, 1)), Refusal::Invalid);
    rig.finish_syncs(Outcome::Done);
    assert_eq!(
        rig.why(A, clear(2, 1)),
        Refusal::Invalid,
        "a membership nobody told"
    );
    assert_eq!(rig.ask(A, clear(1, 1)), Reply::Done);
}

#[test]
fn marks_of_an_older_session_can_be_cleared_by_the_next() {
    let mut rig = Rig::opened();
    rig.ask(A, write(900, 0));
    rig.hello(B, "e6");
    rig.ask(B, seal(6, 1, 3));
    assert_eq!(rig.ask(B, open(6, 1, Role::Member, 4, 2)), Reply::Done);
    assert_eq!(rig.ask(B, clear(2, 0)), Reply::Done);
    assert_eq!(rig.ask(B, Request::Close), Reply::Done);
}

#[test]
fn a_clear_after_copies_needs_a_flush_after_them() {
    let durable = Durable {
        role: Role::Member,
        m: 1,
        synced_through: Some(1),
        ..start().durable
    };
    let mut rig = Rig::new(Start { durable, ..start() });
    rig.hello(A, "e5");
    rig.seal(A, 5, 1);
    assert_eq!(rig.ask(A, copy(0)), Reply::Done);
    assert_eq!(rig.why(A, clear(1, 0)), Refusal::Invalid);
    rig.flush(A, 0);
    assert_eq!(rig.ask(A, clear(1, 0)), Reply::Done);
    assert_eq!(rig.ask(A, Request::Close), Reply::Done);
}

#[test]
fn a_write_while_a_clear_is_being_done_marks_again() {
    // The clear is first on disk, the mark second: effects are done in order.
    let mut rig = Rig::opened();
    rig.ask(A, write(1, 0));
    rig.flush(A, 1);
    rig.log.clear();
    let mut out = Vec::new();
    rig.replica.handle(
        Event::Request {
            conn: A,
            tag: 90,
            request: clear(1, 1),
        },
        &mut out,
    );
    rig.replica.handle(
        Event::Request {
            conn: A,
            tag: 91,
            request: write(2, 0),
        },
        &mut out,
    );
    let work: Vec<_> = out
        .iter()
        .filter_map(|effect| {
            if let Effect::Do { work, .. } = effect {
                Some(work)
            } else {
                None
            }
        })
        .collect();
    assert!(matches!(work[..], [Work::Clear { .. }, Work::Mark(_)]));
}
