//! Registers the files of folders, and analyzes them here or leaves that to the workers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyhow::Context;
use docent_models::ModelRef;
use docent_pipelines::{AnalyzerId, Owner, Pipeline};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{App, AppError, backends, pulse};
use crate::assets::OpenError;
use crate::config::{QueueBackend, StoreBackend};
use crate::progress::Progress;
use crate::scanner::{Scan, Scanner};
use crate::shutdown::Shutdown;
use crate::store::Wanted;

/// What to ingest.
#[derive(Debug, Clone)]
pub struct IngestRequest {
    /// Files and folders.
    pub paths: Vec<PathBuf>,
    /// Whose they are; `None` says nothing of it.
    pub owner: Option<Owner>,
    /// Read known files again, too.
    pub reread: bool,
    /// Only these analyzers; the rest stays missing in the ledger.
    pub only: Option<Vec<AnalyzerId>>,
    /// Where workers do the work: do not end before they have done it.
    pub wait: bool,
}

/// What an ingest did.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct IngestSummary {
    /// Files seen: the sum of the next nine.
    pub found: u64,
    /// Pictures of which nothing was known.
    pub new: u64,
    /// Copies of known pictures, at places where nothing was known.
    pub copies: u64,
    /// Known pictures that were at another place, where they are no longer.
    pub moved: u64,
    /// Known places with another picture than before.
    pub changed: u64,
    /// Known places with the same picture as before.
    pub unchanged: u64,
    /// Pictures that were forgotten, and are not taken in again.
    pub forgotten: u64,
    /// Files that are plainly no pictures.
    pub skipped: u64,
    /// Files that a pattern leaves out.
    pub left_out: u64,
    /// Files that could not be read.
    pub unreadable_count: u64,
    /// Folders that a pattern leaves out, with all that is in them.
    pub left_out_folders: u64,
    /// How many files and folders each pattern left out.
    pub left_out_by: BTreeMap<String, u64>,
    /// Folders that could not be read.
    pub unreadable_folders: u64,
    /// The first files and folders that could not be read: path and reason.
    pub unreadable: Vec<(String, String)>,
    /// Known places, below the folders, where nothing is any more, and whose pictures did not move.
    pub gone: u64,
    /// Contents never seen before.
    pub new_assets: u64,
    /// Places never seen before, or with other content than before.
    pub new_paths: u64,
    /// Assets analyzed now, everything done. Where workers do the work and it was waited for: what they finished.
    pub analyzed: u64,
    /// Assets analyzed now, here, with something failed for good.
    pub failed: u64,
    /// Assets that still wait for work, if it was interrupted or is left to workers.
    pub remaining: u64,
    /// The work is left to workers.
    pub queued: bool,
    /// It was asked to stop.
    pub interrupted: bool,
    /// Wall time in seconds.
    pub elapsed_seconds: f64,
    /// What each network did.
    pub networks: Vec<NetworkUsage>,
}

/// What a network did.
#[derive(Debug, Clone, serde::Serialize)]
pub struct NetworkUsage {
    /// The network.
    pub model: ModelRef,
    /// Inputs answered.
    pub inputs: u64,
    /// Calls.
    pub batches: u64,
    /// Processor time inside it.
    pub cpu_seconds: f64,
}

/// Jobs that wait in the queue per picture that is looked at: enough that no consumer waits for the feeder.
pub(super) const QUEUED_PER_PLACE: usize = 4;
/// Workers are asked so often how far they are.
const LOOK: Duration = Duration::from_secs(1);

impl App {
    /// Registers what lies at the given places. Analyzes what is new until done or asked to stop, or leaves that to the
    /// workers where the queue is shared.
    pub async fn ingest(
        &self,
        request: IngestRequest,
        progress: Arc<Progress>,
        shutdown: &Shutdown,
    ) -> anyhow::Result<IngestSummary> {
        for path in &request.paths {
            let operation = || format!("ingest {}", path.display());
            let metadata = std::fs::metadata(path).with_context(operation)?;
            if !metadata.is_file() && !metadata.is_dir() {
                return Err(OpenError::of_kind(metadata.file_type())).with_context(operation);
            }
        }
        self.run(request, true, progress, shutdown).await
    }

