//! A disk in memory that can lose, tear, rot, fill up and fail: for tests and the simulator.
//!
//! It knows what is synced. [`SimDisk::crash_process`] keeps the page cache, [`SimDisk::power_loss`] keeps what was synced
//! and some of the rest, by sectors of 512 bytes. Everything that looks random follows from the seeds it is given.

mod chance;
mod inode;
mod tree;

use crate::{Disk, File};
use chance::Chance;
use inode::{Inode, PAGE};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tree::{Node, Tree};

/// A simulated disk; clones are the same disk.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<World>>);

/// An open file of [`SimDisk`].
pub struct SimFile {
    disk: SimDisk,
    inode: u64,
    /// The process that opened it.
    process: u64,
}

struct World {
    tree: Tree,
    inodes: BTreeMap<u64, Inode>,
    /// Pages that named files take.
    used: u64,
    capacity: Option<u64>,
    /// Counts everything that changes or syncs.
    steps: u64,
    /// Counts syncs of files and folders.
    syncs: u64,
    crash_at: Option<u64>,
    /// The process died at `crash_at`, and nobody has looked yet.
    down: bool,
    process: u64,
    writes_to_failure: Option<u64>,
    syncs_to_failure: Option<u64>,
}

impl Default for SimDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl SimDisk {
    /// An empty disk of unlimited size.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(World {
            tree: Tree::new(),
            inodes: BTreeMap::new(),
            used: 0,
            capacity: None,
            steps: 0,
            syncs: 0,
            crash_at: None,
            down: false,
            process: 0,
            writes_to_failure: None,
            syncs_to_failure: None,
        })))
    }

    /// How many calls that change or sync something there have been.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.world().steps
    }

    /// How many syncs of files and folders there have been: what makes a disk slow.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.world().syncs
    }

    /// The process dies in the middle of the step with this number (see [`Self::steps`]; the next one is `steps()`): a part
    /// of it happens, it and every later call fail, until [`Self::crash_process`] or [`Self::power_loss`].
    pub fn crash_at(&self, step: u64) {
        self.world().crash_at = Some(step);
    }

    /// Whether the step of [`Self::crash_at`] has come.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.world().down
    }

    /// The process is gone, its files are closed; the page cache stays.
    pub fn crash_process(&self) {
        self.world().next_process();
    }

    /// The power is gone: what was not synced is there or not, sector by sector.
    pub fn power_loss(&self, seed: u64) {
        let mut world = self.world();
        world.next_process();
        let mut chance = Chance::new(seed);
        world.tree.power_loss(&mut chance);
        world
            .inodes
            .values_mut()
            .for_each(|inode| inode.power_loss(&mut chance));
        world.count_used();
    }

    /// The kernel writes back some of what is not synced.
    pub fn writeback(&self, seed: u64) {
        let mut chance = Chance::new(seed);
        self.world()
            .inodes
            .values_mut()
            .for_each(|inode| inode.writeback(&mut chance));
    }

    /// Sets how many bytes fit; none: any number.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.world().capacity = bytes.map(|bytes| bytes / PAGE);
    }

    /// Bytes that its files take.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.world().used * PAGE
    }

    /// The write after `skip` others fails with an I/O error, and changes nothing.
    pub fn fail_write(&self, skip: u64) {
        self.world().writes_to_failure = Some(skip);
    }

    /// The file sync after `skip` others fails with an I/O error. What it was to make durable never will be, and the next
    /// sync says OK, as in Linux.
    pub fn fail_sync(&self, skip: u64) {
        self.world().syncs_to_failure = Some(skip);
    }

    /// Flips the bits of `mask` in one byte, on the disk and in the page cache.
    pub fn rot(&self, path: &Path, offset: u64, mask: u8) -> io::Result<()> {
        let mut world = self.world();
        let inode = world.tree.file(path)?;
        world.inode(inode)?.flip(offset, mask);
        Ok(())
    }

    /// Flips one bit of one byte somewhere in what a file holds. Where; none: it holds nothing.
    pub fn rot_somewhere(&self, path: &Path, seed: u64) -> io::Result<Option<u64>> {
        let mut world = self.world();
        let inode = world.tree.file(path)?;
        let file = world.inode(inode)?;
        let mut chance = Chance::new(seed);
        let Some(offset) = file.somewhere(&mut chance) else {
            return Ok(None);
        };
        file.flip(offset, 1 << chance.below(8));
        Ok(Some(offset))
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open_inode(&self, world: &World, inode: u64) -> SimFile {
        SimFile {
            disk: self.clone(),
            inode,
            process: world.process,
        }
    }
}

