//! Requests, refusals and answers, by their bytes.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail by panicking too")]

mod support;

use std::collections::BTreeSet;

use bytes::Bytes;
use shorthorn_nbd::{
    Answer, Command, Errno, Export, Extent, InBuffer, MAX_EXTENTS, MAX_PAYLOAD_BYTES, Progress,
    ProtocolError,
};
use support::*;

fn read_only() -> Export {
    Export {
        read_only: true,
        ..export()
    }
}

/// Expects the request to be refused with `errno`, with and without structured replies, and the connection
/// to stay in step.
#[track_caller]
fn assert_refused(export: &Export, bytes: &[u8], errno: u32) {
    let mut peer = Peer::simple(export.clone());
    peer.feed(bytes).unwrap();
    assert_eq!(peer.sent(), simple(errno, 7));
    assert!(peer.requests.is_empty());
    peer.feed(&request(0, FLUSH, 8, 0, 0)).unwrap();
    assert_eq!(peer.request().command, Command::Flush);

    let mut peer = Peer::structured(export.clone());
    peer.feed(bytes).unwrap();
    let (handle, error, message) = parse_error_chunk(&peer.sent());
    assert_eq!((handle, error), (7, errno));
    assert!(!message.is_empty());
    assert!(peer.requests.is_empty());
}

#[test]
fn a_read_is_answered_with_its_bytes() {
    let data = Bytes::from((0..=255).cycle().take(5000).collect::<Vec<u8>>());
    for bite in [1, 7, 16, 4999, usize::MAX] {
        let mut peer = Peer::simple(export());
        peer.feed(&request(0, READ, 7, 100, 5000)).unwrap();
        let got = peer.request();
        assert_eq!(
            (got.offset, got.length, got.fua, &got.command),
            (100, 5000, false, &Command::Read)
        );
        peer.connection
            .answer(got.cookie, Ok(Answer::Data(data.clone())), &mut peer.out);
        assert_eq!(
            peer.sent_in_bites(bite),
            [&simple(0, 7)[..], &data].concat()
        );

        let mut peer = Peer::structured(export());
        peer.feed(&request(DF, READ, 7, 100, 5000)).unwrap();
        let got = peer.request();
        let pieces = vec![
            data.slice(..1),
            data.slice(1..1),
            data.slice(1..4000),
            data.slice(4000..),
        ];
        peer.connection
            .answer(got.cookie, Ok(Answer::Pieces(pieces)), &mut peer.out);
        assert_eq!(
            peer.sent_in_bites(bite),
            chunk(1, 7, &[&100u64.to_be_bytes()[..], &data].concat())
        );
    }
}

#[test]
fn a_large_payload_goes_out_by_reference() {
    let data = Bytes::from(vec![9; 4096]);
    let mut peer = Peer::structured(export());
    peer.feed(&request(0, READ, 7, 0, 4096)).unwrap();
    let cookie = peer.request().cookie;
    peer.connection
        .answer(cookie, Ok(Answer::Data(data.clone())), &mut peer.out);
    let mut slices = [std::io::IoSlice::new(&[]); 4];
    assert_eq!(peer.out.slices(&mut slices), 2);
    assert_eq!(slices[1].as_ptr(), data.as_ptr());
}

#[test]
fn a_write_brings_its_payload_without_a_copy() {
    let mut peer = Peer::structured(export());
    peer.input
        .extend_from_slice(&write(FUA, 7, 4096, &[5; 4096]));
    let sent_at = peer.input[28..].as_ptr();
    peer.feed(&[]).unwrap();
    let got = peer.request();
    assert_eq!((got.offset, got.length, got.fua), (4096, 4096, true));
    let Command::Write { data } = got.command else {
        panic!("a write")
    };
    assert_eq!(data, vec![5; 4096]);
    assert_eq!(data.as_ptr(), sent_at);
    peer.connection
        .answer(got.cookie, Ok(Answer::Done), &mut peer.out);
    assert_eq!(peer.sent(), simple(0, 7));
}

