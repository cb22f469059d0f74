//! A ledger for tests of the feeder: it remembers what it was asked.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use async_trait::async_trait;
use docent_pipelines::asset::ContentHash;
use docent_pipelines::{AssetId, Fingerprint, VectorSpace};
use tokio::time::Instant;

use crate::queue::{AnalyzeAsset, Lane};
use crate::store::{
    Begun, Finished, FoundFile, KnownFile, KnownPlace, LeaseFilter, LeaseRequest, LeaseRow, Leasing, Ledger,
    Page, Paged, Recorded, Registered, Requeue, StoreError, Waiting, Wanted,
};

/// A backfill without end and uploads, and the times at which either was asked for.
#[derive(Default)]
pub(super) struct Work {
    pub(super) uploads: Mutex<Vec<AnalyzeAsset>>,
    pub(super) asked: Mutex<HashMap<Option<Lane>, Vec<Instant>>>,
    pub(super) assets: Mutex<u32>,
    /// The backfill has an end after all: there is none.
    pub(super) none: bool,
    /// When it was asked what there is.
    pub(super) looked: Mutex<Vec<Instant>>,
    /// Something is leased.
    pub(super) leased: AtomicBool,
    /// When a retry is due.
    pub(super) due: Mutex<Option<Instant>>,
    pub(super) taken_back: Mutex<Vec<(Lane, Range<Duration>)>>,
}

impl Work {
    pub(super) fn job(&self, lane: Lane) -> AnalyzeAsset {
        let mut assets = self.assets.lock().expect("whole");
        *assets += 1;
        let asset = ContentHash::of(&assets.to_le_bytes()).asset_id();
        AnalyzeAsset { asset, uris: Vec::new(), analyzers: Vec::new(), lane, alone: false }
    }

    pub(super) fn asked(&self, lane: Lane) -> Vec<Instant> {
        self.asked.lock().expect("whole").get(&Some(lane)).cloned().unwrap_or_default()
    }
}

#[async_trait]
impl Leasing for Work {
    async fn beat(&self, _: &str, _: Duration) -> Result<(), StoreError> {
        unreachable!()
    }
    async fn take_back(&self, lane: Lane, left: Range<Duration>) -> Result<u64, StoreError> {
        let mut taken = self.taken_back.lock().expect("whole");
        taken.push((lane, left));
        Ok(0)
    }
    async fn leases(&self, _: &LeaseFilter, _: &Page) -> Result<Paged<LeaseRow>, StoreError> {
        unreachable!()
    }
    async fn release(&self, _: &LeaseFilter) -> Result<u64, StoreError> {
        unreachable!()
    }
}

#[async_trait]
impl Ledger for Work {
    async fn identify(&self, _: &[Fingerprint]) -> Result<Vec<AssetId>, StoreError> {
        unreachable!()
    }
    async fn lease(&self, request: &LeaseRequest) -> Result<Vec<AnalyzeAsset>, StoreError> {
        self.asked.lock().expect("whole").entry(request.lane).or_default().push(Instant::now());
        let limit = request.limit as usize;
        if request.lane == Some(Lane::Interactive) {
            let mut uploads = self.uploads.lock().expect("whole");
            let given = limit.min(uploads.len());
            return Ok(uploads.drain(..given).collect());
        }
        let limit = if self.none { 0 } else { limit };
        Ok((0..limit).map(|_| self.job(Lane::Backfill)).collect())
    }
    async fn outstanding(&self, _: &Wanted) -> Result<u64, StoreError> {
        unreachable!()
    }
    async fn pending_among(&self, _: &Wanted, _: &[AssetId]) -> Result<Vec<AssetId>, StoreError> {
        unreachable!()
    }
    async fn waiting(&self, _: &Wanted) -> Result<Waiting, StoreError> {
        assert!(self.none, "there is always something to do");
        self.looked.lock().expect("whole").push(Instant::now());
        let ready = !self.uploads.lock().expect("whole").is_empty();
        let leased = self.leased.load(Relaxed);
        let due = self.due.lock().expect("whole").map(|at| at.saturating_duration_since(Instant::now()));
        let overdue = due.is_some_and(|wait| wait.is_zero());
        Ok(Waiting { left: ready || leased || due.is_some(), leased, ready, overdue, next_ready_in: due })
    }
    async fn known_files(&self, _: &[String]) -> Result<HashMap<String, KnownFile>, StoreError> {
        unreachable!()
    }
    async fn known_assets(&self, _: &[AssetId]) -> Result<HashMap<AssetId, Vec<KnownPlace>>, StoreError> {
        unreachable!()
    }
    async fn register(&self, _: &[FoundFile], _: &Wanted) -> Result<Registered, StoreError> {
        unreachable!()
    }
    async fn barred(&self, _: &[Fingerprint]) -> Result<Vec<bool>, StoreError> {
        unreachable!()
    }
    async fn forgotten(&self, _: &[AssetId]) -> Result<HashSet<AssetId>, StoreError> {
        unreachable!()
    }
    async fn note_places(&self, _: &[String], _: &[String]) -> Result<(), StoreError> {
        unreachable!()
    }
    async fn places_below(&self, _: &str, _: Option<&str>, _: u32) -> Result<Vec<KnownPlace>, StoreError> {
        unreachable!()
    }
    async fn recover(&self, _: u32) -> Result<u64, StoreError> {
        unreachable!()
    }
    fn give_up_after(&self, _: u32) {}
    async fn begin_run(&self, _: &AnalyzeAsset, _: &str) -> Result<Begun, StoreError> {
        unreachable!()
    }
    async fn record(&self, _: &[Finished]) -> Result<Vec<Recorded>, StoreError> {
        unreachable!()
    }
    async fn hand_back(&self, _: &AssetId) -> Result<(), StoreError> {
        unreachable!()
    }
    async fn hand_back_all(&self, _: &str) -> Result<(), StoreError> {
        unreachable!()
    }
    async fn requeue(&self, _: Requeue, _: &Wanted, _: Option<&[AssetId]>) -> Result<u64, StoreError> {
        unreachable!()
    }
    async fn submit(&self, _: &FoundFile, _: &Wanted, _: Option<&str>) -> Result<Registered, StoreError> {
        unreachable!()
    }
    async fn prolong(&self, _: &[AssetId], _: &str, _: Duration) -> Result<(), StoreError> {
        Ok(())
    }
    async fn holders(&self, _: &VectorSpace, _: &[AssetId]) -> Result<Vec<AssetId>, StoreError> {
        unreachable!()
    }
    async fn drop_space(&self, _: &VectorSpace) -> Result<u64, StoreError> {
        unreachable!()
    }
    async fn upkeep(&self) -> Result<(), StoreError> {
        unreachable!()
    }
    async fn ping(&self) -> Result<(), StoreError> {
        unreachable!()
    }
    async fn close(&self) {}
}