/// How much of a step happens.
enum Step {
    Whole,
    /// The process dies in it; the number decides how far it got.
    Cut(Chance),
}

impl World {
    fn up(&self) -> io::Result<()> {
        if self.down { Err(dead()) } else { Ok(()) }
    }

    fn step(&mut self) -> io::Result<Step> {
        self.up()?;
        let step = self.steps;
        self.steps += 1;
        if self.crash_at == Some(step) {
            self.down = true;
            return Ok(Step::Cut(Chance::new(step)));
        }
        Ok(Step::Whole)
    }

    /// A step that happens or does not.
    fn atomic<T>(&mut self, action: impl FnOnce(&mut Self) -> io::Result<T>) -> io::Result<T> {
        match self.step()? {
            Step::Whole => action(self),
            Step::Cut(mut chance) => {
                if chance.coin() {
                    action(self)?;
                }
                Err(dead())
            }
        }
    }

    /// A step on the pages of a range: `action` gets each page's part of it, in order, until one fails. Returns how many
    /// bytes were done and why not more.
    fn paged(
        &mut self,
        offset: u64,
        length: u64,
        mut action: impl FnMut(&mut Self, u64, u64) -> io::Result<()>,
    ) -> (u64, io::Result<()>) {
        let pages = (offset + length).div_ceil(PAGE) - offset / PAGE;
        let limit = match self.step() {
            Err(error) => return (0, Err(error)),
            Ok(Step::Whole) => u64::MAX,
            Ok(Step::Cut(mut chance)) => chance.below(pages + 1),
        };
        let mut done = 0;
        for _ in 0..pages.min(limit) {
            let at = offset + done;
            let count = (PAGE - at % PAGE).min(length - done);
            if let Err(error) = action(self, at, count) {
                return (done, Err(error));
            }
            done += count;
        }
        (done, self.up())
    }

    fn inode(&mut self, inode: u64) -> io::Result<&mut Inode> {
        self.inodes
            .get_mut(&inode)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Takes space for a page, or says that there is none.
    fn take_space(&mut self, inode: u64, page: u64) -> io::Result<()> {
        let full = self.capacity.is_some_and(|capacity| self.used >= capacity);
        let file = self.inode(inode)?;
        if file.has_space(page) {
            return Ok(());
        }
        if full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        file.take_space(page);
        self.used += 1;
        Ok(())
    }

    fn count_used(&mut self) {
        let files = self.tree.files();
        self.used = files
            .iter()
            .filter_map(|inode| self.inodes.get(inode))
            .map(Inode::pages)
            .sum();
    }

    fn next_process(&mut self) {
        self.process += 1;
        self.down = false;
        self.crash_at = None;
    }
}

fn dead() -> io::Error {
    io::Error::other("the simulated process has died")
}

/// Counts down to a failure; true when it is due.
fn due(countdown: &mut Option<u64>) -> bool {
    match countdown {
        Some(0) => {
            *countdown = None;
            true
        }
        Some(left) => {
            *left -= 1;
            false
        }
        None => false,
    }
}

impl Disk for SimDisk {
    type File = SimFile;

