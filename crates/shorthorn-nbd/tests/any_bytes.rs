//! However the bytes are cut, the same things happen; and whatever the bytes are, nothing panics.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail by panicking too")]

mod support;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use shorthorn_nbd::{Answer, Command, Progress, ProtocolError, Request};
use support::*;

/// A whole conversation: every option that haggles on, every command, some refused.
fn conversation() -> Vec<u8> {
    [
        MODERN.to_vec(),
        option(3, &[]),
        option(99, b"what?"),
        option(8, &[]),
        option(9, &contexts("", &[])),
        option(10, &contexts("v1", &["base:allocation", "qemu:x"])),
        option(6, &vec![0; (16 << 10) + 1]),
        option(6, &info("v2", &[])),
        option(7, &info("v1", &[1, 3])),
        request(0, READ, 1, 4096, 512),
        write(FUA, 2, 0, &[0xaa; 700]),
        write(0, 3, SIZE, &[0xbb; 300]),
        request(0, FLUSH, 4, 0, 0),
        request(REQ_ONE, BLOCK_STATUS, 5, 0, 4096),
        write(0, 6, 0, b""),
        request(FAST_ZERO, WRITE_ZEROES, 7, 0, 4096),
        request(0, TRIM, 8, 0, 4096),
        request(0, CACHE, 9, 0, 4096),
        request(0, DISC, 10, 0, 0),
    ]
    .concat()
}

/// Feeds pieces and answers each request as it comes: what was requested, what went out, how it ended.
fn play<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Request>, Vec<u8>, Result<bool, ProtocolError>) {
    let mut peer = Peer::new(export());
    let mut requests = Vec::new();
    let mut end = Ok(false);
    for piece in pieces {
        let fed = peer.feed(piece);
        for request in peer.requests.drain(..) {
            let answer = match request.command {
                Command::Read => Answer::Data(Bytes::from(vec![0xcc; request.length as usize])),
                Command::BlockStatus { .. } => Answer::Extents(vec![]),
                _ => Answer::Done,
            };
            peer.connection
                .answer(request.cookie, Ok(answer), &mut peer.out);
            requests.push(request);
        }
        end = fed.map(|progress| progress == Progress::Closing);
        if end.is_err() {
            break;
        }
    }
    let sent = peer.sent();
    (requests, sent, end)
}

/// In one piece the refusals go out before the answers, so streams compare reply by reply, in any order.
/// Here: by request, since all handles differ; the handshake comes first and is compared as it is.
fn replies(sent: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let start = (0..sent.len()).find(|&at| {
        sent[at..].starts_with(&[0x67, 0x44, 0x66, 0x98])
            || sent[at..].starts_with(&[0x66, 0x8e, 0x33, 0xef])
    });
    let start = start.unwrap_or(sent.len());
    let (handshake, mut rest) = sent.split_at(start);
    let mut replies = Vec::new();
    while !rest.is_empty() {
        let length = if rest[0] == 0x67 {
            16
        } else {
            20 + u32::from_be_bytes(rest[16..20].try_into().unwrap()) as usize
        };
        let (reply, after) = rest.split_at(length);
        replies.push(reply.to_vec());
        rest = after;
    }
    replies.sort_by_key(|reply| reply[8..16].to_vec());
    (handshake.to_vec(), replies)
}

#[test]
fn a_conversation_in_one_piece_goes_as_expected() {
    let (requests, sent, end) = play([&conversation()[..]]);
    assert_eq!(end, Ok(true));
    let handles: Vec<Vec<u8>> = replies(&sent)
        .1
        .iter()
        .map(|reply| reply[8..16].to_vec())
        .collect();
    assert_eq!(
        handles,
        (1..=9u64)
            .map(|handle| handle.to_be_bytes().to_vec())
            .collect::<Vec<_>>()
    );
    assert_eq!(requests.len(), 5);
}

#[test]
fn a_conversation_cut_anywhere_goes_the_same_way() {
    let whole = conversation();
    let (requests, sent, end) = play([&whole[..]]);
    for cut in 0..=whole.len() {
        let (cut_requests, cut_sent, cut_end) = play([&whole[..cut], &whole[cut..]]);
        assert_eq!(cut_requests, requests, "cut at {cut}");
        assert_eq!(cut_end, end, "cut at {cut}");
        assert_eq!(replies(&cut_sent), replies(&sent), "cut at {cut}");
    }
}