#[test]
fn commands_without_payload_carry_their_flags() {
    let cases = [
        (request(0, FLUSH, 7, 0, 0), Command::Flush, false),
        (request(FUA, FLUSH, 7, 0, 0), Command::Flush, false), // allowed on all, means nothing here
        (request(FUA, READ, 7, 0, 9), Command::Read, false),
        (request(0, TRIM, 7, 512, 1024), Command::Trim, false),
        (request(FUA, TRIM, 7, 512, 1024), Command::Trim, true),
        (
            request(0, WRITE_ZEROES, 7, 0, 1 << 20),
            Command::WriteZeroes { no_hole: false },
            false,
        ),
        (
            request(FUA | NO_HOLE, WRITE_ZEROES, 7, 0, 1),
            Command::WriteZeroes { no_hole: true },
            true,
        ),
        (
            request(0, BLOCK_STATUS, 7, 0, 1),
            Command::BlockStatus { req_one: false },
            false,
        ),
        (
            request(REQ_ONE, BLOCK_STATUS, 7, 0, 1),
            Command::BlockStatus { req_one: true },
            false,
        ),
    ];
    for (bytes, command, fua) in cases {
        let mut peer = Peer::structured(export());
        peer.feed(&bytes).unwrap();
        let got = peer.request();
        assert_eq!((got.command, got.fua), (command, fua));
        assert_eq!(
            bytes[16..],
            [&got.offset.to_be_bytes()[..], &got.length.to_be_bytes()].concat()
        );
    }
}

#[test]
fn lengths_without_payload_may_exceed_the_maximum_block_size() {
    let large = Export {
        size: 1 << 40,
        ..export()
    };
    for command in [TRIM, WRITE_ZEROES, BLOCK_STATUS] {
        let mut peer = Peer::structured(large.clone());
        peer.feed(&request(0, command, 7, 1 << 33, u32::MAX))
            .unwrap();
        assert_eq!(peer.request().length, u32::MAX);
    }
}

#[test]
fn errors_from_the_shell_reach_the_client() {
    let cases = [
        (Errno::Perm, 1),
        (Errno::Io, 5),
        (Errno::NoMem, 12),
        (Errno::Inval, 22),
        (Errno::NoSpc, 28),
        (Errno::Overflow, 75),
        (Errno::NotSup, 95),
        (Errno::Shutdown, 108),
    ];
    for (errno, number) in cases {
        for bytes in [
            request(0, READ, 7, 0, 4096),
            write(0, 7, 0, b"x"),
            request(0, FLUSH, 7, 0, 0),
        ] {
            let mut peer = Peer::simple(export());
            peer.feed(&bytes).unwrap();
            let cookie = peer.request().cookie;
            peer.connection.answer(cookie, Err(errno), &mut peer.out);
            assert_eq!(peer.sent(), simple(number, 7));

            let mut peer = Peer::structured(export());
            peer.feed(&bytes).unwrap();
            let cookie = peer.request().cookie;
            peer.connection.answer(cookie, Err(errno), &mut peer.out);
            let (handle, error, message) = parse_error_chunk(&peer.sent());
            assert_eq!((handle, error), (7, number));
            assert!(!message.is_empty());
        }
    }
}

#[test]
fn ranges_beyond_the_end_are_refused() {
    for (offset, length) in [
        (SIZE, 1),
        (SIZE - 4095, 4096),
        (u64::MAX, 1),
        (u64::MAX - 4095, 4096),
    ] {
        for (command, errno) in [(READ, EINVAL), (TRIM, EINVAL), (WRITE_ZEROES, ENOSPC)] {
            assert_refused(&export(), &request(0, command, 7, offset, length), errno);
        }
        assert_refused(
            &export(),
            &write(0, 7, offset, &vec![1; length as usize]),
            ENOSPC,
        );
    }
    let mut peer = Peer::structured(export());
    peer.feed(&request(0, BLOCK_STATUS, 7, SIZE, 1)).unwrap();
    assert_eq!(parse_error_chunk(&peer.sent()).1, EINVAL);
    peer.feed(&request(0, READ, 7, SIZE - 4096, 4096)).unwrap();
    assert_eq!(peer.request().length, 4096);
}

#[test]
fn a_read_only_export_refuses_changes() {
    assert_refused(&read_only(), &write(0, 7, 0, b"payload is skipped"), EPERM);
    assert_refused(&read_only(), &write(0, 7, 0, b""), EPERM);
    assert_refused(&read_only(), &request(0, TRIM, 7, 0, 4096), EPERM);
    assert_refused(&read_only(), &request(0, WRITE_ZEROES, 7, 0, 4096), EPERM);
    let mut peer = Peer::simple(read_only());
    peer.feed(&request(0, READ, 7, 0, 4096)).unwrap();
    assert_eq!(peer.request().command, Command::Read);
}

