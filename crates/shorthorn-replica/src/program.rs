//! The program from its start to its end: what is opened in which order, and what ends it.

use std::io::{self, Read};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::arguments::Settings;
use crate::orders::Orders;
use crate::reports::Reports;
use crate::start::{StartError, raise_file_limit, replicas_folder, system, take_lock};
use crate::store::Store;
use crate::{agent_link, listener, log};

/// How the program is told to end.
#[derive(Debug)]
pub struct Stopping {
    when_closed: AtomicBool,
    wake: Sender<Wake>,
}

#[derive(Debug)]
enum Wake {
    /// End, for this reason.
    Stop(&'static str),
    /// Perhaps no session is open any more.
    Look,
}

impl Stopping {
    fn new() -> (Arc<Self>, Receiver<Wake>) {
        let (wake, woken) = channel();
        (
            Arc::new(Self {
                when_closed: AtomicBool::new(false),
                wake,
            }),
            woken,
        )
    }

    /// Ends the program once no session is open on any replica.
    pub fn when_nothing_is_open(&self) {
        self.when_closed.store(true, Ordering::SeqCst);
        self.look();
    }

    /// Something changed: perhaps no session is open now. Cheap, and never blocks.
    pub fn look(&self) {
        if self.when_closed.load(Ordering::SeqCst) {
            self.tell(Wake::Look);
        }
    }

    fn tell(&self, wake: Wake) {
        // Fails only if the program is ending already.
        let _ending = self.wake.send(wake);
    }
}

/// Serves the disk until the program is stopped.
///
/// # Errors
/// It could not start; nothing was touched.
pub fn run(settings: &Settings) -> Result<(), StartError> {
    let lock = take_lock(&settings.disk)?;
    raise_file_limit()?;
    let (stopping, woken) = Stopping::new();
    listen_to_signals(&stopping).map_err(system("listening to signals"))?;
    let folder = replicas_folder(&settings.disk)?;
    let reports = Arc::new(Reports::new(Arc::clone(&stopping)));
    let store = Arc::new(Store::open(settings.clone(), folder, reports)?);
    let listening = TcpListener::bind(settings.listen)
        .map_err(system(format!("listening at {}", settings.listen)))?;
    let address = listening
        .local_addr()
        .map_err(system("asking the own address"))?;
    log::info(
        "serving",
        &[
            ("disk", &settings.disk_uid),
            ("address", &address),
            ("replicas", &store.held().len()),
        ],
    );

    let accepting = Arc::clone(&store);
    spawn("listener", move || listener::run(&listening, &accepting))?;
    let (linked, orders) = (
        Arc::clone(&store),
        Orders::new(Arc::clone(&store), stopping),
    );
    spawn("agent", move || agent_link::run(&linked, address, orders))?;

    let why = loop {
        match woken.recv() {
            Ok(Wake::Stop(why)) => break why,
            Ok(Wake::Look) if store.any_open() => {}
            Ok(Wake::Look) => break "told by the agent, and nothing is open",
            Err(_) => break "nobody is left to stop it",
        }
    };
    log::info("stopping", &[("why", &why)]);
    store.shut_down();
    drop(lock);
    Ok(())
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), StartError> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map_err(system(format!("starting the thread {name}")))?;
    Ok(())
}

/// SIGTERM ends the program. SIGINT and SIGHUP are meant for whoever started it in a terminal: it outlives them.
fn listen_to_signals(stopping: &Arc<Stopping>) -> io::Result<()> {
    let (mut read, write) = UnixStream::pair()?;
    signal_hook::low_level::pipe::register(SIGTERM, write)?;
    for ignored in [SIGINT, SIGHUP] {
        signal_hook::flag::register(ignored, Arc::new(AtomicBool::new(false)))?;
    }
    let stopping = Arc::clone(stopping);
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            let mut byte = [0];
            if read.read_exact(&mut byte).is_ok() {
                stopping.tell(Wake::Stop("SIGTERM"));
            }
        })?;
    Ok(())
}
