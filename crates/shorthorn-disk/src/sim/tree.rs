//! The simulated names: folders, what they hold now and what the disk knows of it.
//!
//! Each folder keeps its unsynced changes in order; a power loss keeps a prefix of them, in each folder another. Real
//! journals promise more; code that gets by with this gets by with them.

use super::chance::Chance;
use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    File(u64),
    Folder(u64),
}

type Change = Vec<(String, Option<Node>)>;

#[derive(Default)]
struct Folder {
    now: BTreeMap<String, Node>,
    durable: BTreeMap<String, Node>,
    unsynced: Vec<Change>,
}

pub(super) struct Tree {
    folders: BTreeMap<u64, Folder>,
    next: u64,
}

impl Tree {
    pub(super) fn new() -> Self {
        Self {
            folders: BTreeMap::from([(0, Folder::default())]),
            next: 1,
        }
    }

    pub(super) fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(super) fn find(&self, path: &Path) -> io::Result<Node> {
        let mut node = Node::Folder(0);
        for component in path.components() {
            if let Component::Normal(name) = component {
                let Node::Folder(folder) = node else {
                    return Err(io::ErrorKind::NotADirectory.into());
                };
                let name = name.to_str().unwrap_or_default();
                node = *self.folders[&folder]
                    .now
                    .get(name)
                    .ok_or(io::ErrorKind::NotFound)?;
            }
        }
        Ok(node)
    }

    pub(super) fn folder(&self, path: &Path) -> io::Result<u64> {
        match self.find(path)? {
            Node::Folder(folder) => Ok(folder),
            Node::File(_) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    pub(super) fn file(&self, path: &Path) -> io::Result<u64> {
        match self.find(path)? {
            Node::File(inode) => Ok(inode),
            Node::Folder(_) => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    /// Adds a name that is not there.
    pub(super) fn add(&mut self, path: &Path, node: Node) -> io::Result<()> {
        let (parent, name) = self.parent(path)?;
        if self.folders[&parent].now.contains_key(&name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if let Node::Folder(id) = node {
            self.folders.insert(id, Folder::default());
        }
        self.change(parent, vec![(name, Some(node))]);
        Ok(())
    }

    pub(super) fn remove_folder(&mut self, path: &Path) -> io::Result<()> {
        let folder = self.folder(path)?;
        if !self.folders[&folder].now.is_empty() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        let (parent, name) = self.parent(path)?;
        self.change(parent, vec![(name, None)]);
        Ok(())
    }

    pub(super) fn remove_file(&mut self, path: &Path) -> io::Result<()> {
        self.file(path)?;
        let (parent, name) = self.parent(path)?;
        self.change(parent, vec![(name, None)]);
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let node = self.find(from)?;
        let ((parent, old), (other, new)) = (self.parent(from)?, self.parent(to)?);
        if parent != other {
            return Err(io::ErrorKind::CrossesDevices.into());
        }
        self.change(parent, vec![(old, None), (new, Some(node))]);
        Ok(())
    }

    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let folder = self.folder(path)?;
        let name = |(name, node): (&String, &Node)| match node {
            Node::File(_) => name.clone(),
            Node::Folder(_) => format!("{name}/"),
        };
        let mut names: Vec<String> = self.folders[&folder].now.iter().map(name).collect();
        names.sort();
        Ok(names)
    }

    pub(super) fn sync(&mut self, path: &Path) -> io::Result<()> {
        let folder = self.folder(path)?;
        if let Some(folder) = self.folders.get_mut(&folder) {
            folder.durable = folder.now.clone();
            folder.unsynced.clear();
        }
        Ok(())
    }

    pub(super) fn power_loss(&mut self, chance: &mut Chance) {
        for folder in self.folders.values_mut() {
            let kept = chance.below(folder.unsynced.len() as u64 + 1) as usize;
            for change in folder.unsynced.drain(..).take(kept) {
                apply(&mut folder.durable, &change);
            }
            folder.now = folder.durable.clone();
        }
    }

    /// Files that have a name now.
    pub(super) fn files(&self) -> Vec<u64> {
        let mut files = Vec::new();
        let mut open = vec![0];
        while let Some(folder) = open.pop() {
            for node in self.folders[&folder].now.values() {
                match node {
                    Node::File(inode) => files.push(*inode),
                    Node::Folder(id) => open.push(*id),
                }
            }
        }
        files.sort_unstable();
        files
    }

    fn parent(&self, path: &Path) -> io::Result<(u64, String)> {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .ok_or(io::ErrorKind::InvalidInput)?;
        let parent = self.folder(path.parent().unwrap_or(Path::new("")))?;
        Ok((parent, name.to_owned()))
    }

    fn change(&mut self, folder: u64, change: Change) {
        if let Some(folder) = self.folders.get_mut(&folder) {
            apply(&mut folder.now, &change);
            folder.unsynced.push(change);
        }
    }
}

fn apply(names: &mut BTreeMap<String, Node>, change: &Change) {
    for (name, node) in change {
        match node {
            Some(node) => names.insert(name.clone(), *node),
            None => names.remove(name),
        };
    }
}
