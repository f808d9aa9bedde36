//! The first message of a connection.

use super::*;

#[test]
fn a_hello_for_somebody_else_is_refused_and_ends_the_connection() {
    let Request::Hello(right) = hello("e") else {
        unreachable!()
    };
    for (wrong, expected) in [
        (
            Hello {
                wire: 2,
                ..right.clone()
            },
            Refusal::Version,
        ),
        (
            Hello {
                cluster: "x".into(),
                ..right.clone()
            },
            Refusal::Unknown,
        ),
        (
            Hello {
                volume: "x".into(),
                ..right.clone()
            },
            Refusal::Unknown,
        ),
        (
            Hello {
                replica: "x".into(),
                ..right.clone()
            },
            Refusal::Unknown,
        ),
    ] {
        let mut rig = Rig::new(start());
        assert_eq!(rig.why(A, Request::Hello(wrong)), expected);
        assert_eq!(rig.ended, [A]);
    }
}

#[test]
fn anything_before_a_hello_and_a_second_hello_end_the_connection() {
    let mut rig = Rig::new(start());
    rig.tell(A, Request::Ping);
    rig.hello(B, "e");
    rig.tell(B, hello("e"));
    assert_eq!(rig.ended, [A, B]);
    assert!(rig.replies.is_empty());
}
