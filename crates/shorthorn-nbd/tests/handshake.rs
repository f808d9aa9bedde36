//! Each option of the handshake, by its bytes.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail by panicking too")]

mod support;

use shorthorn_nbd::{Export, MAX_OPTIONS, Progress, ProtocolError};
use support::*;

/// HAS_FLAGS, SEND_FLUSH, SEND_FUA, SEND_TRIM, SEND_WRITE_ZEROES, CAN_MULTI_CONN.
const FLAGS: [u8; 2] = [0x01, 0x6d];
const FLAGS_WITH_DF: [u8; 2] = [0x01, 0xed];
/// HAS_FLAGS, READ_ONLY, SEND_FLUSH, SEND_FUA, CAN_MULTI_CONN.
const FLAGS_READ_ONLY: [u8; 2] = [0x01, 0x0f];
const SIZE_BYTES: [u8; 8] = [0, 0, 0, 0, 0, 0x10, 0, 0];

fn info_export(flags: [u8; 2]) -> Vec<u8> {
    [&[0, 0][..], &SIZE_BYTES, &flags].concat()
}

/// Sends one option while haggling and expects exactly this in answer.
#[track_caller]
fn assert_answer(peer: &mut Peer, sent: &[u8], answer: &[u8]) {
    peer.feed(sent).unwrap();
    assert_eq!(peer.sent(), answer);
}

#[track_caller]
fn assert_option_error(peer: &mut Peer, number: u32, data: &[u8], kind: u32) {
    peer.feed(&option(number, data)).unwrap();
    assert_eq!(parse_option_error(&peer.sent()), (number, kind));
    assert!(!peer.connection.is_transmitting());
}

#[test]
fn the_server_speaks_first() {
    let mut peer = Peer::new(export());
    assert_eq!(peer.sent(), b"NBDMAGICIHAVEOPT\x00\x03");
    assert_eq!(peer.feed(&[]), Ok(Progress::Waiting { missing: 4 }));
}

#[test]
fn unknown_client_flags_end_the_connection() {
    for flags in [4u32, 0x8000_0003, u32::MAX] {
        let mut peer = Peer::new(export());
        assert_eq!(
            peer.feed(&flags.to_be_bytes()),
            Err(ProtocolError::ClientFlags(flags))
        );
        assert_eq!(peer.feed(b"anything"), Ok(Progress::Closing));
        assert!(peer.input.is_empty());
    }
}

#[test]
fn export_name_enters_transmission() {
    for name in ["", "v1"] {
        let mut peer = Peer::haggling();
        assert_answer(
            &mut peer,
            &option(1, name.as_bytes()),
            &[&SIZE_BYTES[..], &FLAGS].concat(),
        );
        assert!(peer.connection.is_transmitting());
    }
}

#[test]
fn export_name_pads_for_a_client_that_did_not_waive_zeroes() {
    for client_flags in [[0, 0, 0, 0], [0, 0, 0, 1]] {
        let mut peer = Peer::new(export());
        peer.feed(&client_flags).unwrap();
        peer.sent();
        assert_answer(
            &mut peer,
            &option(1, b"v1"),
            &[&SIZE_BYTES[..], &FLAGS, &[0; 124]].concat(),
        );
    }
}

#[test]
fn export_name_of_another_export_ends_the_connection() {
    let mut peer = Peer::haggling();
    assert_eq!(
        peer.feed(&option(1, b"v2")),
        Err(ProtocolError::UnknownExport)
    );
}

#[test]
fn a_client_without_fixed_newstyle_may_only_name_its_export() {
    let mut peer = Peer::new(export());
    peer.feed(&NOT_FIXED).unwrap();
    assert_eq!(
        peer.feed(&option(3, &[])),
        Err(ProtocolError::NotFixedNewstyle(3))
    );

    let mut peer = Peer::new(export());
    peer.feed(&NOT_FIXED).unwrap();
    peer.feed(&option(1, &[])).unwrap();
    assert!(peer.connection.is_transmitting());
}

#[test]
fn abort_is_acknowledged_and_closes() {
    let mut peer = Peer::haggling();
    assert_eq!(peer.feed(&option(2, &[])), Ok(Progress::Closing));
    assert_eq!(peer.sent(), option_reply(2, 1, &[]));
}

#[test]
fn list_names_the_export() {
    let mut peer = Peer::haggling();
    let answer = [
        option_reply(3, 2, b"\x00\x00\x00\x02v1"),
        option_reply(3, 1, &[]),
    ]
    .concat();
    assert_answer(&mut peer, &option(3, &[]), &answer);
    assert_option_error(&mut peer, 3, b"x", ERR_INVALID);
}

