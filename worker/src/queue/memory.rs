//! A queue in this process's memory. It needs no durability: the ledger knows what was in it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{AnalyzeAsset, Delivery, Job, Lane, Queue, QueueError, Receipt};

/// The embedded queue.
pub struct MemoryQueue {
    state: Mutex<State>,
    capacity: usize,
    changed: Notify,
}

#[derive(Default)]
struct State {
    lanes: [VecDeque<AnalyzeAsset>; 2],
    delayed: Vec<(Instant, AnalyzeAsset)>,
    in_flight: HashMap<u64, AnalyzeAsset>,
    last_receipt: u64,
    /// Interactive jobs given out since the last one of the backfill.
    overtaken: u32,
    closed: bool,
}

/// So many interactive jobs may overtake one of the backfill.
const WEIGHT: u32 = 8;

impl MemoryQueue {
    /// A queue with room for `capacity` waiting jobs in each lane.
    pub fn new(capacity: usize) -> Self {
        Self { state: Mutex::default(), capacity: capacity.max(1), changed: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settle(&self, receipt: Receipt, again: Option<Duration>) -> Result<(), QueueError> {
        let mut state = self.state();
        let job = state.in_flight.remove(&receipt.0).ok_or(QueueError::NotInFlight(receipt))?;
        if let Some(delay) = again {
            state.delayed.push((Instant::now() + delay, job));
        }
        drop(state);
        self.changed.notify_waiters();
        Ok(())
    }
}

impl State {
    fn ripen(&mut self) {
        let now = Instant::now();
        let (ripe, delayed) = std::mem::take(&mut self.delayed).into_iter().partition(|(at, _)| *at <= now);
        self.delayed = delayed;
        // They have waited before: to the front.
        for (_, job) in ripe {
            self.lanes[place(job.lane)].push_front(job);
        }
    }

    fn next(&mut self) -> Option<Delivery> {
        self.ripen();
        let backfill_is_due = self.overtaken >= WEIGHT && !self.lanes[1].is_empty();
        let lane = if backfill_is_due || self.lanes[0].is_empty() { 1 } else { 0 };
        let job = self.lanes[lane].pop_front()?;
        self.overtaken = if lane == 0 { self.overtaken.saturating_add(1) } else { 0 };
        self.last_receipt += 1;
        self.in_flight.insert(self.last_receipt, job.clone());
        let receipt = Receipt(self.last_receipt);
        // Receivers end with the queue.
        Some(Delivery { job: Job::Analyze(job), redelivered: false, receipt })
    }
}

fn place(lane: Lane) -> usize {
    match lane {
        Lane::Interactive => 0,
        Lane::Backfill => 1,
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn publish(&self, job: AnalyzeAsset) -> Result<(), QueueError> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let mut state = self.state();
                let lane = &mut state.lanes[place(job.lane)];
                if lane.len() < self.capacity {
                    lane.push_back(job);
                    drop(state);
                    self.changed.notify_waiters();
                    return Ok(());
                }
            }
            changed.await;
        }
    }

    async fn receive(&self) -> Result<Option<Delivery>, QueueError> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // From here on no change is missed.
            changed.as_mut().enable();
            let ripe_at = {
                let mut state = self.state();
                if let Some(delivery) = state.next() {
                    drop(state);
                    self.changed.notify_waiters();
                    return Ok(Some(delivery));
                }
                if state.closed && state.delayed.is_empty() && state.in_flight.is_empty() {
                    return Ok(None);
                }
                state.delayed.iter().map(|(at, _)| *at).min()
            };
            match ripe_at {
                Some(at) => tokio::select! {
                    () = changed => {}
                    () = tokio::time::sleep_until(at) => {}
                },
                None => changed.await,
            }
        }
    }

    async fn ack(&self, receipt: Receipt) -> Result<(), QueueError> {
        self.settle(receipt, None)
    }

    async fn retry(&self, receipt: Receipt, delay: Duration) -> Result<(), QueueError> {
        self.settle(receipt, Some(delay))
    }

    async fn reject(&self, receipt: Receipt, _reason: &str) -> Result<(), QueueError> {
        self.settle(receipt, None)
    }

    async fn depth(&self, lane: Lane) -> Result<usize, QueueError> {
        let state = self.state();
        let delayed = state.delayed.iter().filter(|(_, job)| job.lane == lane).count();
        Ok(state.lanes[place(lane)].len() + delayed)
    }

    fn held(&self, lane: Lane) -> usize {
        self.state().in_flight.values().filter(|job| job.lane == lane).count()
    }

    async fn close(&self) {
        self.state().closed = true;
        self.changed.notify_waiters();
    }

    async fn ping(&self) -> Result<(), QueueError> {
        Ok(())
    }

    /// There is nobody to hand it to: the ledger knows what was in work.
    async fn hand_back_all(&self) {
        let mut state = self.state();
        *state = State { closed: true, last_receipt: state.last_receipt, ..State::default() };
        drop(state);
        self.changed.notify_waiters();
    }
}
