//! Ports that fail, or die, at one chosen call.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::anyhow;
use async_trait::async_trait;
use docent::assets::{AssetSource, FetchError};
use docent::queue::{AnalyzeAsset, Delivery, Lane, Queue, QueueError, Receipt};
use docent::store::{
    Begun, Finished, FoundFile, KnownFile, KnownPlace, LeaseFilter, LeaseRequest, LeaseRow, Leasing, Ledger,
    Page, Paged, Recorded, Registered, Requeue, StoreError, Waiting, Wanted,
};
use docent::vectors::{IndexError, Neighbor, VectorIndex};
use docent_pipelines::{AssetId, Fingerprint, VectorRecord, VectorSpace};
use tokio_util::sync::CancellationToken;

/// On which side of a call something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The call never reaches the other end.
    Before,
    /// The call has its effect, and the answer is lost.
    After,
}

/// What happens there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The caller is told that it failed, for now.
    Error,
    /// The ledger claims not to know the asset.
    Unknown,
    /// The index cannot store what it is given.
    Unfit,
    /// The index refuses, and waiting does not help.
    Refused,
    /// There is no answer, ever.
    Hang,
    /// The process is gone.
    Death,
}

/// A fault at the `call`-th call (from 1) of `arrow`.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub arrow: &'static str,
    pub call: usize,
    pub side: Side,
    pub fault: Fault,
}

/// Counts calls and strikes where planned.
pub struct Trigger {
    plans: Vec<Plan>,
    calls: Mutex<HashMap<&'static str, usize>>,
    /// The calls of this life, as they began and as they were answered.
    order: Mutex<Vec<(&'static str, Side)>>,
    struck: AtomicUsize,
    death: Mutex<CancellationToken>,
}

impl Trigger {
    pub fn new(plans: &[Plan]) -> Arc<Self> {
        Arc::new(Self {
            plans: plans.to_vec(),
            calls: Mutex::default(),
            order: Mutex::default(),
            struck: AtomicUsize::new(0),
            death: Mutex::default(),
        })
    }

    /// How many plans came true.
    pub fn struck(&self) -> usize {
        self.struck.load(SeqCst)
    }

    /// For a new process: cancelled at its death.
    pub fn birth(&self) -> CancellationToken {
        let token = CancellationToken::new();
        *self.death.lock().unwrap_or_else(PoisonError::into_inner) = token.clone();
        self.order.lock().unwrap_or_else(PoisonError::into_inner).clear();
        token
    }

    /// The calls since the last birth, as they began and as they were answered.
    pub fn order(&self) -> Vec<(&'static str, Side)> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, arrow: &'static str, side: Side) {
        self.order.lock().unwrap_or_else(PoisonError::into_inner).push((arrow, side));
    }

    fn count(&self, arrow: &'static str) -> usize {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let count = calls.entry(arrow).or_default();
        *count += 1;
        *count
    }

    /// What the caller is told instead of the truth, if anything. Never returns from death.
    async fn strike(&self, arrow: &'static str, call: usize, side: Side) -> Option<Fault> {
        let plan = self.plans.iter().find(|p| p.arrow == arrow && p.call == call && p.side == side)?;
        self.struck.fetch_add(1, SeqCst);
        if plan.fault == Fault::Death {
            self.death.lock().unwrap_or_else(PoisonError::into_inner).cancel();
        }
        if matches!(plan.fault, Fault::Death | Fault::Hang) {
            std::future::pending::<()>().await;
        }
        Some(plan.fault)
    }

    async fn around<T, E>(
        &self,
        arrow: &'static str,
        call: impl Future<Output = Result<T, E>>,
        error: impl Fn(Fault) -> E,
    ) -> Result<T, E> {
        let count = self.count(arrow);
        self.note(arrow, Side::Before);
        if let Some(fault) = self.strike(arrow, count, Side::Before).await {
            return Err(error(fault));
        }
        let answer = call.await;
        self.note(arrow, Side::After);
        match self.strike(arrow, count, Side::After).await {
            Some(fault) => Err(error(fault)),
            None => answer,
        }
    }
}

/// A port behind a trigger.
pub struct Faulty<T: ?Sized> {
    pub inner: Arc<T>,
    pub trigger: Arc<Trigger>,
}

fn queue_error(_: Fault) -> QueueError {
    QueueError::Unavailable { operation: "planned", source: anyhow!("a planned fault") }
}

fn store_error(fault: Fault) -> StoreError {
    match fault {
        Fault::Unknown => StoreError::NotFound { what: "asset", id: "planned".to_owned() },
        _ => StoreError::Unavailable { operation: "planned", source: anyhow!("a planned fault") },
    }
}

fn index_error(fault: Fault) -> IndexError {
    let (operation, source) = ("planned", anyhow!("a planned fault"));
    match fault {
        Fault::Unfit => IndexError::Unfit { operation, reason: source.to_string() },
        Fault::Refused => IndexError::Refused { operation, source },
        _ => IndexError::Unavailable { operation, source },
    }
}

#[async_trait]
impl Queue for Faulty<dyn Queue> {
    async fn publish(&self, job: AnalyzeAsset) -> Result<(), QueueError> {
        self.trigger.around("publish", self.inner.publish(job), queue_error).await
    }

