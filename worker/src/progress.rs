//! Counts what a running job has done so far.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// Counters of one job. Cheap to update from everywhere; read with [`Progress::snapshot`].
#[derive(Debug)]
pub struct Progress {
    /// Files seen.
    pub found: AtomicU64,
    /// Files whose content was read and hashed.
    pub hashed: AtomicU64,
    /// Files that are plainly no pictures.
    pub skipped: AtomicU64,
    /// Files known from before, by size and time.
    pub unchanged: AtomicU64,
    /// Files and folders that a pattern leaves out.
    pub left_out: AtomicU64,
    /// Files and folders that could not be read.
    pub unreadable: AtomicU64,
    /// Assets to be analyzed, as far as is known.
    pub to_do: AtomicU64,
    /// Assets whose run was recorded with everything done.
    pub done: AtomicU64,
    /// Assets whose run was recorded with something failed for good.
    pub failed: AtomicU64,
    /// Assets in work.
    pub in_flight: AtomicU64,
    /// Assets whose pictures are being looked at.
    pub looking: AtomicU64,
    /// Assets that were given a place.
    pub begun: AtomicU64,
    /// Assets that took too long and are still worked on.
    pub stuck: AtomicU64,
    /// Assets that have left their place: all that needs the picture is known.
    pub looked: AtomicU64,
    /// Folders are still being walked.
    pub scanning: AtomicBool,
    stalled: watch::Sender<Option<String>>,
    finished: Mutex<VecDeque<Instant>>,
    cpu: Mutex<Cpu>,
}

/// A reading of [`Progress`].
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct ProgressSnapshot {
    /// See [`Progress::found`].
    pub found: u64,
    /// See [`Progress::hashed`].
    pub hashed: u64,
    /// See [`Progress::skipped`].
    pub skipped: u64,
    /// See [`Progress::unchanged`].
    pub unchanged: u64,
    /// See [`Progress::left_out`].
    pub left_out: u64,
    /// See [`Progress::unreadable`].
    pub unreadable: u64,
    /// See [`Progress::to_do`].
    pub to_do: u64,
    /// See [`Progress::done`].
    pub done: u64,
    /// See [`Progress::failed`].
    pub failed: u64,
    /// See [`Progress::in_flight`].
    pub in_flight: u64,
    /// See [`Progress::begun`].
    pub begun: u64,
    /// See [`Progress::looked`].
    pub looked: u64,
    /// See [`Progress::scanning`].
    pub scanning: bool,
    /// Assets finished per second, over the last minute at most.
    pub images_per_second: f64,
    /// Seconds until all known work is done at that speed; `None` while nothing is known.
    pub seconds_left: Option<f64>,
}

/// The speed is that of at most so many finished assets …
const WINDOW: usize = 512;
/// … and of at most so long.
const WINDOW_TIME: Duration = Duration::from_secs(60);

/// Processor time of the threads that look at pictures.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cpu {
    /// Decoding.
    pub decode: Duration,
    /// Preparing inputs and making sense of answers; the networks' own threads are not in it.
    pub prepare: Duration,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            found: AtomicU64::new(0),
            hashed: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            unchanged: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
            unreadable: AtomicU64::new(0),
            to_do: AtomicU64::new(0),
            done: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            looking: AtomicU64::new(0),
            begun: AtomicU64::new(0),
            stuck: AtomicU64::new(0),
            looked: AtomicU64::new(0),
            scanning: AtomicBool::new(false),
            stalled: watch::Sender::new(None),
            finished: Mutex::new(VecDeque::with_capacity(WINDOW)),
            cpu: Mutex::default(),
        }
    }
}

impl Progress {
    /// Nothing new is begun from now on, for this reason, or work goes on. Answers the reason before.
    pub fn stall(&self, reason: Option<String>) -> Option<String> {
        self.stalled.send_replace(reason)
    }

    /// Why nothing new is begun, while that is so.
    pub fn stalled(&self) -> Option<String> {
        self.stalled.borrow().clone()
    }

    /// Waits until nothing new is begun, and says why.
    pub async fn until_stalled(&self) -> String {
        // An error would say that the sender is gone, which this is.
        let stalled =
            self.stalled.subscribe().wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
        stalled.unwrap_or_default()
    }

    /// Waits while nothing new is begun.
    pub async fn until_going(&self) {
        drop(self.stalled.subscribe().wait_for(Option::is_none).await);
    }

    /// An asset was looked at.
    pub fn spent(&self, cpu: Cpu) {
        let mut sum = self.cpu.lock().unwrap_or_else(PoisonError::into_inner);
        sum.decode += cpu.decode;
        sum.prepare += cpu.prepare;
    }

    /// Processor time of all assets that were looked at.
    pub fn cpu(&self) -> Cpu {
        *self.cpu.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts assets that nobody expected.
    pub fn expect_more(&self, assets: u64) {
        self.to_do.fetch_add(assets, Relaxed);
    }

    /// Counts an asset whose run was recorded.
    pub fn finish(&self, failed: bool) {
        if failed { &self.failed } else { &self.done }.fetch_add(1, Relaxed);
        let mut finished = self.finished.lock().unwrap_or_else(PoisonError::into_inner);
        if finished.len() == WINDOW {
            finished.pop_front();
        }
        finished.push_back(Instant::now());
    }

    /// Counts what others did: `left` assets are still to be done.
    pub fn follow(&self, left: u64) {
        let to_do = self.to_do.fetch_max(left, Relaxed).max(left);
        let done = to_do - left;
        for _ in self.done.load(Relaxed)..done.min(self.done.load(Relaxed) + WINDOW as u64) {
            self.finish(false);
        }
        self.done.store(done, Relaxed);
    }

    /// All counters now.
    pub fn snapshot(&self) -> ProgressSnapshot {
        let speed = self.speed();
        let (to_do, done, failed) =
            (self.to_do.load(Relaxed), self.done.load(Relaxed), self.failed.load(Relaxed));
        let left = to_do.saturating_sub(done + failed);
        ProgressSnapshot {
            found: self.found.load(Relaxed),
            hashed: self.hashed.load(Relaxed),
            skipped: self.skipped.load(Relaxed),
            unchanged: self.unchanged.load(Relaxed),
            left_out: self.left_out.load(Relaxed),
            unreadable: self.unreadable.load(Relaxed),
            to_do,
            done,
            failed,
            in_flight: self.in_flight.load(Relaxed),
            begun: self.begun.load(Relaxed),
            looked: self.looked.load(Relaxed),
            scanning: self.scanning.load(Relaxed),
            images_per_second: speed,
            seconds_left: (speed > 0.0).then(|| left as f64 / speed),
        }
    }

    fn speed(&self) -> f64 {
        let mut finished = self.finished.lock().unwrap_or_else(PoisonError::into_inner);
        while finished.front().is_some_and(|first| first.elapsed() > WINDOW_TIME) {
            finished.pop_front();
        }
        match finished.front() {
            // The first one marks the start of the measured time and is not counted itself.
            Some(first) if finished.len() > 1 => {
                (finished.len() - 1) as f64 / first.elapsed().as_secs_f64().max(1e-3)
            }
            _ => 0.0,
        }
    }
}
