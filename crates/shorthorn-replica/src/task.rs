//! Tasks without a session: each a copier on a thread of its own, talking to replica programs as an engine does.
//!
//! The same order again changes nothing but addresses. What a task came to is remembered for a while, so that an agent that
//! was away hears of it.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use shorthorn_core::Nanos;
use shorthorn_core::copier::{Copier, Effect, Event};
use shorthorn_wire::Encoder;
use shorthorn_wire::agent::{CopyOrder, TaskState};
use shorthorn_wire::message::Document;

use crate::clock::now;
use crate::log;
use crate::reports::{Progress, Reports};
use crate::store::Store;
use crate::task_peer::{News, Peer};

/// Events that wait for a copier; who brings more waits.
const EVENTS_MAX: usize = 256;

/// What reaches a copier's thread.
#[derive(Debug)]
pub enum Input {
    /// Of a connection.
    Peer(News),
    /// Of the agent.
    Order(Event),
}

/// The tasks of this program.
#[derive(Debug)]
pub struct Tasks {
    store: Arc<Store>,
    running: BTreeMap<String, SyncSender<Input>>,
}

impl Tasks {
    /// None yet.
    pub fn new(store: Arc<Store>) -> Self {
        Self {
            store,
            running: BTreeMap::new(),
        }
    }

    /// Starts a task, or gives the one under way its targets' addresses.
    pub fn start(&mut self, order: CopyOrder) {
        let task = order.task.clone();
        let targets = order.targets.clone();
        if self.tell(&task, Event::Targets { targets }) {
            return self.store.reports.repeat(&task);
        }
        if matches!(
            self.store.reports.known(&task),
            Some(Progress {
                state: TaskState::Finished,
                ..
            })
        ) {
            return self.store.reports.repeat(&task);
        }
        let begun = begin(order, &self.store.reports);
        match begun {
            Ok(sender) => {
                log::info("task started", &[("task", &task)]);
                self.running.insert(task, sender);
            }
            Err(why) => fail(&self.store.reports, &task, why.to_string()),
        }
    }

    /// The task is no longer wanted.
    pub fn cancel(&mut self, task: &str) {
        self.tell(task, Event::Cancel);
        self.running.remove(task);
    }

    /// The record says so now.
    pub fn committed(&mut self, task: &str, document: Document) {
        if !self.tell(task, Event::Committed { document }) {
            log::warn(
                "a commit for a task that does not run here",
                &[("task", &task)],
            );
        }
    }

    /// False: it does not run (any more).
    fn tell(&mut self, task: &str, event: Event) -> bool {
        let told = self
            .running
            .get(task)
            .is_some_and(|sender| sender.send(Input::Order(event)).is_ok());
        if !told {
            self.running.remove(task);
        }
        told
    }
}

#[derive(Debug, thiserror::Error)]
enum BeginError {
    #[error("{0}")]
    Order(#[from] shorthorn_core::BadOrder),
    #[error("{0}")]
    System(#[from] io::Error),
}

fn begin(order: CopyOrder, reports: &Arc<Reports>) -> Result<SyncSender<Input>, BeginError> {
    let task = order.task.clone();
    let (replicas, size) = (order.targets.len(), order.document.size);
    // One a process and task, never reused: by chance.
    let random = std::fs::read_to_string("/proc/sys/kernel/random/uuid")?;
    let copier = Copier::new(order, format!("copier-{}", random.trim()))?;
    let (sender, events) = sync_channel(EVENTS_MAX);
    let peers = (0..replicas).map(|_| Peer::default()).collect();
    let progress = Progress {
        done: 0,
        total: size,
        state: TaskState::Running,
    };
    reports.task(&task, progress.clone());
    let runner = Runner {
        task,
        copier,
        peers,
        events,
        sender: sender.clone(),
        reports: Arc::clone(reports),
        encoder: Encoder::new(),
        wake_at: None,
        progress,
    };
    thread::Builder::new()
        .name("task".to_owned())
        .spawn(move || runner.run())?;
    Ok(sender)
}

fn fail(reports: &Reports, task: &str, why: String) {
    log::warn("task failed", &[("task", &task), ("why", &why)]);
    reports.task(
        task,
        Progress {
            done: 0,
            total: 0,
            state: TaskState::Failed { why },
        },
    );
}

/// One copier with its connections and its clock.
struct Runner {
    task: String,
    copier: Copier,
    peers: Vec<Peer>,
    events: Receiver<Input>,
    /// For the threads of connections.
    sender: SyncSender<Input>,
    reports: Arc<Reports>,
    encoder: Encoder,
    wake_at: Option<Nanos>,
    progress: Progress,
}

impl Runner {
    fn run(mut self) {
        let mut over = self.handle(Event::Start);
        while !over {
            over = match self.next() {
                Some(event) => self.handle(event),
                None => false,
            };
        }
        for peer in &mut self.peers {
            peer.hang_up();
        }
    }

    /// Waits for what is next. None: it was about a connection that is no longer of interest.
    fn next(&mut self) -> Option<Event> {
        let input = match self.wake_at {
            None => self
                .events
                .recv()
                .map_err(|_| RecvTimeoutError::Disconnected),
            Some(at) => self
                .events
                .recv_timeout(Duration::from_nanos((at - now()).0)),
        };
        match input {
            Ok(Input::Order(event)) => Some(event),
            Ok(Input::Peer(news)) => self.peers[news.replica.index()].take(news),
            Err(RecvTimeoutError::Timeout) => {
                self.wake_at = None;
                Some(Event::Timer)
            }
            // This runner holds a sender itself.
            Err(RecvTimeoutError::Disconnected) => Some(Event::Cancel),
        }
    }

    /// True: it is over.
    fn handle(&mut self, event: Event) -> bool {
        let mut effects = Vec::new();
        self.copier.handle(now(), event, &mut effects);
        let mut over = false;
        for effect in effects {
            over |= self.carry_out(effect);
        }
        self.encoder.forget();
        for peer in &mut self.peers {
            peer.flush();
        }
        over
    }

    fn carry_out(&mut self, effect: Effect) -> bool {
        match effect {
            Effect::Dial { replica, address } => {
                self.peers[replica.index()].dial(replica, address, &self.sender)
            }
            Effect::HangUp { replica } => self.peers[replica.index()].hang_up(),
            Effect::Send {
                replica,
                tag,
                request,
            } => {
                self.peers[replica.index()].send(tag, &request, &mut self.encoder);
            }
            Effect::Progress {
                done,
                total,
                waits_for,
            } => {
                if let Some(waits_for) = waits_for {
                    log::info("task waits", &[("task", &self.task), ("for", &waits_for)]);
                }
                (self.progress.done, self.progress.total) = (done, total);
                // Also while it waits for the record: how far it is says nothing about what comes next.
                self.report(self.progress.state.clone());
            }
            Effect::Ready { sealed } => {
                log::info("task is ready", &[("task", &self.task)]);
                self.report(TaskState::Ready { sealed });
            }
            Effect::Finished => {
                log::info("task finished", &[("task", &self.task)]);
                self.report(TaskState::Finished);
                return true;
            }
            Effect::Failed { why } => {
                log::warn("task failed", &[("task", &self.task), ("why", &why)]);
                self.report(TaskState::Failed { why });
                return true;
            }
            Effect::WakeAt(at) => self.wake_at = Some(at),
        }
        false
    }

    fn report(&mut self, state: TaskState) {
        self.progress.state = state;
        self.reports.task(&self.task, self.progress.clone());
    }
}
