//! The composition root: the only place that names concrete backends.

mod backends;
pub mod backup;
mod ingest;
pub mod inspect;
mod pulse;
mod spaces;
mod telling;
mod vocabulary;
mod watching;
pub mod worker;

use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
pub use backends::LedgerVectors;
use docent_models::Pack;
use docent_models::session::init_runtime;
use docent_pipelines::pipeline::models_of;
use docent_pipelines::{AnalyzerId, Pipeline};
pub use ingest::{IngestRequest, IngestSummary, NetworkUsage};
pub use spaces::{Rebuilt, SpaceRow};
use tokio::sync::Notify;
pub use watching::WatchSummary;

use crate::assets::{AssetSource, FileSource};
use crate::config::{Config, QueueBackend, StoreBackend};
use crate::consumer::{BatchLimits, Walk, WalkOptions};
use crate::feeder::Feeder;
use crate::forget::Forgetter;
use crate::progress::Progress;
use crate::queue::{Queue, QueueError};
use crate::search::{Search, SearchOptions};
use crate::store::{Catalog, Ledger, Store, StoreError, Wanted};
use crate::telemetry;
use crate::terms::TermMatching;
use crate::uploads::Uploads;
use crate::vectors::{IndexError, VectorIndex};

/// Whether a command needs the data directory for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It reads, or writes single rows that the ledger guards.
    Shared,
    /// It analyzes pictures until it is asked to stop: no other such process may run on the directory.
    Exclusive,
    /// It analyzes pictures, or leaves them to the process that has the directory.
    IfFree,
}

/// Everything a command works with.
pub struct App {
    config: Config,
    store: Arc<dyn Store>,
    index: Arc<dyn VectorIndex>,
    source: Arc<dyn AssetSource>,
    named: FileSource,
    pack: Arc<Pack>,
    owner: String,
    /// Of a ledger of this machine's own: held as long as the app lives, if another process had it not. The system lets go of it
    /// when the process ends, however it ends.
    lock: Mutex<Option<File>>,
}

/// Why work cannot be done here, or not now.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The index refuses for good. What was not done stays pending.
    #[error("nothing more is analyzed: {reason}")]
    Refused {
        /// In its own words.
        reason: String,
    },
    /// Another process analyzes pictures, and not with this analyzer.
    #[error("another docent analyzes pictures here, and '{}' is not enabled there", analyzer.as_str())]
    NotEnabled {
        /// The analyzer.
        analyzer: AnalyzerId,
    },
    /// Another process has the data directory.
    #[error("the data directory {} is in use by another docent{}", directory.display(), holder.as_ref().map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    InUse {
        /// The directory.
        directory: PathBuf,
        /// The other process, if it left its number.
        holder: Option<u32>,
    },
}

/// A feeder that dies between its lease and the broker's confirmation holds the asset this long.
const UNPUBLISHED: Duration = Duration::from_secs(60);
/// A lane that is empty for so long, while none of its jobs is in work here, has lost those that were leased before.
const VANISHED: Duration = Duration::from_secs(30);
/// A finished analysis waits this long for a ledger or an index that is away. Restarting a server takes less, and a run
/// keeps its lease longer.
const PATIENCE: Duration = Duration::from_secs(300);

/// A page that is being read takes some seconds.
const LAST_CALLS: Duration = Duration::from_secs(20);

/// Vectors from which on a call to the index is worth making without waiting for more.
const LARGEST_CALL: usize = 256;

impl App {
    /// Opens the data directory and connects to the servers there are; loads no model.
    pub async fn open(config: Config, access: Access) -> anyhow::Result<Self> {
        let directory = &config.data_dir;
        let shared = matches!(config.backends.store(), StoreBackend::Postgres(_));
        // A shared ledger is guarded by its server.
        if !shared {
            std::fs::create_dir_all(directory)
                .with_context(|| format!("create the data directory {}", directory.display()))?;
        }
        let lock = match access {
            _ if shared => None,
            Access::Shared => None,
            Access::Exclusive => Some(backends::lock(directory)?),
            Access::IfFree => free(backends::lock(directory))?,
        };
        let pack = Arc::new(Pack::open(&config.models_dir)?);
        let store = backends::store(&config).await?;
        let index = backends::index(&config, &store)?;
        let max_bytes = config.assets.max_bytes;
        let source = Arc::new(FileSource { max_bytes, roots: config.roots() });
        let named = FileSource { max_bytes, ..FileSource::default() };
        store.give_up_after(config.work.max_lost_runs);
        store.keep_sinks(&config.sinks()).await?;
        let owner = format!("{}-{:016x}", std::process::id(), fastrand::u64(..));
        let app = Self { config, store, index, source, named, pack, owner, lock: Mutex::default() };
        if let Some(lock) = lock {
            app.hold(lock).await?;
        }
        Ok(app)
    }

