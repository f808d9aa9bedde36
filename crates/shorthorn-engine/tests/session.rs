//! The life of a session with the real program and real sockets.

mod support;

use std::fs;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

use rustix::process::Signal;
use shorthorn_wire::agent::{Ask, Hello, Resync, Target, ToProgram};
use support::engine::{SIZE, World};
use support::nbd::{ESHUTDOWN, FLUSH, FUA, Nbd, TRIM, ZEROES};
use support::replica::FakeReplica;
use support::{LIMIT, eventually};

#[test]
fn a_session_serves_every_kind_of_request_and_closes_clean() {
    let world = World::new();
    let mut engine = world.serving();
    let mode = fs::metadata(world.endpoint())
        .expect("socket")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);

    let mut client = world.client();
    assert_eq!(client.size, SIZE);
    let pattern: Vec<u8> = (0..70_001u32).map(|i| (i * 7 % 251) as u8).collect();
    client.write(0, 12_345, &pattern).expect("written");
    client.write(FUA, 4096, &[9; 512]).expect("written");
    assert_eq!(client.read(12_345, 70_001), Ok(pattern));
    client.plain(0, TRIM, 16_384, 8192).expect("trimmed");
    client.plain(0, ZEROES, 40_960, 4096).expect("zeroed");
    assert_eq!(client.read(16_384, 8192), Ok(vec![0; 8192]));
    client.plain(0, FLUSH, 0, 0).expect("flushed");
    eventually("the client in a status", || {
        world.agent.heard().clients() == Some(1)
    });

    let first = world.replicas[0].state().bytes.clone();
    for replica in &world.replicas {
        let state = replica.state();
        assert_eq!((state.opened, state.changes), (1, 4));
        assert!(state.flushes >= 1 && state.bytes == first && !state.marks.is_empty());
    }

    engine.signal(Signal::TERM);
    assert_eq!(engine.code(), 0, "{}", engine.log());
    assert!(client.is_ended());
    assert!(!world.endpoint().exists());
    assert_eq!(world.agent.heard().closed(), Some(true));
    for replica in &world.replicas {
        let state = replica.state();
        assert_eq!(state.closed, 1);
        assert!(state.marks.is_empty());
    }
}

/// docs/protocol.md, B2: nobody is served before SessionOpened was answered. Who comes early waits, since the record may
/// show the session as open before the engine hears so.
#[test]
fn nobody_is_served_before_the_record_has_answered() {
    let world = World::new();
    world.agent.heard().silent = true;
    let engine = world.engine();
    eventually("the ask", || !world.agent.heard().asks().is_empty());
    let mut early = UnixStream::connect(world.endpoint()).expect("listens");
    early.set_nonblocking(true).expect("set");
    let greeting = early.read(&mut [0; 1]).expect_err("no greeting yet");
    assert_eq!(greeting.kind(), ErrorKind::WouldBlock);
    assert_eq!(world.replicas[0].state().opened, 0);
    let (id, ask) = world.agent.heard().asks().remove(0);
    assert!(matches!(ask, Ask::SessionOpened { broken: false, .. }));
    world.agent.commit(id);
    early.set_nonblocking(false).expect("set");
    early.set_read_timeout(Some(LIMIT)).expect("set");
    early.read_exact(&mut [0; 18]).expect("the greeting");
    world.client().read(0, 4096).expect("served");
    drop(engine);
}

#[test]
fn an_agent_that_restarts_disturbs_nobody_and_finds_the_engine_again() {
    let mut world = World::new();
    let mut engine = world.serving();
    let mut client = world.client();
    world.agent.end();
    for round in 0..50u8 {
        client
            .write(0, u64::from(round) * 4096, &[round; 4096])
            .expect("written");
        assert_eq!(
            client.read(u64::from(round) * 4096, 4096),
            Ok(vec![round; 4096])
        );
    }
    world.agent.begin();
    eventually("the second hello", || world.agent.heard().hellos.len() == 2);
    let hellos = world.agent.heard().hellos.clone();
    assert_eq!(hellos[0], hellos[1]);
    let Hello::Engine { epoch, volume, .. } = &hellos[0] else {
        panic!("another hello: {hellos:?}")
    };
    assert_eq!((*epoch, volume.as_str()), (world.order.epoch, "v1"));
    world.agent.say(&ToProgram::Close);
    assert_eq!(engine.code(), 0, "{}", engine.log());
}

#[test]
fn what_was_asked_and_not_answered_is_asked_again_of_a_new_agent() {
    let mut world = World::new();
    world.agent.heard().silent = true;
    let mut engine = world.engine();
    eventually("the ask", || !world.agent.heard().asks().is_empty());
    world.agent.end();
    world.agent.begin();
    eventually("the second ask", || world.agent.heard().asks().len() == 2);
    let asks = world.agent.heard().asks();
    assert_eq!(asks[0].1, asks[1].1);
    assert!(asks[0].0 < asks[1].0);
    world.agent.heard().silent = false;
    world.agent.commit(asks[1].0);
    eventually("the endpoint", || world.endpoint().exists());
    engine.signal(Signal::TERM);
    assert_eq!(engine.code(), 0, "{}", engine.log());
}

