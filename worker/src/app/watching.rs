//! Watches folders, and analyzes what comes here or leaves that to others.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use anyhow::Context;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::ingest::Followed;
use super::{App, NetworkUsage};
use crate::assets::OpenError;
use crate::progress::Progress;
use crate::scanner::Scanner;
use crate::shutdown::Shutdown;
use crate::store::Wanted;
use crate::watch::{Told, Watch, WatchedFolder};

/// What a watch did until it was asked to stop, apart from what it told.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct WatchSummary {
    /// Assets analyzed here, everything done. Where others do the work: what they finished.
    pub analyzed: u64,
    /// Assets analyzed here, with something failed for good.
    pub failed: u64,
    /// Assets that still wait for work.
    pub remaining: u64,
    /// The work is left to workers.
    pub queued: bool,
    /// Wall time in seconds.
    pub elapsed_seconds: f64,
    /// What each network did.
    pub networks: Vec<NetworkUsage>,
}

impl App {
    /// Watches `folders` until asked to stop. Analyzes what comes, or leaves that to the process that has the data directory, or
    /// to workers where the queue is shared. `tell` hears what is taken in.
    pub async fn watch(
        &self,
        folders: Vec<WatchedFolder>,
        progress: Arc<Progress>,
        shutdown: &Shutdown,
        tell: mpsc::Sender<Told>,
    ) -> anyhow::Result<WatchSummary> {
        let started = Instant::now();
        self.begin_vocabulary().await?;
        let wanted = self.wanted(None)?;
        let wake = Arc::new(Notify::new());
        let watch = self.watcher(folders, &wanted, &progress, &wake, Some(tell))?;
        progress.to_do.store(self.store.outstanding(&wanted).await?, Relaxed);
        // Whatever ends it, all of it ends.
        let stop = shutdown.token().child_token();
        let watching = async {
            let watched = watch.run(&stop).await;
            stop.cancel();
            watched
        };
        let working = async {
            let worked = self.work_beside(&wanted, &progress, &wake, &stop).await;
            stop.cancel();
            worked
        };
        let terms = self.terms();
        let matching = async {
            // Workers do this, too.
            if !self.has_workers() {
                terms.run(&stop).await;
            }
        };
        let (watched, networks, ()) = tokio::join!(watching, working, matching);
        let networks = networks?;
        watched?;
        let counted = progress.snapshot();
        Ok(WatchSummary {
            analyzed: counted.done,
            failed: counted.failed,
            remaining: self.store.outstanding(&wanted).await?,
            queued: self.has_workers(),
            elapsed_seconds: started.elapsed().as_secs_f64(),
            networks,
        })
    }

    /// What watches `folders`, each with a scanner. What comes is told to `wake`.
    ///
    /// # Errors
    ///
    /// If one of them is a file, or lies where docent may not read.
    pub(super) fn watcher(
        &self,
        folders: Vec<WatchedFolder>,
        wanted: &Wanted,
        progress: &Arc<Progress>,
        wake: &Arc<Notify>,
        tell: Option<mpsc::Sender<Told>>,
    ) -> anyhow::Result<Watch> {
        let roots = self.config.roots();
        let mut watched = Vec::with_capacity(folders.len());
        for folder in folders {
            let operation = || format!("watch {}", folder.path.display());
            // One that is not there is waited for.
            if let Ok(metadata) = std::fs::metadata(&folder.path)
                && !metadata.is_dir()
            {
                anyhow::bail!("{}: it is not a folder", operation());
            }
            if let Err(error @ OpenError::Outside) = roots.allowed(&folder.path) {
                return Err(error).with_context(operation);
            }
            let scanner = Scanner {
                ledger: self.ledger(),
                wanted: wanted.clone(),
                owner: folder.owner.clone(),
                ignored: self.config.assets.ignore.clone(),
                reread: false,
                follow_symlinks: self.config.assets.follow_symlinks,
                roots: roots.clone(),
                progress: Arc::clone(progress),
                wake: Arc::clone(wake),
            };
            watched.push((folder, scanner));
        }
        Ok(Watch::new(watched, tell))
    }

    /// Analyzes until `stop`, or looks on while others do.
    async fn work_beside(
        &self,
        wanted: &Wanted,
        progress: &Arc<Progress>,
        wake: &Arc<Notify>,
        stop: &CancellationToken,
    ) -> anyhow::Result<Vec<NetworkUsage>> {
        // What comes is never all there is.
        let never = CancellationToken::new();
        let is_here = !self.has_workers() && self.claim().await?;
        if !is_here && self.follow(wanted, progress, stop, &never).await? == Followed::ToTheEnd {
            return Ok(Vec::new());
        }
        self.work_off(wanted, progress, wake, stop, &never).await
    }
}
