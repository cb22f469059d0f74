//! Watches one folder: from event or sweep over looking and waiting to the ledger.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, Notify, mpsc};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::events::Events;
use super::look::{Looker, Met, Silence};
use super::root::{Away, Root};
use super::stable::{MOST, Settling, Touch};
use super::{Board, Portion, State, WatchedFolder};
use crate::assets::file_uri;
use crate::scanner::{Files, IsAway, Scan, Scanner, stamp};
use crate::store::{FileStamp, StoreError};

/// Events of so long are looked at together.
const BEAT: Duration = Duration::from_millis(250);
/// A folder is asked so often whether it is still there.
const PRESENCE: Duration = Duration::from_secs(2);
/// What happens is told so often while more is on its way.
const TELL: Duration = Duration::from_secs(5);
/// After a fault of the ledger everything begins again after this time.
const AGAIN: Duration = Duration::from_secs(5);
/// A folder that has to be looked at is looked at so often, if nobody says how often.
const POLL: Duration = Duration::from_secs(60);
/// Sweeps take one part in so many of the time: a drive is there for others, too.
const SHARE: u32 = 10;
/// Files looked up, or read, together.
const PORTION: usize = 64;
/// So many files that are no pictures, or cannot be read, are kept in mind, by eight bytes each.
const OTHERS: usize = 65_536;

/// Keeps one folder watched.
pub(super) struct Keeper<'a> {
    pub folder: &'a WatchedFolder,
    pub scanner: &'a Scanner,
    pub board: &'a Board,
    pub turn: &'a Mutex<()>,
    pub stop: &'a CancellationToken,
}

impl Keeper<'_> {
    /// Watches until `stop`, whenever the folder is there.
    pub async fn run(self) -> Result<(), StoreError> {
        let mut told = None;
        while !self.stop.is_cancelled() {
            let path = self.folder.path.clone();
            let Some(found) = self.blocking(move || Root::find(&path)).await else { continue };
            let away = match found {
                Ok(root) => {
                    told = None;
                    self.watch(root).await?
                }
                Err(away) => Some(away),
            };
            // Another folder in its place is watched at once.
            if let Some(away) = away.filter(|away| *away != Away::Replaced && told.as_ref() != Some(away)) {
                self.board.state(self.folder, State::Away, Some(away.to_string())).await;
                told = Some(away);
            }
            if told.is_some() {
                self.wait(PRESENCE).await;
            }
        }
        Ok(())
    }

    /// Watches a folder that is there, until `stop` or until it is away.
    async fn watch(&self, root: Root) -> Result<Option<Away>, StoreError> {
        let wake = Arc::new(Notify::new());
        let (path, walk, waker) = (self.folder.path.clone(), self.scanner.walk(), Arc::clone(&wake));
        let is_polled = self.folder.poll.is_some();
        let ready = move || Looker::new(root, path, walk, (!is_polled).then(|| Events::new(waker)));
        let Some(looker) = self.blocking(ready).await else { return Ok(None) };
        let mut watching = Watching::new(self, Arc::new(looker), wake);
        watching.show().await;
        let ended = watching.run().await;
        self.scanner.progress.scanning.store(false, Relaxed);
        ended
    }

    /// Runs what may wait for a disk; `None` if it was asked to stop meanwhile.
    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        tokio::select! {
            () = self.stop.cancelled() => None,
            done = tokio::task::spawn_blocking(work) => match done {
                Ok(done) => Some(done),
                Err(error) => {
                    tracing::error!(%error, "looking at a watched folder crashed");
                    self.wait(AGAIN).await;
                    None
                }
            },
        }
    }

    async fn wait(&self, time: Duration) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = tokio::time::sleep(time) => {}
        }
    }
}

/// Places that are being looked at. Dropping it ends that.
struct Looking {
    met: mpsc::Receiver<Met>,
    _ends: DropGuard,
}

/// What `looking` met next, [`PORTION`] at most; nothing at its end.
async fn next(looking: &mut Option<Looking>) -> Vec<Met> {
    let Some(looking) = looking else { return std::future::pending().await };
    let mut met = Vec::with_capacity(PORTION);
    looking.met.recv_many(&mut met, PORTION).await;
    met
}

