//! All replicas of one disk: finding, making, deleting and listing them.
//!
//! A folder that can't be read is reported as damaged and left alone; the others are served.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shorthorn_core::replica::{ConnId, Outcome};
use shorthorn_disk::{DiskError, Identity, RealDisk, ReplicaFiles};
use shorthorn_wire::agent::Held;
use shorthorn_wire::message::{Attempt, Document};

use crate::arguments::Settings;
use crate::log;
use crate::reports::Reports;
use crate::slot::Slot;

/// The replicas of a disk.
#[derive(Debug)]
pub struct Store {
    /// The program's settings.
    pub settings: Settings,
    /// Where news for the agent go.
    pub reports: Arc<Reports>,
    folder: PathBuf,
    disk: Arc<RealDisk>,
    replicas: Mutex<Replicas>,
    last_conn: AtomicU64,
}

#[derive(Debug, Default)]
struct Replicas {
    slots: BTreeMap<String, Arc<Slot>>,
    /// Folders that can't be served, with the reason.
    damaged: BTreeMap<String, String>,
}

/// Why an order about a replica was not carried out; nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// Something else has the name.
    #[error("replica {0} exists and is another one")]
    Exists(String),
    /// It can't be read, so nobody knows what it is.
    #[error("replica {replica} is damaged: {why}")]
    Damaged {
        /// Which.
        replica: String,
        /// How.
        why: String,
    },
    /// No such folder.
    #[error("there is no replica {0} on this disk")]
    Unknown(String),
    /// The order is older than what is stored here (docs/protocol.md, "Deletion orders").
    #[error(
        "replica {replica} has stored document {stored}, newer than the tombstone's {tombstone}"
    )]
    Newer {
        /// Which.
        replica: String,
        /// Era and version here.
        stored: String,
        /// Era and version of the order.
        tombstone: String,
    },
    /// The disk.
    #[error("{0}")]
    Disk(#[from] DiskError),
}

impl Store {
    /// Opens every replica in `folder`.
    ///
    /// # Errors
    /// The folder itself can't be read or swept.
    pub fn open(
        settings: Settings,
        folder: PathBuf,
        reports: Arc<Reports>,
    ) -> Result<Self, DiskError> {
        let disk = Arc::new(RealDisk);
        shorthorn_disk::sweep(&*disk, &folder)?;
        let names = shorthorn_disk::list(&*disk, &folder)?;
        let (replicas, last_conn) = (Mutex::default(), AtomicU64::new(0));
        let store = Self {
            settings,
            reports,
            folder,
            disk,
            replicas,
            last_conn,
        };
        for name in names {
            match store.open_one(&name) {
                Ok(slot) => {
                    store.lock().slots.insert(name, slot);
                }
                Err(error) => {
                    let why = error.to_string();
                    log::error(
                        "replica can't be served",
                        &[("replica", &name), ("why", &why)],
                    );
                    store.lock().damaged.insert(name, why);
                }
            }
        }
        Ok(store)
    }

    fn open_one(&self, name: &str) -> Result<Arc<Slot>, DiskError> {
        let files = ReplicaFiles::open(
            Arc::clone(&self.disk),
            &self.folder.join(name),
            &self.settings.boot,
        )?;
        let found = &files.header().identity;
        let wrong = [
            ("replica", &found.replica, name),
            ("disk", &found.disk, &self.settings.disk_uid),
            ("cluster", &found.cluster, &self.settings.cluster),
        ];
        if let Some((what, found, expected)) = wrong
            .into_iter()
            .find(|(_, found, expected)| found != expected)
        {
            return Err(DiskError::Damaged {
                what: format!("it belongs to {what} {found}, not to {expected}"),
            });
        }
        Ok(self.slot(name, files))
    }

    fn slot(&self, name: &str, files: ReplicaFiles<RealDisk>) -> Arc<Slot> {
        Slot::new(
            name.to_owned(),
            &self.settings.boot,
            files,
            Arc::clone(&self.reports),
        )
    }

    /// A replica that is served; else why not.
    pub fn find(&self, replica: &str) -> Result<Arc<Slot>, OrderError> {
        let replicas = self.lock();
        if let Some(slot) = replicas.slots.get(replica) {
            return Ok(Arc::clone(slot));
        }
        Err(match replicas.damaged.get(replica) {
            Some(why) => OrderError::Damaged {
                replica: replica.to_owned(),
                why: why.clone(),
            },
            None => OrderError::Unknown(replica.to_owned()),
        })
    }

