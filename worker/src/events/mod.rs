//! Tells others what happens. The ledger has one outbox; each listener has a place of its own in it ([`Outbox`]), so that one that is
//! slow or away delays nobody else.
//!
//! What holds for every sink: it gets each event at least once and in order, an event that it does not take is told again before any
//! later one, and of several processes one at a time tells it.

pub mod webhooks;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::store::{EventRow, Outbox, SinkFailure, SinkRow, StoreError};

/// The sink of events that RabbitMQ's exchange gets.
pub const RABBITMQ: &str = "rabbitmq";
/// What the names of webhooks' sinks begin with.
pub const WEBHOOK: &str = "webhook:";

/// Pause between two looks for events.
const REST: Duration = Duration::from_millis(500);
/// Events that are read at once.
const PORTION: u32 = 100;
/// What a sink took is noted so often, and at the end of each portion.
const NOTE: Duration = Duration::from_secs(1);
/// It is noted so often that this process has the sink.
const KEEP: Duration = Duration::from_secs(15 * 60);
/// How things stand is measured so often.
const MEASURE: Duration = Duration::from_secs(5);

/// Why a sink did not take an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// For people; without secrets.
    pub reason: String,
    /// It asks to be left alone for so long.
    pub after: Option<Duration>,
    /// It wants no events any more.
    pub gone: bool,
}

impl Refusal {
    /// A refusal that may pass.
    pub fn of(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), after: None, gone: false }
    }
}

/// How much a sink is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Longest time for one event.
    pub timeout: Duration,
    /// Delay after the first refusal; it doubles with each further one …
    pub first: Duration,
    /// … up to this.
    pub longest: Duration,
    /// A sink that takes nothing for so long is disabled.
    pub whole: Option<Duration>,
}

impl Patience {
    /// The delay after so many refusals, spread by half of it so that sinks of one server do not all come back at once.
    fn delay(&self, refusals: u32, spread: f64) -> Duration {
        let doubled =
            self.first.saturating_mul(1_u32.checked_shl(refusals.saturating_sub(1)).unwrap_or(u32::MAX));
        doubled.min(self.longest).mul_f64(0.75 + 0.5 * spread)
    }

    /// How long a process has a sink without saying so again: it says so after [`NOTE`] and one event.
    fn lease(&self) -> Duration {
        self.timeout * 2 + NOTE * 4
    }
}

/// Where events go.
#[async_trait]
pub trait EventSink: Send + Sync {
    /// Takes an event, or does not want to hear of it. An event that is refused comes again.
    async fn take(&self, event: &EventRow) -> Result<(), Refusal>;

    /// How much it is waited for.
    fn patience(&self) -> Patience;
}

/// Tells one sink.
pub struct Relay {
    /// Where events wait.
    pub outbox: Arc<dyn Outbox>,
    /// The sink's name in the outbox.
    pub name: String,
    /// This process.
    pub owner: String,
    /// The sink.
    pub sink: Arc<dyn EventSink>,
}

impl Relay {
    /// Tells what happens until `done`. What is being told then is told again by the next process.
    pub async fn run(&self, done: &CancellationToken) {
        let mut kept: Option<Instant> = None;
        let mut failing = false;
        loop {
            let told = async {
                if kept.is_none_or(|at| at.elapsed() > KEEP) {
                    self.outbox.keep_sinks(std::slice::from_ref(&self.name)).await?;
                    kept = Some(Instant::now());
                }
                self.tell(done).await
            };
            let told = told.await;
            if let Err(error) = &told
                && !failing
            {
                let cause: &dyn std::error::Error = error;
                tracing::warn!(error = cause, sink = self.name, "cannot read events; waiting");
            }
            failing = told.is_err();
            let more = told.is_ok_and(|told| told == u64::from(PORTION));
            if done.is_cancelled() {
                return;
            }
            if !more && done.run_until_cancelled(tokio::time::sleep(REST)).await.is_none() {
                return;
            }
        }
    }