#[test]
fn a_conversation_byte_by_byte_goes_the_same_way() {
    let whole = conversation();
    let (requests, sent, end) = play([&whole[..]]);
    let (slow_requests, slow_sent, slow_end) = play(whole.chunks(1));
    assert_eq!(slow_requests, requests);
    assert_eq!(slow_end, end);
    assert_eq!(replies(&slow_sent), replies(&sent));
}

#[test]
fn missing_bytes_are_counted_exactly() {
    // Feeding just what is missing, again and again, must reach the end without ever waiting for nothing.
    let whole = conversation();
    let mut peer = Peer::new(export());
    let mut at = 0;
    while at < whole.len() {
        match peer.feed(&[]).unwrap() {
            Progress::Waiting { missing } => {
                assert!(missing > 0 && at + missing <= whole.len());
                peer.feed(&whole[at..at + missing]).unwrap();
                at += missing;
            }
            other => panic!("{other:?} at {at}"),
        }
    }
    assert_eq!(peer.feed(&[]), Ok(Progress::Closing));
}

fn any_request() -> impl Strategy<Value = Vec<u8>> {
    let edge = prop_oneof![
        Just(0),
        Just(SIZE),
        Just(SIZE - 1),
        Just(u64::MAX),
        0..2 * SIZE
    ];
    let length = prop_oneof![Just(0), Just(u32::MAX), Just(32 << 20), 0u32..5000];
    let command = prop_oneof![0u16..9, any::<u16>()];
    (0u16..64, command, any::<u64>(), edge, length).prop_map(
        |(flags, command, handle, offset, length)| request(flags, command, handle, offset, length),
    )
}

fn any_option() -> impl Strategy<Value = Vec<u8>> {
    let data = prop_oneof![
        vec(any::<u8>(), 0..40),
        Just(info("", &[1, 3])),
        Just(contexts("", &["base:allocation"])),
        Just(vec![]),
    ];
    (0u32..12, data).prop_map(|(number, data)| option(number, &data))
}

fn any_piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => any_option(),
        4 => any_request(),
        2 => vec(any::<u8>(), 0..300).prop_map(|payload| write(0, 1, 0, &payload)),
        1 => vec(any::<u8>(), 0..64),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn garbage_ends_in_waiting_closing_or_an_error(bytes in vec(any::<u8>(), 0..400)) {
        let (requests, _, _) = play([&bytes[..]]);
        prop_assert!(requests.is_empty());
    }

    #[test]
    fn half_sense_never_panics_and_cuts_do_not_matter(
        pieces in vec(any_piece(), 0..12),
        started in any::<bool>(),
        sizes in vec(1usize..60, 1..8),
    ) {
        let start = if started { [&MODERN[..], &option(8, &[]), &option(7, &info("", &[]))].concat() } else { MODERN.to_vec() };
        let whole = [start, pieces.concat()].concat();
        let (requests, _, end) = play([&whole[..]]);
        for request in &requests {
            prop_assert!(request.offset + u64::from(request.length) <= SIZE);
            prop_assert!(request.length > 0 || request.command == Command::Flush);
        }
        let mut cut = Vec::new();
        let mut rest = &whole[..];
        for size in sizes.iter().cycle() {
            if rest.is_empty() { break; }
            let (piece, after) = rest.split_at((*size).min(rest.len()));
            cut.push(piece);
            rest = after;
        }
        let (cut_requests, _, cut_end) = play(cut);
        prop_assert_eq!(cut_requests, requests);
        prop_assert_eq!(cut_end, end);
    }

    #[test]
    fn flipping_a_byte_of_a_conversation_never_panics(at in any::<prop::sample::Index>(), value in any::<u8>()) {
        let mut bytes = conversation();
        let at = at.index(bytes.len());
        bytes[at] = value;
        let whole = play([&bytes[..]]);
        let cut = play([&bytes[..at], &bytes[at..]]);
        prop_assert_eq!(whole.0, cut.0);
        prop_assert_eq!(whole.2, cut.2);
    }
}
