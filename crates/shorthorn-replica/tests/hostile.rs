//! Broken, hostile and greedy peers: each costs its own connection and nothing else.

mod support;

use std::io::Write;
use std::net::Shutdown;

use bytes::Bytes;
use shorthorn_wire::PAYLOAD_BYTES_MAX;
use shorthorn_wire::message::*;

use support::*;

/// Bytes that no engine sends, after a hello or instead of one.
fn hostile_bytes() -> Vec<(&'static str, Vec<u8>)> {
    let write = Request::Write {
        seq: 1,
        offset: 0,
        data: Bytes::from(vec![1; 512]),
        fua: false,
    };
    let mut damaged = bytes_of(1, &write);
    *damaged.last_mut().expect("bytes") ^= 1;
    let mut oversized = bytes_of(1, &write);
    oversized[12..16].copy_from_slice(&(PAYLOAD_BYTES_MAX + 1).to_le_bytes());
    let sum = crc32c_of(&oversized[..44]);
    oversized[44..48].copy_from_slice(&sum.to_le_bytes());
    let mut bad_head = bytes_of(1, &Request::Ping);
    bad_head[4] = 99;
    vec![
        ("text", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("zeroes", vec![0; 4096]),
        ("a damaged payload", damaged),
        ("an oversized payload", oversized),
        ("a damaged head", bad_head),
    ]
}

/// CRC-32C, bit by bit: the test does not trust the library it tests.
fn crc32c_of(bytes: &[u8]) -> u32 {
    let bit = |crc: u32| {
        if crc & 1 == 1 {
            (crc >> 1) ^ 0x82f6_3b78
        } else {
            crc >> 1
        }
    };
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| bit(crc))
    })
}

#[test]
fn what_is_no_frame_ends_only_its_connection() {
    let disk = Disk::new("disk-1");
    let mut program = disk.start("boot-1");
    program.create("r1").expect("made");
    let mut engine = program.opened("r1", 5, 2);
    for (index, (what, bytes)) in hostile_bytes().into_iter().enumerate() {
        let mut first = program.connect();
        first.stream.write_all(&bytes).expect("sent");
        assert!(first.is_ended(), "{what} instead of a hello");
        let mut later = program.hello("r1", "somebody");
        later.stream.write_all(&bytes).expect("sent");
        assert!(later.is_ended(), "{what} after a hello");
        engine.write(index as u64 + 1, 0, 3, 4096);
    }
    let given_up = program.log().matches("connection given up").count();
    assert_eq!(given_up, 2 * hostile_bytes().len(), "one line each");
}

#[test]
fn a_cut_frame_and_a_silent_half_close_end_only_their_connection() {
    let disk = Disk::new("disk-1");
    let mut program = disk.start("boot-1");
    program.create("r1").expect("made");
    let mut engine = program.opened("r1", 5, 2);
    let whole = bytes_of(
        1,
        &Request::Write {
            seq: 1,
            offset: 0,
            data: Bytes::from(vec![1; 512]),
            fua: false,
        },
    );
    for cut in [0, 1, 47, 48, 49, whole.len() - 1] {
        let mut client = program.hello("r1", "somebody");
        client.stream.write_all(&whole[..cut]).expect("sent");
        client
            .stream
            .shutdown(Shutdown::Write)
            .expect("half closed");
        assert!(client.is_ended());
    }
    engine.write(1, 0, 3, 4096);
}

#[test]
fn anything_before_the_hello_is_not_listened_to() {
    let disk = Disk::new("disk-1");
    let mut program = disk.start("boot-1");
    program.create("r1").expect("made");
    let mut client = program.connect();
    client.tell(&Request::Ping);
    assert!(client.is_ended());
    let mut wrong = program.connect();
    let Request::Hello(right) = hello("r1", "e") else {
        unreachable!()
    };
    let reply = wrong.ask(Request::Hello(Hello {
        wire: 99,
        ..right.clone()
    }));
    assert!(matches!(
        reply,
        Reply::Refused {
            why: Refusal::Version,
            ..
        }
    ));
    assert!(wrong.is_ended());
    let mut wrong = program.connect();
    let reply = wrong.ask(Request::Hello(Hello {
        cluster: "another".to_owned(),
        ..right
    }));
    assert!(matches!(
        reply,
        Reply::Refused {
            why: Refusal::Unknown,
            ..
        }
    ));
    assert!(wrong.is_ended());
}

#[test]
fn memory_stays_small_after_the_largest_payloads() {
    let disk = Disk::new("disk-1");
    let mut program = disk.start("boot-1");
    program.create("r1").expect("made");
    let mut engine = program.opened("r1", 5, 2);
    let mut seq = 0;
    for round in 0..4 {
        seq += 1;
        engine.write(seq, 0, round, PAYLOAD_BYTES_MAX as usize);
        let read = engine.read(0, PAYLOAD_BYTES_MAX);
        assert!(read.iter().all(|byte| *byte == round));
    }
    for _ in 0..50 {
        seq += 1;
        engine.write(seq, (seq % 60) << 20, 5, 1 << 20);
    }
    assert_eq!(engine.ask(Request::Flush { seq }), Reply::Done);
    assert_eq!(engine.ask(Request::Ping), Reply::Done);
    let pss = pss_kib(program.child.id());
    println!("PSS after the load: {pss} KiB");
    assert!(pss < 40 << 10, "{pss} KiB");
}

#[test]
fn a_peer_that_reads_nothing_does_not_hold_up_the_others() {
    let disk = Disk::new("disk-1");
    let mut program = disk.start("boot-1");
    program.create("r1").expect("made");
    let mut engine = program.opened("r1", 5, 2);
    engine.write(1, 0, 7, 1 << 20);
    // More replies than any socket buffer holds, never read.
    for _ in 0..64 {
        engine.tell(&Request::Read {
            offset: 0,
            length: 1 << 20,
        });
    }
    let mut next = program.opened("r1", 6, 3);
    next.write(1, 0, 8, 4096);
    assert_eq!(next.read(0, 4096), vec![8; 4096]);
}

#[test]
fn who_says_no_hello_is_not_waited_for() {
    let disk = Disk::new("disk-1");
    let mut program = disk.start("boot-1");
    program.create("r1").expect("made");
    let mut silent = program.connect();
    let mut slow = program.connect();
    let part = bytes_of(1, &hello("r1", "e"));
    slow.stream.write_all(&part[..60]).expect("sent");
    assert!(silent.is_ended() && slow.is_ended());
    assert_eq!(program.log().matches("no hello in 10 seconds").count(), 2);
    program.opened("r1", 5, 2);
}

#[test]
fn too_many_connections_are_refused_and_taken_again_when_some_end() {
    let disk = Disk::new("disk-1");
    let mut program = disk.start("boot-1");
    program.create("r1").expect("made");
    let mut clients: Vec<_> = (0..1024).map(|_| program.connect()).collect();
    let mut refused = program.connect();
    assert!(refused.is_ended());
    program.logs("there are too many");
    clients.truncate(1000);
    until("a connection is taken again", || {
        let mut client = program.connect();
        client
            .stream
            .write_all(&bytes_of(1, &hello("r1", "e")))
            .ok()?;
        client.hear().filter(|(_, reply)| *reply == Reply::Done)
    });
}
