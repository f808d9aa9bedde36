//! The real program on a real folder: a session's requests, restarts, fencing, the agent's orders.

mod support;

use std::process::Stdio;

use bytes::Bytes;
use shorthorn_wire::REGION_BYTES;
use shorthorn_wire::agent::{ToAgent, ToProgram};
use shorthorn_wire::message::*;

use support::*;

fn run(first: u64, count: u64) -> RegionRun {
    RegionRun { first, count }
}

#[test]
fn a_session_from_seal_to_close() {
    let disk = Disk::new("disk-1");
    let mut program = disk.start("boot-1");
    program.create("r1").expect("made");
    let held = program.held("r1");
    assert!(held.empty && held.damaged.is_none() && !held.open);
    assert_eq!(held.standing.expect("a standing").sealed, (0, 1));

    let mut engine = program.opened("r1", 5, 2);
    engine.write(1, 100, 7, 5000);
    assert_eq!(
        engine.read(0, 8192),
        [vec![0; 100], vec![7; 5000], vec![0; 3092]].concat()
    );
    let zero = Request::Zero {
        seq: 2,
        offset: 200,
        length: 100,
        punch: true,
        fua: true,
    };
    assert_eq!(engine.ask(zero), Reply::Done);
    assert_eq!(
        engine.read(199, 102),
        [vec![7; 1], vec![0; 100], vec![7; 1]].concat()
    );
    let Reply::Extents(extents) = engine.ask(Request::Extents {
        offset: 0,
        length: SIZE,
    }) else {
        panic!()
    };
    assert_eq!(
        extents.iter().map(|extent| extent.length).sum::<u64>(),
        SIZE
    );
    assert!(extents[0].data && extents[0].length <= 8192);
    let Reply::Hash { bad, .. } = engine.ask(Request::Hash {
        offset: 0,
        length: 8192,
    }) else {
        panic!()
    };
    assert!(!bad);

    assert_eq!(
        program.held("r1").standing.expect("a standing").marks,
        [run(0, 1)]
    );
    assert!(program.held("r1").open);
    assert_eq!(engine.ask(Request::Flush { seq: 2 }), Reply::Done);
    assert!(matches!(
        engine.ask(Request::Close),
        Reply::Refused {
            why: Refusal::MarksSet,
            ..
        }
    ));
    assert_eq!(
        engine.ask(Request::Clear {
            m: 1,
            seq: 2,
            regions: vec![run(0, 1)]
        }),
        Reply::Done
    );
    assert_eq!(engine.ask(Request::Close), Reply::Done);
    assert!(engine.is_ended());
    assert!(!program.held("r1").open);
}

#[test]
fn many_requests_at_once_are_all_answered() {
    let disk = Disk::new("disk-1");
    let mut program = disk.start("boot-1");
    program.create("r1").expect("made");
    let mut engine = program.opened("r1", 5, 2);
    let mut asked = Vec::new();
    for seq in 1..=500 {
        let data = Bytes::from(vec![seq as u8; 4096]);
        asked.push(engine.tell(&Request::Write {
            seq,
            offset: seq * 4096,
            data,
            fua: seq % 50 == 0,
        }));
    }
    asked.push(engine.tell(&Request::Flush { seq: 500 }));
    let mut answered: Vec<Tag> = Vec::new();
    while answered.len() < asked.len() {
        let (tag, reply) = engine.hear().expect("a reply");
        assert_eq!(reply, Reply::Done);
        answered.push(tag);
    }
    answered.sort_unstable();
    assert_eq!(answered, asked);
    assert_eq!(engine.read(321 * 4096, 4096), vec![321u64 as u8; 4096]);
}

#[test]
fn killed_and_restarted_it_keeps_marks_and_is_torn_only_in_another_boot() {
    let disk = Disk::new("disk-1");
    let mut program = disk.start("boot-1");
    program.create("r1").expect("made");
    let mut engine = program.opened("r1", 5, 2);
    engine.write(1, 3 * REGION_BYTES, 7, 4096);
    program.kill();
    assert!(engine.is_ended());

    let mut program = disk.start("boot-1");
    let standing = program.held("r1").standing.expect("a standing");
    assert_eq!(
        (standing.torn, standing.sealed, standing.role),
        (false, (5, 1), Role::Member)
    );
    assert_eq!(standing.marks, [run(3, 1)]);
    let mut late = program.hello("r1", "engine-5");
    let again = Seal {
        epoch: 5,
        attempt: 1,
        document: document(3, 0),
    };
    assert!(matches!(
        late.ask(Request::Seal(again)),
        Reply::Refused {
            why: Refusal::Fenced,
            ..
        }
    ));
    program.kill();

    let mut program = disk.start("boot-2");
    assert!(program.held("r1").standing.expect("a standing").torn);
    let (_client, standing) = program.sealed("r1", 6, 1, 3);
    assert!(standing.torn && standing.sealed_before == (5, 1));
    let mut engine = program.opened("r1", 7, 3);
    assert_eq!(engine.read(3 * REGION_BYTES, 4096), vec![7; 4096]);
    assert!(!program.held("r1").standing.expect("a standing").torn);
}

