//! The outcomes of a run, and how they are counted in metrics and progress.

use std::collections::BTreeMap;
use std::time::Duration;

use docent_pipelines::{Analysis, AnalyzerId, AssetId};

use super::{Walk, jitter};
use crate::disposition;
use crate::store::{Outcome, OutcomeState};

impl Walk {
    /// The outcomes of a run's work.
    pub(super) fn outcomes(&self, analysis: &Analysis, attempts: &BTreeMap<AnalyzerId, u32>) -> Vec<Outcome> {
        disposition::outcomes(analysis, &self.wanted(), attempts, &self.options.retry, jitter())
    }

    /// Counts a recorded run.
    pub(super) fn observe(
        &self,
        asset: &AssetId,
        timings: &BTreeMap<&'static str, Duration>,
        outcomes: &[Outcome],
        took: Duration,
    ) {
        metrics::histogram!("docent_asset_seconds").record(took.as_secs_f64());
        for (stage, time) in timings {
            metrics::histogram!("docent_stage_seconds", "stage" => *stage).record(time.as_secs_f64());
        }
        let mut failed = false;
        let mut again = false;
        for outcome in outcomes {
            let state = match &outcome.state {
                OutcomeState::Done => "done",
                OutcomeState::Retry { failure, .. } => {
                    again = true;
                    tracing::info!(%asset, analyzer = %outcome.analyzer, reason = failure.reason, "will be retried");
                    "retry"
                }
                OutcomeState::Failed { failure } => {
                    failed = true;
                    tracing::info!(%asset, analyzer = %outcome.analyzer, reason = failure.reason, "failed");
                    "failed"
                }
            };
            let analyzer = outcome.analyzer.as_str();
            metrics::counter!("docent_analyses_total", "analyzer" => analyzer, "state" => state).increment(1);
        }
        // Work that comes back is counted when it is over.
        if failed || !again {
            self.progress.finish(failed);
        }
    }
}
