//! A worker takes jobs from the queue until it is asked to stop, even if its servers go away.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use docent_pipelines::AnalyzerId;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::spaces::Losses;
use super::{Access, App, backends};
use crate::config::Config;
use crate::health::Health;
use crate::jobs;
use crate::progress::Progress;
use crate::queue::{Lane, Queue};
use crate::shutdown::Shutdown;
use crate::store::{EventSink, Wanted};

/// Servers that are away at the start are asked again after this time, spread by half of it.
const AGAIN: Duration = Duration::from_secs(2);
/// What waits is counted so often …
const COUNT: Duration = Duration::from_secs(5);
/// … and each number is given up after this time.
const ANSWER: Duration = Duration::from_secs(5);
/// Between two looks at the places for pictures.
const LOOK: Duration = Duration::from_secs(1);
/// The ledger is tidied so often.
const UPKEEP: Duration = Duration::from_secs(60);

/// Events wait this long at most, if their exchange is there …
const TELL: Duration = Duration::from_millis(500);
/// … and are told so many at a time.
const PORTION: u32 = 100;

/// Works until `shutdown`. Waits for servers that are away, at the start and later. A fault that cannot pass, such as a wrong option
/// or a newer schema, is an error.
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
    app.begin_vocabulary().await?;
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
    let ledger = app.ledger();
    let terms = app.terms();
    let working = async {
        tokio::join!(feeder.run(stop, &never), walk.run(stop));
        watched.cancel();
    };
    tokio::join!(
        working,
        health.watch("store", || app.store.ping(), &watched),
        health.watch("queue", || queue.ping(), &watched),
        health.watch("vectors", || index_works(&app, &progress), &watched),
        watch_places(&app, &progress, &health, &watched),
        tidy(&app, &watched),
        count(&app, &queue, &wanted, &progress, &watched),
        tell(&app, events.as_deref(), &watched),
        jobs::run(&*app.store, &watched),
        terms.run(&watched),
        super::pulse::beat(&*ledger, &app.owner, &watched)
    );
    // What was begun and not finished is pending again at once, without a stain; what waits in the queue stays there.
    if let Err(error) = app.store.hand_back_all(&app.owner).await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "cannot hand work back; its leases will expire"
        );
    }
    queue.hand_back_all().await;
    super::let_go(walk).await;
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
        let cause: &dyn std::error::Error = error.as_ref();
        health.down(backend, crate::health::reason(cause));
        tracing::warn!(error = cause, "cannot start yet; waiting");
        tokio::time::sleep(AGAIN.mul_f64(0.75 + 0.5 * fastrand::f64())).await;
    }
}

/// Looks whether there are places for pictures, until `done`.
async fn watch_places(app: &App, progress: &Progress, health: &Health, done: &CancellationToken) {
    loop {
        health.places(progress.stuck.load(Relaxed), app.config.places() as u64);
        tokio::select! {
            () = done.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Tidies the ledger now and then, until `done`.
async fn tidy(app: &App, done: &CancellationToken) {
    let mut losses = Losses::default();
    loop {
        if let Err(error) = app.store.upkeep().await {
            tracing::debug!(error = &error as &dyn std::error::Error, "cannot tidy the ledger");
        }
        app.look_for_lost_vectors(&mut losses).await;
        tokio::select! {
            () = done.cancelled() => return,
            () = tokio::time::sleep(UPKEEP) => {}
        }
    }
}

/// Counts what waits, until `done`.
async fn count(
    app: &App,
    queue: &Arc<dyn Queue>,
    wanted: &Wanted,
    progress: &Progress,
    done: &CancellationToken,
) {
    loop {
        for (lane, name) in [(Lane::Interactive, "interactive"), (Lane::Backfill, "backfill")] {
            if let Ok(Ok(depth)) = tokio::time::timeout(ANSWER, queue.depth(lane)).await {
                metrics::gauge!("docent_queue_depth", "lane" => name).set(depth as f64);
            }
            if let Ok(Ok(depth)) = tokio::time::timeout(ANSWER, queue.submitted(lane)).await {
                metrics::gauge!("docent_intake_depth", "lane" => name).set(depth as f64);
            }
        }
        if let Ok(Ok(counts)) = tokio::time::timeout(ANSWER, app.store.counts(wanted)).await {
            let pending = counts.analyzers.values().map(|work| work.pending).max().unwrap_or(0);
            metrics::gauge!("docent_outstanding_assets").set(pending as f64);
        }
        metrics::gauge!("docent_in_flight").set(progress.snapshot().in_flight as f64);
        tokio::select! {
            () = done.cancelled() => return,
            () = tokio::time::sleep(COUNT) => {}
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

/// Whether the index answers, and takes the vectors that it is given.
async fn index_works(app: &App, progress: &Progress) -> std::io::Result<()> {
    let reason = match app.index.ping().await {
        Err(error) if !error.may_pass() => Some(error.sentence()),
        Err(error) => Some(crate::health::reason(&error)),
        Ok(()) => progress.stalled(),
    };
    reason.map_or(Ok(()), |reason| Err(std::io::Error::other(reason)))
}
