//! Looks at places of a watched folder: what lies there, and in folders all that lies below. Each folder is watched before it
//! is read, so that nothing comes unseen in between.

use std::collections::HashSet;
use std::io::ErrorKind::{NotADirectory, NotFound};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::drives;
use super::events::{Deaf, Events};
use super::root::Root;
use crate::scanner::{Found, Walk};
use crate::store::FileStamp;

/// What lies at a place.
pub enum Met {
    /// A file.
    File {
        /// Where.
        path: PathBuf,
        /// Its size and time of change.
        stamp: FileStamp,
    },
    /// Nothing.
    Missing(PathBuf),
    /// Something that cannot be read.
    Unreadable {
        /// Where.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A folder, all of which was told before.
    Walked {
        /// The folder.
        folder: PathBuf,
        /// How many files are in it.
        files: u64,
    },
}

/// Why not everything that happens in a folder is told: it has to be looked at now and then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Silence {
    /// The system cannot.
    #[error(transparent)]
    Deaf(#[from] Deaf),
    /// Nobody wants it to.
    #[error("nobody asks for events")]
    Asked,
    /// The file system does not.
    #[error("{kind} does not tell what others change")]
    Drive {
        /// The kind of file system.
        kind: String,
    },
}

/// Finds things in a watched folder.
pub struct Looker {
    /// The folder.
    pub root: Arc<Root>,
    /// Where it is.
    pub path: PathBuf,
    /// How it is walked.
    pub walk: Walk,
    /// What watches the folders that are walked.
    pub events: Option<Events>,
    /// The first reason why they are not all watched.
    silence: Mutex<Option<Silence>>,
}

impl Looker {
    /// Finds things in the folder at `path`. `events` is what watches its folders, if anything is to.
    pub fn new(root: Root, path: PathBuf, walk: Walk, events: Option<Result<Events, Deaf>>) -> Self {
        let drive = || drives::silent(&path).map(|kind| Silence::Drive { kind });
        let (events, silence) = match events {
            None => (None, Some(Silence::Asked)),
            Some(Ok(events)) => (Some(events), drive()),
            Some(Err(deaf)) => (None, Some(deaf.into())),
        };
        Self { root: Arc::new(root), path, walk, events, silence: Mutex::new(silence) }
    }

    /// Why not everything is told, if so.
    pub fn silence(&self) -> Option<Silence> {
        self.silence.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn is_silent(&self, silence: Silence) {
        self.silence.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(silence);
    }

    /// Looks at `places`, until `stop` or until nobody listens any more.
    pub fn run(&self, places: &[PathBuf], stop: &CancellationToken, met: &mpsc::Sender<Met>) {
        for place in places {
            if self.look(place, stop, met).is_break() {
                return;
            }
        }
    }

    fn look(&self, place: &Path, stop: &CancellationToken, met: &mpsc::Sender<Met>) -> ControlFlow<()> {
        let tell = |what: Met| match met.blocking_send(what) {
            Ok(()) if !stop.is_cancelled() => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        };
        let is_folder = match std::fs::symlink_metadata(place) {
            Ok(metadata) => metadata.is_dir() || place == self.path,
            Err(error) if matches!(error.kind(), NotFound | NotADirectory) => {
                return tell(Met::Missing(place.to_path_buf()));
            }
            Err(error) => {
                return tell(Met::Unreadable { path: place.to_path_buf(), reason: error.to_string() });
            }
        };
        if self.walk.is_cut_off(&self.path, place) {
            return ControlFlow::Continue(());
        }
        let mut files = 0;
        self.walk.below(&self.path, place, &HashSet::new(), |found| match found {
            Found::Folder { path } => {
                self.enter(&path);
                if stop.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            }
            Found::File { path, stamp } => {
                files += 1;
                tell(Met::File { path, stamp })
            }
            // It went while the folder was read.
            Found::Unreadable { path, .. }
                if path.symlink_metadata().is_err_and(|e| e.kind() == NotFound) =>
            {
                tell(Met::Missing(path))
            }
            Found::Unreadable { path, reason, .. } => tell(Met::Unreadable { path, reason }),
            Found::LeftOut { .. } => ControlFlow::Continue(()),
        })?;
        if is_folder {
            tell(Met::Walked { folder: place.to_path_buf(), files })
        } else {
            ControlFlow::Continue(())
        }
    }

    /// Watches a folder that is about to be read.
    fn enter(&self, folder: &Path) {
        if self.root.meet(folder)
            && let Some(kind) = drives::silent(folder)
        {
            self.is_silent(Silence::Drive { kind });
        }
        let Some(events) = &self.events else { return };
        // What cannot be watched once is not tried for each of a million folders.
        let is_full = matches!(self.silence(), Some(Silence::Deaf(_)));
        if !is_full && let Err(deaf) = events.watch(folder) {
            self.is_silent(deaf.into());
        }
    }
}
