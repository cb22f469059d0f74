//! Walks folders and registers what it finds.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::UNIX_EPOCH;

use docent_pipelines::Owner;
use docent_pipelines::asset::ContentHash;
use docent_pipelines::image::{SNIFF_BYTES, is_candidate};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use walkdir::WalkDir;

use crate::assets::{OpenError, Roots, file_uri, open_file, path_of_uri};
use crate::progress::Progress;
use crate::queue::Lane;
use crate::store::{FileStamp, FoundFile, KnownFile, Ledger, Registered, Requeue, StoreError, Wanted};

/// Registers files with a ledger.
pub struct Scanner {
    /// Where they are registered.
    pub ledger: Arc<dyn Ledger>,
    /// Which analyzers they are to go through.
    pub wanted: Wanted,
    /// Whose the files are; `None` says nothing of it.
    pub owner: Option<Owner>,
    /// Whether links are followed. A link to a folder above itself is reported, not followed.
    pub follow_symlinks: bool,
    /// Files outside of these folders are reported, not read.
    pub roots: Roots,
    /// Who watches.
    pub progress: Arc<Progress>,
    /// Told when there is new work.
    pub wake: Arc<Notify>,
}

/// What a scan found, apart from the counters of [`Progress`].
#[derive(Debug, Default)]
pub struct Scan {
    /// What could not be read, and why; at most [`REPORTED`] of them.
    pub unreadable: Vec<(PathBuf, String)>,
    /// What it added to the ledger.
    pub registered: Registered,
    /// Known places where nothing was any more; those known to be so not among them.
    pub gone: u64,
}

/// So many unreadable places are reported by name; all are counted.
pub const REPORTED: usize = 1000;
/// Files looked up and registered together.
const PORTION: usize = 64;
/// Known places looked at together.
const SWEPT: u32 = 1000;
/// Files hashed at once.
const HASHERS: usize = 4;

enum Found {
    File { path: PathBuf, stamp: FileStamp },
    Unreadable { path: PathBuf, reason: String },
    Hidden,
}

enum Looked {
    Candidate(ContentHash),
    Skipped,
    Unreadable(String),
}