#[test]
fn a_newer_seal_ends_the_older_connection() {
    let disk = Disk::new("disk-1");
    let mut program = disk.start("boot-1");
    program.create("r1").expect("made");
    let mut old = program.opened("r1", 5, 2);
    old.write(1, 0, 7, 4096);
    let mut new = program.opened("r1", 6, 3);
    assert!(old.is_ended());
    assert_eq!(new.read(0, 4096), vec![7; 4096]);
    let mut back = program.hello("r1", "engine-5");
    assert!(matches!(
        back.ask(Request::Ping),
        Reply::Refused {
            why: Refusal::NotOpen,
            ..
        }
    ));
    let older = Seal {
        epoch: 9,
        attempt: 1,
        document: document(2, 0),
    };
    assert!(matches!(
        back.ask(Request::Seal(older)),
        Reply::Refused {
            why: Refusal::OldDocument,
            ..
        }
    ));
    program.logs("an order with an old document was refused");
}

#[test]
fn a_second_program_on_the_same_disk_is_refused_with_one_line() {
    let disk = Disk::new("disk-1");
    let _program = disk.start("boot-1");
    let second = disk
        .command("boot-1")
        .stderr(Stdio::piped())
        .output()
        .expect("it runs");
    assert_eq!(second.status.code(), Some(1));
    let text = String::from_utf8(second.stderr).expect("text");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(
        text.contains("another replica program serves this disk"),
        "{text}"
    );
}

#[test]
fn wrong_arguments_and_the_version() {
    let run = |words: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_shorthorn-replica"));
        command.args(words).output().expect("it runs")
    };
    assert_eq!(run(&["--disk", "/nowhere"]).status.code(), Some(2));
    let version = run(&["--version"]);
    let text = String::from_utf8(version.stdout).expect("text");
    assert!(
        version.status.success() && text.starts_with("shorthorn-replica "),
        "{text}"
    );
    assert!(
        text.contains("wire 1") && text.contains("format 1"),
        "{text}"
    );
    let nowhere = [
        "--disk",
        "/nowhere",
        "--disk-uid",
        "d",
        "--cluster",
        "c",
        "--boot-id",
        "b",
        "--agent",
        "/nowhere/a",
    ];
    let missing = run(&nowhere);
    assert_eq!(missing.status.code(), Some(1));
    assert_eq!(
        String::from_utf8(missing.stderr)
            .expect("text")
            .lines()
            .count(),
        1
    );
}

#[test]
fn create_and_delete_may_be_repeated_and_are_refused_for_others() {
    let disk = Disk::new("disk-1");
    let mut program = disk.start("boot-1");
    program.create("r1").expect("made");
    program.create("r1").expect("the same again");
    let other = program.order(|id| ToProgram::Create {
        id,
        replica: "r1".to_owned(),
        cluster: CLUSTER.to_owned(),
        volume: "another".to_owned(),
        attempt: 1,
        document: document(1, 0),
    });
    assert!(other.expect_err("refused").contains("is another one"));
    for name in ["", "..", "a/b", "../x", ".hidden", "r1.new", "r1.dead"] {
        program.create(name).expect_err(name);
    }
    let mut engine = program.opened("r1", 5, 2);
    let refused = program.delete("r1", 2).expect_err("document 3 is stored");
    assert!(refused.contains("newer than the tombstone"), "{refused}");
    assert_eq!(engine.ask(Request::Ping), Reply::Done);
    program.delete("r1", 3).expect("deleted");
    assert!(engine.is_ended());
    program.delete("r1", 3).expect("the same again");
    assert!(program.list().is_empty());
    assert_eq!(
        std::fs::read_dir(disk.path().join("replicas"))
            .expect("a folder")
            .count(),
        0
    );
    let mut late = program.connect();
    assert!(matches!(
        late.ask(hello("r1", "e")),
        Reply::Refused {
            why: Refusal::Unknown,
            ..
        }
    ));
}

