//! The queue carries jobs from the feeder to the consumer. It is transport only: what there is to do is in the ledger.
//!
//! Guarantees every implementation gives, checked by `tests/tests/queue_conformance/`:
//! - At least once: a delivery that is not settled comes back after its receiver is gone, and says so
//!   ([`Delivery::redelivered`]). Whether that is to be suspected of anything, the ledger knows: most of what comes back
//!   had only been fetched.
//! - [`Queue::retry`] brings a delivery back, not before its delay; [`Queue::reject`] never does.
//! - The interactive lane overtakes the backfill lane, but the backfill lane is never starved.
//! - Settling twice, or settling a delivery the queue no longer knows, is an error and changes nothing.

mod memory;
pub mod message;
mod rabbitmq;

use std::time::Duration;

use async_trait::async_trait;
use docent_pipelines::{AnalyzerId, AssetId, Owner};
pub use memory::MemoryQueue;
pub use rabbitmq::{EventPublisher, Lanes, RabbitOptions, RabbitQueue};
use serde::{Deserialize, Serialize};

/// Which line a job waits in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// Somebody waits for the answer.
    Interactive,
    /// The archive; it has waited for years.
    Backfill,
}

/// The job: analyze one asset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub struct AnalyzeAsset {
    /// The asset.
    pub asset: AssetId,
    /// Where its bytes can be fetched; tried in order.
    pub uris: Vec<String>,
    /// The analyzers that are pending for it.
    pub analyzers: Vec<AnalyzerId>,
    /// The line it waits in.
    pub lane: Lane,
    /// A run over it was lost: analyze it with nothing beside it.
    pub alone: bool,
}

/// A place that the ledger may not know yet, sent by a program other than docent: register what is there, and analyze
/// it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// Where its bytes can be fetched.
    pub uri: String,
    /// Whose it is there.
    pub owner: Option<Owner>,
    /// The line it waits in.
    pub lane: Lane,
    /// It came back several times, unsettled: work on it with nothing beside it. Once may have many reasons, and as soon
    /// as it is registered the ledger knows better.
    pub alone: bool,
    /// What its publisher calls it; events about it repeat that.
    pub correlation: Option<String>,
    /// How often it was retried. Only the queue knows: there is no row yet that could count.
    pub attempts: u32,
}

/// What a delivery asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Job {
    /// The ledger leased this.
    Analyze(AnalyzeAsset),
    /// Somebody else asks for this.
    Submit(Submission),
}

impl std::fmt::Display for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Analyze(job) => write!(f, "{}", job.asset),
            Self::Submit(submission) => write!(f, "{}", submission.uri.escape_debug()),
        }
    }
}

impl Job {
    /// Whether nothing may be analyzed beside it.
    pub fn alone(&self) -> bool {
        match self {
            Self::Analyze(job) => job.alone,
            Self::Submit(submission) => submission.alone,
        }
    }
}

/// A job in the hands of a consumer, which must settle it exactly once.
#[derive(Debug)]
pub struct Delivery {
    /// What to do.
    pub job: Job,
    /// It was delivered before, to a process that did not settle it: that process ended, or lost its connection and may
    /// be at work on it. A retry does not change this.
    pub redelivered: bool,
    /// Names this delivery towards the queue.
    pub receipt: Receipt,
}

/// Names one delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Receipt(pub u64);

/// What can go wrong with a queue.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The queue cannot be reached now.
    #[error("{operation}: the queue is unavailable")]
    Unavailable {
        /// What was attempted.
        operation: &'static str,
        /// The backend's own words.
        #[source]
        source: anyhow::Error,
    },
    /// The queue is there, and cannot be used as it is. Waiting does not help.
    #[error("{reason}")]
    Unusable {
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The delivery was settled before, or taken back by the queue.
    #[error("delivery {0:?} is not in flight")]
    NotInFlight(Receipt),
}

/// A queue of jobs in two lanes.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Adds a job to its lane. Waits while the lane is full.
    async fn publish(&self, job: AnalyzeAsset) -> Result<(), QueueError>;
    /// The next delivery, or `None` once the queue is closed and nothing is left. Safe to cancel.
    async fn receive(&self) -> Result<Option<Delivery>, QueueError>;
    /// Settles: done, recorded in the ledger.
    async fn ack(&self, receipt: Receipt) -> Result<(), QueueError>;
    /// Settles: bring it back after `delay` (zero hands it back at once).
    async fn retry(&self, receipt: Receipt, delay: Duration) -> Result<(), QueueError>;
    /// Settles: never bring it back.
    async fn reject(&self, receipt: Receipt, reason: &str) -> Result<(), QueueError>;
    /// Jobs in `lane` that wait, delayed ones included, those in flight not.
    async fn depth(&self, lane: Lane) -> Result<usize, QueueError>;
    /// Submissions of other programs for `lane` that wait apart from its jobs. None where nobody else can publish.
    async fn submitted(&self, _lane: Lane) -> Result<usize, QueueError> {
        Ok(0)
    }
    /// Deliveries of `lane` that are in the hands of this process: those that were received and are not settled, and those
    /// that wait in this process to be received. Where neither these nor [`Queue::depth`] are any, no job of the lane is
    /// left that this process knows of.
    fn held(&self, lane: Lane) -> usize;
    /// No more jobs will be published by anyone; `receive` answers `None` once all are settled.
    async fn close(&self);
    /// Whether the queue answers now.
    async fn ping(&self) -> Result<(), QueueError>;
    /// The orderly end of this process: receives no more, and hands back what it has not settled. Afterwards `receive`
    /// answers `None`, and nothing is in flight.
    async fn hand_back_all(&self);
}
