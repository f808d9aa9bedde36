//! Peers that break rules, die, or do not read: they hurt nobody but themselves.

mod support;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use support::engine::World;
use support::eventually;
use support::nbd::{FLUSH, Nbd, READ, WRITE};

#[test]
fn a_client_that_talks_nonsense_loses_its_connection_only() {
    let world = World::new();
    let mut engine = world.serving();
    let mut good = world.client();
    for nonsense in [
        &b"GET / HTTP/1.1\r\nHost: volume\r\n\r\n"[..],
        &[0xff; 4096],
        &[0; 64],
    ] {
        let mut bad = UnixStream::connect(world.endpoint()).expect("connected");
        bad.write_all(nonsense).expect("said");
        let mut all = Vec::new();
        let _greeting_then_end = bad.read_to_end(&mut all);
        let mut bad = world.client();
        bad.stream.write_all(nonsense).expect("said");
        assert!(bad.is_ended());
        good.write(0, 0, nonsense).expect("served");
    }
    // A write that announces more than is taken, and one that is cut.
    let mut bad = world.client();
    bad.send(0, WRITE, 0, u32::MAX, &[]);
    assert!(bad.is_ended());
    let mut bad = world.client();
    bad.send(0, WRITE, 0, 1 << 20, &[1; 1000]);
    drop(bad);
    good.plain(0, FLUSH, 0, 0).expect("served");
    assert!(engine.ended().is_none());
    eventually("only one client", || {
        world.agent.heard().clients() == Some(1)
    });
}

/// What a session does without one of its replicas is the core's to decide; the program must tell it.
#[test]
fn a_cut_replica_connection_costs_that_replica_and_the_last_one_the_session() {
    let world = World::new();
    let mut engine = world.serving();
    let mut client = world.client();
    client.write(0, 0, &[1; 4096]).expect("written");
    world.replicas[1].cut();
    eventually("the removal is asked", || {
        world.agent.heard().lost() == ["r1"]
    });
    client.write(0, 0, &[2; 4096]).expect("written without it");
    assert_eq!(client.read(0, 4096), Ok(vec![2; 4096]));
    world.replicas[2].cut();
    eventually("the second removal is asked", || {
        world.agent.heard().lost() == ["r1", "r2"]
    });
    client
        .write(0, 0, &[3; 4096])
        .expect("written without both");
    // Nobody is left: whoever waits is not kept waiting.
    client.send(0, WRITE, 4096, 512, &[4; 512]);
    world.replicas[0].cut();
    while !client.is_ended() {}
    assert_eq!(engine.code(), 3, "{}", engine.log());
    assert!(!world.endpoint().exists());
    assert_eq!(world.agent.heard().closed(), Some(false));
}

#[test]
fn a_replica_that_talks_nonsense_is_as_good_as_gone() {
    let world = World::new();
    let engine = world.serving();
    let mut client = world.client();
    world.replicas[2].state().garbage = Some(vec![b'x'; 100]);
    client.write(0, 0, &[1; 512]).expect("written without it");
    assert_eq!(world.agent.heard().lost(), ["r2"]);
    assert!(engine.log().contains("not a frame"), "{}", engine.log());
}

/// A stopped program does not end its connections: its host takes bytes until its buffers are full, then none.
#[test]
fn a_replica_that_stops_reading_blocks_nobody_and_is_lost_in_time() {
    const MIB: usize = 1 << 20;
    let mut world = World::new();
    world.order.silence_ms = 1_500;
    let engine = world.serving();
    let mut clients: Vec<Nbd> = (0..4).map(|_| world.client()).collect();
    clients[0].write(0, 0, &[1; 4096]).expect("written");
    // Whatever it is asked from now on waits for this lock.
    let stopped = world.replicas[2].state();
    let handles: Vec<Vec<u64>> = clients
        .iter_mut()
        .enumerate()
        .map(|(index, client)| {
            let write = |round: usize| {
                let offset = (index * 8 + round) * MIB;
                client.send(0, WRITE, offset as u64, MIB as u32, &vec![2; MIB])
            };
            (0..8).map(write).collect()
        })
        .collect();
    for (client, handles) in clients.iter_mut().zip(&handles) {
        for _ in handles {
            let (handle, error) = client.reply().expect("a reply");
            assert!(handles.contains(&handle) && error == 0, "{error}");
        }
    }
    assert_eq!(world.agent.heard().lost(), ["r2"]);
    assert!(engine.pss_kib() < 100 << 10, "{} KiB", engine.pss_kib());
    clients[0].plain(0, FLUSH, 0, 0).expect("served");
    drop(stopped);
}

#[test]
fn who_does_not_read_answers_is_not_read_from_and_keeps_nobody_waiting() {
    const MIB: u32 = 1 << 20;
    let world = World::new();
    let engine = world.serving();
    let mut slow = world.client();
    let mut sender = slow.sender();
    // 128 MiB of answers: far more than may be kept.
    let sent = std::thread::spawn(move || {
        for index in 0..128u64 {
            sender.send(0, READ, index % 60 * u64::from(MIB), MIB, &[]);
        }
    });
    let mut good = world.client();
    let mut most = 0;
    for round in 0..100u8 {
        good.write(0, 0, &[round; 4096]).expect("served");
        most = most.max(engine.pss_kib());
    }
    assert!(most < 40 << 10, "{most} KiB");
    let mut data = vec![0; MIB as usize];
    for _answer in 0..128 {
        assert_eq!(slow.reply().expect("a reply").1, 0);
        slow.stream.read_exact(&mut data).expect("its data");
    }
    sent.join().expect("sent");
    eventually("memory is given back", || engine.pss_kib() < 40 << 10);
}

#[test]
fn the_memory_of_the_largest_requests_is_given_back() {
    const LARGEST: u32 = 32 << 20;
    let world = World::new();
    let engine = world.serving();
    let mut client = world.client();
    let data: Vec<u8> = (0..LARGEST).map(|i| (i % 253) as u8).collect();
    client.write(0, 4096, &data).expect("written");
    assert!(client.read(4096, LARGEST).expect("read") == data);
    eventually("memory is given back", || engine.pss_kib() < 40 << 10);
    client.read(0, 512).expect("served");
}

#[test]
fn a_handshake_may_not_take_for_ever() {
    let world = World::new();
    let _engine = world.serving();
    let mut mute = UnixStream::connect(world.endpoint()).expect("connected");
    let start = Instant::now();
    let mut all = Vec::new();
    mute.set_read_timeout(Some(support::LIMIT)).expect("set");
    mute.read_to_end(&mut all).expect("ended by the engine");
    let took = start.elapsed();
    assert!(
        took > Duration::from_secs(8) && took < Duration::from_secs(20),
        "{took:?}"
    );
}

#[test]
fn clients_beyond_the_limit_are_refused_until_one_leaves() {
    let world = World::new();
    let _engine = world.serving();
    let mut clients: Vec<Nbd> = (0..128).map(|_| world.client()).collect();
    assert!(Nbd::connect(&world.endpoint()).is_err());
    for client in &mut clients {
        client.read(0, 512).expect("served");
    }
    clients.pop();
    eventually("a free place", || Nbd::connect(&world.endpoint()).is_ok());
}
