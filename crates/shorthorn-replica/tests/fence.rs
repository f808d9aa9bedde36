//! Fences: the real program ends an engine that nobody can ask, and says so only when that engine's reads are over.

mod support;

use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use shorthorn_wire::agent::{Held, ToAgent, ToProgram};
use shorthorn_wire::message::*;

use support::*;

/// Long enough to see that nothing is said before.
const WAIT: Duration = Duration::from_millis(1500);

fn fence(id: u64, epoch: u64, attempt: u64, version: u64, wait: Duration) -> ToProgram {
    ToProgram::Fence {
        id,
        replica: "r1".to_owned(),
        epoch,
        attempt,
        opened_epoch: 0,
        stored_m: 0,
        document: document(version, 0),
        wait_ms: wait.as_millis() as u64,
    }
}

fn with_replica(disk: &Disk) -> Program {
    let mut program = disk.start("boot-1");
    program.create("r1").expect("made");
    program
}

/// The next result of an order, whichever it is.
fn result(program: &mut Program) -> (u64, Result<Vec<Held>, String>) {
    loop {
        match program.hear() {
            ToAgent::Result { id: 0, .. } => {}
            ToAgent::Result {
                id,
                error,
                replicas,
            } => return (id, error.map_or(Ok(replicas), Err)),
            _ => {}
        }
    }
}

/// Sealed by the fence of this epoch, whether or not it was answered.
fn is_sealed(program: &mut Program, epoch: u64) {
    until("the fence has sealed", || {
        let standing = program.held("r1").standing.expect("a standing");
        (standing.sealed == (epoch, 1)).then_some(())
    });
}

fn seal(epoch: u64, attempt: u64, version: u64) -> Request {
    Request::Seal(Seal {
        epoch,
        attempt,
        document: document(version, 0),
    })
}

#[test]
fn a_fence_ends_the_old_engine_at_once_and_is_held_after_its_wait() {
    let disk = Disk::new("disk-1");
    let mut program = with_replica(&disk);
    let mut old = program.opened("r1", 5, 2);
    old.write(1, 0, 7, 4096);
    let started = Instant::now();
    program.say(&fence(90, 6, 1, 3, WAIT));
    assert!(old.is_ended());
    let mut back = program.hello("r1", "engine-5");
    for late in [
        Request::Ping,
        Request::Read {
            offset: 0,
            length: 512,
        },
        Request::Write {
            seq: 2,
            offset: 0,
            data: Bytes::from(vec![9; 512]),
            fua: false,
        },
        seal(5, 1, 3),
    ] {
        assert!(matches!(back.ask(late), Reply::Refused { .. }));
    }
    // Other orders do not wait for it.
    program.say(&ToProgram::List { id: 91 });
    assert_eq!(result(&mut program).0, 91);
    let (id, held) = result(&mut program);
    assert!(started.elapsed() >= WAIT);
    let held = &held.expect("held")[0];
    let standing = held.standing.as_ref().expect("a standing");
    assert_eq!((id, standing.sealed, held.open), (90, (6, 1), false));
    assert_eq!((standing.torn, standing.role), (false, Role::Member));
    assert_eq!(standing.marks, [RegionRun { first: 0, count: 1 }]);
    // The next session finds what was written.
    let mut next = program.opened("r1", 7, 3);
    assert_eq!(next.read(0, 4096), vec![7; 4096]);
}

#[test]
fn the_program_itself_can_not_be_asked_as_a_fence_that_was_opened() {
    let disk = Disk::new("disk-1");
    let mut program = with_replica(&disk);
    let _old = program.opened("r1", 5, 2);
    program.say(&fence(90, 6, 1, 3, Duration::ZERO));
    result(&mut program).1.expect("held");
    let mut engine = program.hello("r1", "engine-6");
    assert!(matches!(
        engine.ask(seal(6, 1, 3)),
        Reply::Refused {
            why: Refusal::Fenced,
            ..
        }
    ));
}

#[test]
fn a_repeated_order_is_answered_too_and_the_time_goes_on() {
    let disk = Disk::new("disk-1");
    let mut program = with_replica(&disk);
    let _old = program.opened("r1", 5, 2);
    let started = Instant::now();
    program.say(&fence(90, 6, 1, 3, WAIT));
    is_sealed(&mut program, 6);
    program.say(&fence(91, 6, 1, 3, WAIT));
    let mut answered = [result(&mut program), result(&mut program)].map(|(id, held)| {
        held.expect("held");
        id
    });
    answered.sort_unstable();
    assert_eq!(answered, [90, 91]);
    assert!(started.elapsed() >= WAIT);
    // A wait that is over for long is not begun again.
    let again = Instant::now();
    program.say(&fence(92, 6, 1, 3, WAIT));
    result(&mut program).1.expect("held");
    assert!(again.elapsed() < WAIT, "{:?}", again.elapsed());
}

