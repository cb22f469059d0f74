//! Watches folders, and registers what comes, changes and goes there, as a scan does.
//!
//! What holds for every watched folder, checked by `tests/tests/watching/`:
//! - It begins with a sweep, so what came while nobody watched is found. Each further sweep finds what no event told.
//! - A file is taken once nothing has happened to it for a while: never a half of it, as far as that can be told from outside.
//! - What goes is noted and never acted upon. What lies on a drive that is away is not gone.
//! - Memory depends on the number of folders, not on what happens in them: a storm becomes a sweep.
//! - Two watchers of one folder register the same.

mod drives;
mod events;
mod folder;
mod look;
mod root;
mod stable;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use docent_pipelines::Owner;
use futures_util::future::try_join_all;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use self::drives::silent;
use self::folder::Keeper;
use crate::scanner::{Scan, Scanner};
use crate::store::StoreError;

/// A folder to watch, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchedFolder {
    /// Where it is. Absolute.
    pub path: PathBuf,
    /// Whose its pictures are; `None` says nothing of it.
    pub owner: Option<Owner>,
    /// Do without events and sweep so often. `None`: events, and where they do not tell everything, frequent sweeps as well.
    pub poll: Option<Duration>,
    /// Time between two sweeps where events tell everything.
    pub sweep: Duration,
    /// A file is taken once nothing has happened to it for so long.
    pub settle: Duration,
}

/// How a folder is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// By events, and a sweep now and then.
    Watched,
    /// By sweeps.
    Polled,
    /// Not at all: it is not there.
    Away,
}

impl State {
    const ALL: [Self; 3] = [Self::Watched, Self::Polled, Self::Away];

    fn name(self) -> &'static str {
        match self {
            Self::Watched => "watched",
            Self::Polled => "polled",
            Self::Away => "away",
        }
    }
}

/// What came, changed and went. Each file is in one of these.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Portion {
    /// Pictures of which nothing was known.
    pub new: u64,
    /// Copies of known pictures, at places where nothing was known.
    pub copies: u64,
    /// Known pictures that were at another place.
    pub moved: u64,
    /// Known places with another picture than before.
    pub changed: u64,
    /// Files that could not be read.
    pub unreadable: u64,
    /// Known places where nothing is any more.
    pub gone: u64,
}

impl Portion {
    fn of(scan: &Scan) -> Self {
        let seen = scan.seen;
        Self {
            new: seen.new,
            copies: seen.copies,
            moved: seen.moved,
            changed: seen.changed,
            unreadable: seen.unreadable,
            gone: scan.gone,
        }
    }

    /// Each number with its name.
    pub fn parts(self) -> [(&'static str, u64); 6] {
        let Self { new, copies, moved, changed, unreadable, gone } = self;
        [
            ("new", new),
            ("copies", copies),
            ("moved", moved),
            ("changed", changed),
            ("unreadable", unreadable),
            ("gone", gone),
        ]
    }

    /// Adds another one.
    pub fn add(&mut self, other: Self) {
        self.new += other.new;
        self.copies += other.copies;
        self.moved += other.moved;
        self.changed += other.changed;
        self.unreadable += other.unreadable;
        self.gone += other.gone;
    }
}

/// What a watch tells while it runs.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Told {
    /// A folder is watched in another way from now on.
    Folder {
        /// The folder.
        folder: String,
        /// How it is watched.
        state: State,
        /// Why not by events.
        reason: Option<String>,
    },
    /// The ledger knows of changes in a folder.
    Portion {
        /// The folder.
        folder: String,
        /// What changed.
        #[serde(flatten)]
        portion: Portion,
    },
}

/// Watches folders.
pub struct Watch {
    folders: Vec<(WatchedFolder, Scanner)>,
    board: Board,
    /// Files of one folder are read at a time: more do not make a disk quicker.
    turn: tokio::sync::Mutex<()>,
}

impl Watch {
    /// Watches each folder with its scanner. `tell` hears of everything; a listener that has gone does not hold it up.
    pub fn new(folders: Vec<(WatchedFolder, Scanner)>, tell: Option<mpsc::Sender<Told>>) -> Self {
        Self { folders, board: Board { tell, states: Mutex::default() }, turn: tokio::sync::Mutex::default() }
    }

    /// Watches until `stop`. Folders that are away are waited for, and so is a ledger that is away.
    ///
    /// # Errors
    ///
    /// If the ledger fails in a way that does not pass.
    pub async fn run(&self, stop: &CancellationToken) -> Result<(), StoreError> {
        let keep =
            |(folder, scanner)| Keeper { folder, scanner, board: &self.board, turn: &self.turn, stop }.run();
        let folders = self.folders.iter().map(|(folder, scanner)| (folder, scanner));
        try_join_all(folders.map(keep)).await.map(drop)
    }
}

/// Where folders say how they are, and what happened in them.
struct Board {
    tell: Option<mpsc::Sender<Told>>,
    states: Mutex<BTreeMap<PathBuf, State>>,
}

impl Board {
    async fn state(&self, folder: &WatchedFolder, state: State, reason: Option<String>) {
        let path = folder.path.display();
        match (state, &reason) {
            (State::Away, Some(reason)) => {
                tracing::warn!(folder = %path, reason, "a watched folder is away; nothing is taken for gone");
            }
            (_, Some(reason)) => {
                tracing::warn!(folder = %path, reason, "not every event is told; sweeping often")
            }
            (_, None) => tracing::info!(folder = %path, state = state.name(), "a folder is watched"),
        }
        {
            let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
            states.insert(folder.path.clone(), state);
            for state in State::ALL {
                let count = states.values().filter(|other| **other == state).count();
                metrics::gauge!("docent_watched_folders", "state" => state.name()).set(count as f64);
            }
        }
        self.say(Told::Folder { folder: path.to_string(), state, reason }).await;
    }

    async fn portion(&self, folder: &WatchedFolder, portion: Portion) {
        let path = folder.path.display();
        tracing::info!(folder = %path, ?portion, "took in");
        for (what, count) in portion.parts() {
            metrics::counter!("docent_watch_files_total", "what" => what).increment(count);
        }
        self.say(Told::Portion { folder: path.to_string(), portion }).await;
    }

    async fn say(&self, told: Told) {
        if let Some(tell) = &self.tell {
            // Who does not listen any more has asked for the end.
            let _ = tell.send(told).await;
        }
    }
}