#[test]
fn info_tells_size_and_flags_and_haggles_on() {
    let mut peer = Peer::haggling();
    let answer = [
        option_reply(6, 3, &info_export(FLAGS)),
        option_reply(6, 1, &[]),
    ]
    .concat();
    assert_answer(&mut peer, &option(6, &info("v1", &[])), &answer);
    assert!(!peer.connection.is_transmitting());
}

#[test]
fn go_tells_name_and_block_sizes_to_those_who_ask() {
    let mut peer = Peer::haggling();
    let answer = [
        option_reply(7, 3, &info_export(FLAGS)),
        option_reply(7, 3, b"\x00\x01v1"),
        option_reply(7, 3, &[0, 3, 0, 0, 0, 1, 0, 0, 0x10, 0, 0x02, 0, 0, 0]),
        option_reply(7, 1, &[]),
    ]
    .concat();
    // 2 is the description, which we have none of; 99 nobody knows; twice is once.
    assert_answer(
        &mut peer,
        &option(7, &info("", &[3, 2, 1, 99, 0, 3])),
        &answer,
    );
    assert!(peer.connection.is_transmitting());
}

#[test]
fn go_for_another_export_is_refused_and_may_be_mended() {
    let mut peer = Peer::haggling();
    assert_option_error(&mut peer, 7, &info("v2", &[]), ERR_UNKNOWN);
    peer.feed(&option(7, &info("v1", &[]))).unwrap();
    assert!(peer.connection.is_transmitting());
}

#[test]
fn malformed_info_is_refused() {
    let whole = info("v1", &[3]);
    for length in 0..whole.len() {
        assert_option_error(&mut Peer::haggling(), 7, &whole[..length], ERR_INVALID);
    }
    let longer = [&whole[..], &[0]].concat();
    assert_option_error(&mut Peer::haggling(), 7, &longer, ERR_INVALID);
    let long_name = info(&"n".repeat(4097), &[]);
    assert_option_error(&mut Peer::haggling(), 7, &long_name, ERR_TOO_BIG);
}

#[test]
fn a_read_only_export_says_so() {
    let mut peer = Peer::new(Export {
        read_only: true,
        ..export()
    });
    peer.feed(&MODERN).unwrap();
    peer.sent();
    let answer = [
        option_reply(6, 3, &info_export(FLAGS_READ_ONLY)),
        option_reply(6, 1, &[]),
    ]
    .concat();
    assert_answer(&mut peer, &option(6, &info("v1", &[])), &answer);
}

#[test]
fn structured_replies_bring_the_df_flag() {
    let mut peer = Peer::haggling();
    assert_option_error(&mut peer, 8, b"x", ERR_INVALID);
    assert_answer(
        &mut peer,
        &option(6, &info("", &[])),
        &[
            option_reply(6, 3, &info_export(FLAGS)),
            option_reply(6, 1, &[]),
        ]
        .concat(),
    );
    assert_answer(&mut peer, &option(8, &[]), &option_reply(8, 1, &[]));
    assert_answer(
        &mut peer,
        &option(6, &info("", &[])),
        &[
            option_reply(6, 3, &info_export(FLAGS_WITH_DF)),
            option_reply(6, 1, &[]),
        ]
        .concat(),
    );
}

#[test]
fn contexts_need_structured_replies_first() {
    for number in [9, 10] {
        assert_option_error(
            &mut Peer::haggling(),
            number,
            &contexts("", &["base:allocation"]),
            ERR_INVALID,
        );
    }
}

fn with_structured_replies() -> Peer {
    let mut peer = Peer::haggling();
    peer.feed(&option(8, &[])).unwrap();
    peer.sent();
    peer
}

#[test]
fn list_meta_context_knows_the_wildcard() {
    let listed = [
        option_reply(9, 4, b"\0\0\0\0base:allocation"),
        option_reply(9, 1, &[]),
    ]
    .concat();
    let nothing = option_reply(9, 1, &[]);
    let cases: [(&[&str], &[u8]); 6] = [
        (&[], &listed),
        (&["base:"], &listed),
        (&["base:allocation"], &listed),
        (
            &["qemu:dirty-bitmap:b", "base:allocation", "base:"],
            &listed,
        ),
        (&["qemu:"], &nothing),
        (&["base:nothing", "base"], &nothing),
    ];
    for (queries, answer) in cases {
        assert_answer(
            &mut with_structured_replies(),
            &option(9, &contexts("v1", queries)),
            answer,
        );
    }
}

#[test]
fn set_meta_context_chooses_by_exact_name_only() {
    let chosen = [
        option_reply(10, 4, b"\0\0\0\x01base:allocation"),
        option_reply(10, 1, &[]),
    ]
    .concat();
    let nothing = option_reply(10, 1, &[]);
    let cases: [(&[&str], &[u8]); 4] = [
        (&["base:allocation"], &chosen),
        (&["x-a:b", "base:allocation", "base:allocation"], &chosen),
        (&["base:"], &nothing),
        (&[], &nothing),
    ];
    for (queries, answer) in cases {
        assert_answer(
            &mut with_structured_replies(),
            &option(10, &contexts("", queries)),
            answer,
        );
    }
}

