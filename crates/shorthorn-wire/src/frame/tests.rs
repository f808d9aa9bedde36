use std::io::IoSlice;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::head::{HEAD_BYTES, Head, kind};
use super::*;
use crate::message::*;
use crate::{OutQueue, PAYLOAD_BYTES_MAX, WIRE_VERSION};

fn bytes_of(queue: &OutQueue) -> Vec<u8> {
    let mut slices = [IoSlice::new(&[]); 16];
    let filled = queue.slices(&mut slices);
    slices[..filled]
        .iter()
        .flat_map(|slice| slice.to_vec())
        .collect()
}

fn request_bytes(tag: Tag, request: &Request) -> Vec<u8> {
    let mut out = OutQueue::new();
    Encoder::new()
        .request(tag, request, &mut out)
        .expect("within limits");
    bytes_of(&out)
}

fn reply_bytes(tag: Tag, reply: &Reply) -> Vec<u8> {
    let mut out = OutQueue::new();
    Encoder::new()
        .reply(tag, reply, &mut out)
        .expect("within limits");
    bytes_of(&out)
}

fn document() -> impl Strategy<Value = Document> {
    (
        any::<u64>(),
        any::<u64>(),
        any::<u64>(),
        any::<u64>(),
        proptest::collection::vec(".{0,8}", 0..3),
        ".{0,40}",
    )
        .prop_map(|(era, version, m, size, chain, body)| Document {
            era,
            version,
            m,
            size,
            head: chain.last().cloned().unwrap_or_default(),
            chain,
            body,
        })
}

fn data() -> impl Strategy<Value = Bytes> {
    proptest::collection::vec(any::<u8>(), 0..2000).prop_map(Bytes::from)
}

fn blocks() -> impl Strategy<Value = Blocks> {
    proptest::collection::vec((0..3u8, any::<u32>(), any::<u8>()), 0..5).prop_map(|parts| {
        let mut data = Vec::new();
        let states = parts.into_iter().map(|(state, sum, fill)| {
            if state > 0 {
                data.extend([fill; crate::BLOCK_BYTES as usize]);
            }
            [
                BlockState::Zero,
                BlockState::Good { sum },
                BlockState::Bad { sum },
            ][usize::from(state)]
        });
        Blocks {
            states: states.collect(),
            data: Bytes::from(data),
        }
    })
}

fn runs() -> impl Strategy<Value = Vec<RegionRun>> {
    proptest::collection::vec((0..u64::MAX / 2, 1..u64::MAX / 2), 0..20).prop_map(|runs| {
        runs.into_iter()
            .map(|(first, count)| RegionRun { first, count })
            .collect()
    })
}

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Member), Just(Role::Syncing)]
}

fn request() -> impl Strategy<Value = Request> {
    let range = || (any::<u64>(), any::<u32>());
    prop_oneof![
        ".{0,9}".prop_map(|text| Request::Hello(Hello {
            wire: WIRE_VERSION,
            cluster: text.clone(),
            volume: text.clone(),
            replica: text.clone(),
            engine: text,
        })),
        (any::<u64>(), any::<u64>(), document()).prop_map(|(epoch, attempt, document)| {
            Request::Seal(Seal {
                epoch,
                attempt,
                document,
            })
        }),
        (any::<u64>(), any::<u64>(), role(), document()).prop_map(
            |(epoch, attempt, role, document)| Request::Open(Open {
                epoch,
                attempt,
                role,
                document
            })
        ),
        (role(), document())
            .prop_map(|(role, document)| Request::Member(Member { role, document })),
        ".{0,9}".prop_map(|drop| Request::Probe { drop }),
        Just(Request::Ping),
        (any::<u64>(), any::<u64>(), data(), any::<bool>()).prop_map(|(seq, offset, data, fua)| {
            Request::Write {
                seq,
                offset,
                data,
                fua,
            }
        }),
        (
            any::<u64>(),
            any::<u64>(),
            any::<u64>(),
            any::<bool>(),
            any::<bool>()
        )
            .prop_map(|(seq, offset, length, punch, fua)| Request::Zero {
                seq,
                offset,
                length,
                punch,
                fua
            }),
        any::<u64>().prop_map(|seq| Request::Flush { seq }),
        range().prop_map(|(offset, length)| Request::Read { offset, length }),
        any::<(u64, u64)>().prop_map(|(offset, length)| Request::Extents { offset, length }),
        (any::<u64>(), any::<u64>(), runs()).prop_map(|(m, seq, regions)| Request::Clear {
            m,
            seq,
            regions
        }),
        range().prop_map(|(offset, length)| Request::Hash { offset, length }),
        range().prop_map(|(offset, length)| Request::Fetch { offset, length }),
        (any::<u64>(), blocks()).prop_map(|(offset, blocks)| Request::Copy { offset, blocks }),
        Just(Request::Close),
    ]
}