    /// Tells a portion. Answers how many events the sink took.
    async fn tell(&self, done: &CancellationToken) -> Result<u64, StoreError> {
        let patience = self.sink.patience();
        let lease = patience.lease();
        let Some(row) = self.outbox.take_sink(&self.name, &self.owner, lease).await? else { return Ok(0) };
        let events = self.outbox.events_after(row.place, PORTION).await?;
        let (mut place, mut told, mut noted) = (row.place, 0, Instant::now());
        for event in &events {
            let taking = tokio::time::timeout(patience.timeout, self.sink.take(event));
            let taken = match done.run_until_cancelled(taking).await {
                None => break,
                Some(Ok(taken)) => taken,
                Some(Err(_)) => {
                    Err(Refusal::of(format!("no answer within {} s", patience.timeout.as_secs_f32())))
                }
            };
            if let Err(refusal) = taken {
                self.refused(&row, place, event, refusal).await?;
                return Ok(told);
            }
            (place, told) = (event.place, told + 1);
            metrics::counter!("docent_events_told_total", "sink" => self.name.clone()).increment(1);
            if row.attempts > 0 && told == 1 {
                tracing::info!(sink = self.name, "takes events again");
            }
            if noted.elapsed() > NOTE {
                noted = Instant::now();
                if !self.outbox.sink_took(&self.name, &self.owner, place, lease).await? {
                    tracing::warn!(sink = self.name, "another process took over; some events are told twice");
                    return Ok(0);
                }
            }
        }
        self.outbox.sink_took(&self.name, &self.owner, place, Duration::ZERO).await?;
        Ok(told)
    }

    async fn refused(
        &self,
        row: &SinkRow,
        place: i64,
        event: &EventRow,
        refusal: Refusal,
    ) -> Result<(), StoreError> {
        metrics::counter!("docent_events_refused_total", "sink" => self.name.clone()).increment(1);
        let patience = self.sink.patience();
        // A sink that took something since starts over.
        let before = if place == row.place { row.attempts } else { 0 };
        let delay = patience.delay(before + 1, fastrand::f64());
        let failure = SinkFailure {
            place,
            reason: refusal.reason,
            again: refusal.after.map_or(delay, |after| after.max(delay)),
            patience: if refusal.gone { Some(Duration::ZERO) } else { patience.whole },
        };
        let (sink, reason) = (&self.name, &failure.reason);
        if self.outbox.sink_refused(&self.name, &self.owner, &failure).await? {
            tracing::error!(sink, reason, "is disabled: it takes no events any more");
        } else if before == 0 {
            tracing::warn!(sink, reason, event = event.event, "did not take an event; it is kept");
        } else {
            tracing::debug!(
                sink,
                reason,
                event = event.event,
                attempts = before + 1,
                "did not take an event"
            );
        }
        Ok(())
    }
}

/// Measures how far all sinks are, until `done`.
pub async fn measure(outbox: &dyn Outbox, done: &CancellationToken) {
    loop {
        for sink in outbox.sinks().await.unwrap_or_default() {
            let SinkRow { name, waiting, disabled_at, .. } = sink;
            metrics::gauge!("docent_events_waiting", "sink" => name.clone()).set(waiting as f64);
            let disabled = if disabled_at.is_some() { 1.0 } else { 0.0 };
            metrics::gauge!("docent_sink_disabled", "sink" => name).set(disabled);
        }
        if done.run_until_cancelled(tokio::time::sleep(MEASURE)).await.is_none() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest() {
        let second = Duration::from_secs(1);
        let patience = Patience { timeout: second, first: second, longest: second * 600, whole: None };
        let delays = [1, 2, 3, 10, 11, 40, 1000].map(|refusals| patience.delay(refusals, 0.5).as_secs());
        assert_eq!(delays, [1, 2, 4, 512, 600, 600, 600]);
        assert_eq!(patience.delay(1, 0.0), second.mul_f64(0.75));
        assert_eq!(patience.delay(1, 1.0), second.mul_f64(1.25));
    }
}
