//! Replica folders: names, making them appear and disappear whole.

use crate::{Disk, DiskError};
use std::io;
use std::path::{Path, PathBuf};

/// A folder being made.
const NEW: &str = ".new";
/// A folder being deleted.
const DEAD: &str = ".dead";
/// Longest name of a replica, layer, volume, boot …, bytes.
const NAME_BYTES_MAX: usize = 128;

/// Refuses names that can't be a file's: they come from other machines.
pub(crate) fn check_name(what: &str, name: &str) -> Result<(), DiskError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty()
        || name.len() > NAME_BYTES_MAX
        || name.starts_with('.')
        || !name.bytes().all(fits)
    {
        return Err(DiskError::invalid(format!(
            "{what} {name:?} is not a name of letters, digits, -, _ and ."
        )));
    }
    Ok(())
}

/// The folder's name, checked, and the folder that holds it.
pub(crate) fn split(root: &Path) -> Result<(&Path, &str), DiskError> {
    let name = root
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    check_name("the folder's name", name)?;
    if name.ends_with(NEW) || name.ends_with(DEAD) {
        return Err(DiskError::invalid(format!(
            "a replica's name must not end in {NEW} or {DEAD}"
        )));
    }
    match root.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Ok((Path::new("."), name)),
        Some(parent) => Ok((parent, name)),
        None => Err(DiskError::invalid("a replica's folder needs a parent")),
    }
}

/// Makes a folder by `fill`, which leaves its content durable, and lets it appear in one step.
pub(crate) fn make<D: Disk>(
    disk: &D,
    root: &Path,
    fill: impl FnOnce(&Path) -> Result<(), DiskError>,
) -> Result<(), DiskError> {
    let (parent, name) = split(root)?;
    if exists(disk, root)? {
        return Err(DiskError::Exists {
            path: root.display().to_string(),
        });
    }
    let new = parent.join(format!("{name}{NEW}"));
    remove_tree(disk, &new)?;
    let made = disk
        .create_dir(&new)
        .map_err(|error| error_at("making", &new, error))
        .and_then(|()| fill(&new))
        .and_then(|()| {
            disk.rename(&new, root)
                .map_err(|error| error_at("renaming", &new, error))
        });
    if let Err(error) = made {
        // The first error is the one to tell; what stays is removed by the next sweep.
        let _cleaned = remove_tree(disk, &new);
        return Err(error);
    }
    sync_dir(disk, parent)
}

/// Deletes a replica folder for good. A crash leaves it whole, or under a dead name that [`sweep`] removes. One that is
/// gone already is fine.
pub fn delete<D: Disk>(disk: &D, root: &Path) -> Result<(), DiskError> {
    let (parent, name) = split(root)?;
    let dead = parent.join(format!("{name}{DEAD}"));
    if exists(disk, root)? {
        remove_tree(disk, &dead)?;
        disk.rename(root, &dead)
            .map_err(|error| error_at("renaming", root, error))?;
    }
    sync_dir(disk, parent)?;
    remove_tree(disk, &dead)?;
    sync_dir(disk, parent)
}

/// Names of the replica folders in a folder, sorted; half-made and dead ones are not among them.
pub fn list<D: Disk>(disk: &D, folder: &Path) -> Result<Vec<String>, DiskError> {
    let names = disk
        .list(folder)
        .map_err(|error| error_at("listing", folder, error))?;
    Ok(names
        .iter()
        .filter_map(|name| name.strip_suffix('/'))
        .filter(|name| !name.ends_with(NEW) && !name.ends_with(DEAD))
        .map(str::to_owned)
        .collect())
}

/// Removes what crashes left: half-made and half-deleted folders. For program start, before anything is created.
pub fn sweep<D: Disk>(disk: &D, folder: &Path) -> Result<(), DiskError> {
    let names = disk
        .list(folder)
        .map_err(|error| error_at("listing", folder, error))?;
    for name in names.iter().filter_map(|name| name.strip_suffix('/')) {
        if name.ends_with(NEW) || name.ends_with(DEAD) {
            remove_tree(disk, &folder.join(name))?;
        }
    }
    sync_dir(disk, folder)
}

pub(crate) fn exists<D: Disk>(disk: &D, folder: &Path) -> Result<bool, DiskError> {
    match disk.list(folder) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error_at("listing", folder, error)),
    }
}

pub(crate) fn sync_dir<D: Disk>(disk: &D, folder: &Path) -> Result<(), DiskError> {
    disk.sync_dir(folder)
        .map_err(|error| error_at("sync of", folder, error))
}

pub(crate) fn error_at(verb: &str, path: &Path, error: io::Error) -> DiskError {
    DiskError::io(format!("{verb} {}", path.display()), error)
}

/// Removes a folder and all in it, if it is there.
fn remove_tree<D: Disk>(disk: &D, folder: &Path) -> Result<(), DiskError> {
    let names = match disk.list(folder) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error_at("listing", folder, error)),
    };
    for name in names {
        let path: PathBuf = folder.join(name.trim_end_matches('/'));
        if name.ends_with('/') {
            remove_tree(disk, &path)?;
        } else {
            disk.remove(&path)
                .map_err(|error| error_at("removing", &path, error))?;
        }
    }
    disk.remove_dir(folder)
        .map_err(|error| error_at("removing", folder, error))
}
