//! Takes deliveries from the queue and walks each asset from its bytes to its recorded analysis.
//!
//! Only this module settles deliveries. The walk writes vectors before the row, and the row before the ack. So after a crash at
//! any point, the walk repeats with the same writes.

mod analyze;
mod at_work;
mod batch;
mod breaker;
mod intake;
mod places;
mod receive;
mod report;
mod settle;
mod slots;
mod walk;
mod writer;

use std::sync::Arc;
use std::time::Duration;

pub(crate) use analyze::{AnalyzeOptions, Analyzed, analyze_bytes};
use at_work::AtWork;
pub use batch::Counted;
use breaker::Breaker;
use docent_pipelines::Pipeline;
use docent_pipelines::image::DecodeLimits;
use docent_pipelines::pipeline::StepTimes;
use places::Places;
use slots::Slots;
pub use writer::{BatchLimits, BatchWriter, WriterOptions, WriterTask};

use crate::assets::AssetSource;
use crate::disposition::RetryPolicy;
use crate::progress::Progress;
use crate::queue::Queue;
use crate::store::Ledger;
use crate::vectors::VectorIndex;

/// The parts of the walk.
#[derive(Clone)]
pub struct Walk {
    /// Where jobs come from.
    pub queue: Arc<dyn Queue>,
    /// Where everything is recorded.
    pub ledger: Arc<dyn Ledger>,
    /// Where vectors go.
    pub index: Arc<dyn VectorIndex>,
    /// Where bytes come from.
    pub source: Arc<dyn AssetSource>,
    /// What analyzes the picture.
    pub pipeline: Arc<Pipeline>,
    /// Receives the progress.
    pub progress: Arc<Progress>,
    /// How it is done.
    pub options: WalkOptions,
}

/// How the walk is done.
#[derive(Debug, Clone)]
pub struct WalkOptions {
    /// Names this process in the ledger.
    pub owner: String,
    /// Assets of each lane that are analyzed at once.
    pub in_flight: usize,
    /// Assets of a backfill that are fetched while others are analyzed, so that no core waits for a file. Analyzing more pictures
    /// than there are cores would only take the caches from each other.
    pub ahead: usize,
    /// Limits of the decoder.
    pub decode: DecodeLimits,
    /// When failed work is tried again.
    pub retry: RetryPolicy,
    /// Longest time for one step: fetching, decoding, one call of a network.
    pub timeout: Duration,
    /// Longest time for reading text.
    pub text_timeout: Duration,
    /// How long work in flight may go on after a shutdown was asked for.
    pub grace: Duration,
    /// How long a finished analysis waits for an absent ledger or index. Then its delivery goes back, and the work is repeated.
    pub patience: Duration,
    /// Finished analyses that are written together.
    pub batch: BatchLimits,
}

/// How a walk ended.
enum Walked {
    /// Its delivery is settled, or comes back by itself.
    Settled,
    /// The ledger could not be reached.
    WithoutLedger,
}

/// What the walks of a worker share.
#[derive(Clone)]
struct WalkContext {
    writer: BatchWriter,
    slots: Slots,
    places: Arc<Places>,
    at_work: AtWork,
    breaker: Arc<Breaker>,
}

impl WalkOptions {
    fn places(&self) -> usize {
        self.in_flight.max(1) + self.ahead
    }

    fn step_times(&self) -> StepTimes {
        StepTimes {
            step: (self.timeout, "work.timeout_seconds"),
            reading: (self.text_timeout, "work.text_timeout_seconds"),
        }
    }
}

/// A number in 0..1, different from call to call.
pub(crate) fn jitter() -> f64 {
    fastrand::f64()
}
