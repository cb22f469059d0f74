//! Leases as feeders, workers and operators see them: who holds what, and who lives.

use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use docent_pipelines::AssetId;
use serde::Serialize;

use super::{Page, Paged, StoreError};
use crate::queue::Lane;

/// Which leases. What is left out does not matter.
#[derive(Debug, Clone, Default)]
pub struct LeaseFilter {
    /// Of this process: a worker, or its feeder (`<worker>/feeder`), or both where the name of a worker is given.
    pub owner: Option<String>,
    /// Of these assets.
    pub assets: Option<Vec<AssetId>>,
    /// Whether a run has begun under it.
    pub begun: Option<bool>,
}

/// A lease, as `docent leases list` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeaseRow {
    /// The asset.
    pub asset_id: AssetId,
    /// One place of the asset, if it has any.
    pub uri: Option<String>,
    /// The lane its job waits in.
    pub lane: Lane,
    /// Who holds it.
    pub owner: String,
    /// Whether the process that holds it said lately that it lives; `None` if it never said so.
    pub alive: Option<bool>,
    /// A run has begun.
    pub begun: bool,
    /// The run has its process to itself, or the next one must: an earlier one was lost.
    pub alone: bool,
    /// When it ends by itself: RFC 3339.
    pub until: String,
}

/// What is asked and said of leases, besides taking and ending one's own.
#[async_trait]
pub trait Leasing: Send + Sync {
    /// Says that the process `owner` lives, and will say so again within `lives`. A run that it has begun is lost once it
    /// has not, see [`super::Ledger::begin_run`]. A process that has just begun to speak, or was silent for longer than
    /// that and still is, calls nobody silent before `lives` is over: perhaps the ledger was away, and nobody could speak.
    async fn beat(&self, owner: &str, lives: Duration) -> Result<(), StoreError>;

    /// Ends leases of `lane` under which no run has begun and which have between `left.start` and `left.end` to live,
    /// of every owner: their jobs are in no queue any more. The work is pending again, and not counted as lost. A
    /// job that is somewhere after all comes twice, which [`super::Ledger::begin_run`] settles. Answers how many ended.
    async fn take_back(&self, lane: Lane, left: Range<Duration>) -> Result<u64, StoreError>;

    /// Leases, those that end first before the others.
    async fn leases(&self, filter: &LeaseFilter, page: &Page) -> Result<Paged<LeaseRow>, StoreError>;

    /// Ends the leases that pass `filter`: the work is pending again, and not counted as lost. Answers how many ended.
    async fn release(&self, filter: &LeaseFilter) -> Result<u64, StoreError>;
}
