//! The walk through folders: what lies there, and what of it is left out.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use walkdir::{DirEntry, WalkDir};

use super::stamp;
use crate::assets::{Ignored, OpenError, lexical};
use crate::store::FileStamp;

/// What a walk met. Folders that are walked are not told of.
pub(super) enum Found {
    File { path: PathBuf, stamp: FileStamp },
    Unreadable { path: PathBuf, reason: String, is_folder: bool },
    LeftOut { rule: String, is_folder: bool },
}

/// How folders are walked.
pub(super) struct Walk {
    pub roots: Vec<PathBuf>,
    pub follow_symlinks: bool,
    pub ignored: Ignored,
}

/// Why a link is left out where links are not followed.
const NO_LINKS: &str = "assets.follow_symlinks";

impl Walk {
    /// Walks. Answers the folders that were walked to the end and had files in them: one without any may be a drive that is
    /// not there.
    pub fn run(&self, stop: &CancellationToken, found: &mpsc::Sender<Found>) -> Vec<PathBuf> {
        // A folder inside of another one is walked once, and as one that a person named.
        let mut named: HashSet<PathBuf> = HashSet::new();
        let roots: Vec<PathBuf> =
            self.roots.iter().map(|root| lexical(root)).filter(|root| named.insert(root.clone())).collect();
        let mut walked = Vec::new();
        for root in &roots {
            let mut files = 0_u64;
            let mut entries = WalkDir::new(root).follow_links(self.follow_symlinks).into_iter();
            while let Some(entry) = entries.next() {
                if stop.is_cancelled() {
                    return Vec::new();
                }
                let find = match entry {
                    Ok(entry) if entry.depth() > 0 && named.contains(entry.path()) => {
                        if entry.file_type().is_dir() {
                            entries.skip_current_dir();
                        }
                        continue;
                    }
                    Ok(entry) => {
                        let find = self.look(&entry, root);
                        if matches!(find, Some(Found::LeftOut { is_folder: true, .. })) {
                            entries.skip_current_dir();
                        }
                        find
                    }
                    Err(error) => Some(unreadable(&error, root)),
                };
                let Some(find) = find else { continue };
                files += u64::from(matches!(find, Found::File { .. }));
                if found.blocking_send(find).is_err() {
                    return Vec::new();
                }
            }
            if files > 0 && root.is_dir() {
                walked.push(root.clone());
            }
        }
        walked
    }

    /// What an entry is; `None` for a folder that is walked.
    fn look(&self, entry: &DirEntry, root: &Path) -> Option<Found> {
        let path = entry.path();
        // What a person names is meant, whatever its name, and where a link leads.
        let is_named = entry.depth() == 0;
        let metadata = if is_named { std::fs::metadata(path) } else { entry.metadata().map_err(Into::into) };
        let is_folder = entry.file_type().is_dir();
        if !is_named {
            let inside = path.strip_prefix(root).unwrap_or(path);
            if let Some(rule) = self.ignored.rule(path, inside, is_folder) {
                return Some(Found::LeftOut { rule: rule.to_owned(), is_folder });
            }
            if entry.file_type().is_symlink() {
                return Some(Found::LeftOut { rule: NO_LINKS.to_owned(), is_folder });
            }
        }
        Some(match metadata {
            Ok(metadata) if metadata.is_dir() => return None,
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
        })
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
