//! The composition root: the only place that names concrete backends.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyhow::Context;
use async_trait::async_trait;
use docent_models::session::init_runtime;
use docent_models::{ModelRef, Pack};
use docent_pipelines::pipeline::models_of;
use docent_pipelines::{AnalyzerId, Pipeline, VectorRecord, VectorSpace};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::assets::{AssetSource, FileSource};
use crate::config::Config;
use crate::consumer::{Walk, WalkOptions};
use crate::feeder::Feeder;
use crate::progress::Progress;
use crate::queue::{MemoryQueue, Queue};
use crate::scanner::{Scan, Scanner};
use crate::search::{Search, SearchOptions};
use crate::shutdown::Shutdown;
use crate::store::{Catalog, Ledger, SqliteStore, Store, Wanted};
use crate::vectors::{EmbeddedIndex, VectorIndex, VectorSource};

/// Whether a command needs the data directory for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It reads, or writes single rows that the ledger guards.
    Shared,
    /// It walks assets or serves: no other such process may run on the directory.
    Exclusive,
}

/// Everything a command works with.
pub struct App {
    config: Config,
    store: Arc<SqliteStore>,
    index: Arc<dyn VectorIndex>,
    source: Arc<dyn AssetSource>,
    pack: Arc<Pack>,
    owner: String,
    /// Held as long as the app lives; the system lets go of it when the process ends, however it ends.
    _lock: Option<File>,
}

/// What to ingest.
#[derive(Debug, Clone)]
pub struct IngestRequest {
    /// Files and folders.
    pub paths: Vec<PathBuf>,
    /// Only these analyzers; the rest stays missing in the ledger.
    pub only: Option<Vec<AnalyzerId>>,
}

/// What an ingest did.
#[derive(Debug, Clone, serde::Serialize)]
pub struct IngestSummary {
    /// Files seen.
    pub found: u64,
    /// Files that are plainly no pictures.
    pub skipped: u64,
    /// Hidden files and folders, left out.
    pub hidden: u64,
    /// Files known from before.
    pub unchanged: u64,
    /// How many files and folders could not be read …
    pub unreadable_count: u64,
    /// … and the first of them: path and reason.
    pub unreadable: Vec<(String, String)>,
    /// Contents never seen before.
    pub new_assets: u64,
    /// Places never seen before, or with other content than before.
    pub new_paths: u64,
    /// Assets analyzed now, everything done.
    pub analyzed: u64,
    /// Assets analyzed now with something failed for good.
    pub failed: u64,
    /// Assets that still wait for work, if it was interrupted.
    pub remaining: u64,
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

/// The directory is taken.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// Another process has the data directory.
    #[error("the data directory {} is in use by another docent{}", directory.display(), holder.as_ref().map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    InUse {
        /// The directory.
        directory: PathBuf,
        /// The other process, if it left its number.
        holder: Option<u32>,
    },
}

/// Jobs that wait in the queue per place in flight: enough that no consumer waits for the feeder.
const QUEUED_PER_PLACE: usize = 4;

impl App {
    /// Opens the data directory; loads no model.
    pub async fn open(config: Config, access: Access) -> anyhow::Result<Self> {
        let directory = &config.data_dir;
        std::fs::create_dir_all(directory)
            .with_context(|| format!("create the data directory {}", directory.display()))?;
        let lock = match access {
            Access::Shared => None,
            Access::Exclusive => Some(lock(directory)?),
        };
        let pack = Arc::new(Pack::open(&config.models_dir)?);
        let ledger = directory.join("ledger.sqlite");
        let store =
            Arc::new(SqliteStore::open(&ledger).await.with_context(|| format!("open {}", ledger.display()))?);
        let index = Arc::new(EmbeddedIndex::new(Arc::new(LedgerVectors(Arc::clone(&store)))));
        let source = Arc::new(FileSource { max_bytes: config.assets.max_bytes });
        if access == Access::Exclusive {
            let lost = store.recover(config.work.max_lost_runs).await?;
            if lost > 0 {
                tracing::info!(lost, "work of an earlier process goes on");
            }
        }
        let owner = format!("{}-{:08x}", std::process::id(), fastrand::u32(..));
        Ok(Self { config, store, index, source, pack, owner, _lock: lock })
    }