#[test]
fn flags_that_a_command_does_not_take_are_refused() {
    for (command, flags) in [
        (READ, NO_HOLE),
        (READ, REQ_ONE),
        (FLUSH, DF),
        (TRIM, NO_HOLE),
        (WRITE_ZEROES, FAST_ZERO),
        (WRITE_ZEROES, DF),
        (BLOCK_STATUS, NO_HOLE),
        (READ, 1 << 15),
    ] {
        assert_refused(&export(), &request(flags, command, 7, 0, 0), EINVAL);
    }
    assert_refused(
        &export(),
        &write(NO_HOLE, 7, 0, b"payload is skipped"),
        EINVAL,
    );
    let mut peer = Peer::simple(export());
    peer.feed(&request(DF, READ, 7, 0, 512)).unwrap();
    assert_eq!(
        peer.sent(),
        simple(EINVAL, 7),
        "DF needs structured replies"
    );
}

#[test]
fn unknown_commands_are_refused_and_have_no_payload() {
    for command in [CACHE, 8, 99, u16::MAX] {
        assert_refused(&export(), &request(0, command, 7, 0, 4096), EINVAL);
    }
}

#[test]
fn a_flush_has_no_range() {
    assert_refused(&export(), &request(0, FLUSH, 7, 1, 0), EINVAL);
    assert_refused(&export(), &request(0, FLUSH, 7, 0, 1), EINVAL);
}

#[test]
fn requests_for_nothing_succeed_at_once() {
    for (bytes, structured_answer) in [
        (request(0, READ, 7, SIZE, 0), chunk(0, 7, &[])),
        (write(FUA, 7, 0, b""), simple(0, 7)),
        (request(0, TRIM, 7, 5, 0), simple(0, 7)),
        (request(0, WRITE_ZEROES, 7, 5, 0), simple(0, 7)),
    ] {
        let mut peer = Peer::simple(export());
        peer.feed(&bytes).unwrap();
        assert_eq!(peer.sent(), simple(0, 7));
        let mut peer = Peer::structured(export());
        peer.feed(&bytes).unwrap();
        assert_eq!(peer.sent(), structured_answer);
        assert!(peer.requests.is_empty());
    }
    assert_refused(&export(), &request(0, BLOCK_STATUS, 7, 0, 0), EINVAL);
    assert_refused(&export(), &request(0, READ, 7, SIZE + 1, 0), EINVAL);
}

#[test]
fn a_refused_write_is_answered_after_its_payload() {
    let mut peer = Peer::simple(read_only());
    let bytes = write(0, 7, 0, &[1; 1000]);
    peer.feed(&bytes[..900]).unwrap();
    assert!(peer.out.is_empty() && peer.input.is_empty());
    assert_eq!(peer.feed(&[]), Ok(Progress::Waiting { missing: 128 }));
    peer.feed(&bytes[900..]).unwrap();
    assert_eq!(peer.sent(), simple(EPERM, 7));
}

#[test]
fn payloads_up_to_the_limit_pass_and_above_it_do_not() {
    let large = Export {
        size: 1 << 30,
        ..export()
    };
    let over = MAX_PAYLOAD_BYTES + 1;
    assert_refused(&large, &request(0, READ, 7, 0, over), EINVAL);
    let mut peer = Peer::structured(large.clone());
    peer.feed(&request(DF, READ, 7, 0, over)).unwrap();
    assert_eq!(parse_error_chunk(&peer.sent()).1, EOVERFLOW);
    peer.feed(&request(0, READ, 7, 0, MAX_PAYLOAD_BYTES))
        .unwrap();
    assert_eq!(peer.request().length, MAX_PAYLOAD_BYTES);
    peer.feed(&request(0, WRITE, 7, 0, MAX_PAYLOAD_BYTES))
        .unwrap();
    assert_eq!(
        peer.feed(&[]),
        Ok(Progress::Waiting {
            missing: MAX_PAYLOAD_BYTES as usize
        })
    );

    let mut peer = Peer::structured(large);
    assert_eq!(
        peer.feed(&request(0, WRITE, 7, 0, over)),
        Err(ProtocolError::WriteTooLong(over))
    );
    assert_eq!(peer.feed(&request(0, READ, 7, 0, 1)), Ok(Progress::Closing));
}