    /// Analyzes what is pending, until done or asked to stop, or waits until the workers have done it.
    pub async fn work(
        &self,
        only: Option<Vec<AnalyzerId>>,
        wait: bool,
        progress: Arc<Progress>,
        shutdown: &Shutdown,
    ) -> anyhow::Result<IngestSummary> {
        let request = IngestRequest { paths: Vec::new(), owner: None, reread: false, only, wait };
        self.run(request, false, progress, shutdown).await
    }

    /// Whether workers do what this process registers.
    pub fn has_workers(&self) -> bool {
        matches!(self.config.backends.queue(), QueueBackend::Rabbit(_))
    }

    async fn run(
        &self,
        request: IngestRequest,
        is_scan: bool,
        progress: Arc<Progress>,
        shutdown: &Shutdown,
    ) -> anyhow::Result<IngestSummary> {
        let IngestRequest { paths, owner, reread, only, wait } = request;
        let started = Instant::now();
        self.begin_vocabulary().await?;
        let wanted = self.wanted(only.as_deref())?;
        let stop = shutdown.token().clone();
        progress.to_do.store(self.store.outstanding(&wanted).await?, Relaxed);
        let wake = Arc::new(Notify::new());
        // Says that the scan is over.
        let complete = CancellationToken::new();
        let scanner = Scanner {
            ledger: self.ledger(),
            wanted: wanted.clone(),
            owner,
            ignored: self.config.assets.ignore.clone(),
            reread,
            follow_symlinks: self.config.assets.follow_symlinks,
            roots: self.config.roots(),
            progress: Arc::clone(&progress),
            wake: Arc::clone(&wake),
        };
        let scanning = async {
            let scan = match is_scan {
                true => scanner.scan(paths, &stop).await,
                false => Ok(Scan::default()),
            };
            complete.cancel();
            wake.notify_one();
            scan
        };
        let working = async {
            let is_here = !self.has_workers() && self.claim().await?;
            if !is_here {
                if self.has_workers() && !wait {
                    return Ok(Vec::new());
                }
                self.can_be_left(&wanted)?;
                if self.follow(&wanted, &progress, &stop, &complete).await? == Followed::ToTheEnd {
                    return Ok(Vec::new());
                }
            }
            self.work_off(&wanted, &progress, &wake, &stop, &complete).await
        };
        let terms = self.terms();
        let worked = CancellationToken::new();
        let working = async {
            let outcome = working.await;
            worked.cancel();
            outcome
        };
        let matching = async {
            // Workers do this, too.
            if !self.has_workers() {
                terms.run(&worked).await;
            }
        };
        let (scan, networks, ()) = tokio::join!(scanning, working, matching);
        let scan = scan?;
        let networks = networks?;
        if !self.has_workers() {
            terms.catch_up(&stop, |_| {}).await?;
        }
        let left = self.store.outstanding(&wanted).await?;
        let counted = progress.snapshot();
        Ok(IngestSummary {
            found: scan.seen.files(),
            new: scan.seen.new,
            copies: scan.seen.copies,
            moved: scan.seen.moved,
            changed: scan.seen.changed,
            unchanged: scan.seen.known,
            forgotten: scan.seen.forgotten,
            skipped: scan.seen.other,
            left_out: scan.seen.left_out,
            unreadable_count: scan.seen.unreadable,
            left_out_folders: scan.folders_left_out,
            left_out_by: scan.left_out_by,
            unreadable_folders: scan.folders_unreadable,
            unreadable: scan
                .unreadable
                .into_iter()
                .map(|(path, reason)| (path.to_string_lossy().into_owned(), reason))
                .collect(),
            gone: scan.gone,
            new_assets: scan.registered.new_assets,
            new_paths: scan.registered.new_paths,
            analyzed: counted.done,
            failed: counted.failed,
            remaining: left,
            queued: self.has_workers(),
            interrupted: stop.is_cancelled(),
            elapsed_seconds: started.elapsed().as_secs_f64(),
            networks,
        })
    }

