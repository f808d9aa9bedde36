//! The agent's orders to this program, one at a time.

use std::sync::Arc;

use shorthorn_wire::agent::ToProgram;
use shorthorn_wire::message::Seal;

use crate::fence::Fence;
use crate::fences::Fences;
use crate::log;
use crate::program::Stopping;
use crate::store::{OrderError, Store};
use crate::task::Tasks;

/// Who carries orders out.
#[derive(Debug)]
pub struct Orders {
    store: Arc<Store>,
    tasks: Tasks,
    fences: Fences,
    stopping: Arc<Stopping>,
}

impl Orders {
    /// For one program.
    pub fn new(store: Arc<Store>, stopping: Arc<Stopping>) -> Self {
        let tasks = Tasks::new(Arc::clone(&store));
        let fences = Fences::new(Arc::clone(&store));
        Self {
            store,
            tasks,
            fences,
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
            ToProgram::Fence {
                id,
                replica,
                epoch,
                attempt,
                opened_epoch,
                stored_m,
                document,
                wait_ms,
            } => {
                let fence = Fence {
                    replica,
                    opened_epoch,
                    stored_m,
                    seal: Seal {
                        epoch,
                        attempt,
                        document,
                    },
                    wait_ms,
                };
                match self.fences.start(id, fence) {
                    Ok(()) => true,
                    Err(error) => self.refuse(id, &error),
                }
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
        match result {
            Ok(()) => self.store.reports.answer(id, None, Vec::new()),
            Err(error) => self.refuse(id, &error),
        }
    }

    fn refuse(&self, id: u64, error: &dyn std::error::Error) -> bool {
        log::warn(
            "an order was not carried out",
            &[("id", &id), ("why", &error)],
        );
        self.store
            .reports
            .answer(id, Some(error.to_string()), Vec::new())
    }
}