    /// A number for a new connection.
    pub fn next_conn(&self) -> ConnId {
        ConnId(self.last_conn.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Makes an empty replica; the same again changes nothing. Only the agent's link calls this, so never twice at once.
    pub fn create(
        &self,
        replica: &str,
        cluster: &str,
        volume: &str,
        attempt: Attempt,
        document: &Document,
    ) -> Result<(), OrderError> {
        let known = match self.find(replica) {
            Ok(slot) => Some(slot.lock().core().identity().clone()),
            Err(OrderError::Unknown(_)) => None,
            Err(other) => return Err(other),
        };
        match known {
            Some(known) if known.cluster == cluster && known.volume == volume => return Ok(()),
            Some(_) => return Err(OrderError::Exists(replica.to_owned())),
            None => {}
        }
        if cluster != self.settings.cluster {
            let what = format!("this disk belongs to cluster {}", self.settings.cluster);
            return Err(DiskError::Invalid { what }.into());
        }
        let identity = Identity {
            cluster: cluster.to_owned(),
            volume: volume.to_owned(),
            replica: replica.to_owned(),
            disk: self.settings.disk_uid.clone(),
            era: document.era,
        };
        // The name is checked before it becomes part of a path: it comes from another machine.
        let root = self.folder.join(checked(replica)?);
        let disk = Arc::clone(&self.disk);
        let files = ReplicaFiles::create(
            disk,
            &root,
            identity,
            attempt,
            document,
            &self.settings.boot,
        )?;
        self.lock()
            .slots
            .insert(replica.to_owned(), self.slot(replica, files));
        log::info(
            "replica made",
            &[
                ("replica", &replica),
                ("volume", &volume),
                ("bytes", &document.size),
            ],
        );
        self.reports.replicas_changed();
        Ok(())
    }

    /// Deletes a replica for a tombstone, unless it has stored something newer. One that is not there is deleted.
    pub fn delete(&self, replica: &str, era: u64, version: u64) -> Result<(), OrderError> {
        let slot = match self.find(replica) {
            Ok(slot) => slot,
            Err(OrderError::Unknown(_)) => return Ok(()),
            Err(other) => return Err(other),
        };
        {
            let mut inner = slot.lock_idle();
            if !inner.core().may_delete(era, version) {
                let stored = inner.core().document();
                return Err(OrderError::Newer {
                    replica: replica.to_owned(),
                    stored: format!("{}.{}", stored.era, stored.version),
                    tombstone: format!("{era}.{version}"),
                });
            }
            slot.close(&mut inner);
        }
        self.lock().slots.remove(replica);
        self.reports.replicas_changed();
        if let Err(error) = shorthorn_disk::delete(&*self.disk, &self.folder.join(replica)) {
            // Not served any more, and not gone: said until the next start, which finds out what it is.
            let why = format!("it could not be deleted: {error}");
            self.lock().damaged.insert(replica.to_owned(), why);
            return Err(error.into());
        }
        log::info("replica deleted", &[("replica", &replica)]);
        Ok(())
    }

    /// Every replica folder.
    pub fn held(&self) -> Vec<Held> {
        let (slots, damaged) = {
            let replicas = self.lock();
            (
                replicas.slots.values().cloned().collect::<Vec<_>>(),
                replicas.damaged.clone(),
            )
        };
        let served = slots.iter().map(|slot| slot.lock().held(slot));
        served
            .chain(
                damaged
                    .into_iter()
                    .map(|(replica, why)| unreadable(replica, why)),
            )
            .collect()
    }

    /// Whether a session is open on any replica.
    pub fn any_open(&self) -> bool {
        let slots: Vec<_> = self.lock().slots.values().cloned().collect();
        slots.iter().any(|slot| slot.lock().core().is_open())
    }

    /// Ends all connections and makes everything durable.
    pub fn shut_down(&self) {
        let slots: Vec<_> = self.lock().slots.values().cloned().collect();
        for slot in slots {
            let mut inner = slot.lock();
            slot.close(&mut inner);
            if let Outcome::Disk(why) = inner.sync_all() {
                log::error(
                    "replica could not be synced",
                    &[("replica", &slot.name), ("why", &why)],
                );
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Replicas> {
        self.replicas.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A replica id that can be the name of a folder and nothing else.
fn checked(replica: &str) -> Result<&str, DiskError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if replica.is_empty() || replica.starts_with('.') || !replica.bytes().all(plain) {
        return Err(DiskError::Invalid {
            what: format!("{replica:?} is not the id of a replica"),
        });
    }
    Ok(replica)
}

fn unreadable(replica: String, why: String) -> Held {
    Held {
        replica,
        volume: String::new(),
        empty: false,
        document_version: 0,
        used: 0,
        open: false,
        damaged: Some(why),
        standing: None,
    }
}
