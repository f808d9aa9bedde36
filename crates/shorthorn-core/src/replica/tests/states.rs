//! Who may do what, by state.

use super::*;

#[test]
fn the_table_of_states() {
    use Refusal::{NotOpen, Role as WrongRole};
    let range = || (0, BLOCK_BYTES);
    // Request; answer after hello only; sealed; opened as member; opened as syncing.
    let rows: Vec<(Request, [Option<Refusal>; 4])> = vec![
        (
            Request::Probe { drop: "d".into() },
            [None, None, None, None],
        ),
        (Request::Ping, [Some(NotOpen), None, None, None]),
        (Request::Flush { seq: 0 }, [Some(NotOpen), None, None, None]),
        (write(1, 0), [Some(NotOpen), Some(NotOpen), None, None]),
        (
            Request::Zero {
                seq: 1,
                offset: 0,
                length: 512,
                punch: true,
                fua: false,
            },
            [Some(NotOpen), Some(NotOpen), None, None],
        ),
        (
            read(),
            [Some(NotOpen), Some(NotOpen), None, Some(WrongRole)],
        ),
        (
            Request::Extents {
                offset: 0,
                length: SIZE,
            },
            [Some(NotOpen), None, None, None],
        ),
        (
            Request::Hash {
                offset: range().0,
                length: range().1,
            },
            [Some(NotOpen), None, None, None],
        ),
        (
            Request::Fetch {
                offset: range().0,
                length: range().1,
            },
            [Some(NotOpen), None, None, None],
        ),
        (copy(0), [Some(NotOpen), None, Some(WrongRole), None]),
        (
            clear(1, 0),
            [Some(NotOpen), Some(WrongRole), None, Some(WrongRole)],
        ),
        (
            member(Role::Syncing, 3, 1),
            [Some(NotOpen), None, None, None],
        ),
        (Request::Close, [Some(NotOpen), None, None, None]),
    ];
    for (request, expected) in rows {
        for (state, expected) in expected.into_iter().enumerate() {
            let mut rig = Rig::new(start());
            rig.hello(A, "e5");
            if state > 0 {
                rig.seal(A, 5, 1);
            }
            if state > 1 {
                let role = if state == 2 {
                    Role::Member
                } else {
                    Role::Syncing
                };
                assert_eq!(rig.ask(A, open(5, 1, role, 2, 1)), Reply::Done);
            }
            let why = match rig.ask(A, request.clone()) {
                Reply::Refused { why, .. } => Some(why),
                _ => None,
            };
            assert_eq!(why, expected, "{request:?} in state {state}");
        }
    }
}

#[test]
fn a_broken_connection_is_the_end_of_what_was_opened_on_it() {
    let mut rig = Rig::opened();
    assert!(rig.replica.is_open());
    rig.feed(Event::Ended { conn: A });
    assert!(!rig.replica.is_open());
    rig.hello(B, "e5");
    assert_eq!(rig.why(B, write(1, 0)), Refusal::NotOpen);
    assert_eq!(rig.why(B, seal(5, 1, 3)), Refusal::Fenced);
    assert!(matches!(rig.ask(B, seal(5, 2, 3)), Reply::Standing(_)));
}
