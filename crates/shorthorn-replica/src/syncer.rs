//! The thread that syncs one replica's files beside its reads and writes.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Weak};
use std::thread;

use shorthorn_core::replica::{Event, Outcome, Token};
use shorthorn_disk::{RealDisk, SyncHandle};

use crate::disk_work;
use crate::slot::Slot;

/// A sync to be done.
pub struct Job {
    /// Goes back with the end of it.
    pub token: Token,
    /// All that was written before.
    pub handle: SyncHandle<RealDisk>,
}

/// Starts the thread. It ends when the sender is dropped.
pub fn start(slot: &Arc<Slot>) -> io::Result<Sender<Job>> {
    let (sender, jobs) = channel();
    let slot = Arc::downgrade(slot);
    thread::Builder::new()
        .name("sync".to_owned())
        .spawn(move || run(&jobs, &slot))?;
    Ok(sender)
}

fn run(jobs: &Receiver<Job>, slot: &Weak<Slot>) {
    while let Ok(Job { token, handle }) = jobs.recv() {
        let outcome = handle
            .sync()
            .map_or_else(disk_work::failed, |()| Outcome::Done);
        let Some(slot) = slot.upgrade() else { return };
        let mut replies = slot.lock().deliver(&slot, Event::Done { token, outcome });
        replies.flush(None);
    }
}