impl Scanner {
    /// Scans `roots` until done or `stop`.
    pub async fn scan(&self, roots: Vec<PathBuf>, stop: &CancellationToken) -> Result<Scan, StoreError> {
        self.progress.scanning.store(true, Relaxed);
        let (found, mut finds) = mpsc::channel(4 * PORTION);
        let (follow, token) = (self.follow_symlinks, stop.clone());
        let walker = tokio::task::spawn_blocking(move || walk(&roots, follow, &token, &found));
        let mut scan = Scan::default();
        let mut outcome = Ok(());
        let mut portion = Vec::with_capacity(PORTION);
        while finds.recv_many(&mut portion, PORTION).await > 0 {
            outcome = self.take(std::mem::take(&mut portion), &mut scan).await;
            if outcome.is_err() || stop.is_cancelled() {
                break;
            }
        }
        drop(finds);
        match walker.await {
            Ok(folders) if outcome.is_ok() && !stop.is_cancelled() => {
                for folder in folders {
                    outcome = match outcome {
                        Ok(()) => self.sweep(&folder, stop, &mut scan).await,
                        failed => failed,
                    };
                }
            }
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "the folder walk crashed"),
        }
        self.progress.scanning.store(false, Relaxed);
        outcome.map(|()| scan)
    }

    /// Notes which known places below a folder have nothing any more. Each is looked at: what the walk left out, because it
    /// is hidden or cannot be read now, is not gone.
    async fn sweep(
        &self,
        folder: &Path,
        stop: &CancellationToken,
        scan: &mut Scan,
    ) -> Result<(), StoreError> {
        let folder = file_uri(folder);
        let mut after: Option<String> = None;
        while !stop.is_cancelled() {
            let places = self.ledger.places_below(&folder, after.as_deref(), SWEPT).await?;
            let Some(last) = places.last() else { break };
            after = Some(last.uri.clone());
            let look = move || {
                let is_gone = |uri: &str| path_of_uri(uri).is_some_and(|path| is_gone(&path));
                places
                    .into_iter()
                    .filter(|place| !place.gone && is_gone(&place.uri))
                    .map(|place| place.uri)
                    .collect()
            };
            let gone: Vec<String> = tokio::task::spawn_blocking(look).await.unwrap_or_default();
            scan.gone += gone.len() as u64;
            self.ledger.note_places(&gone, &[]).await?;
        }
        Ok(())
    }

    async fn take(&self, portion: Vec<Found>, scan: &mut Scan) -> Result<(), StoreError> {
        let mut files = BTreeMap::new();
        for found in portion {
            match found {
                Found::Hidden => {
                    self.progress.hidden.fetch_add(1, Relaxed);
                }
                Found::Unreadable { path, reason } => self.unreadable(scan, path, reason),
                Found::File { path, stamp } => {
                    self.progress.found.fetch_add(1, Relaxed);
                    files.insert(file_uri(&path), (path, stamp));
                }
            }
        }
        let uris: Vec<String> = files.keys().cloned().collect();
        let known = self.ledger.known_files(&uris).await?;
        let mut reads = FuturesUnordered::new();
        let mut register = Vec::new();
        let mut unchanged = Vec::new();
        let mut back = Vec::new();
        for (uri, (path, stamp)) in files {
            let as_known = |known: &&KnownFile| {
                known.stamp == stamp && (self.owner.is_none() || known.owner == self.owner)
            };
            if let Some(known) = known.get(&uri).filter(as_known) {
                self.progress.unchanged.fetch_add(1, Relaxed);
                unchanged.push(known.asset.clone());
                if known.gone {
                    back.push(uri);
                }
                continue;
            }
            if reads.len() >= HASHERS
                && let Some(read) = reads.next().await
            {
                self.taken(read, scan, &mut register);
            }
            reads.push(async move {
                let read = {
                    let (path, roots) = (path.clone(), self.roots.clone());
                    tokio::task::spawn_blocking(move || read(&path, &roots)).await
                };
                (uri, path, stamp, read.unwrap_or_else(|error| Looked::Unreadable(error.to_string())))
            });
        }
        while let Some(read) = reads.next().await {
            self.taken(read, scan, &mut register);
        }
        self.ledger.note_places(&[], &back).await?;
        // A known picture may lack an analyzer that is wanted now.
        let more = match unchanged.as_slice() {
            [] => 0,
            assets => self.ledger.requeue(Requeue::Missing, &self.wanted, Some(assets)).await?,
        };
        self.progress.to_do.fetch_add(more, Relaxed);
        if register.is_empty() {
            if more > 0 {
                self.wake.notify_one();
            }
            return Ok(());
        }
        let registered = match self.ledger.register(&register, &self.wanted).await {
            Err(StoreError::Unfit { .. }) => self.register_singly(&register, scan).await?,
            registered => registered?,
        };
        scan.registered.new_assets += registered.new_assets;
        scan.registered.new_paths += registered.new_paths;
        self.progress.to_do.fetch_add(registered.new_assets, Relaxed);
        self.wake.notify_one();
        Ok(())
    }

    /// One file that the ledger cannot store costs only itself.
    async fn register_singly(&self, files: &[FoundFile], scan: &mut Scan) -> Result<Registered, StoreError> {
        let mut all = Registered::default();
        for file in files {
            match self.ledger.register(std::slice::from_ref(file), &self.wanted).await {
                Ok(one) => {
                    all.new_assets += one.new_assets;
                    all.new_paths += one.new_paths;
                }
                Err(error @ StoreError::Unfit { .. }) => {
                    let path = path_of_uri(&file.uri).unwrap_or_else(|| PathBuf::from(&file.uri));
                    self.unreadable(scan, path, error.to_string());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    fn taken(
        &self,
        (uri, path, stamp, read): (String, PathBuf, FileStamp, Looked),
        scan: &mut Scan,
        register: &mut Vec<FoundFile>,
    ) {
        match read {
            Looked::Candidate(hash) => {
                self.progress.hashed.fetch_add(1, Relaxed);
                let owner = self.owner.clone();
                register.push(FoundFile { uri, stamp, hash, lane: Lane::Backfill, owner });
            }
            Looked::Skipped => {
                self.progress.skipped.fetch_add(1, Relaxed);
            }
            Looked::Unreadable(reason) => self.unreadable(scan, path, reason),
        }
    }

    fn unreadable(&self, scan: &mut Scan, path: PathBuf, reason: String) {
        self.progress.unreadable.fetch_add(1, Relaxed);
        tracing::warn!(path = %path.display(), reason, "cannot be read");
        if scan.unreadable.len() < REPORTED {
            scan.unreadable.push((path, reason));
        }
    }
}

/// Walks `roots`. Answers the folders that were walked to the end and had files in them: one without any may be a drive that
/// is not there.
fn walk(
    roots: &[PathBuf],
    follow: bool,
    stop: &CancellationToken,
    found: &mpsc::Sender<Found>,
) -> Vec<PathBuf> {
    let mut walked = Vec::new();
    for root in roots {
        let mut files = 0_u64;
        let mut entries = WalkDir::new(root).follow_links(follow).into_iter();
        while let Some(entry) = entries.next() {
            if stop.is_cancelled() {
                return Vec::new();
            }
            let find = match entry {
                Err(error) => {
                    let path = error.path().unwrap_or(root).to_path_buf();
                    let reason = match error.loop_ancestor() {
                        Some(above) => format!("a link back to {}, not followed", above.display()),
                        None => error.io_error().map_or_else(|| error.to_string(), ToString::to_string),
                    };
                    Found::Unreadable { path, reason }
                }
                // What a person names is meant, even if it is hidden.
                Ok(entry) if entry.depth() > 0 && is_hidden(entry.path()) => {
                    if entry.file_type().is_dir() {
                        entries.skip_current_dir();
                    }
                    Found::Hidden
                }
                Ok(entry) if entry.file_type().is_file() => match entry.metadata() {
                    Ok(metadata) => Found::File { stamp: stamp(&metadata), path: absolute(entry.path()) },
                    Err(error) => {
                        Found::Unreadable { path: entry.path().to_path_buf(), reason: error.to_string() }
                    }
                },
                // Folders are walked; sockets, pipes and devices are nobody's pictures.
                Ok(_) => continue,
            };
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

/// Whether there is nothing at a place: not if that cannot be told now.
fn is_gone(path: &Path) -> bool {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    std::fs::metadata(path).is_err_and(|error| matches!(error.kind(), NotFound | NotADirectory))
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_bytes().starts_with(b"."))
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

/// A file's size and time of change.
pub fn stamp(metadata: &std::fs::Metadata) -> FileStamp {
    let modified_ns = metadata.modified().map_or(0, |time| match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |ns| -ns),
    });
    FileStamp { bytes: metadata.len(), modified_ns }
}

/// A file's first bytes, which tell its format.
pub fn head(path: &Path) -> Result<Vec<u8>, OpenError> {
    Ok(first_bytes(&mut open_file(path)?.0)?)
}

fn first_bytes(file: &mut std::fs::File) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(SNIFF_BYTES);
    file.take(SNIFF_BYTES as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// Looks at a file's first bytes, and hashes it if it is, or should be, a picture.
fn read(path: &Path, roots: &Roots) -> Looked {
    let hash = || -> Result<Option<ContentHash>, OpenError> {
        let (mut file, _) = open_file(&roots.allowed(path)?)?;
        let head = first_bytes(&mut file)?;
        let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
        if !is_candidate(&head, extension.as_deref()) {
            return Ok(None);
        }
        let (hash, _) = ContentHash::of_reader(head.as_slice().chain(file))?;
        Ok(Some(hash))
    };
    match hash() {
        Ok(Some(hash)) => Looked::Candidate(hash),
        Ok(None) => Looked::Skipped,
        Err(error) => Looked::Unreadable(error.to_string()),
    }
}
