//! A replica that comes back into a running session: the same epoch, a greater attempt, mirrored writes beside copies.

mod support;

use bytes::Bytes;
use shorthorn_wire::agent::ToProgram;
use shorthorn_wire::message::*;
use shorthorn_wire::{BLOCK_BYTES, REGION_BYTES};

use support::*;

const BLOCK: usize = BLOCK_BYTES as usize;

fn with_two(disk: &Disk) -> Program {
    let mut program = disk.start("boot-1");
    for replica in ["r1", "r2"] {
        program.create(replica).expect("made");
    }
    program
}

fn seal(epoch: u64, attempt: u64, version: u64) -> Request {
    Request::Seal(Seal {
        epoch,
        attempt,
        document: document(version, 0),
    })
}

fn open(epoch: u64, attempt: u64, role: Role, version: u64, m: u64) -> Request {
    Request::Open(Open {
        epoch,
        attempt,
        role,
        document: document(version, m),
    })
}

fn write(seq: u64, offset: u64, fill: u8, length: usize) -> Request {
    Request::Write {
        seq,
        offset,
        data: Bytes::from(vec![fill; length]),
        fua: false,
    }
}

fn fetched(client: &mut Client, offset: u64, length: u32) -> Blocks {
    match client.ask(Request::Fetch { offset, length }) {
        Reply::Blocks(blocks) => blocks,
        other => panic!("not fetched: {other:?}"),
    }
}

/// r1 is back at (5, 2) in the session of engine-5, after a write that only its mark remembers.
fn rejoined(program: &Program) -> (Client, Standing) {
    let mut before = program.opened("r1", 5, 2);
    before.write(1, 3 * REGION_BYTES, 9, BLOCK);
    drop(before);
    let mut client = program.hello("r1", "engine-5");
    let Reply::Standing(standing) = client.ask(seal(5, 2, 4)) else {
        panic!("not sealed")
    };
    assert_eq!(client.ask(open(5, 2, Role::Syncing, 4, 2)), Reply::Done);
    (client, standing)
}

#[test]
fn it_is_sealed_again_at_the_same_epoch_and_tells_what_it_may_lack() {
    let disk = Disk::new("disk-1");
    let program = with_two(&disk);
    let (mut client, standing) = rejoined(&program);
    assert_eq!(
        (standing.sealed_before, standing.sealed, standing.role),
        ((5, 1), (5, 2), Role::Syncing)
    );
    assert_eq!((standing.synced_through, standing.torn), (Some(1), false));
    assert_eq!(standing.marks, [RegionRun { first: 3, count: 1 }]);
    // What was before it is refused from now on, and ends nobody.
    for (epoch, attempt) in [(5, 1), (5, 2), (4, 9)] {
        let mut late = program.hello("r1", "engine-5");
        assert!(matches!(
            late.ask(seal(epoch, attempt, 4)),
            Reply::Refused {
                why: Refusal::Fenced,
                ..
            }
        ));
        assert!(matches!(
            late.ask(write(1, 0, 1, 512)),
            Reply::Refused {
                why: Refusal::NotOpen,
                ..
            }
        ));
    }
    client.write(1, 0, 1, 512);
}

#[test]
fn mirrored_writes_and_copies_take_effect_in_the_order_of_the_connection() {
    let disk = Disk::new("disk-1");
    let program = with_two(&disk);
    let mut source = program.opened("r2", 5, 2);
    source.write(1, 0, 2, 4 * BLOCK);
    let length = 4 * BLOCK_BYTES;
    let blocks = fetched(&mut source, 0, length);
    let (mut joiner, _) = rejoined(&program);
    // All at once: nothing here waits for a reply.
    let mut asked = vec![joiner.tell(&write(1, 0, 1, 4 * BLOCK))];
    asked.push(joiner.tell(&Request::Copy {
        offset: 0,
        blocks: blocks.clone(),
    }));
    let hashed = joiner.tell(&Request::Hash { offset: 0, length });
    asked.push(joiner.tell(&write(2, BLOCK as u64, 3, BLOCK)));
    asked.push(joiner.tell(&Request::Flush { seq: 2 }));
    let mut hash = None;
    for _ in 0..=asked.len() {
        let (tag, reply) = joiner.hear().expect("a reply");
        if tag == hashed {
            hash = Some(reply);
        } else {
            assert!(asked.contains(&tag) && reply == Reply::Done, "{reply:?}");
        }
    }
    // Taken after the copy and before the second write: as the source has it.
    assert_eq!(hash, Some(source.ask(Request::Hash { offset: 0, length })));
    assert!(matches!(
        joiner.ask(Request::Read {
            offset: 0,
            length: 512
        }),
        Reply::Refused {
            why: Refusal::Role,
            ..
        }
    ));

    let member = Member {
        role: Role::Member,
        document: document(5, 3),
    };
    assert_eq!(joiner.ask(Request::Member(member)), Reply::Done);
    let expected = [vec![2; BLOCK], vec![3; BLOCK], vec![2; 2 * BLOCK]].concat();
    assert_eq!(joiner.read(0, length), expected);
    assert!(matches!(
        joiner.ask(Request::Copy { offset: 0, blocks }),
        Reply::Refused {
            why: Refusal::Role,
            ..
        }
    ));
    // It was durable when it was answered.
    program.kill();
    let mut program = disk.start("boot-1");
    let standing = program.held("r1").standing.expect("a standing");
    assert_eq!(
        (standing.role, standing.m, standing.synced_through),
        (Role::Member, 3, Some(3))
    );
}

#[test]
fn a_new_connection_drains_the_old_one_and_nothing_late_is_applied() {
    let disk = Disk::new("disk-1");
    let mut program = with_two(&disk);
    let mut old = program.opened("r1", 5, 2);
    // Never read: what was taken of it shows in the content only.
    for seq in 1..=200 {
        old.tell(&write(seq, 0, seq as u8, 64 * BLOCK));
    }
    let mut new = program.hello("r1", "engine-5");
    assert!(matches!(new.ask(seal(5, 2, 4)), Reply::Standing(_)));
    assert_eq!(new.ask(open(5, 2, Role::Syncing, 4, 2)), Reply::Done);
    let length = 64 * BLOCK_BYTES;
    let sealed = fetched(&mut new, 0, length);
    let data = &sealed.data;
    assert!(
        data.iter().all(|byte| Some(byte) == data.first()),
        "each write is whole or not there"
    );
    while old.hear().is_some() {}
    assert_eq!(fetched(&mut new, 0, length), sealed);
    new.write(1, 0, 77, 64 * BLOCK);
    let written = fetched(&mut new, 0, length);
    assert!(written.data.iter().all(|byte| *byte == 77));
    // An engine that never heard of it is fenced on the wire, too.
    let fence = |id| ToProgram::Fence {
        id,
        replica: "r1".to_owned(),
        epoch: 6,
        attempt: 2,
        opened_epoch: 0,
        stored_m: 0,
        document: document(4, 2),
        wait_ms: 1,
    };
    program.order(fence).expect("held");
    assert!(new.is_ended());
}