#[test]
fn a_damaged_folder_is_reported_and_the_others_are_served() {
    let disk = Disk::new("disk-1");
    let mut program = disk.start("boot-1");
    for replica in ["r1", "r2"] {
        program.create(replica).expect("made");
    }
    program.kill();
    let header = disk.path().join("replicas/r1/header");
    let length = std::fs::metadata(&header).expect("a header").len();
    std::fs::write(&header, vec![0xa5; length as usize]).expect("damaged");
    let mut program = disk.start("boot-1");
    let damaged = program.held("r1");
    assert!(damaged.damaged.is_some() && damaged.standing.is_none());
    let refused = program.create("r1").expect_err("nobody knows what it is");
    assert!(refused.contains("damaged"), "{refused}");
    program
        .delete("r1", 99)
        .expect_err("nobody knows what it is");
    let mut client = program.connect();
    assert!(matches!(
        client.ask(hello("r1", "e")),
        Reply::Refused {
            why: Refusal::Unknown,
            ..
        }
    ));
    let mut engine = program.opened("r2", 5, 2);
    engine.write(1, 0, 1, 512);
}

#[test]
fn a_replica_of_another_disk_or_cluster_is_not_served() {
    let disk = Disk::new("disk-1");
    let mut program = disk.start("boot-1");
    program.create("r1").expect("made");
    program.kill();
    let renamed = disk.path().join("replicas/r2");
    std::fs::rename(disk.path().join("replicas/r1"), &renamed).expect("renamed");
    let mut program = disk.start("boot-1");
    let damaged = program.held("r2").damaged.expect("not itself");
    assert!(damaged.contains("belongs to replica r1"), "{damaged}");
}

#[test]
fn it_serves_on_while_the_agent_is_away_and_dials_it_again() {
    let disk = Disk::new("disk-1");
    let mut program = disk.start("boot-1");
    program.create("r1").expect("made");
    let mut engine = program.opened("r1", 5, 2);
    program.drop_link();
    engine.write(1, 0, 9, 4096);
    assert_eq!(engine.read(0, 4096), vec![9; 4096]);
    program.accept(&disk);
    assert!(program.held("r1").open);
    program.say_raw(b"{\"type\":\"dance\"}\n");
    assert!(program.link_ends());
    engine.write(2, 0, 8, 4096);
    program.accept(&disk);
    assert!(program.held("r1").open);
}

#[test]
fn what_changes_is_told_unasked() {
    let disk = Disk::new("disk-1");
    let mut program = disk.start("boot-1");
    program.create("r1").expect("made");
    let engine = program.opened("r1", 5, 2);
    let mut told = |wanted: bool| {
        loop {
            if let ToAgent::Result {
                id: 0, replicas, ..
            } = program.hear()
            {
                if replicas
                    .iter()
                    .any(|held| held.open == wanted && held.document_version == 3)
                {
                    return;
                }
            }
        }
    };
    told(true);
    drop(engine);
    told(false);
}

#[test]
fn a_probe_reads_the_standing_now() {
    let disk = Disk::new("disk-1");
    let mut program = disk.start("boot-1");
    program.create("r1").expect("made");
    let _engine = program.opened("r1", 5, 2);
    let probe = |replica: &str| {
        let replica = replica.to_owned();
        move |id| ToProgram::Probe {
            id,
            replica: replica.clone(),
            drop: "drop-1".to_owned(),
        }
    };
    let held = program.order(probe("r1")).expect("probed");
    assert_eq!(
        held[0].standing.as_ref().map(|standing| standing.sealed),
        Some((5, 1))
    );
    program.order(probe("r9")).expect_err("unknown");
}

#[test]
fn sigterm_ends_it_cleanly_and_a_stop_waits_for_the_session() {
    let disk = Disk::new("disk-1");
    let mut program = disk.start("boot-1");
    program.create("r1").expect("made");
    let mut engine = program.opened("r1", 5, 2);
    program.say(&ToProgram::Stop);
    program.logs("told to stop");
    engine.write(1, 0, 9, 4096);
    drop(engine);
    assert_eq!(program.ended().code(), Some(0));
    drop(program);

    let mut program = disk.start("boot-1");
    let mut engine = program.opened("r1", 6, 3);
    assert_eq!(engine.read(0, 4096), vec![9; 4096]);
    program.terminate();
    assert_eq!(program.ended().code(), Some(0));
    assert!(engine.is_ended());
}