#[test]
fn an_announced_payload_is_given_room_only_as_it_arrives() {
    const TRUSTED: usize = 2 << 20;
    let large = Export {
        size: 1 << 30,
        ..export()
    };
    let mut peer = Peer::simple(large);
    let mut input = InBuffer::new();
    input
        .received()
        .extend_from_slice(&request(0, WRITE, 7, 0, MAX_PAYLOAD_BYTES));
    let (mut arrived, mut reads) = (0, 0);
    while peer.requests.is_empty() {
        let progress =
            peer.connection
                .receive(input.received(), 1, &mut peer.requests, &mut peer.out);
        assert!(progress.is_ok());
        let size = peer.connection.read_size(input.received().len());
        assert!(
            size <= arrived.max(TRUSTED),
            "never more than as much again as has arrived"
        );
        let room = input.room(size);
        assert!(room.len() <= size.max(64 << 10));
        let read = room.len().min(MAX_PAYLOAD_BYTES as usize - arrived);
        room[..read].fill(7);
        input.fill(read);
        arrived += read;
        reads += 1;
    }
    assert!(reads <= 8, "{reads} reads: grows by doubling");
    let Command::Write { data } = peer.request().command else {
        panic!("a write")
    };
    assert!(data.len() == MAX_PAYLOAD_BYTES as usize && data.iter().all(|&byte| byte == 7));
}

#[test]
fn payloads_are_cut_from_the_receive_buffer_without_copies() {
    let mut peer = Peer::simple(export());
    let mut input = InBuffer::new();
    let stream: Vec<u8> = (0..40u64)
        .flat_map(|n| write(0, n, n * 4096, &[n as u8; 4096]))
        .collect();
    let mut chunks = BTreeSet::new();
    for piece in stream.chunks(1500) {
        let size = peer.connection.read_size(input.received().len());
        let room = input.room(size);
        chunks.insert(room.as_ptr_range().end);
        room[..piece.len()].copy_from_slice(piece);
        input.fill(piece.len());
        peer.connection
            .receive(input.received(), 99, &mut peer.requests, &mut peer.out)
            .unwrap();
    }
    assert_eq!(peer.requests.len(), 40);
    for (n, got) in peer.requests.iter().enumerate() {
        let Command::Write { data } = &got.command else {
            panic!("a write")
        };
        assert_eq!(data[..], [n as u8; 4096]);
    }
    assert!(
        chunks.len() <= 4,
        "{} chunks of 64 KiB for 161 KiB",
        chunks.len()
    );
}

#[test]
fn wrong_request_magic_ends_the_connection() {
    let mut peer = Peer::simple(export());
    let mut bytes = request(0, READ, 7, 0, 1);
    bytes[3] = 0;
    assert_eq!(
        peer.feed(&bytes),
        Err(ProtocolError::RequestMagic(0x2560_9500))
    );
    assert!(!peer.connection.is_transmitting());
}

#[test]
fn after_disconnect_the_rest_is_dropped_and_what_is_in_flight_answered() {
    let mut peer = Peer::simple(export());
    let bytes = [
        request(0, FLUSH, 1, 0, 0),
        request(9, DISC, 2, 5, 5),
        request(0, FLUSH, 3, 0, 0),
    ]
    .concat();
    assert_eq!(peer.feed(&bytes), Ok(Progress::Closing));
    assert!(peer.input.is_empty() && peer.out.is_empty());
    let cookie = peer.request().cookie;
    peer.connection
        .answer(cookie, Ok(Answer::Done), &mut peer.out);
    assert_eq!(peer.sent(), simple(0, 1));
}

#[test]
fn room_bounds_what_one_call_produces() {
    let mut peer = Peer::simple(export());
    let bytes: Vec<u8> = (0..5)
        .flat_map(|handle| request(0, READ, handle, 0, 1))
        .collect();
    peer.input.extend_from_slice(&bytes);
    for (room, produced) in [(0, 0), (2, 2), (2, 4)] {
        let progress =
            peer.connection
                .receive(&mut peer.input, room, &mut peer.requests, &mut peer.out);
        assert_eq!(progress, Ok(Progress::Full));
        assert_eq!(peer.requests.len(), produced);
    }
    let progress = peer
        .connection
        .receive(&mut peer.input, 2, &mut peer.requests, &mut peer.out);
    assert_eq!(progress, Ok(Progress::Waiting { missing: 28 }));
    assert_eq!(peer.requests.len(), 5);
}

#[test]
fn one_handle_may_be_used_twice_at_a_time() {
    let mut peer = Peer::structured(export());
    peer.feed(
        &[
            request(0, READ, 7, 0, 1),
            request(0, READ, 7, 50, 2),
            write(0, 7, 0, b"x"),
        ]
        .concat(),
    )
    .unwrap();
    let cookies: Vec<_> = peer.requests.iter().map(|request| request.cookie).collect();
    peer.connection
        .answer(cookies[2], Ok(Answer::Done), &mut peer.out);
    peer.connection.answer(
        cookies[1],
        Ok(Answer::Data(Bytes::from_static(b"bc"))),
        &mut peer.out,
    );
    peer.connection.answer(
        cookies[0],
        Ok(Answer::Data(Bytes::from_static(b"a"))),
        &mut peer.out,
    );
    let expected = [
        simple(0, 7),
        chunk(1, 7, b"\0\0\0\0\0\0\0\x32bc"),
        chunk(1, 7, b"\0\0\0\0\0\0\0\0a"),
    ];
    assert_eq!(peer.sent(), expected.concat());
}