#[test]
fn an_agent_that_says_nonsense_is_dialled_again() {
    let world = World::new();
    let mut engine = world.serving();
    world.agent.say_bytes(b"{\"type\":\"dance\"}\n");
    eventually("the second hello", || world.agent.heard().hellos.len() == 2);
    world.client().read(0, 512).expect("served");
    world.agent.say(&ToProgram::Close);
    assert_eq!(engine.code(), 0, "{}", engine.log());
}

#[test]
fn an_order_to_stop_ends_at_once_and_unclean() {
    let world = World::new();
    let mut engine = world.serving();
    let mut client = world.client();
    world.agent.say(&ToProgram::Stop);
    assert_eq!(engine.code(), 3);
    assert!(client.is_ended());
    assert!(!world.endpoint().exists());
}

#[test]
fn a_missing_replica_is_waited_for_and_then_left_out() {
    let world = World::new();
    let mut order = world.order.clone();
    // A port where nobody listens.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = free.local_addr().expect("bound").to_string();
    drop(free);
    order.targets[2].address = Some(address);
    order.open_grace_ms = 300;
    let world = World { order, ..world };
    let _engine = world.serving();
    let (_, ask) = world.agent.heard().asks().remove(0);
    let Ask::SessionOpened { members, .. } = ask else {
        panic!("another ask: {ask:?}")
    };
    assert_eq!(members, ["r0", "r1"]);
}

#[test]
fn replicas_are_found_by_name_too() {
    let world = World::new();
    let mut order = world.order.clone();
    for target in &mut order.targets {
        let address = target.address.as_mut().expect("known");
        *address = address.replace("127.0.0.1", "localhost");
    }
    let world = World { order, ..world };
    let _engine = world.serving();
    world.client().read(0, 512).expect("served");
}

#[test]
fn requests_after_a_close_began_are_refused_and_those_before_are_answered() {
    let world = World::new();
    let mut engine = world.serving();
    let mut client = world.client();
    client.write(0, 0, &[1; 4096]).expect("written");
    world.agent.heard().silent = true;
    engine.signal(Signal::TERM);
    eventually("the last ask", || {
        world.agent.heard().closed() == Some(true)
    });
    assert_eq!(client.read(0, 512), Err(ESHUTDOWN));
    assert!(Nbd::connect(&world.endpoint()).is_err());
    let (id, _) = world.agent.heard().asks().pop().expect("asked");
    world.agent.commit(id);
    assert_eq!(engine.code(), 0);
}

#[test]
fn sigint_and_sighup_are_for_others() {
    let world = World::new();
    let mut engine = world.serving();
    engine.signal(Signal::INT);
    engine.signal(Signal::HUP);
    world.client().read(0, 512).expect("served");
    assert!(engine.ended().is_none());
    engine.signal(Signal::TERM);
    assert_eq!(engine.code(), 0);
}

/// A replica that was placed while the session runs: the program has no connection for it until the core wants one.
#[test]
fn a_replica_that_comes_later_is_dialled_copied_and_needed() {
    let world = World::new();
    let mut engine = world.serving();
    let mut client = world.client();
    client.write(0, 5 << 20, &[7; 8192]).expect("written");
    let late = FakeReplica::start(SIZE);
    late.state().joins = true;
    let mut targets = world.order.targets.clone();
    targets.push(Target {
        replica: "r3".into(),
        node: "n3".into(),
        address: Some(late.address.to_string()),
        attempt: 1,
        in_sync: false,
        stored_m: 0,
        local: false,
    });
    let document = Some(world.order.document.clone());
    world.agent.say(&ToProgram::Targets { targets, document });
    eventually("the record is asked to take it in", || {
        let asks = world.agent.heard().asks();
        asks.iter().any(
            |(_, ask)| matches!(ask, Ask::ReplicaSynced { replica, attempt: 1, .. } if replica == "r3"),
        )
    });
    assert_eq!(late.state().bytes[5 << 20..][..8192], [7; 8192]);
    assert!(late.state().copies > 0);
    client.write(0, 0, &[8; 4096]).expect("written to all");
    assert_eq!(late.state().bytes[..4096], [8; 4096]);
    let told: Vec<Resync> = world.agent.heard().resyncs();
    assert!(told.iter().any(|resync| resync.replica == "r3"));
    engine.signal(Signal::TERM);
    assert_eq!(engine.code(), 0, "{}", engine.log());
    assert_eq!(late.state().closed, 1);
}
