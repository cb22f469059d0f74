//! Continues jobs in the background, including those of processes that died.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::store::Jobs;

/// Pause between two looks for jobs.
const REST: Duration = Duration::from_secs(2);

/// Continues jobs until `stop`. Retries what fails.
pub async fn run<J: Jobs + ?Sized>(store: &J, stop: &CancellationToken) {
    let mut failing = false;
    loop {
        // A portion is a transaction: one that is given up half-way is none.
        let advanced = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            advanced = store.advance_job(None) => advanced,
        };
        let rest = match &advanced {
            Ok(Some(_)) => false,
            Ok(None) => true,
            Err(error) => {
                if !failing {
                    tracing::warn!(error = error as &dyn std::error::Error, "a job has to wait");
                }
                true
            }
        };
        failing = advanced.is_err();
        if rest && stop.run_until_cancelled(tokio::time::sleep(REST)).await.is_none() {
            return;
        }
    }
}
