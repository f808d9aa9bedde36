//! One simulated file: what the page cache holds, what the disk holds, and which sectors differ.

use super::chance::Chance;
use std::collections::{BTreeMap, BTreeSet};

pub(super) const PAGE: u64 = 4096;
/// What a disk writes whole or not at all.
const SECTOR: u64 = 512;
const SECTORS: u64 = PAGE / SECTOR;

type Pages = BTreeMap<u64, Box<[u8; PAGE as usize]>>;

#[derive(Default)]
pub(super) struct Inode {
    cache: Pages,
    disk: Pages,
    /// Sectors written since they were last on their way to the disk.
    dirty: BTreeSet<u64>,
    /// Pages that take space; on the disk as of the last sync.
    space: BTreeSet<u64>,
    disk_space: BTreeSet<u64>,
    length: u64,
    disk_length: u64,
}

impl Inode {
    pub(super) fn len(&self) -> u64 {
        self.length
    }

    pub(super) fn pages(&self) -> u64 {
        self.space.len() as u64
    }

    pub(super) fn has_space(&self, page: u64) -> bool {
        self.space.contains(&page)
    }

    pub(super) fn take_space(&mut self, page: u64) {
        self.space.insert(page);
    }

    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> usize {
        let end = (offset + buffer.len() as u64).min(self.length);
        let mut at = offset;
        while at < end {
            let (page, from) = (at / PAGE, (at % PAGE) as usize);
            let count = (PAGE - at % PAGE).min(end - at) as usize;
            let out = &mut buffer[(at - offset) as usize..][..count];
            match self.cache.get(&page) {
                Some(content) => out.copy_from_slice(&content[from..from + count]),
                None => out.fill(0),
            }
            at += count as u64;
        }
        end.saturating_sub(offset) as usize
    }

    /// Writes bytes that lie in one page, which has space.
    pub(super) fn write_in_page(&mut self, data: &[u8], offset: u64) {
        let (page, from) = (offset / PAGE, (offset % PAGE) as usize);
        let content = self
            .cache
            .entry(page)
            .or_insert_with(|| Box::new([0; PAGE as usize]));
        content[from..from + data.len()].copy_from_slice(data);
        let end = offset + data.len() as u64;
        self.dirty.extend(offset / SECTOR..end.div_ceil(SECTOR));
        self.length = self.length.max(end);
    }

    /// Makes a range inside one page zero; gives the space back if it is the whole page and `punch`.
    pub(super) fn zero_in_page(&mut self, offset: u64, length: u64, punch: bool) {
        let page = offset / PAGE;
        if let Some(content) = self.cache.get_mut(&page) {
            let from = (offset % PAGE) as usize;
            content[from..from + length as usize].fill(0);
            self.dirty
                .extend(offset / SECTOR..(offset + length).div_ceil(SECTOR));
        }
        if length == PAGE && punch {
            self.cache.remove(&page);
            self.space.remove(&page);
        }
    }

    pub(super) fn set_len(&mut self, length: u64) {
        if length < self.length {
            let mut at = length;
            while at < self.length.next_multiple_of(PAGE) {
                let count = PAGE - at % PAGE;
                self.zero_in_page(at, count, true);
                at += count;
            }
        }
        self.length = length;
    }

    /// The offset of some byte that was written; none: there is no such byte.
    pub(super) fn somewhere(&self, chance: &mut Chance) -> Option<u64> {
        let pages = self.cache.len();
        if pages == 0 {
            return None;
        }
        let page = self.cache.keys().nth(chance.below(pages as u64) as usize)?;
        Some(page * PAGE + chance.below(PAGE))
    }

    pub(super) fn flip(&mut self, offset: u64, mask: u8) {
        for pages in [&mut self.cache, &mut self.disk] {
            let content = pages
                .entry(offset / PAGE)
                .or_insert_with(|| Box::new([0; PAGE as usize]));
            content[(offset % PAGE) as usize] ^= mask;
        }
    }

    /// Everything is on the disk now.
    pub(super) fn sync(&mut self) {
        for sector in std::mem::take(&mut self.dirty) {
            self.persist(sector);
        }
        self.disk_length = self.length;
        self.disk_space = self.space.clone();
    }

    /// A sync that failed: the kernel takes the pages for clean all the same.
    pub(super) fn forget_dirty(&mut self) {
        self.dirty.clear();
    }

    /// The kernel writes some of it back, at a time of its own.
    pub(super) fn writeback(&mut self, chance: &mut Chance) {
        let way = chance.below(4);
        let mut page_chosen = (u64::MAX, false);
        for sector in self.dirty.clone() {
            let page = sector / SECTORS;
            if page_chosen.0 != page {
                page_chosen = (page, chance.coin());
            }
            let chosen = match way {
                0 => false,
                1 => true,
                2 => page_chosen.1,
                _ => chance.coin(),
            };
            if chosen {
                self.persist(sector);
                self.dirty.remove(&sector);
            }
        }
        if chance.coin() {
            self.disk_length = self.length;
            self.disk_space = self.space.clone();
        }
    }

    /// What the next boot finds.
    pub(super) fn power_loss(&mut self, chance: &mut Chance) {
        self.writeback(chance);
        self.dirty.clear();
        self.cache = self.disk.clone();
        self.length = self.disk_length;
        let length = self.length;
        self.cache.retain(|page, _| page * PAGE < length);
        self.space = self
            .disk_space
            .iter()
            .chain(self.cache.keys())
            .copied()
            .collect();
    }

    fn persist(&mut self, sector: u64) {
        let (page, from) = (sector / SECTORS, (sector % SECTORS * SECTOR) as usize);
        let range = from..from + SECTOR as usize;
        let content = self
            .disk
            .entry(page)
            .or_insert_with(|| Box::new([0; PAGE as usize]));
        match self.cache.get(&page) {
            Some(cached) => content[range.clone()].copy_from_slice(&cached[range]),
            None => content[range].fill(0),
        }
        if content.iter().all(|&byte| byte == 0) {
            self.disk.remove(&page);
        }
    }
}
