//! What processes left behind that died.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use docent_pipelines::Fingerprint;

use super::incoming::{NOTE, PART, move_to};
use super::{Intent, UploadError, Uploads, blocking};
use crate::assets::{file_uri, path_of_uri};
use crate::queue::Lane;
use crate::scanner::stamp;
use crate::store::FoundFile;

/// Held by the process whose folder it lies in, as long as it lives.
const ALIVE: &str = "alive";
/// The end of the name of a folder whose process is about to say that it lives.
const NEW: &str = "new";

/// Makes a folder for this process, and says that it lives.
pub(super) fn settle_in(own: &Path) -> io::Result<File> {
    let new = own.with_extension(NEW);
    std::fs::create_dir_all(&new)?;
    let alive = File::create(new.join(ALIVE))?;
    alive.lock()?;
    // From now on others may look whether this process lives.
    std::fs::rename(&new, own)?;
    Ok(alive)
}

impl Uploads {
    /// Completes what others had promised before they died, and removes what they had not.
    pub(super) async fn recover(&self, all: &Path) -> Result<(), UploadError> {
        let (all, own) = (all.to_path_buf(), self.incoming.clone());
        let left = blocking(move || left_behind(&all, &own)).await?;
        for (folder, alive) in left {
            let notes = {
                let (folder, root) = (folder.clone(), self.folder.clone());
                blocking(move || promised(&folder, &root)).await?
            };
            for found in notes {
                let registered = self.ledger.register(std::slice::from_ref(&found), &self.wanted).await?;
                if registered.forgotten > 0 {
                    blocking(move || path_of_uri(&found.uri).map_or(Ok(()), std::fs::remove_file)).await?;
                    continue;
                }
                tracing::info!(uri = found.uri, "an upload of an earlier process is registered");
            }
            blocking(move || std::fs::remove_dir_all(&folder)).await?;
            drop(alive);
        }
        Ok(())
    }
}

/// Folders of processes that do not live any more, with their locks.
fn left_behind(all: &Path, own: &Path) -> io::Result<Vec<(PathBuf, File)>> {
    let mut left = Vec::new();
    for entry in std::fs::read_dir(all)? {
        let folder = entry?.path();
        if folder == own || !folder.is_dir() || folder.extension().is_some_and(|end| end == NEW) {
            continue;
        }
        let alive = match File::open(folder.join(ALIVE)) {
            Ok(alive) => alive,
            // Somebody else tidies it up.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        match alive.try_lock() {
            Ok(()) => left.push((folder, alive)),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(left)
}

/// The files of a dead process that were complete, in their places.
fn promised(folder: &Path, root: &Path) -> io::Result<Vec<FoundFile>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let note = entry?.path();
        if note.extension().is_none_or(|end| end != NOTE) {
            continue;
        }
        // A note that was not written to its end promises nothing.
        let Ok(Intent { place, owner }) = serde_json::from_slice(&std::fs::read(&note)?) else { continue };
        let (part, place) = (note.with_extension(PART), root.join(place));
        if part.exists() {
            move_to(&part, &place)?;
        }
        let Ok(file) = File::open(&place) else { continue };
        let stamp = stamp(&file.metadata()?);
        let (hash, _) = Fingerprint::of_reader(file)?;
        found.push(FoundFile { uri: file_uri(&place), stamp, hash, lane: Lane::Interactive, owner });
    }
    Ok(found)
}