#[test]
fn a_lost_link_drops_the_answer_and_the_next_order_goes_on() {
    let disk = Disk::new("disk-1");
    let mut program = with_replica(&disk);
    let _old = program.opened("r1", 5, 2);
    let started = Instant::now();
    program.say(&fence(90, 6, 1, 3, WAIT));
    is_sealed(&mut program, 6);
    program.drop_link();
    program.accept(&disk);
    // The ids of another link mean nothing here: had the old answer come, 95 would not be the first.
    program.say(&fence(95, 6, 1, 3, WAIT));
    let (id, held) = result(&mut program);
    held.expect("held");
    assert_eq!(id, 95);
    assert!(started.elapsed() >= WAIT);
    program.say(&ToProgram::List { id: 96 });
    assert_eq!(result(&mut program).0, 96);
}

#[test]
fn a_restarted_program_counts_from_its_start() {
    let disk = Disk::new("disk-1");
    let mut program = with_replica(&disk);
    let old = program.opened("r1", 5, 2);
    program.say(&fence(90, 6, 1, 3, WAIT));
    is_sealed(&mut program, 6);
    program.kill();
    drop(old);
    let started = Instant::now();
    let mut program = disk.start("boot-1");
    program.say(&fence(90, 6, 1, 3, WAIT));
    result(&mut program).1.expect("held");
    assert!(started.elapsed() >= WAIT, "{:?}", started.elapsed());
    program.kill();

    // Ordered only when the time since the start is over: nothing is left to be waited for.
    let mut program = disk.start("boot-1");
    thread::sleep(WAIT);
    let ordered = Instant::now();
    program.say(&fence(90, 6, 1, 3, WAIT));
    result(&mut program).1.expect("held");
    assert!(ordered.elapsed() < WAIT, "{:?}", ordered.elapsed());
}

#[test]
fn a_replica_that_is_sealed_higher_refuses_and_serves_on() {
    let disk = Disk::new("disk-1");
    let mut program = with_replica(&disk);
    let mut engine = program.opened("r1", 7, 2);
    program.say(&fence(90, 6, 1, 3, WAIT));
    let why = result(&mut program).1.expect_err("sealed higher");
    assert!(why.contains("epoch 7, attempt 1 is sealed"), "{why}");
    engine.write(1, 0, 1, 512);
    // The same epoch under another engine is no fence either.
    program.say(&fence(91, 7, 1, 3, WAIT));
    result(&mut program).1.expect_err("opened by an engine");
    program.say(&fence(92, 8, 1, 2, WAIT));
    let why = result(&mut program).1.expect_err("an old document");
    assert!(why.contains("older than this replica's"), "{why}");
    engine.write(2, 0, 1, 512);
}

#[test]
fn what_seals_while_a_fence_waits_takes_it_over() {
    let disk = Disk::new("disk-1");
    let mut program = with_replica(&disk);
    let _old = program.opened("r1", 5, 2);
    program.say(&fence(90, 6, 1, 3, WAIT));
    is_sealed(&mut program, 6);
    let mut next = program.opened("r1", 7, 3);
    let why = result(&mut program).1.expect_err("overtaken");
    assert!(why.contains("sealed for something newer"), "{why}");
    next.write(1, 0, 1, 512);
}

#[test]
fn a_fence_gets_through_while_its_disk_is_written_to_without_a_pause() {
    let disk = Disk::new("disk-1");
    let mut program = with_replica(&disk);
    program
        .order(|id| ToProgram::Create {
            id,
            replica: "r2".to_owned(),
            cluster: CLUSTER.to_owned(),
            volume: VOLUME.to_owned(),
            attempt: 1,
            document: document(1, 0),
        })
        .expect("made");
    let mut other = program.opened("r2", 5, 2);
    let old = program.opened("r1", 5, 2);
    let mut writing = old.stream.try_clone().expect("a socket");
    let writer = thread::spawn(move || {
        use std::io::Write;
        let data = Bytes::from(vec![3; 256 << 10]);
        for seq in 1.. {
            let write = Request::Write {
                seq,
                offset: (seq % 64) << 18,
                data: data.clone(),
                fua: seq % 16 == 0,
            };
            if writing.write_all(&bytes_of(seq as u32, &write)).is_err() {
                return seq;
            }
        }
        0
    });
    let mut reading = old.stream.try_clone().expect("a socket");
    let reader = thread::spawn(move || std::io::copy(&mut reading, &mut std::io::sink()));
    until("writes arrive", || {
        let standing = program.held("r1").standing.expect("a standing");
        (!standing.marks.is_empty()).then_some(())
    });
    let started = Instant::now();
    program.say(&fence(90, 6, 1, 3, WAIT));
    let (id, held) = result(&mut program);
    assert_eq!(
        held.expect("held")[0]
            .standing
            .as_ref()
            .expect("a standing")
            .sealed,
        (6, 1)
    );
    assert!(id == 90 && started.elapsed() >= WAIT);
    assert!(
        writer.join().expect("it ends") > 1,
        "the old engine was ended"
    );
    // A reset is an end too.
    let _reset = reader.join().expect("it ends");
    other.write(1, 0, 1, 512);
}

