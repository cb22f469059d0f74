//! Walks folders and registers what it finds.

mod seen;
mod walk;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::UNIX_EPOCH;

use docent_pipelines::image::{SNIFF_BYTES, is_candidate};
use docent_pipelines::{AssetId, Fingerprint, Owner};
use futures_util::stream::{FuturesUnordered, StreamExt};
pub use seen::Seen;
use seen::{News, sorted};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
pub use walk::{Found, Walk};

use crate::assets::{Ignored, OpenError, Roots, file_uri, open_file, path_of_uri};
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
    /// What is left out, unless a person names it.
    pub ignored: Ignored,
    /// Read known files again, too: size and time of change may hide that a file is another one.
    pub reread: bool,
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
    /// The files it saw. It may have seen fewer than there are if it was stopped.
    pub seen: Seen,
    /// Folders that a pattern leaves out, with all that is in them.
    pub folders_left_out: u64,
    /// Folders that could not be read.
    pub folders_unreadable: u64,
    /// How many files and folders each pattern left out.
    pub left_out_by: BTreeMap<String, u64>,
    /// What it added to the ledger.
    pub registered: Registered,
    /// Known places where nothing was any more, and whose pictures did not move elsewhere; those known to be so not among them.
    pub gone: u64,
}

/// Files by their addresses: where each lies, and its size and time of change.
pub type Files = BTreeMap<String, (PathBuf, FileStamp)>;

/// Whether the drive of a place is away, so that nothing can be said of what lies there.
pub type IsAway = Arc<dyn Fn(&Path) -> bool + Send + Sync>;

/// So many unreadable places are reported by name; all are counted.
pub const REPORTED: usize = 1000;
/// Files looked up and registered together.
const PORTION: usize = 64;
/// Known places looked at together.
const SWEPT: u32 = 1000;
/// Files hashed at once.
const HASHERS: usize = 4;

/// What lies at a place.
pub enum Looked {
    /// What is, or should be, a picture.
    Candidate(Fingerprint, FileStamp),
    /// Something else.
    Skipped,
    /// Nothing that can be read.
    Unreadable(String),
}

