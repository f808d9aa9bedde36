//! The engine program: one session of one volume, from its order to its end.
//!
//! Puts sockets and a clock around [`shorthorn_core::engine::Engine`], which decides everything: NBD clients on a unix
//! socket, one TCP connection to each replica, a link to the agent of the node. Exit codes: 0 closed clean, 1 could not
//! start, 2 wrong command line, 3 ended unclean. Never writes to a disk; never decides who is in-sync.
//! Read next: `session.rs`, the loop.

mod agent_link;
mod arguments;
mod client;
mod clients;
mod clock;
mod endpoint;
mod link;
mod log;
mod names;
mod peer;
mod peers;
mod session;
mod signals;
mod start;
mod status_report;

use std::process::ExitCode;

use arguments::Arguments;
use session::Session;
use start::StartError;

const CLEAN: u8 = 0;
const START_FAILED: u8 = 1;
const USAGE: u8 = 2;
const UNCLEAN: u8 = 3;

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
            ExitCode::from(CLEAN)
        }
        Ok(Arguments::Run { order, lock }) => run(&order, &lock),
        Err(why) => {
            eprintln!("shorthorn-engine: {why}\n{}", arguments::USAGE);
            ExitCode::from(USAGE)
        }
    }
}

fn run(order: &std::path::Path, lock: &std::path::Path) -> ExitCode {
    let session = start::take_lock(lock).and_then(|held| Ok((held, start_session(order)?)));
    let (held, session) = match session {
        Ok(started) => started,
        Err(why) => {
            log::error("could not start", &[("why", &why)]);
            return ExitCode::from(START_FAILED);
        }
    };
    let end = session.run();
    // Only now may somebody else conclude that this engine is dead.
    drop(held);
    ExitCode::from(if end.clean { CLEAN } else { UNCLEAN })
}

fn start_session(path: &std::path::Path) -> Result<Session, StartError> {
    let order = start::read_order(path)?;
    let engine = start::engine_id(&order)?;
    Session::new(order, engine, path)
}

/// One line that a supervisor can compare.
fn version() -> String {
    let mutants = if cfg!(feature = "mutants") {
        "+mutants"
    } else {
        ""
    };
    format!(
        "shorthorn-engine {}{mutants} (wire {}, format {})",
        env!("CARGO_PKG_VERSION"),
        shorthorn_wire::WIRE_VERSION,
        shorthorn_disk::FORMAT_VERSION,
    )
}

/// A panic is a bug: nothing that this process holds can be trusted any more, so it ends at once and unclean. The
/// record hears of it by the lock.
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
