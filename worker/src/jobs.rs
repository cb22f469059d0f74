//! Goes on with jobs beside everything else: of whichever process has time, and of those that died over them.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::store::Jobs;

/// Where nothing is to be done, one looks again after this time.
const REST: Duration = Duration::from_secs(2);

/// Goes on with jobs until `stop`. What fails is tried again.
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