    /// Whether pictures are analyzed here: the ledger is shared, or this process has the data directory, perhaps from now on.
    pub async fn claim(&self) -> anyhow::Result<bool> {
        if matches!(self.config.backends.store(), StoreBackend::Postgres(_)) || self.holds() {
            return Ok(true);
        }
        match free(backends::lock(&self.config.data_dir))? {
            Some(lock) => self.hold(lock).await.map(|()| true),
            None => Ok(false),
        }
    }

    fn holds(&self) -> bool {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Goes on where the process ended that had the directory before.
    async fn hold(&self, lock: File) -> anyhow::Result<()> {
        *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = Some(lock);
        let lost = self.store.recover(self.config.work.max_lost_runs).await?;
        if lost > 0 {
            tracing::info!(lost, "work of an earlier process goes on");
        }
        Ok(())
    }

    /// The ledger.
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store)
    }

    /// The index.
    pub fn index(&self) -> Arc<dyn VectorIndex> {
        Arc::clone(&self.index)
    }

    fn ledger(&self) -> Arc<dyn Ledger> {
        Arc::clone(&self.store) as Arc<dyn Ledger>
    }

    /// What moves work of this process's ledger to `queue`.
    fn feeder(&self, queue: &Arc<dyn Queue>, wanted: &Wanted, wake: &Arc<Notify>) -> Feeder {
        let timeout = Duration::from_secs(self.config.work.timeout_seconds);
        // In the queue, and then: while it is fetched, waits for its turn, and is looked at.
        let lease = timeout * (ingest::QUEUED_PER_PLACE as u32 + 3);
        let (lane_length, first_lease) = match self.config.backends.queue() {
            QueueBackend::Memory => (self.config.in_flight() * ingest::QUEUED_PER_PLACE, lease),
            QueueBackend::Rabbit(_) => (self.config.backends.lane_capacity, UNPUBLISHED.min(lease)),
        };
        Feeder {
            ledger: self.ledger(),
            queue: Arc::clone(queue),
            wanted: wanted.clone(),
            // What it leased waits in the queue and stays there when this process ends; see `hand_back_all`.
            owner: format!("{}/feeder", self.owner),
            lane_length,
            lease,
            first_lease,
            vanished: VANISHED,
            retry: self.config.retry_policy(),
            wake: Arc::clone(wake),
        }
    }

    /// What takes jobs from `queue`.
    fn walk(&self, queue: &Arc<dyn Queue>, pipeline: Arc<Pipeline>, progress: &Arc<Progress>) -> Walk {
        Walk {
            queue: Arc::clone(queue),
            ledger: self.ledger(),
            index: Arc::clone(&self.index),
            source: Arc::clone(&self.source),
            pipeline,
            progress: Arc::clone(progress),
            options: WalkOptions {
                owner: self.owner.clone(),
                in_flight: self.config.in_flight(),
                ahead: self.config.ahead(),
                decode: self.config.decode_limits(),
                retry: self.config.retry_policy(),
                timeout: Duration::from_secs(self.config.work.timeout_seconds),
                text_timeout: Duration::from_secs(self.config.work.text_timeout_seconds),
                grace: Duration::from_secs(self.config.work.grace_seconds),
                patience: PATIENCE,
                batch: batch(&self.config),
            },
        }
    }

    /// The configuration the app was opened with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The models.
    pub fn pack(&self) -> &Arc<Pack> {
        &self.pack
    }

    /// Where the bytes of a file come from that a person names at the command line: from anywhere.
    pub fn named(&self) -> &dyn AssetSource {
        &self.named
    }

    /// Where bytes come from.
    pub fn source(&self) -> &Arc<dyn AssetSource> {
        &self.source
    }

    /// What takes pictures in, where there is a folder for them. `wake` is told of each.
    pub async fn uploads(&self, wake: &Arc<Notify>) -> anyhow::Result<Option<Uploads>> {
        let Some(folder) = self.config.uploads() else { return Ok(None) };
        let (max_bytes, wanted) = (self.config.assets.max_bytes, self.wanted(None)?);
        let uploads = Uploads::open(&folder, max_bytes, self.ledger(), wanted, Arc::clone(wake));
        uploads.await.with_context(|| format!("make ready for uploads in {}", folder.display())).map(Some)
    }

    /// The analyzers that are enabled, or those in `only`, with the model each works by.
    pub fn wanted(&self, only: Option<&[AnalyzerId]>) -> anyhow::Result<Wanted> {
        let analyzers = only.unwrap_or(&self.config.analyzers.enabled);
        Ok(models_of(&self.pack, analyzers, &self.config.pipeline_options())?)
    }

    /// Searches by words and likeness.
    pub fn search(&self) -> Search {
        let library = self.config.onnxruntime.clone();
        let options = SearchOptions {
            start: Arc::new(move || init_runtime(library.as_deref()).map(drop)),
            session: self.config.pipeline_options().session,
            decode: self.config.decode_limits(),
        };
        let catalog: Arc<dyn Catalog> = Arc::clone(&self.store) as Arc<dyn Catalog>;
        Search::new(catalog, Arc::clone(&self.index), Arc::clone(&self.pack), options)
    }

    /// What forgets.
    pub fn forgetter(&self) -> Forgetter {
        Forgetter::new(self.store(), self.index(), self.config.uploads())
    }

    /// What applies the vocabulary to pictures.
    pub fn terms(&self) -> TermMatching {
        TermMatching::new(self.store(), self.search(), Arc::clone(&self.pack), self.owner.clone())
    }

    /// Closes the ledger.
    pub async fn close(self) {
        self.store.close().await;
    }

    /// Loads the networks of `analyzers`.
    pub async fn pipeline(&self, analyzers: Vec<AnalyzerId>) -> anyhow::Result<Pipeline> {
        load_pipeline(&self.config, Arc::clone(&self.pack), analyzers).await
    }
}

