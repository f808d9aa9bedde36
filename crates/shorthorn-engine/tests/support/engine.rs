//! The program under test with everything around it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Pid, Signal, kill_process};
use shorthorn_wire::agent::{SessionOrder, Target};
use shorthorn_wire::message::Document;
use tempfile::TempDir;

use super::agent::FakeAgent;
use super::eventually;
use super::nbd::Nbd;
use super::replica::FakeReplica;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_shorthorn-engine");

/// Programs started by this test process, to tell their logs apart.
static STARTED: AtomicU32 = AtomicU32::new(0);

/// Size of the volume.
pub const SIZE: u64 = 64 << 20;

/// Replicas, agent and folder of one session; the engine is started by the test.
pub struct World {
    pub replicas: Vec<FakeReplica>,
    pub agent: FakeAgent,
    pub order: SessionOrder,
    pub folder: TempDir,
}

impl World {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let replicas: Vec<_> = (0..3).map(|_| FakeReplica::start(SIZE)).collect();
        let document = Document {
            era: 1,
            version: 3,
            m: 1,
            size: SIZE,
            chain: vec!["l1".into()],
            head: "l1".into(),
            body: "{}".into(),
        };
        let target = |(index, replica): (usize, &FakeReplica)| Target {
            replica: format!("r{index}"),
            node: format!("n{index}"),
            address: Some(replica.address.to_string()),
            attempt: 1,
            in_sync: true,
            stored_m: 1,
            local: index == 0,
        };
        let path = |name: &str| folder.path().join(name).to_str().expect("text").to_owned();
        let order = SessionOrder {
            cluster: "c1".into(),
            volume: "v1".into(),
            name: "data".into(),
            epoch: 1 << 32 | 5,
            opened_epoch: 0,
            settled: true,
            read_only: false,
            targets: replicas.iter().enumerate().map(target).collect(),
            document: document.clone(),
            endpoint: path("nbd"),
            agent: path("agent"),
            open_grace_ms: 2_000,
            open_grace_torn_ms: 4_000,
            grant_ms: 2_000,
            silence_ms: 5_000,
            close_ms: 10_000,
            space_wait_ms: None,
            strict_reads: false,
        };
        let agent = FakeAgent::start(Path::new(&order.agent), document);
        Self {
            replicas,
            agent,
            order,
            folder,
        }
    }

    pub fn endpoint(&self) -> PathBuf {
        PathBuf::from(&self.order.endpoint)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts the program.
    pub fn engine(&self) -> Engine {
        let order = self.path("order.json");
        let text = serde_json::to_vec(&self.order).expect("json");
        fs::write(&order, text).expect("order");
        // A second program of one world must not write into the first one's log.
        let started = STARTED.fetch_add(1, Ordering::Relaxed);
        let log_path = self.path(&format!("log.{started}"));
        let log = File::create(&log_path).expect("log");
        let mut command = Command::new(PROGRAM);
        command.arg("--order").arg(&order);
        command.arg("--lock").arg(self.path("lock"));
        let child = command.stderr(log).spawn().expect("the program starts");
        Engine {
            child,
            log: log_path,
        }
    }

    /// Starts the program and waits until clients are served.
    pub fn serving(&self) -> Engine {
        let mut engine = self.engine();
        eventually("a session that serves", || {
            assert!(engine.ended().is_none(), "{}", engine.log());
            self.agent.heard().serves()
        });
        engine
    }

    pub fn client(&self) -> Nbd {
        Nbd::connect(&self.endpoint()).expect("a client")
    }
}

/// The running program; killed when the test forgets it.
pub struct Engine {
    child: Child,
    log: PathBuf,
}

impl Engine {
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("ours")
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it lives");
    }

    /// Waits for the end; the exit code.
    pub fn code(&mut self) -> i32 {
        let mut code = None;
        eventually("the end of the engine", || {
            code = self.ended().map(|status| status.code());
            code.is_some()
        });
        let code = code.flatten();
        code.unwrap_or_else(|| panic!("it was killed: {}", self.log()))
    }

    /// Proportional set size, KiB.
    pub fn pss_kib(&self) -> u64 {
        let rollup = format!("/proc/{}/smaps_rollup", self.child.id());
        let rollup = fs::read_to_string(rollup).expect("it lives");
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        number.and_then(|text| text.parse().ok()).expect("a number")
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if self.child.try_wait().ok().flatten().is_none() {
            let _gone = self.child.kill();
            let _gone = self.child.wait();
        }
    }
}
