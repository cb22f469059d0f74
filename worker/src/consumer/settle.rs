//! Settles a delivery: acknowledges, retries or rejects it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use docent_pipelines::executor::panic_message;
use futures_util::FutureExt;

use super::batch::Counted;
use super::places::Occupied;
use super::{Walk, WalkContext, Walked, jitter};
use crate::disposition::{self, Disposition, WalkError};
use crate::queue::{AnalyzeAsset, Delivery, Job, QueueError};

impl Walk {
    /// Walks one asset and settles its delivery, whatever happens.
    pub(super) async fn settle(
        &self,
        delivery: Delivery,
        mut place: Arc<Occupied>,
        mut expected: Counted,
        context: &WalkContext,
    ) -> Walked {
        let Delivery { mut job, redelivered, receipt } = delivery;
        self.progress.in_flight.fetch_add(1, Relaxed);
        let walked = loop {
            if job.alone() {
                // Nothing that is finished, or nearly so, shall be lost with it.
                context.writer.expects_only(&expected).await;
                context.writer.flush().await;
            }
            let walk = self.perform(&job, redelivered, place, expected, context);
            match AssertUnwindSafe(walk).catch_unwind().await {
                // Only now it is known; its place is free, and it waits for all of them.
                Ok(Err(WalkError::Suspect(suspect))) => {
                    job = Job::Analyze(AnalyzeAsset { alone: true, ..*suspect })
                }
                walked => break walked,
            }
            place = Occupied::new(context.places.alone().await, &self.progress);
            expected = context.writer.expect();
        };
        let mut outcome = Walked::Settled;
        let disposition = match walked {
            Ok(Ok(())) => Disposition::Ack,
            Ok(Err(error @ WalkError::Elsewhere)) => {
                disposition::of_error(&error, &self.options.retry, jitter())
            }
            Ok(Err(error)) => {
                if matches!(&error, WalkError::Store(error) if error.may_pass()) {
                    outcome = Walked::WithoutLedger;
                }
                tracing::warn!(%job, error = &error as &dyn std::error::Error, "walk interrupted");
                disposition::of_error(&error, &self.options.retry, jitter())
            }
            Err(panic) => Disposition::Reject { reason: panic_message(panic.as_ref()) },
        };
        // The queue itself may be out of reach for a moment. If it stays so, the delivery comes back by itself and
        // finds its work done.
        for attempt in 1..=5 {
            let settled = match &disposition {
                Disposition::Ack => self.queue.ack(receipt).await,
                Disposition::Retry { after } => self.queue.retry(receipt, *after).await,
                Disposition::Reject { reason } => {
                    tracing::error!(%job, reason, "delivery rejected");
                    self.queue.reject(receipt, reason).await
                }
            };
            match settled {
                Ok(()) | Err(QueueError::NotInFlight(_)) => break,
                Err(error) => {
                    tracing::warn!(%job, %error, attempt, "cannot settle a delivery");
                    tokio::time::sleep(self.options.retry.delay(attempt, jitter())).await;
                }
            }
        }
        self.progress.in_flight.fetch_sub(1, Relaxed);
        outcome
    }
}