/// A folder that is there, and what is known to be on its way in it.
struct Watching<'a> {
    keeper: &'a Keeper<'a>,
    looker: Arc<Looker>,
    wake: Arc<Notify>,
    /// Places where something happened that have not been looked at.
    touched: HashMap<PathBuf, Touch>,
    /// Those that are being looked at.
    looked_at: HashMap<PathBuf, Touch>,
    looking: Option<Looking>,
    sweeping: Option<Looking>,
    settling: Settling,
    /// Folders whose known places are to be looked for, and since when.
    to_check: BTreeMap<PathBuf, Instant>,
    /// Files that are no pictures, by a hash of place and stamp: a sweep need not open them again. And what was said to be
    /// unreadable, by a hash of place and reason.
    others: HashSet<u64>,
    fresh: Scan,
    told_at: Instant,
    shown: Option<State>,
    sweep_at: Instant,
    swept_from: Instant,
    /// How long the last sweep took.
    swept_for: Duration,
    /// Events were lost since the sweep began.
    is_lost: bool,
    beat_at: Instant,
    presence_at: Instant,
}

impl<'a> Watching<'a> {
    fn new(keeper: &'a Keeper<'a>, looker: Arc<Looker>, wake: Arc<Notify>) -> Self {
        let now = Instant::now();
        Self {
            keeper,
            looker,
            wake,
            touched: HashMap::new(),
            looked_at: HashMap::new(),
            looking: None,
            sweeping: None,
            settling: Settling::new(keeper.folder.settle),
            to_check: BTreeMap::new(),
            others: HashSet::new(),
            fresh: Scan::default(),
            told_at: now,
            shown: None,
            sweep_at: now,
            swept_from: now,
            swept_for: Duration::ZERO,
            is_lost: false,
            beat_at: now,
            presence_at: now + PRESENCE,
        }
    }

