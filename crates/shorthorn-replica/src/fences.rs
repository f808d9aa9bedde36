//! The fences under way: each on a thread of its own, so that neither orders nor connections wait for it.
//!
//! A repeat of an order that is under way is answered together with it. Whoever lost its link meanwhile is not answered:
//! it orders again.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use shorthorn_wire::message::{Attempt, Epoch};

use crate::fence::{Fence, FenceError};
use crate::log;
use crate::store::Store;

/// Fences under way at once: a disk with a thousand replicas, each fenced.
const FENCES_MAX: usize = 1024;
/// Orders that wait for the same fence.
const ASKERS_MAX: usize = 16;
/// A longer wait is no order of a sane record: T is some seconds.
const WAIT_MS_MAX: u64 = 60_000;
const STACK_BYTES: usize = 256 << 10;

/// Why a fence was not begun; nothing was sealed.
#[derive(Debug, thiserror::Error)]
pub enum RefusedFence {
    /// See [`WAIT_MS_MAX`].
    #[error("a fence that waits {0} ms is refused: at most {WAIT_MS_MAX} ms")]
    Wait(u64),
    /// See [`FENCES_MAX`].
    #[error("{FENCES_MAX} fences are under way on this disk: order it again later")]
    Full,
    /// See [`ASKERS_MAX`].
    #[error("{ASKERS_MAX} orders wait for this fence already")]
    Asked,
    /// No thread.
    #[error("the fence could not be started: {0}")]
    System(#[from] io::Error),
}

/// Replica, epoch and attempt.
type Key = (String, Epoch, Attempt);

/// An order that waits for its answer.
#[derive(Clone, Copy, Debug)]
struct Asker {
    link: u64,
    id: u64,
}

#[derive(Debug, Default)]
struct UnderWay(Mutex<BTreeMap<Key, Vec<Asker>>>);

/// See the module.
#[derive(Debug)]
pub struct Fences {
    store: Arc<Store>,
    under_way: Arc<UnderWay>,
}

impl Fences {
    /// None yet.
    pub fn new(store: Arc<Store>) -> Self {
        Self {
            store,
            under_way: Arc::default(),
        }
    }

    /// Begins a fence, or joins the same one. It is answered later, under this id.
    ///
    /// # Errors
    /// It was not begun.
    pub fn start(&self, id: u64, fence: Fence) -> Result<(), RefusedFence> {
        if fence.wait_ms > WAIT_MS_MAX {
            return Err(RefusedFence::Wait(fence.wait_ms));
        }
        let key = (fence.replica.clone(), fence.seal.epoch, fence.seal.attempt);
        let link = self.store.reports.link();
        if !self.under_way.join(&key, Asker { link, id })? {
            return Ok(());
        }
        let (store, under_way) = (Arc::clone(&self.store), Arc::clone(&self.under_way));
        let run = {
            let key = key.clone();
            move || {
                let held = fence.hold(&store);
                under_way.answer(&store, &key, held);
            }
        };
        let thread = thread::Builder::new()
            .name("fence".to_owned())
            .stack_size(STACK_BYTES);
        if let Err(error) = thread.spawn(run) {
            self.under_way.lock().remove(&key);
            return Err(error.into());
        }
        Ok(())
    }
}

impl UnderWay {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Vec<Asker>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True: it is new.
    fn join(&self, key: &Key, asker: Asker) -> Result<bool, RefusedFence> {
        let mut under_way = self.lock();
        if let Some(askers) = under_way.get_mut(key) {
            // Those of an older link wait in vain.
            askers.retain(|known| known.link == asker.link);
            if askers.len() >= ASKERS_MAX {
                return Err(RefusedFence::Asked);
            }
            askers.push(asker);
            return Ok(false);
        }
        if under_way.len() >= FENCES_MAX {
            return Err(RefusedFence::Full);
        }
        under_way.insert(key.clone(), vec![asker]);
        Ok(true)
    }

    fn answer(
        &self,
        store: &Store,
        key: &Key,
        held: Result<shorthorn_wire::agent::Held, FenceError>,
    ) {
        let (replica, epoch, _) = key;
        let (error, replicas) = match held {
            Ok(held) => {
                log::info("fence held", &[("replica", replica), ("epoch", epoch)]);
                (None, vec![held])
            }
            Err(error) => {
                log::warn("fence not held", &[("replica", replica), ("why", &error)]);
                (Some(error.to_string()), Vec::new())
            }
        };
        let askers = self.lock().remove(key).unwrap_or_default();
        for Asker { link, id } in askers {
            let reports = &store.reports;
            if !reports.answer_later(link, id, error.clone(), replicas.clone()) {
                log::info(
                    "a fence's answer was dropped: its link is over or full",
                    &[("id", &id)],
                );
            }
        }
    }
}