    async fn receive(&self) -> Result<Option<Delivery>, QueueError> {
        let received = async {
            let delivery = self.inner.receive().await?;
            Ok((delivery.as_ref().map(|d| d.receipt), delivery))
        };
        // A delivery whose receiver never saw it comes back, as the queue promises.
        let seen = Mutex::new(None);
        let received = async {
            let (receipt, delivery) = received.await?;
            *seen.lock().unwrap_or_else(PoisonError::into_inner) = receipt;
            Ok(delivery)
        };
        let answer = self.trigger.around("receive", received, queue_error).await;
        let lost = seen.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let (Err(_), Some(receipt)) = (&answer, lost) {
            self.inner.retry(receipt, Duration::ZERO).await?;
        }
        answer
    }

    async fn ack(&self, receipt: Receipt) -> Result<(), QueueError> {
        self.trigger.around("ack", self.inner.ack(receipt), queue_error).await
    }

    async fn retry(&self, receipt: Receipt, delay: Duration) -> Result<(), QueueError> {
        self.trigger.around("retry", self.inner.retry(receipt, delay), queue_error).await
    }

    async fn reject(&self, receipt: Receipt, reason: &str) -> Result<(), QueueError> {
        self.trigger.around("reject", self.inner.reject(receipt, reason), queue_error).await
    }

    async fn depth(&self, lane: Lane) -> Result<usize, QueueError> {
        self.trigger.around("depth", self.inner.depth(lane), queue_error).await
    }

    fn held(&self, lane: Lane) -> usize {
        self.inner.held(lane)
    }

    async fn close(&self) {
        self.inner.close().await;
    }

    async fn ping(&self) -> Result<(), QueueError> {
        self.inner.ping().await
    }

    async fn hand_back_all(&self) {
        self.inner.hand_back_all().await;
    }
}

#[async_trait]
impl Leasing for Faulty<dyn Ledger> {
    async fn beat(&self, owner: &str, lives: Duration) -> Result<(), StoreError> {
        self.inner.beat(owner, lives).await
    }

    async fn take_back(&self, lane: Lane, left: Range<Duration>) -> Result<u64, StoreError> {
        self.inner.take_back(lane, left).await
    }

    async fn leases(&self, filter: &LeaseFilter, page: &Page) -> Result<Paged<LeaseRow>, StoreError> {
        self.inner.leases(filter, page).await
    }

    async fn release(&self, filter: &LeaseFilter) -> Result<u64, StoreError> {
        self.inner.release(filter).await
    }
}

#[async_trait]
impl Ledger for Faulty<dyn Ledger> {
    async fn known_files(&self, uris: &[String]) -> Result<HashMap<String, KnownFile>, StoreError> {
        self.trigger.around("known_files", self.inner.known_files(uris), store_error).await
    }

    async fn identify(&self, files: &[Fingerprint]) -> Result<Vec<AssetId>, StoreError> {
        self.inner.identify(files).await
    }

    async fn register(&self, files: &[FoundFile], wanted: &Wanted) -> Result<Registered, StoreError> {
        self.trigger.around("register", self.inner.register(files, wanted), store_error).await
    }

    async fn submit(
        &self,
        file: &FoundFile,
        wanted: &Wanted,
        correlation: Option<&str>,
    ) -> Result<Registered, StoreError> {
        self.inner.submit(file, wanted, correlation).await
    }

    async fn known_assets(
        &self,
        assets: &[AssetId],
    ) -> Result<HashMap<AssetId, Vec<KnownPlace>>, StoreError> {
        self.inner.known_assets(assets).await
    }

    async fn barred(&self, files: &[Fingerprint]) -> Result<Vec<bool>, StoreError> {
        self.inner.barred(files).await
    }

    async fn forgotten(&self, assets: &[AssetId]) -> Result<HashSet<AssetId>, StoreError> {
        self.inner.forgotten(assets).await
    }