#[test]
fn absurd_fences_are_refused_and_seal_nothing() {
    let disk = Disk::new("disk-1");
    let mut program = with_replica(&disk);
    let mut engine = program.opened("r1", 5, 2);
    for wait in [60_001, u64::MAX / 1_000_000] {
        program.say(&fence(90, 6, 1, 3, Duration::from_millis(wait)));
        let why = result(&mut program).1.expect_err("too long");
        assert!(why.contains("at most 60000 ms"), "{why}");
    }
    program.say(&ToProgram::Fence {
        id: 91,
        replica: "../r1".to_owned(),
        epoch: 6,
        attempt: 1,
        opened_epoch: 0,
        stored_m: 0,
        document: document(3, 0),
        wait_ms: 1,
    });
    let why = result(&mut program).1.expect_err("no such replica");
    assert!(why.contains("there is no replica"), "{why}");
    engine.write(1, 0, 1, 512);

    // One fence, ordered more often than anybody would: the later orders are refused, the others answered.
    for id in 100..117 {
        program.say(&fence(id, 6, 1, 3, WAIT));
    }
    let (id, refused) = result(&mut program);
    assert!(id == 116 && refused.expect_err("too many").contains("16 orders wait"));
    for _ in 100..116 {
        result(&mut program).1.expect("held");
    }
}

#[test]
fn a_replica_that_is_deleted_meanwhile_holds_no_fence() {
    let disk = Disk::new("disk-1");
    let mut program = with_replica(&disk);
    let _old = program.opened("r1", 5, 2);
    program.say(&fence(90, 6, 1, 3, WAIT));
    is_sealed(&mut program, 6);
    program.say(&ToProgram::Delete {
        id: 91,
        replica: "r1".to_owned(),
        era: 1,
        version: 3,
    });
    let answers = [result(&mut program), result(&mut program)];
    for (id, answer) in answers {
        assert_eq!(answer.is_ok(), id == 91, "{id}: {answer:?}");
    }
}

/// The engine that is fenced may be stopped, with its host's buffers full of answers: nobody waits for it to read them.
#[test]
fn an_engine_that_reads_nothing_does_not_hold_up_its_fence() {
    let disk = Disk::new("disk-1");
    let mut program = with_replica(&disk);
    let mut old = program.opened("r1", 5, 2);
    let length = shorthorn_wire::PAYLOAD_BYTES_MAX;
    old.write(1, 0, 7, length as usize);
    // One that is answered by the thread that syncs, and more than any buffers hold.
    old.tell(&Request::Flush { seq: 1 });
    old.tell(&Request::Read { offset: 0, length });
    old.tell(&Request::Read { offset: 0, length });
    // Until nothing moves any more: the buffers of both sides are full.
    let mut seen = 0;
    until("the buffers are full", || {
        thread::sleep(Duration::from_millis(200));
        let waiting = rustix::io::ioctl_fionread(&old.stream).expect("a number");
        (waiting > 0 && std::mem::replace(&mut seen, waiting) == waiting).then_some(())
    });
    let started = Instant::now();
    let fence = |id| fence(id, 6, 1, 3, Duration::ZERO);
    program.order(fence).expect("held");
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
}

/// A17: the seal would raise what the next session judges it by, so it stays as it is and another replica holds the fence.
#[test]
fn a_replica_that_went_back_in_time_is_not_sealed() {
    let disk = Disk::new("disk-1");
    let mut program = with_replica(&disk);
    // Opened at epoch 5, where it stored membership number 1.
    let mut engine = program.opened("r1", 5, 2);
    let order = |opened_epoch, attempt, stored_m| {
        move |id| ToProgram::Fence {
            id,
            replica: "r1".to_owned(),
            epoch: 9,
            attempt,
            opened_epoch,
            stored_m,
            document: document(3, 0),
            wait_ms: 1,
        }
    };
    for (opened_epoch, attempt, stored_m, why) in [
        (8, 1, 1, "its last epoch 5 is older than 8"),
        (5, 2, 1, "its attempt was 1, in-sync is 2"),
        (5, 1, 2, "its membership number 1 is older than 2"),
    ] {
        let refused = program.order(order(opened_epoch, attempt, stored_m));
        let refused = refused.expect_err("it is behind");
        assert!(refused.contains(why), "{refused}");
        let standing = program.held("r1").standing.expect("a standing");
        assert_eq!(standing.sealed, (5, 1));
    }
    // One that is as the record says is, again and again.
    for _ in 0..2 {
        program.order(order(5, 1, 1)).expect("held");
    }
    assert!(engine.is_ended());
}
