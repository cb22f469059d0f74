//! A worker: takes jobs from the queue until it is asked to stop, whatever happens to the servers it works with.

use std::sync::Arc;
use std::time::{Duration, Instant};

use docent_pipelines::AnalyzerId;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::spaces::Losses;
use super::{Access, App, backends};
use crate::config::Config;
use crate::health::Health;
use crate::progress::Progress;
use crate::queue::{Lane, Queue};
use crate::shutdown::Shutdown;
use crate::store::{EventSink, Wanted};
use crate::vectors::IndexError;

/// Servers that are away at the start are asked again after this time, spread by half of it.
const AGAIN: Duration = Duration::from_secs(2);
/// The servers are asked so often whether they are there …
const PROBE: Duration = Duration::from_secs(2);
/// … and have this long to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// The ledger is tidied so often.
const UPKEEP: Duration = Duration::from_secs(60);

/// Events wait this long at most, if their exchange is there …
const TELL: Duration = Duration::from_millis(500);
/// … and are told so many at a time.
const PORTION: u32 = 100;

/// Works until `shutdown`. Servers that are away are waited for, at the start as well as later; what cannot pass, such
/// as a wrong option or a newer schema, is an error.
pub async fn run(
    config: Config,
    progress: Arc<Progress>,
    health: Arc<Health>,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    let stop = shutdown.token();
    let room = match config.backends.queue() {
        crate::config::QueueBackend::Memory => config.in_flight() * super::ingest::QUEUED_PER_PLACE,
        crate::config::QueueBackend::Rabbit(_) => config.backends.lane_capacity,
    };
    let connecting = async {
        let app = patiently(&health, || App::open(config.clone(), Access::Exclusive)).await?;
        let queue = patiently(&health, || backends::queue(app.config(), room)).await?;
        anyhow::Ok((app, queue))
    };
    let (app, backends::Transport { queue, events }) = tokio::select! {
        biased;
        () = stop.cancelled() => return Ok(()),
        connected = connecting => connected?,
    };
    let wanted = app.wanted(None)?;
    let analyzers = wanted.keys().copied().filter(|&id| id != AnalyzerId::Decode).collect();
    let pipeline = Arc::new(app.pipeline(analyzers).await?);
    let wake = Arc::new(Notify::new());
    let feeder = app.feeder(&queue, &wanted, &wake);
    let walk = app.walk(&queue, pipeline, &progress);
    health.started();
    // A worker's work is never complete.
    let never = CancellationToken::new();
    let watched = CancellationToken::new();
    let working = async {
        tokio::join!(feeder.run(stop, &never), walk.run(stop));
        watched.cancel();
    };
    tokio::join!(
        working,
        watch(&app, &queue, &wanted, &progress, &health, &watched),
        tell(&app, events.as_deref(), &watched)
    );
    // What was begun and not finished is pending again at once, without a stain; what waits in the queue stays there.
    if let Err(error) = app.store.hand_back_all(&app.owner).await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "cannot hand work back; its leases will expire"
        );
    }
    queue.hand_back_all().await;
    drop(tokio::task::spawn_blocking(move || drop(walk)).await);
    app.close().await;
    Ok(())
}

/// Tries until it works, as long as the reason may pass.
async fn patiently<T, F>(health: &Health, open: impl Fn() -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<T>>,
{
    loop {
        let error = match open().await {
            Ok(opened) => return Ok(opened),
            Err(error) => error,
        };
        let Some(backend) = super::away(&error) else { return Err(error) };
        health.set(backend, false);
        let cause: &dyn std::error::Error = error.as_ref();
        tracing::warn!(error = cause, "cannot start yet; waiting");
        tokio::time::sleep(AGAIN.mul_f64(0.75 + 0.5 * fastrand::f64())).await;
    }
}

/// Asks the servers whether they are there, and counts what waits, until `done`.
async fn watch(
    app: &App,
    queue: &Arc<dyn Queue>,
    wanted: &Wanted,
    progress: &Progress,
    health: &Health,
    done: &CancellationToken,
) {
    let mut tidied = Instant::now();
    let mut losses = Losses::default();
    loop {
        if tidied.elapsed() >= UPKEEP {
            tidied = Instant::now();
            if let Err(error) = app.store.upkeep().await {
                tracing::debug!(error = &error as &dyn std::error::Error, "cannot tidy the ledger");
            }
            app.look_for_lost_vectors(&mut losses).await;
        }
        let (ledger, broker, index) = tokio::join!(
            answers(app.store.ping()),
            answers(queue.ping()),
            tokio::time::timeout(ANSWER, app.index.ping())
        );
        health.set("store", ledger);
        health.set("queue", broker);
        let refusal = refusal(&index, progress);
        health.set("vectors", refusal.is_none() && matches!(index, Ok(Ok(()))));
        health.set_reason("vectors", refusal);
        for (lane, name) in [(Lane::Interactive, "interactive"), (Lane::Backfill, "backfill")] {
            if let Ok(Ok(depth)) = tokio::time::timeout(ANSWER, queue.depth(lane)).await {
                metrics::gauge!("docent_queue_depth", "lane" => name).set(depth as f64);
            }
        }
        if let Ok(Ok(counts)) = tokio::time::timeout(ANSWER, app.store.counts(wanted)).await {
            let pending = counts.analyzers.values().map(|work| work.pending).max().unwrap_or(0);
            metrics::gauge!("docent_outstanding_assets").set(pending as f64);
        }
        metrics::gauge!("docent_in_flight").set(progress.snapshot().in_flight as f64);
        tokio::select! {
            () = done.cancelled() => return,
            () = tokio::time::sleep(PROBE) => {}
        }
    }
}

/// Tells others what happens, until `done`.
async fn tell(app: &App, events: Option<&dyn EventSink>, done: &CancellationToken) {
    let Some(sink) = events else { return };
    loop {
        match app.store.relay_events(sink, PORTION).await {
            Ok(told) if told == u64::from(PORTION) => continue,
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot read events; waiting");
            }
        }
        tokio::select! {
            () = done.cancelled() => return,
            () = tokio::time::sleep(TELL) => {}
        }
    }
}

/// Why the index refuses: this process when it asks for nothing, or the vectors that it was given.
fn refusal<T>(asked: &Result<Result<(), IndexError>, T>, progress: &Progress) -> Option<String> {
    match asked {
        Ok(Err(error)) if !error.may_pass() => Some(error.sentence()),
        _ => progress.stalled(),
    }
}

async fn answers<E>(ping: impl Future<Output = Result<(), E>>) -> bool {
    matches!(tokio::time::timeout(ANSWER, ping).await, Ok(Ok(())))
}