impl Scanner {
    /// Scans `roots` until done or `stop`.
    pub async fn scan(&self, roots: Vec<PathBuf>, stop: &CancellationToken) -> Result<Scan, StoreError> {
        self.progress.scanning.store(true, Relaxed);
        let (found, mut finds) = mpsc::channel(4 * PORTION);
        let walk = self.walk();
        let token = stop.clone();
        let walker = tokio::task::spawn_blocking(move || walk.run(&roots, &token, &found));
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
                        Ok(()) => self.sweep(&folder, Arc::new(|_| false), stop, &mut scan).await,
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

    /// How this scanner walks folders.
    pub fn walk(&self) -> Walk {
        Walk { follow_symlinks: self.follow_symlinks, ignored: self.ignored.clone() }
    }

    /// Notes which known places at or below `folder` have nothing any more. Each is looked at: what the walk left out, because
    /// of a pattern or because it cannot be read now, is not gone; neither is what lies on a drive that `is_away`.
    pub async fn sweep(
        &self,
        folder: &Path,
        is_away: IsAway,
        stop: &CancellationToken,
        scan: &mut Scan,
    ) -> Result<(), StoreError> {
        let folder = file_uri(folder);
        let mut after: Option<String> = None;
        while !stop.is_cancelled() {
            let places = self.ledger.places_below(&folder, after.as_deref(), SWEPT).await?;
            let Some(last) = places.last() else { break };
            after = Some(last.uri.clone());
            let is_away = Arc::clone(&is_away);
            let look = move || {
                // The drive is looked at last: it may leave meanwhile.
                let is_gone =
                    |uri: &str| path_of_uri(uri).is_some_and(|path| is_gone(&path) && !is_away(&path));
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
                Found::Folder { .. } => {}
                Found::LeftOut { rule, is_folder } => {
                    self.progress.left_out.fetch_add(1, Relaxed);
                    *if is_folder { &mut scan.folders_left_out } else { &mut scan.seen.left_out } += 1;
                    *scan.left_out_by.entry(rule).or_default() += 1;
                    self.progress.found.fetch_add(u64::from(!is_folder), Relaxed);
                }
                Found::Unreadable { path, reason, is_folder } => {
                    *if is_folder { &mut scan.folders_unreadable } else { &mut scan.seen.unreadable } += 1;
                    self.progress.found.fetch_add(u64::from(!is_folder), Relaxed);
                    self.unreadable(scan, path, reason);
                }
                Found::File { path, stamp } => {
                    let is_met = files.insert(file_uri(&path), (path, stamp)).is_some();
                    self.progress.found.fetch_add(u64::from(!is_met), Relaxed);
                }
            }
        }
        self.take_files(files, scan).await.map(drop)
    }

    /// Takes files: those that are known and unchanged are noted, all others are read and registered. Answers those that are
    /// no pictures.
    pub async fn take_files(&self, files: Files, scan: &mut Scan) -> Result<Files, StoreError> {
        let known = self.known(&files).await?;
        let mut reads = FuturesUnordered::new();
        let mut register = Vec::new();
        let mut others = Files::new();
        for (uri, (path, stamp)) in self.sift(files, &known, scan).await? {
            if reads.len() >= HASHERS
                && let Some(read) = reads.next().await
            {
                self.taken(read, scan, &mut register, &mut others);
            }
            reads.push(async move {
                let read = {
                    let (path, roots) = (path.clone(), self.roots.clone());
                    tokio::task::spawn_blocking(move || look(&path, &roots)).await
                };
                (uri, path, stamp, read.unwrap_or_else(|error| Looked::Unreadable(error.to_string())))
            });
        }
        while let Some(read) = reads.next().await {
            self.taken(read, scan, &mut register, &mut others);
        }
        if !register.is_empty() {
            self.register(register, known, scan).await?;
        }
        Ok(others)
    }

    /// Those of `files` that have to be read: new ones, and known ones that look changed. Notes the others.
    pub async fn news(&self, files: Files, scan: &mut Scan) -> Result<Files, StoreError> {
        let known = self.known(&files).await?;
        self.sift(files, &known, scan).await
    }

    async fn known(&self, files: &Files) -> Result<HashMap<String, KnownFile>, StoreError> {
        let uris: Vec<String> = files.keys().cloned().collect();
        self.ledger.known_files(&uris).await
    }

    async fn sift(
        &self,
        mut files: Files,
        known: &HashMap<String, KnownFile>,
        scan: &mut Scan,
    ) -> Result<Files, StoreError> {
        let mut unchanged = Vec::new();
        let mut back = Vec::new();
        files.retain(|uri, (_, stamp)| {
            let as_known = |known: &&KnownFile| {
                !self.reread
                    && known.identified
                    && known.stamp == *stamp
                    && (self.owner.is_none() || known.owner == self.owner)
            };
            let Some(known) = known.get(uri).filter(as_known) else { return true };
            self.progress.unchanged.fetch_add(1, Relaxed);
            scan.seen.known += 1;
            unchanged.push(known.asset.clone());
            if known.gone {
                back.push((uri.clone(), known.asset.clone()));
            }
            false
        });
        let (back, returned): (Vec<String>, Vec<AssetId>) = back.into_iter().unzip();
        self.ledger.note_places(&[], &back).await?;
        // A known picture may lack an analyzer that is wanted now.
        let more =
            self.again(Requeue::Missing, &unchanged).await? + self.again(Requeue::Failed, &returned).await?;
        if more > 0 {
            self.wake.notify_one();
        }
        Ok(files)
    }

    /// Makes work of these assets pending again. What failed for want of a place has one, and is tried again.
    async fn again(&self, what: Requeue, assets: &[AssetId]) -> Result<u64, StoreError> {
        if assets.is_empty() {
            return Ok(0);
        }
        let more = self.ledger.requeue(what, &self.wanted, Some(assets)).await?;
        self.progress.to_do.fetch_add(more, Relaxed);
        Ok(more)
    }

    /// Registers pictures, and counts them by what they are compared with what was known.
    async fn register(
        &self,
        mut files: Vec<FoundFile>,
        known: HashMap<String, KnownFile>,
        scan: &mut Scan,
    ) -> Result<(), StoreError> {
        // They come in the order in which they were read.
        files.sort_by(|a, b| a.uri.cmp(&b.uri));
        let prints: Vec<Fingerprint> = files.iter().map(|file| file.hash).collect();
        let barred = self.ledger.barred(&prints).await?;
        if barred.contains(&true) {
            scan.seen.forgotten += self.leave_out(&mut files, &barred).await?;
        }
        let prints: Vec<Fingerprint> = files.iter().map(|file| file.hash).collect();
        let ids = self.ledger.identify(&prints).await?;
        let assets = self.ledger.known_assets(&ids).await?;
        let (files, ids, news, left) = {
            let sort = move || {
                let (news, left) = sorted(&files, &ids, &known, &assets);
                (files, ids, news, left)
            };
            tokio::task::spawn_blocking(sort).await.map_err(|error| StoreError::Bug {
                operation: "compare files with what is known",
                source: error.into(),
            })?
        };
        self.ledger.note_places(&left, &[]).await?;
        let mut unfit = HashSet::new();
        let registered = match self.ledger.register(&files, &self.wanted).await {
            Err(StoreError::Unfit { .. }) => self.register_singly(&files, scan, &mut unfit).await?,
            registered => registered?,
        };
        let mut returned = Vec::new();
        for ((file, asset), news) in files.iter().zip(ids).zip(news) {
            match unfit.contains(&file.uri) {
                true => scan.seen.unreadable += 1,
                false => scan.seen.count(news),
            }
            if matches!(news, News::Copy | News::Moved | News::Changed) {
                returned.push(asset);
            }
        }
        scan.registered.new_assets += registered.new_assets;
        scan.registered.new_paths += registered.new_paths;
        self.progress.to_do.fetch_add(registered.new_assets, Relaxed);
        self.again(Requeue::Failed, &returned).await?;
        self.wake.notify_one();
        Ok(())
    }

    /// Takes out files whose pictures were forgotten. What was known of their places before is not there any more.
    async fn leave_out(&self, files: &mut Vec<FoundFile>, barred: &[bool]) -> Result<u64, StoreError> {
        let mut barred = barred.iter();
        let out = files.extract_if(.., |_| barred.next() == Some(&true));
        let places: Vec<String> = out.map(|file| file.uri).collect();
        self.ledger.note_places(&places, &[]).await?;
        Ok(places.len() as u64)
    }

    /// One file that the ledger cannot store costs only itself.
    async fn register_singly(
        &self,
        files: &[FoundFile],
        scan: &mut Scan,
        unfit: &mut HashSet<String>,
    ) -> Result<Registered, StoreError> {
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
                    unfit.insert(file.uri.clone());
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
        others: &mut Files,
    ) {
        match read {
            // The stamp of the walk: what was written since is found by the next scan.
            Looked::Candidate(hash, _) => {
                self.progress.hashed.fetch_add(1, Relaxed);
                let owner = self.owner.clone();
                register.push(FoundFile { uri, stamp, hash, lane: Lane::Backfill, owner });
            }
            Looked::Skipped => {
                self.progress.skipped.fetch_add(1, Relaxed);
                scan.seen.other += 1;
                others.insert(uri, (path, stamp));
            }
            Looked::Unreadable(reason) => {
                scan.seen.unreadable += 1;
                self.unreadable(scan, path, reason);
            }
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

/// Whether there is nothing at a place: not if that cannot be told now.
fn is_gone(path: &Path) -> bool {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    std::fs::metadata(path).is_err_and(|error| matches!(error.kind(), NotFound | NotADirectory))
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
pub fn look(path: &Path, roots: &Roots) -> Looked {
    let hash = || -> Result<Option<(Fingerprint, FileStamp)>, OpenError> {
        let (mut file, metadata) = open_file(&roots.allowed(path)?)?;
        let head = first_bytes(&mut file)?;
        let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
        if !is_candidate(&head, extension.as_deref()) {
            return Ok(None);
        }
        let (hash, _) = Fingerprint::of_reader(file)?;
        Ok(Some((hash, stamp(&metadata))))
    };
    match hash() {
        Ok(Some((hash, stamp))) => Looked::Candidate(hash, stamp),
        Ok(None) => Looked::Skipped,
        Err(error) => Looked::Unreadable(error.to_string()),
    }
}