    /// The ledger.
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as Arc<dyn Store>
    }

    /// The configuration the app was opened with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The models.
    pub fn pack(&self) -> &Arc<Pack> {
        &self.pack
    }

    /// Where bytes come from.
    pub fn source(&self) -> &Arc<dyn AssetSource> {
        &self.source
    }

    /// The analyzers that are enabled, or those in `only`, with the model each works by.
    pub fn wanted(&self, only: Option<&[AnalyzerId]>) -> anyhow::Result<Wanted> {
        let analyzers = only.unwrap_or(&self.config.analyzers.enabled);
        Ok(models_of(&self.pack, analyzers, &self.config.pipeline_options())?)
    }

    /// Searches by words and likeness.
    pub fn search(&self) -> Search {
        let options = SearchOptions {
            onnxruntime: self.config.onnxruntime.clone(),
            session: self.config.pipeline_options().session,
            decode: self.config.decode_limits(),
        };
        let catalog = Arc::clone(&self.store) as Arc<dyn Catalog>;
        Search::new(catalog, Arc::clone(&self.index), Arc::clone(&self.pack), options)
    }

    /// Registers what lies at the given places and analyzes what is new, until done or asked to stop.
    pub async fn ingest(
        &self,
        request: IngestRequest,
        progress: Arc<Progress>,
        shutdown: &Shutdown,
    ) -> anyhow::Result<IngestSummary> {
        for path in &request.paths {
            std::fs::symlink_metadata(path).with_context(|| format!("ingest {}", path.display()))?;
        }
        self.run(request.only, Some(request.paths), progress, shutdown).await
    }

    /// Analyzes what is pending, until done or asked to stop.
    pub async fn work(
        &self,
        only: Option<Vec<AnalyzerId>>,
        progress: Arc<Progress>,
        shutdown: &Shutdown,
    ) -> anyhow::Result<IngestSummary> {
        self.run(only, None, progress, shutdown).await
    }

    /// Closes the ledger.
    pub async fn close(self) {
        self.store.close().await;
    }

    async fn run(
        &self,
        only: Option<Vec<AnalyzerId>>,
        scan: Option<Vec<PathBuf>>,
        progress: Arc<Progress>,
        shutdown: &Shutdown,
    ) -> anyhow::Result<IngestSummary> {
        let started = Instant::now();
        let wanted = self.wanted(only.as_deref())?;
        let stop = shutdown.token().clone();
        progress.to_do.store(self.store.outstanding(&wanted).await?.assets, Relaxed);
        let wake = Arc::new(Notify::new());
        // Says that the scan is over.
        let complete = CancellationToken::new();
        let scanner = Scanner {
            ledger: Arc::clone(&self.store) as Arc<dyn Ledger>,
            wanted: wanted.clone(),
            follow_symlinks: self.config.assets.follow_symlinks,
            progress: Arc::clone(&progress),
            wake: Arc::clone(&wake),
        };
        let scanning = async {
            let scan = match scan {
                Some(paths) => scanner.scan(paths, &stop).await,
                None => Ok(Scan::default()),
            };
            complete.cancel();
            wake.notify_one();
            scan
        };
        let (scan, worked) =
            tokio::join!(scanning, self.work_off(&wanted, &progress, &wake, &stop, &complete));
        let scan = scan?;
        let networks = worked?;
        let left = self.store.outstanding(&wanted).await?;
        let counted = progress.snapshot();
        Ok(IngestSummary {
            found: counted.found,
            skipped: counted.skipped,
            hidden: counted.hidden,
            unchanged: counted.unchanged,
            unreadable_count: counted.unreadable,
            unreadable: scan
                .unreadable
                .into_iter()
                .map(|(path, reason)| (path.to_string_lossy().into_owned(), reason))
                .collect(),
            new_assets: scan.registered.new_assets,
            new_paths: scan.registered.new_paths,
            analyzed: counted.done,
            failed: counted.failed,
            remaining: left.assets,
            interrupted: stop.is_cancelled(),
            elapsed_seconds: started.elapsed().as_secs_f64(),
            networks,
        })
    }

    /// Runs feeder and consumer. Loads the networks only once there is work for them.
    async fn work_off(
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
        let in_flight = self.config.in_flight();
        let queue: Arc<dyn Queue> = Arc::new(MemoryQueue::new(in_flight * QUEUED_PER_PLACE));
        let retry = self.config.retry_policy();
        let timeout = Duration::from_secs(self.config.work.timeout_seconds);
        let feeder = Feeder {
            ledger: Arc::clone(&self.store) as Arc<dyn Ledger>,
            queue: Arc::clone(&queue),
            wanted: wanted.clone(),
            owner: self.owner.clone(),
            queue_length: in_flight * QUEUED_PER_PLACE,
            lease: timeout * (QUEUED_PER_PLACE as u32 + 2),
            retry,
            wake: Arc::clone(wake),
        };
        let walk = Walk {
            queue,
            ledger: Arc::clone(&self.store) as Arc<dyn Ledger>,
            index: Arc::clone(&self.index),
            source: Arc::clone(&self.source),
            pipeline,
            progress: Arc::clone(progress),
            options: WalkOptions {
                owner: self.owner.clone(),
                in_flight,
                decode: self.config.decode_limits(),
                retry,
                timeout,
                grace: Duration::from_secs(self.config.work.grace_seconds),
            },
        };
        tokio::join!(feeder.run(stop, complete), walk.run(stop));
        // The process has the directory to itself: what it still holds, it gives back.
        self.store.hand_back_all(&self.owner).await?;
        let networks = usage(&walk.pipeline);
        // Their threads end with the networks' last handle; that wait belongs on a thread that may block.
        drop(tokio::task::spawn_blocking(move || drop(walk)).await);
        Ok(networks)
    }

    /// Whether there is anything to do, as soon as that is known.
    async fn wait_for_work(
        &self,
        wanted: &Wanted,
        wake: &Notify,
        stop: &CancellationToken,
        complete: &CancellationToken,
    ) -> anyhow::Result<bool> {
        loop {
            let scanned = complete.is_cancelled();
            if self.store.outstanding(wanted).await?.assets > 0 {
                return Ok(true);
            }
            if scanned || stop.is_cancelled() {
                return Ok(false);
            }
            tokio::select! {
                () = wake.notified() => {}
                () = complete.cancelled() => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Loads the networks of `analyzers`.
    pub async fn pipeline(&self, analyzers: Vec<AnalyzerId>) -> anyhow::Result<Pipeline> {
        load_pipeline(&self.config, Arc::clone(&self.pack), analyzers).await
    }
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

/// Loads the networks of `analyzers`, off the async threads.
pub(crate) async fn load_pipeline(
    config: &Config,
    pack: Arc<Pack>,
    analyzers: Vec<AnalyzerId>,
) -> anyhow::Result<Pipeline> {
    let (library, options) = (config.onnxruntime.clone(), config.pipeline_options());
    let load = move || {
        init_runtime(library.as_deref())?;
        Pipeline::load(&pack, &analyzers, &options)
    };
    Ok(tokio::task::spawn_blocking(load).await.context("load the models")??)
}

/// Takes the directory's lock and leaves this process's number in it, for whoever finds it taken.
fn lock(directory: &Path) -> anyhow::Result<File> {
    let path = directory.join("lock");
    let mut file = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path)
        .with_context(|| format!("open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0)
                .and_then(|()| write!(file, "{}", std::process::id()))
                .with_context(|| format!("write {}", path.display()))?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let holder = file.rewind().and_then(|()| file.take(20).read_to_string(&mut text));
            let holder = holder.ok().and_then(|_| text.trim().parse().ok());
            Err(AppError::InUse { directory: directory.to_path_buf(), holder }.into())
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("lock {}", path.display())),
    }
}

/// The ledger as the embedded index reads it.
struct LedgerVectors(Arc<SqliteStore>);

#[async_trait]
impl VectorSource for LedgerVectors {
    async fn vectors_after(
        &self,
        space: &VectorSpace,
        sequence: i64,
        limit: u32,
    ) -> anyhow::Result<Vec<(i64, VectorRecord)>> {
        Ok(Catalog::vectors_after(&*self.0, space, sequence, limit).await?)
    }
}