fn standing() -> impl Strategy<Value = Standing> {
    let failed = proptest::option::of(".{0,9}");
    let synced = proptest::option::of(any::<u64>());
    (
        any::<((u64, u64), (u64, u64), u64, bool)>(),
        role(),
        synced,
        failed,
        ".{0,9}",
        runs(),
    )
        .prop_map(
            |((sealed_before, sealed, m, torn), role, synced_through, failed, boot, marks)| {
                Standing {
                    sealed_before,
                    sealed,
                    role,
                    m,
                    synced_through,
                    torn,
                    failed,
                    boot,
                    marks,
                }
            },
        )
}

fn reply() -> impl Strategy<Value = Reply> {
    let extents = proptest::collection::vec((any::<u64>(), any::<bool>()), 0..9);
    prop_oneof![
        Just(Reply::Done),
        standing().prop_map(Reply::Standing),
        data().prop_map(Reply::Data),
        any::<u64>().prop_map(|offset| Reply::Corrupt { offset }),
        extents.prop_map(|list| Reply::Extents(
            list.into_iter()
                .map(|(length, data)| Extent { length, data })
                .collect()
        )),
        any::<([u8; 32], bool)>().prop_map(|(digest, bad)| Reply::Hash { digest, bad }),
        blocks().prop_map(Reply::Blocks),
        (0..Refusal::ALL.len(), ".{0,30}").prop_map(|(why, detail)| Reply::Refused {
            why: Refusal::ALL[why],
            detail
        }),
        (0..Failure::ALL.len(), ".{0,30}").prop_map(|(why, detail)| Reply::Failed {
            why: Failure::ALL[why],
            detail
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_request_comes_back(tag: u32, first in request(), second in request()) {
        let mut buffer = BytesMut::from(&request_bytes(tag, &first)[..]);
        buffer.extend_from_slice(&request_bytes(!tag, &second));
        prop_assert_eq!(decode_request(&mut buffer).expect("legal"), Some((tag, first)));
        prop_assert_eq!(decode_request(&mut buffer).expect("legal"), Some((!tag, second)));
        prop_assert!(buffer.is_empty());
        prop_assert!(decode_request(&mut buffer).expect("waits").is_none());
    }

    #[test]
    fn every_reply_comes_back(tag: u32, reply in reply()) {
        let mut buffer = BytesMut::from(&reply_bytes(tag, &reply)[..]);
        prop_assert_eq!(decode_reply(&mut buffer).expect("legal"), Some((tag, reply)));
        prop_assert!(buffer.is_empty());
    }

    #[test]
    fn every_cut_waits_and_takes_nothing(request in request(), reply in reply(), cut: prop::sample::Index) {
        let whole = request_bytes(1, &request);
        let cut_at = cut.index(whole.len());
        let mut buffer = BytesMut::from(&whole[..cut_at]);
        prop_assert!(decode_request(&mut buffer).expect("waits").is_none());
        prop_assert_eq!(&buffer[..], &whole[..cut_at]);
        let missing = missing_bytes(&buffer);
        prop_assert!(missing > 0 && cut_at + missing <= whole.len());
        let whole = reply_bytes(1, &reply);
        let mut buffer = BytesMut::from(&whole[..cut.index(whole.len())]);
        prop_assert!(decode_reply(&mut buffer).expect("waits").is_none());
    }

    #[test]
    fn every_flipped_bit_is_an_error(request in request(), reply in reply(), byte: prop::sample::Index, bit in 0..8u8) {
        let mut bytes = request_bytes(1, &request);
        let at = byte.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(decode_request(&mut BytesMut::from(&bytes[..])).is_err());
        let mut bytes = reply_bytes(1, &reply);
        let at = byte.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(decode_reply(&mut BytesMut::from(&bytes[..])).is_err());
    }

    #[test]
    fn no_head_with_right_sums_makes_it_panic(
        fields: (u8, u8, u16, u64, u64, u64), payload in proptest::collection::vec(any::<u8>(), 0..64), small: bool,
    ) {
        let (kind, flags, status, seq, offset, length) = fields;
        let kind = if small { kind & 0x9f } else { kind };
        let head = Head {
            kind, flags: flags & 7, status: status & 15, tag: 3, payload_len: payload.len() as u32,
            seq, offset, length: if small { length & 15 } else { length }, payload_sum: crc32c::crc32c(&payload),
        };
        let frame = [&head.to_bytes()[..], &payload].concat();
        let _ = decode_request(&mut BytesMut::from(&frame[..]));
        let _ = decode_reply(&mut BytesMut::from(&frame[..]));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode_request(&mut BytesMut::from(&bytes[..]));
        let _ = decode_reply(&mut BytesMut::from(&bytes[..]));
    }
}

fn head_only(head: Head) -> BytesMut {
    BytesMut::from(&head.to_bytes()[..])
}

#[test]
fn an_announced_size_over_the_limit_is_refused_before_its_bytes_come() {
    for (kind, payload_len) in [
        (kind::WRITE, PAYLOAD_BYTES_MAX + 1),
        (kind::SEAL, JSON_BYTES_MAX + 1),
        (kind::COPY, (2 << 20) + 1),
        (kind::PING, 1),
        (kind::READ, u32::MAX),
    ] {
        let mut buffer = head_only(Head {
            kind,
            payload_len,
            ..Head::default()
        });
        assert!(
            matches!(decode_request(&mut buffer), Err(WireError::TooLong { .. })),
            "kind {kind}"
        );
        assert!(buffer.capacity() < 4096);
    }
}

#[test]
fn the_two_directions_do_not_mix() {
    assert!(matches!(
        decode_reply(&mut head_only(Head {
            kind: kind::PING,
            ..Head::default()
        })),
        Err(WireError::Kind(6))
    ));
    let mut done = head_only(Head {
        kind: kind::DONE,
        ..Head::default()
    });
    assert!(matches!(
        decode_request(&mut done),
        Err(WireError::Kind(0x81))
    ));
}

#[test]
fn unused_fields_must_be_zero() {
    for head in [
        Head {
            kind: kind::PING,
            seq: 1,
            ..Head::default()
        },
        Head {
            kind: kind::PING,
            status: 1,
            ..Head::default()
        },
        Head {
            kind: kind::FLUSH,
            offset: 1,
            ..Head::default()
        },
        Head {
            kind: kind::CLOSE,
            length: 1,
            ..Head::default()
        },
        Head {
            kind: kind::READ,
            flags: 1,
            ..Head::default()
        },
        Head {
            kind: kind::READ,
            length: 1 << 32,
            ..Head::default()
        },
    ] {
        let error = decode_request(&mut head_only(head));
        assert!(
            matches!(error, Err(WireError::Malformed { .. })),
            "{head:?}: {error:?}"
        );
    }
}

#[test]
fn another_language_is_noticed_at_its_first_bytes() {
    assert!(matches!(
        decode_request(&mut BytesMut::from(&b"G"[..])),
        Err(WireError::Magic(_))
    ));
    assert!(matches!(
        decode_request(&mut BytesMut::from(&b"SHR2"[..])),
        Err(WireError::Magic(_))
    ));
}

#[test]
fn blocks_must_fit_their_table() {
    let encode = |states: &[BlockState], data: usize| {
        let blocks = Blocks {
            states: states.to_vec(),
            data: Bytes::from(vec![0; data]),
        };
        request_bytes(1, &Request::Copy { offset: 0, blocks })
    };
    let good = BlockState::Good { sum: 1 };
    for (states, data) in [
        (vec![good], 0),
        (vec![good], 4095),
        (vec![good], 8192),
        (vec![BlockState::Zero], 4096),
    ] {
        let mut buffer = BytesMut::from(&encode(&states, data)[..]);
        assert!(
            matches!(
                decode_request(&mut buffer),
                Err(WireError::Malformed { .. })
            ),
            "{states:?} {data}"
        );
    }
}

#[test]
fn a_message_over_a_limit_is_not_queued() {
    let mut out = OutQueue::new();
    let mut encoder = Encoder::new();
    let data = Bytes::from(vec![0; PAYLOAD_BYTES_MAX as usize + 1]);
    assert!(
        encoder
            .request(
                1,
                &Request::Write {
                    seq: 1,
                    offset: 0,
                    data,
                    fua: false
                },
                &mut out
            )
            .is_err()
    );
    let regions = vec![RegionRun { first: 0, count: 1 }; RUNS_MAX + 1];
    assert!(
        encoder
            .request(
                1,
                &Request::Clear {
                    m: 1,
                    seq: 1,
                    regions
                },
                &mut out
            )
            .is_err()
    );
    assert!(out.is_empty());
}

#[test]
fn the_longest_list_of_runs_fits() {
    let regions = vec![
        RegionRun {
            first: u64::MAX / 2,
            count: u64::MAX / 2
        };
        RUNS_MAX
    ];
    let request = Request::Clear {
        m: 1,
        seq: 1,
        regions,
    };
    let mut buffer = BytesMut::from(&request_bytes(1, &request)[..]);
    assert_eq!(
        decode_request(&mut buffer).expect("fits"),
        Some((1, request))
    );
}

#[test]
fn a_payload_is_shared_when_sent_and_when_received() {
    let data = Bytes::from(vec![9; 8192]);
    let write = Request::Write {
        seq: 1,
        offset: 0,
        data: data.clone(),
        fua: false,
    };
    let mut encoder = Encoder::new();
    for _replica in 0..3 {
        let mut out = OutQueue::new();
        encoder.request(1, &write, &mut out).expect("within limits");
        let mut slices = [IoSlice::new(&[]); 3];
        assert_eq!(out.slices(&mut slices), 2);
        assert_eq!(slices[1].as_ptr(), data.as_ptr());
    }
    let mut buffer = BytesMut::from(&request_bytes(1, &write)[..]);
    let start = buffer[HEAD_BYTES..].as_ptr();
    let Ok(Some((_, Request::Write { data, .. }))) = decode_request(&mut buffer) else {
        panic!("a write")
    };
    assert_eq!(data.as_ptr(), start);
}

#[test]
fn the_layout_is_as_documented() {
    // docs/formats/wire.md, "A frame": a change here is a new wire version.
    let bytes = request_bytes(
        0x0403_0201,
        &Request::Zero {
            seq: 5,
            offset: 6,
            length: 7,
            punch: true,
            fua: true,
        },
    );
    assert_eq!(bytes.len(), HEAD_BYTES);
    assert_eq!(&bytes[..16], b"SHR1\x08\x03\0\0\x01\x02\x03\x04\0\0\0\0");
    assert_eq!(
        &bytes[16..44],
        b"\x05\0\0\0\0\0\0\0\x06\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\0\0\0\0"
    );
    assert_eq!(bytes[44..], crc32c::crc32c(&bytes[..44]).to_le_bytes());
}