/// A lock, or nothing where another process has it.
fn free(lock: anyhow::Result<File>) -> anyhow::Result<Option<File>> {
    match lock {
        Err(error) if matches!(error.downcast_ref(), Some(AppError::InUse { .. })) => Ok(None),
        lock => lock.map(Some),
    }
}

/// The networks' threads end with their last handle; that wait belongs on a thread that may block, and a call that does
/// not end is not waited for: it ends with the process.
async fn let_go(walk: Walk) {
    let dropped = tokio::task::spawn_blocking(move || drop(walk));
    if tokio::time::timeout(LAST_CALLS, dropped).await.is_err() {
        tracing::warn!("a network's last call does not end; it is not waited for");
    }
}

/// What is written together. A backfill does not mind the delay.
fn batch(config: &Config) -> BatchLimits {
    BatchLimits { runs: config.work.gathered, vectors: LARGEST_CALL, delay: Duration::from_secs(1) }
}

/// Which server is away, if that is why something failed.
fn away(error: &anyhow::Error) -> Option<&'static str> {
    error.chain().find_map(|cause| {
        if let Some(StoreError::Unavailable { .. } | StoreError::Contended { .. }) = cause.downcast_ref() {
            return Some("store");
        }
        if let Some(QueueError::Unavailable { .. }) = cause.downcast_ref::<QueueError>() {
            return Some("queue");
        }
        matches!(cause.downcast_ref(), Some(IndexError::Unavailable { .. })).then_some("vectors")
    })
}

/// Loads the networks of `analyzers`, off the async threads.
pub(crate) async fn load_pipeline(
    config: &Config,
    pack: Arc<Pack>,
    analyzers: Vec<AnalyzerId>,
) -> anyhow::Result<Pipeline> {
    let config = config.clone();
    let load = move || {
        init_runtime(config.onnxruntime.as_deref())?;
        Pipeline::load(&pack, &analyzers, &config.pipeline_options())
    };
    let pipeline = tokio::task::spawn_blocking(load).await.context("load the models")??;
    for (model, provider) in pipeline.providers() {
        telemetry::session(model, provider);
    }
    for (model, max_batch) in pipeline.max_batches() {
        telemetry::batch(model, *max_batch);
    }
    Ok(pipeline)
}
