//! Copies and their bounds.

use super::*;

#[test]
fn a_copy_before_open_records_this_boot_and_marks_first() {
    let mut rig = Rig::new(start());
    rig.hello(A, "e5");
    rig.seal(A, 5, 1);
    rig.log.clear();
    assert_eq!(rig.ask(A, copy(0)), Reply::Done);
    let [
        Work::Record {
            durable,
            document: None,
        },
        Work::Mark(_),
        Work::Copy { .. },
    ] = &rig.log[..]
    else {
        panic!("{:?}", rig.log)
    };
    assert_eq!(durable.open_boot.as_deref(), Some("boot1"));
    rig.log.clear();
    assert_eq!(rig.ask(A, copy(4096)), Reply::Done);
    assert!(matches!(rig.log[..], [Work::Copy { .. }]));
}

#[test]
fn a_late_copy_is_not_taken() {
    let mut rig = Rig::new(start());
    rig.hello(A, "copier");
    rig.seal(A, 5, 1);
    rig.hello(B, "e6");
    rig.seal(B, 6, 1);
    rig.log.clear();
    rig.tell(A, copy(0));
    assert!(rig.log.is_empty() && rig.replies.is_empty());
    assert!(rig.ended.contains(&A));
}
