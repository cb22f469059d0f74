//! What the system tells of a folder as it happens, by inotify.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{ErrorKind, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

use super::stable::Touch;

/// Places that were touched since they were last asked for. If there are more, the whole folder is looked at.
const MOST: usize = 4096;

/// Why the system tells nothing, or not everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Deaf {
    /// No more folders can be watched.
    #[error("the system watches no more folders; raise fs.inotify.max_user_watches (sysctl)")]
    Folders,
    /// No more watchers can be made.
    #[error("the system has no more watchers; raise fs.inotify.max_user_instances (sysctl), or open files")]
    Watchers,
    /// Something else.
    #[error("the system does not watch this folder")]
    Refused,
}

/// What happened, as far as nobody has asked for it.
#[derive(Debug, Default)]
pub struct Happened {
    /// Places, each with the last thing that happened to it.
    pub touched: HashMap<PathBuf, Touch>,
    /// More happened than is known.
    pub is_lost: bool,
}

impl Happened {
    fn note(&mut self, path: PathBuf, touch: Touch) {
        if self.is_lost {
            return;
        }
        let before = self.touched.get(&path).copied();
        if before.is_none() && self.touched.len() >= MOST {
            self.lose();
            return;
        }
        // A change of its rights does not say that the writer is done.
        let touch = if touch == Touch::Other { before.unwrap_or(touch) } else { touch };
        self.touched.insert(path, touch);
    }

    fn lose(&mut self) {
        self.touched = HashMap::new();
        self.is_lost = true;
    }
}

/// Watches folders, each by itself: the walk says which, so what is left out is not watched.
pub struct Events {
    watcher: Mutex<RecommendedWatcher>,
    happened: Arc<Mutex<Happened>>,
}

impl Events {
    /// Begins without any folder. `wake` is told when something happens.
    ///
    /// # Errors
    ///
    /// If the system has no more watchers.
    pub fn new(wake: Arc<Notify>) -> Result<Self, Deaf> {
        let happened = Arc::new(Mutex::new(Happened::default()));
        let noted = Arc::clone(&happened);
        let watcher = notify::recommended_watcher(move |told: notify::Result<notify::Event>| {
            let mut happened = noted.lock().unwrap_or_else(PoisonError::into_inner);
            note(&mut happened, told);
            wake.notify_one();
        });
        let watcher = watcher.map_err(|error| deaf(&error.kind, Deaf::Watchers))?;
        Ok(Self { watcher: Mutex::new(watcher), happened })
    }

    /// Watches what lies in `folder`, and not what lies further below. A folder that is gone by now is no error.
    ///
    /// # Errors
    ///
    /// If the system does not watch it.
    pub fn watch(&self, folder: &Path) -> Result<(), Deaf> {
        let mut watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        match watcher.watch(folder, RecursiveMode::NonRecursive) {
            Ok(()) => Ok(()),
            Err(_) if !folder.exists() => Ok(()),
            Err(error) => Err(deaf(&error.kind, Deaf::Refused)),
        }
    }

    /// What happened since the last call.
    pub fn take(&self) -> Happened {
        std::mem::take(&mut self.happened.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn deaf(kind: &ErrorKind, other: Deaf) -> Deaf {
    if let ErrorKind::Io(error) = kind {
        tracing::debug!(error = error as &dyn std::error::Error, "inotify");
    }
    if matches!(kind, ErrorKind::MaxFilesWatch) { Deaf::Folders } else { other }
}

fn note(happened: &mut Happened, told: notify::Result<notify::Event>) {
    let event = match told {
        Ok(event) if event.need_rescan() => return happened.lose(),
        Ok(event) => event,
        Err(error) => {
            tracing::debug!(error = &error as &dyn std::error::Error, "inotify");
            return happened.lose();
        }
    };
    let touch = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => Touch::Closed,
        // Somebody reads: docent itself, mostly.
        EventKind::Access(_) => return,
        EventKind::Modify(ModifyKind::Data(_)) => Touch::Written,
        _ => Touch::Other,
    };
    for path in event.paths {
        happened.note(path, touch);
    }
}

#[cfg(test)]
mod tests {
    use notify::Event;
    use notify::event::{CreateKind, DataChange, Flag, MetadataKind};

    use super::*;

    fn told(happened: &mut Happened, kind: EventKind, path: &str) {
        note(happened, Ok(Event::new(kind).add_path(path.into())));
    }

    #[test]
    fn reading_is_nothing_and_writing_lasts_until_the_end() {
        let mut happened = Happened::default();
        told(&mut happened, EventKind::Access(AccessKind::Open(AccessMode::Any)), "/read.jpg");
        told(&mut happened, EventKind::Create(CreateKind::File), "/a.jpg");
        assert_eq!(happened.touched, [("/a.jpg".into(), Touch::Other)].into());
        told(&mut happened, EventKind::Modify(ModifyKind::Data(DataChange::Any)), "/a.jpg");
        told(&mut happened, EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any)), "/a.jpg");
        assert_eq!(happened.touched, [("/a.jpg".into(), Touch::Written)].into());
        told(&mut happened, EventKind::Access(AccessKind::Close(AccessMode::Write)), "/a.jpg");
        assert_eq!(happened.touched, [("/a.jpg".into(), Touch::Closed)].into());
    }

    #[test]
    fn a_storm_and_an_overflow_become_one_word() {
        let mut happened = Happened::default();
        for i in 0..100_000 {
            told(&mut happened, EventKind::Create(CreateKind::File), &format!("/{i}.jpg"));
        }
        assert!(happened.is_lost && happened.touched.capacity() == 0);
        let mut happened = Happened::default();
        told(&mut happened, EventKind::Create(CreateKind::File), "/a.jpg");
        note(&mut happened, Ok(Event::new(EventKind::Other).set_flag(Flag::Rescan)));
        assert!(happened.is_lost && happened.touched.is_empty());
    }
}
