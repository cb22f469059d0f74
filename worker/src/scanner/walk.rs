//! The walk through folders: what lies there, and what of it is left out.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use walkdir::{DirEntry, WalkDir};

use super::stamp;
use crate::assets::{Ignored, OpenError, lexical};
use crate::store::FileStamp;

/// What a walk met.
pub enum Found {
    /// A folder that is walked. It comes before what is in it, and before its entries are read.
    Folder {
        /// Where it is.
        path: PathBuf,
    },
    /// A file.
    File {
        /// Where it lies.
        path: PathBuf,
        /// Its size and time of change.
        stamp: FileStamp,
    },
    /// What cannot be read, or is neither file nor folder.
    Unreadable {
        /// Where it is.
        path: PathBuf,
        /// Why.
        reason: String,
        /// It is a folder, and nothing in it is seen.
        is_folder: bool,
    },
    /// What a pattern leaves out.
    LeftOut {
        /// The pattern.
        rule: String,
        /// It is a folder, with all that is in it.
        is_folder: bool,
    },
}

/// How folders are walked.
#[derive(Debug, Clone)]
pub struct Walk {
    /// Whether links are followed.
    pub follow_symlinks: bool,
    /// What is left out.
    pub ignored: Ignored,
}

/// Why a link is left out where links are not followed.
const NO_LINKS: &str = "assets.follow_symlinks";

impl Walk {
    /// Walks `roots`. Answers the folders that were walked to the end and had files in them: one without any may be a drive
    /// that is not there.
    pub(super) fn run(
        &self,
        roots: &[PathBuf],
        stop: &CancellationToken,
        found: &mpsc::Sender<Found>,
    ) -> Vec<PathBuf> {
        // A folder inside of another one is walked once, and as one that a person named.
        let mut named: HashSet<PathBuf> = HashSet::new();
        let roots: Vec<PathBuf> =
            roots.iter().map(|root| lexical(root)).filter(|root| named.insert(root.clone())).collect();
        let mut walked = Vec::new();
        for root in &roots {
            let mut files = 0_u64;
            let ended = self.below(root, root, &named, |find| {
                files += u64::from(matches!(find, Found::File { .. }));
                let is_told = !matches!(find, Found::Folder { .. });
                if stop.is_cancelled() || (is_told && found.blocking_send(find).is_err()) {
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            });
            if ended.is_break() {
                return Vec::new();
            }
            if files > 0 && root.is_dir() {
                walked.push(root.clone());
            }
        }
        walked
    }

    /// Walks `start`, which is `root` or lies below it; patterns count from `root`. Other folders that are `named` are passed
    /// over. Ends when `found` says so.
    pub fn below(
        &self,
        root: &Path,
        start: &Path,
        named: &HashSet<PathBuf>,
        mut found: impl FnMut(Found) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let is_root = start == root;
        let walk = WalkDir::new(start).follow_links(self.follow_symlinks);
        let mut entries = walk.follow_root_links(is_root || self.follow_symlinks).into_iter();
        while let Some(entry) = entries.next() {
            let find = match entry {
                Ok(entry) if entry.path() != root && named.contains(entry.path()) => {
                    if entry.file_type().is_dir() {
                        entries.skip_current_dir();
                    }
                    continue;
                }
                Ok(entry) => {
                    let find = self.look(&entry, root);
                    if matches!(find, Found::LeftOut { is_folder: true, .. }) {
                        entries.skip_current_dir();
                    }
                    find
                }
                Err(error) => unreadable(&error, root),
            };
            found(find)?;
        }
        ControlFlow::Continue(())
    }

    /// Whether a walk of `root` would not come to `path`: a folder on the way is left out or is a link that is not followed.
    pub fn is_cut_off(&self, root: &Path, path: &Path) -> bool {
        let Ok(inside) = path.strip_prefix(root) else { return true };
        inside.ancestors().skip(1).filter(|inside| !inside.as_os_str().is_empty()).any(|inside| {
            let folder = root.join(inside);
            let is_link = || !self.follow_symlinks && folder.is_symlink();
            self.ignored.rule(&folder, inside, true).is_some() || is_link()
        })
    }

    /// What an entry is.
    fn look(&self, entry: &DirEntry, root: &Path) -> Found {
        let path = entry.path();
        // What a person names is meant, whatever its name, and where a link leads.
        let is_named = path == root;
        let metadata = if is_named { std::fs::metadata(path) } else { entry.metadata().map_err(Into::into) };
        let is_folder = entry.file_type().is_dir();
        if !is_named {
            let inside = path.strip_prefix(root).unwrap_or(path);
            if let Some(rule) = self.ignored.rule(path, inside, is_folder) {
                return Found::LeftOut { rule: rule.to_owned(), is_folder };
            }
            if entry.file_type().is_symlink() {
                return Found::LeftOut { rule: NO_LINKS.to_owned(), is_folder };
            }
        }
        match metadata {
            Ok(metadata) if metadata.is_dir() => Found::Folder { path: path.to_path_buf() },
            Ok(metadata) if metadata.is_file() => {
                Found::File { path: path.to_path_buf(), stamp: stamp(&metadata) }
            }
            Ok(metadata) => Found::Unreadable {
                path: path.to_path_buf(),
                reason: OpenError::of_kind(metadata.file_type()).to_string(),
                is_folder: false,
            },
            Err(error) => {
                Found::Unreadable { path: path.to_path_buf(), reason: error.to_string(), is_folder }
            }
        }
    }
}

fn unreadable(error: &walkdir::Error, root: &Path) -> Found {
    let path = error.path().unwrap_or(root).to_path_buf();
    let reason = match error.loop_ancestor() {
        Some(above) => format!("a link back to {}, not followed", above.display()),
        None => error.io_error().map_or_else(|| error.to_string(), ToString::to_string),
    };
    Found::Unreadable { is_folder: path.is_dir(), path, reason }
}
