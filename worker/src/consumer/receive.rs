//! The loop of a worker: takes a delivery whenever there is a free place, and ends when all walks have ended.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::at_work::AtWork;
use super::breaker::Breaker;
use super::places::{Occupied, Place, Places};
use super::slots::Slots;
use super::writer::{BatchWriter, LONGEST_WAIT, WriterOptions};
use super::{Walk, WalkContext, Walked, jitter};
use crate::queue::{Delivery, QueueError};

impl Walk {
    /// Works until the queue is closed and empty, or until `stop` and then at most for the grace period. Hands back what is still
    /// in progress then.
    pub async fn run(&self, stop: &CancellationToken) {
        let places = Places::new(self.options.places(), &self.progress);
        let (writer, task) = BatchWriter::new(
            Arc::clone(&self.ledger),
            Arc::clone(&self.index),
            WriterOptions {
                limits: self.options.batch,
                retry: self.options.retry,
                patience: self.options.patience,
                stop: stop.clone(),
            },
        );
        // They end with the walks they answer, or with this call.
        let mut tasks = JoinSet::new();
        tasks.spawn(task.write());
        let slots = Slots::new(self.options.in_flight, &self.progress);
        let breaker = Breaker::new(&self.progress);
        breaker.check(&*self.index, stop).await;
        tasks.spawn(Arc::clone(&breaker).tend(self.clone()));
        let context =
            WalkContext { writer, slots, places: Arc::clone(&places), at_work: AtWork::default(), breaker };
        let mut walks = JoinSet::new();
        loop {
            while let Some(walked) = walks.try_join_next() {
                if matches!(walked, Ok(Walked::WithoutLedger)) {
                    self.wait_for_ledger(stop).await;
                }
            }
            let received = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                received = self.next(&places) => received,
            };
            match received {
                Ok(Some((delivery, place))) => {
                    let (walk, context) = (self.clone(), context.clone());
                    let expected = context.writer.expect();
                    let place = Occupied::new(place, &self.progress);
                    walks.spawn(async move { walk.settle(delivery, place, expected, &context).await });
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!(%error, "cannot receive; waiting");
                    tokio::time::sleep(self.options.retry.delay(1, jitter())).await;
                }
            }
        }
        tokio::select! {
            () = async { while walks.join_next().await.is_some() {} } => {}
            () = async { stop.cancelled().await; tokio::time::sleep(self.options.grace).await } => {
                tracing::warn!("the grace period is over; work in flight is handed back");
            }
        }
        // Only the caller holds the networks after this: the last one to drop them waits for their threads.
        drop(context);
        walks.shutdown().await;
        tasks.shutdown().await;
    }

    /// Waits for the ledger: no work can start without it, and the queue keeps new jobs.
    async fn wait_for_ledger(&self, stop: &CancellationToken) {
        let mut attempt = 0;
        while !stop.is_cancelled() {
            let Err(error) = self.ledger.ping().await else { return };
            attempt += 1;
            if attempt == 1 {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the ledger is away; waiting for it"
                );
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(self.options.retry.delay(attempt, jitter()).min(LONGEST_WAIT)) => {}
            }
        }
    }

    /// The next delivery with a place to work on it, with nothing beside it for a job that must be alone.
    async fn next(&self, places: &Arc<Places>) -> Result<Option<(Delivery, Place)>, QueueError> {
        let receive = || async {
            self.progress.until_going().await;
            self.queue.receive().await
        };
        let (place, received) = places.one_with(receive).await;
        let Some(delivery) = received? else { return Ok(None) };
        // Long may have passed.
        self.progress.until_going().await;
        if !delivery.job.alone() {
            return Ok(Some((delivery, place)));
        }
        // Others want to be alone, too: nobody waits for that and keeps a place.
        drop(place);
        Ok(Some((delivery, places.alone().await)))
    }
}