#[test]
fn a_later_set_meta_context_replaces_the_earlier_even_when_it_fails() {
    for second in [
        contexts("", &[]),
        contexts("v2", &["base:allocation"]),
        vec![0],
    ] {
        let mut peer = with_structured_replies();
        peer.feed(&option(10, &contexts("", &["base:allocation"])))
            .unwrap();
        peer.feed(&option(10, &second)).unwrap();
        peer.feed(&option(7, &info("", &[]))).unwrap();
        peer.sent();
        peer.feed(&request(0, BLOCK_STATUS, 1, 0, 4096)).unwrap();
        assert_eq!(parse_error_chunk(&peer.sent()).1, EINVAL);
    }
}

#[test]
fn malformed_contexts_are_refused() {
    let whole = contexts("v1", &["base:allocation", "base:"]);
    for number in [9, 10] {
        for length in 0..whole.len() {
            assert_option_error(
                &mut with_structured_replies(),
                number,
                &whole[..length],
                ERR_INVALID,
            );
        }
        let longer = [&whole[..], &[0]].concat();
        assert_option_error(&mut with_structured_replies(), number, &longer, ERR_INVALID);
        let many = [&string(b""), &u32::MAX.to_be_bytes()[..]].concat();
        assert_option_error(&mut with_structured_replies(), number, &many, ERR_INVALID);
        let long_query = contexts("v1", &[&"q".repeat(4097)]);
        assert_option_error(
            &mut with_structured_replies(),
            number,
            &long_query,
            ERR_TOO_BIG,
        );
        assert_option_error(
            &mut with_structured_replies(),
            number,
            &contexts("v2", &[]),
            ERR_UNKNOWN,
        );
    }
}

#[test]
fn unknown_options_are_refused_and_haggling_goes_on() {
    let mut peer = Peer::haggling();
    for number in [0, 4, 11, 99, u32::MAX] {
        assert_option_error(&mut peer, number, b"some data", ERR_UNSUP);
    }
    assert_option_error(&mut peer, 5, &[], ERR_POLICY);
    peer.feed(&option(7, &info("v1", &[]))).unwrap();
    assert!(peer.connection.is_transmitting());
}

#[test]
fn wrong_option_magic_ends_the_connection() {
    let mut peer = Peer::haggling();
    let mut bytes = option(3, &[]);
    bytes[7] = b'X';
    assert_eq!(
        peer.feed(&bytes),
        Err(ProtocolError::OptionMagic(u64::from_be_bytes(*b"IHAVEOPX")))
    );
}

#[test]
fn a_long_option_is_skipped_unbuffered_and_refused() {
    let mut peer = Peer::haggling();
    let whole = option(6, &vec![0; 64 << 10]);
    for piece in whole.chunks(1000) {
        peer.feed(piece).unwrap();
        assert!(
            peer.input.is_empty() || peer.input.len() < 16,
            "nothing is gathered"
        );
    }
    assert_eq!(parse_option_error(&peer.sent()), (6, ERR_TOO_BIG));
    peer.feed(&option(7, &info("v1", &[]))).unwrap();
    assert!(peer.connection.is_transmitting());
}

#[test]
fn an_endless_option_ends_the_connection_before_its_data() {
    let header = |number: u32, length: u32| {
        [
            b"IHAVEOPT",
            &number.to_be_bytes()[..],
            &length.to_be_bytes(),
        ]
        .concat()
    };
    for (number, length) in [(6, (64 << 10) + 1), (3, u32::MAX), (1, 4097)] {
        let mut peer = Peer::haggling();
        let error = ProtocolError::OptionTooLong {
            option: number,
            length,
        };
        assert_eq!(peer.feed(&header(number, length)), Err(error));
    }
    let mut peer = Peer::new(Export {
        name: "n".repeat(4096),
        ..export()
    });
    peer.feed(&MODERN).unwrap();
    peer.feed(&option(1, "n".repeat(4096).as_bytes())).unwrap();
    assert!(peer.connection.is_transmitting());
}

#[test]
fn endless_haggling_ends_the_connection() {
    let mut peer = Peer::haggling();
    for _ in 0..MAX_OPTIONS {
        peer.feed(&option(99, &[])).unwrap();
    }
    assert_eq!(
        peer.feed(&option(7, &info("", &[]))),
        Err(ProtocolError::TooManyOptions)
    );
    assert!(!peer.connection.is_transmitting());
}
