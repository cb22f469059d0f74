//! Whether a watched folder is there, and the drives below it. What is on a drive that is away is not gone.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::drives;

/// Why a folder cannot be watched now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Away {
    /// There is nothing.
    #[error("it is not there")]
    Missing,
    /// There is something else.
    #[error("it is not a folder")]
    NotAFolder,
    /// Its drive was there and is not any more: an empty folder is left.
    #[error("its drive is not mounted")]
    Unmounted,
    /// Another folder has taken its place.
    #[error("another folder has taken its place")]
    Replaced,
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
}

/// A folder as it was when docent began to watch it, with the drives that were seen below it.
#[derive(Debug)]
pub struct Root {
    path: PathBuf,
    identity: (u64, u64),
    /// Network drives may give a folder another inode at any time.
    has_inode: bool,
    is_mount: bool,
    mounts: Mutex<BTreeSet<PathBuf>>,
}

impl Root {
    /// Looks at a folder. May wait for a drive.
    ///
    /// # Errors
    ///
    /// If it is not there, no folder, or cannot be read.
    pub fn find(path: &Path) -> Result<Self, Away> {
        let identity = identity(path)?;
        std::fs::read_dir(path).map_err(|error| away(&error))?;
        let has_inode = drives::silent(path).is_none();
        let (path, mounts) = (path.to_path_buf(), Mutex::default());
        Ok(Self { is_mount: is_mount(&path), identity, has_inode, path, mounts })
    }

    /// Whether it is still the same folder, on the same drive.
    ///
    /// # Errors
    ///
    /// If it is not, and why.
    pub fn look(&self) -> Result<(), Away> {
        let (device, inode) = identity(&self.path)?;
        match device == self.identity.0 && (inode == self.identity.1 || !self.has_inode) {
            true => Ok(()),
            false if self.is_mount && !is_mount(&self.path) => Err(Away::Unmounted),
            false => Err(Away::Replaced),
        }
    }

    /// A folder below it is there: if it is a drive, that is kept in mind. Answers whether it is one.
    pub fn meet(&self, folder: &Path) -> bool {
        let is_drive = folder != self.path && is_mount(folder);
        if is_drive {
            self.mounts.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.to_path_buf());
        }
        is_drive
    }

    /// Whether nothing can be said of a place: this folder is away, or a drive below it that the place was on.
    pub fn is_away(&self, place: &Path) -> bool {
        let mounts = self.mounts.lock().unwrap_or_else(PoisonError::into_inner);
        let is_lost = mounts.iter().any(|mount| place.starts_with(mount) && !is_mount(mount));
        is_lost || self.look().is_err()
    }
}

fn identity(path: &Path) -> Result<(u64, u64), Away> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok((metadata.dev(), metadata.ino())),
        Ok(_) => Err(Away::NotAFolder),
        Err(error) => Err(away(&error)),
    }
}

fn away(error: &std::io::Error) -> Away {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    match error.kind() {
        NotFound | NotADirectory => Away::Missing,
        _ => Away::Unreadable(error.to_string()),
    }
}

/// Whether a folder lies on another drive than the folder above it.
fn is_mount(folder: &Path) -> bool {
    let device = |path: &Path| std::fs::metadata(path).map(|metadata| metadata.dev()).ok();
    match (device(folder), folder.parent().and_then(device)) {
        (Some(here), Some(above)) => here != above,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_gone_or_another_one_is_noticed() {
        let above = tempfile::tempdir().expect("a temporary folder");
        let path = above.path().join("watched");
        assert_eq!(Root::find(&path).expect_err("is not there"), Away::Missing);
        std::fs::write(&path, "a file").expect("is written");
        assert_eq!(Root::find(&path).expect_err("is a file"), Away::NotAFolder);
        std::fs::remove_file(&path).expect("is removed");
        std::fs::create_dir(&path).expect("is made");
        let root = Root::find(&path).expect("is there");
        assert_eq!(root.look(), Ok(()));
        assert!(!root.is_away(&path.join("a.jpg")));
        std::fs::rename(&path, above.path().join("elsewhere")).expect("is renamed");
        assert_eq!(root.look(), Err(Away::Missing));
        assert!(root.is_away(&path.join("a.jpg")));
        std::fs::create_dir(&path).expect("is made");
        assert_eq!(root.look(), Err(Away::Replaced));
    }

    #[test]
    fn drives_are_told_from_folders() {
        assert!(is_mount(Path::new("/proc")));
        assert!(!is_mount(Path::new("/proc/self")) && !is_mount(Path::new("/")));
        let root = Root::find(Path::new("/")).expect("is there");
        assert!(root.meet(Path::new("/proc")) && !root.meet(Path::new("/proc/self")));
        assert!(!root.is_away(Path::new("/proc/1/nothing")), "its drive is there");
        // As if a drive had been here.
        let folder = tempfile::tempdir().expect("a temporary folder");
        root.mounts.lock().expect("is whole").insert(folder.path().to_path_buf());
        assert!(root.is_away(&folder.path().join("a.jpg")) && !root.is_away(Path::new("/a.jpg")));
    }
}