    fn open(&self, path: &Path) -> io::Result<SimFile> {
        let world = self.world();
        world.up()?;
        let inode = world.tree.file(path)?;
        Ok(self.open_inode(&world, inode))
    }

    fn create(&self, path: &Path) -> io::Result<SimFile> {
        let mut world = self.world();
        let inode = world.atomic(|world| {
            let inode = world.tree.fresh();
            world.tree.add(path, Node::File(inode))?;
            world.inodes.insert(inode, Inode::default());
            Ok(inode)
        })?;
        Ok(self.open_inode(&world, inode))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.world().atomic(|world| {
            world.tree.rename(from, to)?;
            world.count_used();
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.world().atomic(|world| {
            world.tree.remove_file(path)?;
            world.count_used();
            Ok(())
        })
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.world().atomic(|world| {
            let folder = world.tree.fresh();
            world.tree.add(path, Node::Folder(folder))
        })
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.world().atomic(|world| world.tree.remove_folder(path))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let world = self.world();
        world.up()?;
        world.tree.list(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.syncs += 1;
        world.atomic(|world| world.tree.sync(path))
    }
}

impl SimFile {
    /// The world, if the process that opened this file still lives.
    fn world(&self) -> io::Result<MutexGuard<'_, World>> {
        let world = self.disk.world();
        if world.process != self.process {
            return Err(dead());
        }
        world.up()?;
        Ok(world)
    }

    fn zero_range(&self, offset: u64, length: u64, punch: bool) -> io::Result<()> {
        let mut world = self.world()?;
        let zeroed = world.paged(offset, length, |world, at, count| {
            if !punch {
                world.take_space(self.inode, at / PAGE)?;
            }
            let file = world.inode(self.inode)?;
            let before = file.pages();
            file.zero_in_page(at, count, punch);
            let freed = before - file.pages();
            world.used = world.used.saturating_sub(freed);
            Ok(())
        });
        zeroed.1
    }
}

impl File for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        Ok(self.world()?.inode(self.inode)?.read(buffer, offset))
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<usize> {
        let mut world = self.world()?;
        if due(&mut world.writes_to_failure) {
            return Err(io::Error::other("simulated write error"));
        }
        let (done, end) = world.paged(offset, data.len() as u64, |world, at, count| {
            world.take_space(self.inode, at / PAGE)?;
            let from = (at - offset) as usize;
            world
                .inode(self.inode)?
                .write_in_page(&data[from..from + count as usize], at);
            Ok(())
        });
        match end {
            Err(error) if done == 0 || world.down => Err(error),
            _ => Ok(done as usize),
        }
    }

    fn sync(&self) -> io::Result<()> {
        let mut world = self.world()?;
        let step = world.step()?;
        world.syncs += 1;
        let failed = due(&mut world.syncs_to_failure);
        let file = world.inode(self.inode)?;
        match step {
            Step::Whole if failed => {
                file.forget_dirty();
                Err(io::Error::other("simulated sync error"))
            }
            Step::Whole => {
                file.sync();
                Ok(())
            }
            Step::Cut(mut chance) => {
                file.writeback(&mut chance);
                Err(dead())
            }
        }
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut world = self.world()?;
        world.atomic(|world| {
            world.inode(self.inode)?.set_len(length);
            world.count_used();
            Ok(())
        })
    }

    fn punch(&self, offset: u64, length: u64) -> io::Result<()> {
        self.zero_range(offset, length, true)
    }

    fn zero(&self, offset: u64, length: u64) -> io::Result<()> {
        self.zero_range(offset, length, false)
    }

    fn allocate(&self, offset: u64, length: u64) -> io::Result<()> {
        let mut world = self.world()?;
        world
            .paged(offset, length, |world, at, _| {
                world.take_space(self.inode, at / PAGE)
            })
            .1
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.world()?.inode(self.inode)?.len())
    }

    fn allocated(&self) -> io::Result<u64> {
        Ok(self.world()?.inode(self.inode)?.pages() * PAGE)
    }
}