    /// Runs feeder and consumer. Loads the networks only once there is work for them.
    pub(super) async fn work_off(
        &self,
        wanted: &Wanted,
        progress: &Arc<Progress>,
        wake: &Arc<Notify>,
        stop: &CancellationToken,
        complete: &CancellationToken,
    ) -> anyhow::Result<Vec<NetworkUsage>> {
        if !self.wait_for_work(wanted, wake, stop, complete).await? {
            return Ok(Vec::new());
        }
        let analyzers: Vec<AnalyzerId> =
            wanted.keys().copied().filter(|&id| id != AnalyzerId::Decode).collect();
        let pipeline = Arc::new(self.pipeline(analyzers).await?);
        let queue = backends::queue(&self.config, self.config.in_flight() * QUEUED_PER_PLACE).await?.queue;
        let feeder = self.feeder(&queue, wanted, wake);
        let walk = self.walk(&queue, pipeline, progress);
        // Nobody watches whether the index takes vectors again: that ends it.
        let halt = stop.child_token();
        let worked = CancellationToken::new();
        let working = async {
            let working = async { tokio::join!(feeder.run(&halt, complete), walk.run(&halt)) };
            tokio::pin!(working);
            let refusal = tokio::select! {
                _ = &mut working => progress.stalled(),
                reason = progress.until_stalled() => {
                    halt.cancel();
                    working.await;
                    Some(reason)
                }
            };
            worked.cancel();
            refusal
        };
        let ledger = self.ledger();
        let living = async {
            // A ledger of this process's own has nobody else to tell.
            if matches!(self.config.backends.store(), StoreBackend::Postgres(_)) {
                pulse::beat(&*ledger, &self.owner, &worked).await;
            }
        };
        let (refusal, ()) = tokio::join!(working, living);
        // What this process still holds, it gives back.
        self.store.hand_back_all(&feeder.owner).await?;
        self.store.hand_back_all(&self.owner).await?;
        let networks = usage(&walk.pipeline);
        super::let_go(walk).await;
        match refusal {
            Some(reason) => Err(AppError::Refused { reason }.into()),
            None => Ok(networks),
        }
    }

    /// Whether there is anything to do, as soon as that is known. Others write to the ledger, too.
    async fn wait_for_work(
        &self,
        wanted: &Wanted,
        wake: &Notify,
        stop: &CancellationToken,
        complete: &CancellationToken,
    ) -> anyhow::Result<bool> {
        loop {
            let scanned = complete.is_cancelled();
            if self.store.waiting(wanted).await?.left {
                return Ok(true);
            }
            if scanned || stop.is_cancelled() {
                return Ok(false);
            }
            tokio::select! {
                () = wake.notified() => {}
                () = complete.cancelled() => {}
                () = stop.cancelled() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Whether others do this work. Workers have a configuration of their own; the process that has the data directory analyzes
    /// what is enabled.
    fn can_be_left(&self, wanted: &Wanted) -> anyhow::Result<()> {
        if self.has_workers() {
            return Ok(());
        }
        let enabled = &self.config.analyzers.enabled;
        match wanted.keys().find(|id| **id != AnalyzerId::Decode && !enabled.contains(id)) {
            Some(analyzer) => Err(AppError::NotEnabled { analyzer: *analyzer }.into()),
            None => Ok(()),
        }
    }

    /// Looks on while others do the work, until it is done or `stop`, or until the process that does it is gone.
    pub(super) async fn follow(
        &self,
        wanted: &Wanted,
        progress: &Progress,
        stop: &CancellationToken,
        complete: &CancellationToken,
    ) -> anyhow::Result<Followed> {
        loop {
            // Read before the ledger is asked: what was registered until then is in its answer.
            let scanned = complete.is_cancelled();
            let left = self.store.outstanding(wanted).await?;
            progress.follow(left);
            if stop.is_cancelled() || (scanned && left == 0) {
                return Ok(Followed::ToTheEnd);
            }
            if !self.has_workers() && self.claim().await? {
                tracing::info!("the process that analyzed pictures is gone; this one goes on");
                return Ok(Followed::UntilGone);
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }
}

/// How looking on ended.
#[derive(PartialEq, Eq)]
pub(super) enum Followed {
    /// The work is done, or it was asked to stop.
    ToTheEnd,
    /// Nobody does it any more.
    UntilGone,
}

fn usage(pipeline: &Pipeline) -> Vec<NetworkUsage> {
    let of = |(model, usage): (ModelRef, docent_pipelines::executor::Usage)| NetworkUsage {
        model,
        inputs: usage.inputs,
        batches: usage.batches,
        cpu_seconds: usage.cpu.as_secs_f64(),
    };
    pipeline.usage().into_iter().map(of).collect()
}
