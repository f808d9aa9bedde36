//! The replica program: serves the replicas of one disk to engines and copiers, until it is stopped.
//!
//! Puts sockets, files and threads around [`shorthorn_core::replica::Replica`], which decides everything about a replica,
//! and around [`shorthorn_core::copier::Copier`], which works on detached volumes. Goes on serving while the agent is
//! away. Exit codes: 0 stopped, 1 could not start, 2 wrong command line. Never decides who is in-sync; never starts a
//! session.
//!
//! Read next: `slot.rs`, one replica and its connections; `connection.rs`, what one connection's thread does.

mod agent_link;
mod arguments;
mod clock;
mod connection;
mod disk_work;
mod fence;
mod fences;
mod listener;
mod log;
mod orders;
mod outbox;
mod program;
mod receiver;
mod reports;
mod slot;
mod start;
mod store;
mod syncer;
mod task;
mod task_peer;

use std::process::ExitCode;

use arguments::Arguments;

const STOPPED: u8 = 0;
const START_FAILED: u8 = 1;
const USAGE: u8 = 2;

fn main() -> ExitCode {
    end_on_panic();
    #[cfg(feature = "mutants")]
    if let Err(name) = choose_mutant() {
        log::error("no such mutant", &[("name", &name)]);
        return ExitCode::from(USAGE);
    }
    match arguments::parse(std::env::args_os().skip(1)) {
        Ok(Arguments::Version) => {
            println!("{}", version());
            ExitCode::from(STOPPED)
        }
        Ok(Arguments::Run(settings)) => match program::run(&settings) {
            Ok(()) => ExitCode::from(STOPPED),
            Err(why) => {
                log::error("could not start", &[("why", &why)]);
                ExitCode::from(START_FAILED)
            }
        },
        Err(why) => {
            eprintln!("shorthorn-replica: {why}\n{}", arguments::USAGE);
            ExitCode::from(USAGE)
        }
    }
}

/// One line that a supervisor can compare.
fn version() -> String {
    let mutants = if cfg!(feature = "mutants") {
        "+mutants"
    } else {
        ""
    };
    format!(
        "shorthorn-replica {}{mutants} (wire {}, format {})",
        env!("CARGO_PKG_VERSION"),
        shorthorn_wire::WIRE_VERSION,
        shorthorn_disk::FORMAT_VERSION,
    )
}

/// A panic is a bug: nothing that this process holds can be trusted any more, so it ends at once. For the engines their
/// replicas here are lost; the agent starts the program again.
fn end_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        log::error("panic", &[("what", panic)]);
        std::process::abort();
    }));
}

/// Takes out the rule that the environment names.
#[cfg(feature = "mutants")]
fn choose_mutant() -> Result<(), String> {
    let name = std::env::var("SHORTHORN_MUTANT").unwrap_or_default();
    if shorthorn_core::mutants::choose(&name) {
        Ok(())
    } else {
        Err(name)
    }
}
