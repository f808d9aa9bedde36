//! Tasks without a session, between real programs: the copier runs in one of them.

mod support;

use shorthorn_wire::REGION_BYTES;
use shorthorn_wire::agent::{CopyOrder, CopyWork, Target, TaskState, ToAgent, ToProgram};
use shorthorn_wire::message::*;

use support::*;

fn target(program: &Program, replica: &str, in_sync: bool) -> Target {
    Target {
        replica: replica.to_owned(),
        node: "n".to_owned(),
        address: Some(program.address.clone()),
        attempt: 1,
        in_sync,
        stored_m: u64::from(in_sync),
        local: false,
    }
}

fn order(epoch: u64, work: CopyWork, targets: Vec<Target>) -> ToProgram {
    ToProgram::Copy {
        order: CopyOrder {
            task: format!("task-{epoch}"),
            cluster: CLUSTER.to_owned(),
            volume: VOLUME.to_owned(),
            epoch,
            opened_epoch: 5,
            work,
            targets,
            without: vec![],
            document: document(epoch, 1),
        },
    }
}

/// The next state of the task that is not just running.
fn task_state(program: &mut Program, wanted: &str) -> TaskState {
    loop {
        match program.hear() {
            ToAgent::Task {
                state: TaskState::Running,
                ..
            } => {}
            ToAgent::Task { task, state, .. } if task == wanted => return state,
            _ => {}
        }
    }
}

fn committed(program: &mut Program, epoch: u64, m: u64) {
    program.say(&ToProgram::TaskCommitted {
        task: format!("task-{epoch}"),
        document: document(epoch + 1, m),
    });
}

#[test]
fn a_move_copies_everything_and_makes_the_target_a_member() {
    let (disk_1, disk_2) = (Disk::new("disk-1"), Disk::new("disk-2"));
    let (mut one, mut two) = (disk_1.start("boot-1"), disk_2.start("boot-1"));
    one.create("r1").expect("made");
    two.create("r2").expect("made");
    let mut engine = one.opened("r1", 5, 2);
    for region in [0, 3, 63] {
        engine.write(
            region + 1,
            region * REGION_BYTES + 4096,
            region as u8 + 1,
            9000,
        );
    }
    assert_eq!(engine.ask(Request::Flush { seq: 64 }), Reply::Done);
    let all = vec![RegionRun {
        first: 0,
        count: 64,
    }];
    assert_eq!(
        engine.ask(Request::Clear {
            m: 1,
            seq: 64,
            regions: all
        }),
        Reply::Done
    );
    assert_eq!(engine.ask(Request::Close), Reply::Done);

    let work = CopyWork::Move {
        source: "r1".to_owned(),
        target: "r2".to_owned(),
    };
    let targets = vec![target(&one, "r1", true), target(&two, "r2", false)];
    two.say(&order(6, work.clone(), targets.clone()));
    let TaskState::Ready { mut sealed } = task_state(&mut two, "task-6") else {
        panic!("ready")
    };
    sealed.sort();
    assert_eq!(sealed, ["r1", "r2"]);

    // An agent that was away hears of it again, and its order again changes nothing.
    two.drop_link();
    two.accept(&disk_2);
    two.say(&order(6, work.clone(), targets.clone()));
    assert!(matches!(
        task_state(&mut two, "task-6"),
        TaskState::Ready { .. }
    ));
    committed(&mut two, 6, 2);
    while task_state(&mut two, "task-6") != TaskState::Finished {}
    two.say(&order(6, work, targets));
    assert_eq!(task_state(&mut two, "task-6"), TaskState::Finished);

    let standing = two.held("r2").standing.expect("a standing");
    assert_eq!(
        (standing.role, standing.m, standing.synced_through),
        (Role::Member, 2, Some(2))
    );
    assert!(standing.marks.is_empty());
    let (mut engine, _) = two.sealed("r2", 7, 1, 7);
    let open = Open {
        epoch: 7,
        attempt: 1,
        role: Role::Member,
        document: document(8, 3),
    };
    assert_eq!(engine.ask(Request::Open(open)), Reply::Done);
    for region in [0, 3, 63] {
        assert_eq!(
            engine.read(region * REGION_BYTES + 4096, 9000),
            vec![region as u8 + 1; 9000]
        );
    }
}

#[test]
fn a_settle_makes_marked_regions_equal_and_clears_them() {
    let (disk_1, disk_2) = (Disk::new("disk-1"), Disk::new("disk-2"));
    let (mut one, mut two) = (disk_1.start("boot-1"), disk_2.start("boot-1"));
    one.create("r1").expect("made");
    two.create("r2").expect("made");
    let (mut first, mut second) = (one.opened("r1", 5, 2), two.opened("r2", 5, 2));
    for engine in [&mut first, &mut second] {
        engine.write(1, 0, 7, 4096);
    }
    first.write(2, 5 * REGION_BYTES, 8, 4096);
    drop((first, second));

    let targets = vec![target(&one, "r1", true), target(&two, "r2", true)];
    one.say(&order(6, CopyWork::Settle, targets));
    assert!(matches!(
        task_state(&mut one, "task-6"),
        TaskState::Ready { .. }
    ));
    committed(&mut one, 6, 1);
    while task_state(&mut one, "task-6") != TaskState::Finished {}

    let mut contents = Vec::new();
    for (program, replica) in [(&mut one, "r1"), (&mut two, "r2")] {
        assert!(
            program
                .held(replica)
                .standing
                .expect("a standing")
                .marks
                .is_empty()
        );
        let (mut engine, _) = program.sealed(replica, 7, 1, 7);
        let open = Open {
            epoch: 7,
            attempt: 1,
            role: Role::Member,
            document: document(8, 2),
        };
        assert_eq!(engine.ask(Request::Open(open)), Reply::Done);
        contents.push((engine.read(0, 4096), engine.read(5 * REGION_BYTES, 4096)));
    }
    assert_eq!(contents[0], contents[1]);
    assert_eq!(contents[0].0, vec![7; 4096]);
}

#[test]
fn a_newer_seal_ends_a_task_and_a_cancelled_one_says_so() {
    let disk = Disk::new("disk-1");
    let mut program = disk.start("boot-1");
    for replica in ["r1", "r2"] {
        program.create(replica).expect("made");
    }
    let mut engine = program.opened("r1", 5, 2);
    assert_eq!(engine.ask(Request::Close), Reply::Done);
    let work = CopyWork::Move {
        source: "r1".to_owned(),
        target: "r2".to_owned(),
    };
    let targets = vec![target(&program, "r1", true), target(&program, "r2", false)];
    program.say(&order(6, work.clone(), targets.clone()));
    assert!(matches!(
        task_state(&mut program, "task-6"),
        TaskState::Ready { .. }
    ));
    let _session = program.opened("r1", 7, 6);
    assert!(matches!(
        task_state(&mut program, "task-6"),
        TaskState::Failed { .. }
    ));

    // Nobody listens at the target's address: the task waits until it is cancelled.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = Some(nobody.local_addr().expect("an address").to_string());
    drop(nobody);
    let away = Target {
        address,
        ..targets[1].clone()
    };
    program.say(&order(8, work, vec![targets[0].clone(), away]));
    program.logs("task started task=task-8");
    program.say(&ToProgram::CancelTask {
        task: "task-8".to_owned(),
    });
    let TaskState::Failed { why } = task_state(&mut program, "task-8") else {
        panic!("failed")
    };
    assert!(why.contains("cancelled"), "{why}");
}
