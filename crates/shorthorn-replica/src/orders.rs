//! The agent's orders to this program, one at a time.

use std::sync::Arc;

use shorthorn_wire::agent::ToProgram;

use crate::log;
use crate::program::Stopping;
use crate::store::{OrderError, Store};
use crate::task::Tasks;

/// Who carries orders out.
#[derive(Debug)]
pub struct Orders {
    store: Arc<Store>,
    tasks: Tasks,
    stopping: Arc<Stopping>,
}

impl Orders {
    /// For one program.
    pub fn new(store: Arc<Store>, stopping: Arc<Stopping>) -> Self {
        let tasks = Tasks::new(Arc::clone(&store));
        Self {
            store,
            tasks,
            stopping,
        }
    }

    /// Carries an order out. False: its answer could not be queued, so the link must end.
    pub fn take(&mut self, order: ToProgram) -> bool {
        match order {
            ToProgram::Create {
                id,
                replica,
                cluster,
                volume,
                attempt,
                document,
            } => {
                let made = self
                    .store
                    .create(&replica, &cluster, &volume, attempt, &document);
                self.answer(id, made)
            }
            ToProgram::Delete {
                id,
                replica,
                era,
                version,
            } => {
                let deleted = self.store.delete(&replica, era, version);
                self.answer(id, deleted)
            }
            ToProgram::List { id } => self.store.reports.answer(id, None, self.store.held()),
            ToProgram::Probe {
                id,
                replica,
                drop: _,
            } => match self.store.find(&replica) {
                Ok(slot) => {
                    let held = slot.lock().held(&slot);
                    self.store.reports.answer(id, None, vec![held])
                }
                Err(error) => self.answer(id, Err(error)),
            },
            ToProgram::Fence { id, .. } => {
                let why = "a fence is not known to this program".to_owned();
                self.store.reports.answer(id, Some(why), Vec::new())
            }
            ToProgram::Copy { order } => {
                self.tasks.start(order);
                true
            }
            ToProgram::CancelTask { task } => {
                self.tasks.cancel(&task);
                true
            }
            ToProgram::TaskCommitted { task, document } => {
                self.tasks.committed(&task, document);
                true
            }
            ToProgram::Stop => {
                log::info("told to stop", &[]);
                self.stopping.when_nothing_is_open();
                true
            }
            ToProgram::Answer { .. }
            | ToProgram::Close
            | ToProgram::Leave { .. }
            | ToProgram::Targets { .. } => {
                log::warn("an order for an engine was ignored", &[]);
                true
            }
        }
    }

    fn answer(&self, id: u64, result: Result<(), OrderError>) -> bool {
        let error = result.err().map(|error| error.to_string());
        if let Some(why) = &error {
            log::warn("an order was not carried out", &[("id", &id), ("why", why)]);
        }
        self.store.reports.answer(id, error, Vec::new())
    }
}