fn extent(length: u32, hole: bool, zero: bool) -> Extent {
    Extent { length, hole, zero }
}

/// Answers a block status of 1000 bytes with `extents` and expects the descriptors `seen`.
#[track_caller]
fn assert_extents(flags: u16, extents: Vec<Extent>, seen: &[(u32, u32)]) {
    let mut peer = Peer::structured(export());
    peer.feed(&request(flags, BLOCK_STATUS, 7, 0, 1000))
        .unwrap();
    let cookie = peer.request().cookie;
    peer.connection
        .answer(cookie, Ok(Answer::Extents(extents)), &mut peer.out);
    let descriptors = seen
        .iter()
        .flat_map(|(length, flags)| [length.to_be_bytes(), flags.to_be_bytes()].concat());
    let payload: Vec<u8> = 1u32.to_be_bytes().into_iter().chain(descriptors).collect();
    assert_eq!(peer.sent(), chunk(5, 7, &payload));
}

#[test]
fn block_status_tells_extents() {
    let (data, hole, zero) = (
        extent(300, false, false),
        extent(400, true, true),
        extent(300, false, true),
    );
    assert_extents(0, vec![data, hole, zero], &[(300, 0), (400, 3), (300, 2)]);
    assert_extents(REQ_ONE, vec![data, hole, zero], &[(300, 0)]);
    assert_extents(0, vec![data, data, hole], &[(600, 0), (400, 3)]);
    assert_extents(REQ_ONE, vec![data, data, hole], &[(600, 0)]);
    assert_extents(0, vec![hole], &[(400, 3)]);
    assert_extents(0, vec![extent(5000, true, false)], &[(1000, 1)]);
    assert_extents(
        0,
        vec![extent(900, true, true), extent(200, false, false), hole],
        &[(900, 3), (100, 0)],
    );
    assert_extents(
        0,
        vec![extent(u32::MAX, true, true), extent(u32::MAX, true, true)],
        &[(1000, 3)],
    );
    assert_extents(0, vec![extent(0, true, true), data], &[(300, 0)]);
}

#[test]
fn block_status_without_knowledge_is_data() {
    assert_extents(0, vec![], &[(1000, 0)]);
    assert_extents(0, vec![extent(0, true, true)], &[(1000, 0)]);
}

#[test]
fn block_status_has_a_longest_reply() {
    let mut peer = Peer::structured(export());
    peer.feed(&request(0, BLOCK_STATUS, 7, 0, SIZE as u32))
        .unwrap();
    let cookie = peer.request().cookie;
    let extents = (0..2 * MAX_EXTENTS)
        .map(|n| extent(512, n % 2 == 0, true))
        .collect();
    peer.connection
        .answer(cookie, Ok(Answer::Extents(extents)), &mut peer.out);
    assert_eq!(peer.sent().len(), 20 + 4 + 8 * MAX_EXTENTS);
}

#[test]
fn an_answer_that_does_not_fit_its_request_becomes_an_error() {
    let data = |length| Answer::Data(Bytes::from(vec![0; length]));
    let cases = [
        (request(0, READ, 7, 0, 4096), Answer::Done),
        (request(0, READ, 7, 0, 4096), data(4095)),
        (request(0, READ, 7, 0, 4096), Answer::Pieces(vec![])),
        (request(0, READ, 7, 0, 4096), Answer::Extents(vec![])),
        (write(0, 7, 0, b"x"), data(1)),
        (request(0, BLOCK_STATUS, 7, 0, 1), Answer::Done),
    ];
    for (bytes, answer) in cases {
        let mut peer = Peer::structured(export());
        peer.feed(&bytes).unwrap();
        let cookie = peer.request().cookie;
        peer.connection.answer(cookie, Ok(answer), &mut peer.out);
        assert_eq!(parse_error_chunk(&peer.sent()).1, EIO);
    }
}

#[test]
#[should_panic(expected = "advance past the end")]
fn more_cannot_have_been_written_than_was_queued() {
    let mut peer = Peer::new(export());
    let queued = peer.out.len();
    peer.out.advance(queued + 1);
}
