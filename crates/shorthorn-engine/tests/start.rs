//! What the program says before a session, and when there is none.

mod support;

use std::fs;
use std::os::unix::net::UnixListener;
use std::process::{Command, Output};

use support::engine::{PROGRAM, World};
use support::eventually;

fn run(arguments: &[&str]) -> Output {
    let output = Command::new(PROGRAM).args(arguments).output();
    output.expect("the program starts")
}

#[test]
fn the_version_names_program_and_formats() {
    let output = run(&["--version"]);
    let mutants = if cfg!(feature = "mutants") {
        "+mutants"
    } else {
        ""
    };
    let expected = format!("shorthorn-engine 0.1.0{mutants} (wire 1, format 1)\n");
    assert_eq!(String::from_utf8(output.stdout).expect("text"), expected);
    assert!(output.status.success());
}

#[cfg(not(feature = "mutants"))]
#[test]
fn the_switch_of_the_mutants_is_not_in_the_program() {
    let program = fs::read(PROGRAM).expect("built");
    let name = b"SHORTHORN_MUTANT";
    assert!(!program.windows(name.len()).any(|bytes| bytes == name));
}

#[test]
fn a_wrong_command_line_is_usage() {
    for arguments in [&[][..], &["--order", "x"], &["--dance"]] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains("usage:"));
    }
}

#[test]
fn an_order_that_makes_no_sense_is_one_line() {
    let world = World::new();
    let (order, lock) = (world.path("bad"), world.path("lock"));
    let mut twice = world.order.clone();
    twice.targets[1].replica = "r0".into();
    let twice = serde_json::to_vec(&twice).expect("json");
    for bad in [&b"{}"[..], b"", b"\xff\xff", &twice] {
        fs::write(&order, bad).expect("order");
        let output = run(&[
            "--order",
            order.to_str().expect("text"),
            "--lock",
            lock.to_str().expect("text"),
        ]);
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let errors = said.lines().filter(|line| line.starts_with("error "));
        assert_eq!(errors.count(), 1, "{said}");
    }
}

#[test]
fn two_engines_never_hold_one_lock() {
    let world = World::new();
    let _first = world.serving();
    let mut second = world.engine();
    assert_eq!(second.code(), 1);
    let log = second.log();
    assert!(log.contains("another engine holds the lock"), "{log}");
    assert_eq!(log.lines().count(), 1);
    world.client().read(0, 512).expect("the first serves on");
}

#[test]
fn a_dead_engines_socket_is_replaced_and_anything_else_is_not() {
    let world = World::new();
    drop(UnixListener::bind(world.endpoint()).expect("left behind"));
    let engine = world.engine();
    eventually("the endpoint", || {
        std::os::unix::net::UnixStream::connect(world.endpoint()).is_ok()
    });
    world.client().read(0, 512).expect("served");
    drop(engine);

    let world = World::new();
    fs::write(world.endpoint(), b"precious").expect("written");
    let mut engine = world.engine();
    assert_eq!(engine.code(), 1, "{}", engine.log());
    assert_eq!(fs::read(world.endpoint()).expect("there"), b"precious");
}

#[test]
fn a_socket_that_is_not_its_own_any_more_is_left_alone() {
    let world = World::new();
    let mut engine = world.serving();
    fs::remove_file(world.endpoint()).expect("removed");
    let _other = UnixListener::bind(world.endpoint()).expect("somebody else's");
    engine.signal(rustix::process::Signal::TERM);
    assert_eq!(engine.code(), 0, "{}", engine.log());
    assert!(world.endpoint().exists());
}

/// The record may have been told that the session opens: it is opened and closed again, so that nothing is left over.
#[test]
fn an_engine_that_cannot_listen_closes_clean_and_says_why() {
    let world = World::new();
    let fresh = format!("{}.new", world.order.endpoint);
    fs::create_dir(fresh).expect("in the way");
    let mut engine = world.engine();
    assert_eq!(engine.code(), 0, "{}", engine.log());
    assert!(
        engine.log().contains("error can't serve"),
        "{}",
        engine.log()
    );
    assert_eq!(world.agent.heard().closed(), Some(true));
    assert!(!world.agent.heard().serves());
}