    async fn note_places(&self, gone: &[String], found: &[String]) -> Result<(), StoreError> {
        self.inner.note_places(gone, found).await
    }

    async fn places_below(
        &self,
        folder: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<KnownPlace>, StoreError> {
        self.inner.places_below(folder, after, limit).await
    }

    async fn lease(&self, request: &LeaseRequest) -> Result<Vec<AnalyzeAsset>, StoreError> {
        self.trigger.around("lease", self.inner.lease(request), store_error).await
    }

    async fn recover(&self, max_lost: u32) -> Result<u64, StoreError> {
        self.inner.recover(max_lost).await
    }

    async fn begin_run(&self, job: &AnalyzeAsset, owner: &str) -> Result<Begun, StoreError> {
        self.trigger.around("begin_run", self.inner.begin_run(job, owner), store_error).await
    }

    async fn record(&self, runs: &[Finished]) -> Result<Vec<Recorded>, StoreError> {
        self.trigger.around("record", self.inner.record(runs), store_error).await
    }

    fn give_up_after(&self, max_lost: u32) {
        self.inner.give_up_after(max_lost);
    }

    async fn hand_back_all(&self, owner: &str) -> Result<(), StoreError> {
        self.inner.hand_back_all(owner).await
    }

    async fn prolong(&self, assets: &[AssetId], owner: &str, duration: Duration) -> Result<(), StoreError> {
        self.inner.prolong(assets, owner, duration).await
    }

    async fn holders(&self, space: &VectorSpace, assets: &[AssetId]) -> Result<Vec<AssetId>, StoreError> {
        self.inner.holders(space, assets).await
    }

    async fn drop_space(&self, space: &VectorSpace) -> Result<u64, StoreError> {
        self.inner.drop_space(space).await
    }

    async fn upkeep(&self) -> Result<(), StoreError> {
        self.inner.upkeep().await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.inner.ping().await
    }

    async fn close(&self) {
        self.inner.close().await;
    }

    async fn hand_back(&self, asset: &AssetId) -> Result<(), StoreError> {
        self.trigger.around("hand_back", self.inner.hand_back(asset), store_error).await
    }

    async fn requeue(
        &self,
        what: Requeue,
        wanted: &Wanted,
        assets: Option<&[AssetId]>,
    ) -> Result<u64, StoreError> {
        self.trigger.around("requeue", self.inner.requeue(what, wanted, assets), store_error).await
    }

    async fn outstanding(&self, wanted: &Wanted) -> Result<u64, StoreError> {
        self.trigger.around("outstanding", self.inner.outstanding(wanted), store_error).await
    }

    async fn pending_among(&self, wanted: &Wanted, assets: &[AssetId]) -> Result<Vec<AssetId>, StoreError> {
        self.inner.pending_among(wanted, assets).await
    }

    async fn waiting(&self, wanted: &Wanted) -> Result<Waiting, StoreError> {
        self.trigger.around("waiting", self.inner.waiting(wanted), store_error).await
    }
}

#[async_trait]
impl VectorIndex for Faulty<dyn VectorIndex> {
    async fn upsert(&self, records: &[VectorRecord]) -> Result<(), IndexError> {
        self.trigger.around("upsert", self.inner.upsert(records), index_error).await
    }

    async fn search(
        &self,
        space: &VectorSpace,
        query: &[f32],
        k: usize,
        only: Option<&HashSet<AssetId>>,
    ) -> Result<Vec<Neighbor>, IndexError> {
        self.inner.search(space, query, k, only).await
    }

    async fn prune(&self, space: &VectorSpace, assets: &[AssetId], keep: &[&str]) -> Result<(), IndexError> {
        self.inner.prune(space, assets, keep).await
    }

    async fn forget(&self, assets: &[AssetId]) -> Result<(), IndexError> {
        self.inner.forget(assets).await
    }

    async fn drop_space(&self, space: &VectorSpace) -> Result<(), IndexError> {
        self.inner.drop_space(space).await
    }

    async fn ping(&self) -> Result<(), IndexError> {
        self.inner.ping().await
    }

    async fn count(&self, space: &VectorSpace) -> Result<u64, IndexError> {
        self.inner.count(space).await
    }
}

#[async_trait]
impl AssetSource for Faulty<dyn AssetSource> {
    async fn fetch(&self, uri: &str) -> Result<Vec<u8>, FetchError> {
        let error = |_| FetchError::Unavailable {
            uri: uri.to_owned(),
            source: std::io::Error::other("a planned fault"),
        };
        self.trigger.around("fetch", self.inner.fetch(uri), error).await
    }
}