    async fn run(&mut self) -> Result<Option<Away>, StoreError> {
        let (stop, wake) = (self.keeper.stop, Arc::clone(&self.wake));
        self.keeper.scanner.progress.scanning.store(true, Relaxed);
        loop {
            // Who looks waits while there is no room for what it finds.
            let has_room = self.settling.room() >= PORTION;
            let done = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(None),
                () = tokio::time::sleep_until(self.beat_at.into()) => self.beat().await,
                () = wake.notified() => {
                    self.beat_at = self.beat_at.min(Instant::now() + BEAT);
                    Ok(None)
                }
                met = next(&mut self.looking), if has_room => self.met(met, false).await.map(|()| None),
                met = next(&mut self.sweeping), if has_room => self.met(met, true).await.map(|()| None),
            };
            match done {
                Ok(None) => {}
                Ok(away) => return Ok(away),
                Err(error) if error.may_pass() => self.stumble(&error).await,
                Err(error) => return Err(error),
            }
        }
    }

    /// The ledger is away: what was on its way is found again by a sweep.
    async fn stumble(&mut self, error: &StoreError) {
        let folder = self.keeper.folder.path.display();
        tracing::warn!(%folder, error = error as &dyn std::error::Error, "cannot take files in now; trying again");
        (self.looking, self.sweeping) = (None, None);
        self.settling = Settling::new(self.keeper.folder.settle);
        self.to_check.clear();
        self.keeper.wait(AGAIN).await;
        self.sweep_at = Instant::now();
        self.beat_at = self.sweep_at;
    }

    /// What is due: events, files that have settled, a sweep. Answers why the folder is away, if it is.
    async fn beat(&mut self) -> Result<Option<Away>, StoreError> {
        let now = Instant::now();
        if now >= self.presence_at {
            let root = Arc::clone(&self.looker.root);
            if let Some(Err(away)) = self.keeper.blocking(move || root.look()).await {
                return Ok(Some(away));
            }
            self.presence_at = Instant::now() + PRESENCE;
        }
        self.listen(now);
        if self.looking.is_none() && !self.touched.is_empty() {
            self.looked_at = std::mem::take(&mut self.touched);
            self.looking = Some(self.look(self.looked_at.keys().cloned().collect()));
        }
        // A sweep ends with the look at what was known.
        let is_sweeping = self.sweeping.is_some() || self.to_check.contains_key(&self.keeper.folder.path);
        if !is_sweeping && now >= self.sweep_at {
            (self.swept_from, self.is_lost) = (now, false);
            self.sweeping = Some(self.look(vec![self.keeper.folder.path.clone()]));
        }
        if self.settling.room() < PORTION {
            self.is_lost |= self.settling.forget_restless(now);
        }
        let has_more = self.take(now).await?;
        if !has_more || self.told_at.elapsed() >= TELL {
            self.tell().await;
        }
        self.show().await;
        let now = Instant::now();
        let sweep_at = Some(self.sweep_at).filter(|_| !is_sweeping);
        let due =
            [Some(self.presence_at), sweep_at, self.settling.next(), self.to_check.values().min().copied()];
        let due = due.into_iter().flatten().min().unwrap_or(self.presence_at);
        self.beat_at = if has_more { now } else { due.max(now + BEAT) };
        Ok(None)
    }

    /// Hears what happened.
    fn listen(&mut self, now: Instant) {
        let Some(happened) = self.looker.events.as_ref().map(Events::take) else { return };
        for (path, touch) in happened.touched {
            let is_known = self.settling.touch(&path, touch, now)
                // A change of its rights does not say that the writer is done.
                || (touch == Touch::Other && self.touched.contains_key(&path));
            if !is_known {
                self.touched.insert(path, touch);
            }
        }
        if happened.is_lost || self.touched.len() > MOST {
            let folder = self.keeper.folder.path.display();
            tracing::info!(%folder, "more happens than can be followed; the whole folder is looked at");
            self.touched = HashMap::new();
            self.is_lost = true;
            self.sweep_at = self.sweep_at.min(now + self.swept_for.min(POLL));
        }
    }

    fn look(&self, places: Vec<PathBuf>) -> Looking {
        let (sender, met) = mpsc::channel(4 * PORTION);
        let stop = self.keeper.stop.child_token();
        let (looker, token) = (Arc::clone(&self.looker), stop.clone());
        tokio::task::spawn_blocking(move || looker.run(&places, &token, &sender));
        Looking { met, _ends: stop.drop_guard() }
    }

    /// Takes in what was met: files of which the ledger has nothing, or something else, begin to settle.
    async fn met(&mut self, met: Vec<Met>, is_sweep: bool) -> Result<(), StoreError> {
        if met.is_empty() {
            if is_sweep {
                self.sweeping = None;
            } else {
                (self.looking, self.looked_at) = (None, HashMap::new());
            }
            self.beat_at = Instant::now();
            return Ok(());
        }
        let mut files = Files::new();
        for met in met {
            match met {
                Met::File { path, stamp } => {
                    if !self.others.contains(&fingerprint((&path, stamp.bytes, stamp.modified_ns))) {
                        files.insert(file_uri(&path), (path, stamp));
                    }
                }
                Met::Missing(path) => self.settling.see(path, None, Touch::Other, Instant::now()),
                Met::Unreadable { path, reason } => {
                    if self.others.insert(fingerprint((&path, &reason))) {
                        tracing::warn!(path = %path.display(), reason, "cannot be read");
                        self.fresh.seen.unreadable += 1;
                    }
                }
                Met::Walked { folder, files } => self.walked(folder, files),
            }
        }
        self.keeper.scanner.progress.found.fetch_add(files.len() as u64, Relaxed);
        let news = self.keeper.scanner.news(files, &mut self.fresh).await?;
        let now = Instant::now();
        for (path, stamp) in news.into_values() {
            let touch = self.looked_at.get(&path).copied().unwrap_or(Touch::Other);
            self.settling.see(path, Some(stamp), touch, now);
        }
        self.beat_at = self.settling.next().map_or(self.beat_at, |next| next.min(self.beat_at));
        Ok(())
    }

    /// All that lies in a folder was met; what was known there is looked for once that has settled.
    fn walked(&mut self, folder: PathBuf, files: u64) {
        let now = Instant::now();
        let is_root = folder == self.keeper.folder.path;
        if is_root {
            self.keeper.scanner.progress.scanning.store(false, Relaxed);
            self.swept_for = self.swept_from.elapsed();
            let pause = self.swept_for * (SHARE - 1);
            let WatchedFolder { poll, sweep, .. } = self.keeper.folder;
            let between = match self.looker.silence() {
                // So that a storm does not keep it sweeping.
                _ if self.is_lost => self.swept_for.min(POLL),
                Some(_) => poll.unwrap_or(POLL.min(*sweep)).max(pause),
                None => pause.max(*sweep),
            };
            self.sweep_at = now + between;
        }
        // A folder without any file may be a drive that is not there.
        if if is_root { files > 0 } else { self.to_check.len() < MOST } {
            self.to_check.insert(folder, now + self.keeper.folder.settle + BEAT);
        }
    }

    /// Takes a portion of what has settled: files first, so that a picture that moved is found before it is missed. Answers
    /// whether there may be more.
    async fn take(&mut self, now: Instant) -> Result<bool, StoreError> {
        let complete = self.settling.complete(now, PORTION);
        if !complete.is_empty() {
            let follows = self.keeper.scanner.follow_symlinks;
            let look = move || -> Vec<_> {
                complete.into_iter().map(|(path, seen)| (look_again(&path, follows), path, seen)).collect()
            };
            let Some(looked) = self.keeper.blocking(look).await else { return Ok(false) };
            let mut files = Files::new();
            for (there, path, seen) in looked {
                if there == Some(seen) {
                    files.insert(file_uri(&path), (path, seen));
                } else {
                    self.settling.see(path, there, Touch::Other, Instant::now());
                }
            }
            let _turn = self.keeper.turn.lock().await;
            let others = self.keeper.scanner.take_files(files, &mut self.fresh).await?;
            if self.others.len() > OTHERS {
                self.others.clear();
            }
            let others = others.values().map(|(path, stamp)| (path, stamp.bytes, stamp.modified_ns));
            self.others.extend(others.map(fingerprint));
            // What cannot be read is told once, although each sweep tries it again.
            for (path, reason) in std::mem::take(&mut self.fresh.unreadable) {
                let is_new = self.others.insert(fingerprint((path, reason)));
                let unreadable = &mut self.fresh.seen.unreadable;
                *unreadable = unreadable.saturating_sub(u64::from(!is_new));
            }
            return Ok(true);
        }
        let left = self.settling.abandoned(now, PORTION);
        let has_more = !left.is_empty();
        for place in left {
            self.check(&place).await?;
        }
        let due: Vec<PathBuf> =
            self.to_check.extract_if(.., |_, since| *since <= now).map(|(folder, _)| folder).collect();
        for folder in due {
            self.check(&folder).await?;
        }
        Ok(has_more)
    }

    /// Notes which known places at or below `place` have nothing any more.
    async fn check(&mut self, place: &Path) -> Result<(), StoreError> {
        let root = Arc::clone(&self.looker.root);
        let is_away: IsAway = Arc::new(move |place: &Path| root.is_away(place));
        self.keeper.scanner.sweep(place, is_away, self.keeper.stop, &mut self.fresh).await
    }

    async fn tell(&mut self) {
        let portion = Portion::of(&std::mem::take(&mut self.fresh));
        self.told_at = Instant::now();
        if portion != Portion::default() {
            self.keeper.board.portion(self.keeper.folder, portion).await;
        }
    }

    /// Says how the folder is watched, when that has changed.
    async fn show(&mut self) {
        let silence = self.looker.silence();
        let state = if silence.is_some() { State::Polled } else { State::Watched };
        if self.shown != Some(state) {
            self.shown = Some(state);
            let reason =
                silence.filter(|silence| *silence != Silence::Asked).map(|silence| silence.to_string());
            self.keeper.board.state(self.keeper.folder, state, reason).await;
        }
    }
}

/// The stamp of what lies at a place now, if that is a file that a walk would take.
fn look_again(path: &Path, follows: bool) -> Option<FileStamp> {
    let metadata = if follows { std::fs::metadata(path) } else { std::fs::symlink_metadata(path) };
    metadata.ok().filter(std::fs::Metadata::is_file).map(|metadata| stamp(&metadata))
}

fn fingerprint(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}
