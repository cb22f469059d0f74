//! A worker takes jobs from the queue until it is asked to stop, even if its servers go away.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use docent_pipelines::{AnalyzerId, Pipeline};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::backends::{self, Transport};
use super::spaces::Losses;
use super::{Access, App};
use crate::config::{Config, QueueBackend};
use crate::health::Health;
use crate::jobs;
use crate::progress::Progress;
use crate::queue::{Lane, Queue};
use crate::shutdown::Shutdown;
use crate::store::Wanted;
use crate::terms::TermMatching;
use crate::watch::Watch;

/// Servers that are away at the start are asked again after this time, spread by half of it.
const AGAIN: Duration = Duration::from_secs(2);
/// A process that analyzes beside other things asks so often whether there is anything to do: others write to the ledger, too.
const ANYTHING: Duration = Duration::from_secs(1);
/// What waits is counted so often …
const COUNT: Duration = Duration::from_secs(5);
/// … and each number is given up after this time.
const ANSWER: Duration = Duration::from_secs(5);
/// Between two looks at the places for pictures.
const LOOK: Duration = Duration::from_secs(1);
/// The ledger is tidied so often.
const UPKEEP: Duration = Duration::from_secs(60);

/// Works until `shutdown`. Waits for servers that are away, at the start and later. A fault that cannot pass, such as a wrong option
/// or a newer schema, is an error.
pub async fn run(
    config: Config,
    progress: Arc<Progress>,
    health: Arc<Health>,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    let stop = shutdown.token();
    let connecting = async {
        let app = patiently(&health, || App::open(config.clone(), Access::Exclusive)).await?;
        let transport = connected(&app, &health).await?;
        anyhow::Ok((app, transport))
    };
    let (app, transport) = tokio::select! {
        biased;
        () = stop.cancelled() => return Ok(()),
        connected = connecting => connected?,
    };
    app.begin_vocabulary().await?;
    let pipeline = app.pipeline(analyzers(&app.wanted(None)?)).await?;
    health.started();
    let terms = app.terms();
    let work = Work { app: &app, terms: &terms, progress, health, wake: Arc::new(Notify::new()) };
    work.go_on(transport, Some(pipeline), stop).await?;
    app.close().await;
    Ok(())
}

/// The work of a process that takes jobs from the queue.
pub struct Work<'a> {
    /// What it works with.
    pub app: &'a App,
    /// What applies the vocabulary.
    pub terms: &'a TermMatching,
    /// Counts what is done.
    pub progress: Arc<Progress>,
    /// Knows what is away.
    pub health: Arc<Health>,
    /// Somebody in this process knows of new work.
    pub wake: Arc<Notify>,
}

impl Work<'_> {
    /// Works beside the review page until `stop`. The networks are loaded as soon as there is something for them to do; if they
    /// cannot be, the page goes on without them.
    pub async fn beside_the_page(&self, stop: &CancellationToken) -> anyhow::Result<()> {
        let transport = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            connected = connected(self.app, &self.health) => connected?,
        };
        self.go_on(transport, None, stop).await
    }

    async fn go_on(
        &self,
        Transport { queue, events }: Transport,
        pipeline: Option<Pipeline>,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let Self { app, terms, progress, health, .. } = self;
        let wanted = app.wanted(None)?;
        // A worker's work is never complete.
        let never = CancellationToken::new();
        let watched = CancellationToken::new();
        let ledger = app.ledger();
        let watch = app.watcher(app.config.watched(), &wanted, progress, &self.wake, None)?;
        let forgetter = app.forgetter();
        let working = async {
            let pipeline = match pipeline {
                Some(pipeline) => Some(pipeline),
                None => self.load_for_work(&wanted, stop).await,
            };
            let mut walk = None;
            if let Some(pipeline) = pipeline {
                let feeder = app.feeder(&queue, &wanted, &self.wake);
                let walk = walk.insert(app.walk(&queue, Arc::new(pipeline), progress));
                tokio::join!(feeder.run(stop, &never), walk.run(stop));
            } else {
                stop.cancelled().await;
            }
            watched.cancel();
            walk
        };
        let (walk, ..) = tokio::join!(
            working,
            health.watch("store", || app.store.ping(), &watched),
            health.watch("queue", || queue.ping(), &watched),
            health.watch("vectors", || index_works(app, progress), &watched),
            watch_places(app, progress, health, &watched),
            tidy(app, &watched),
            count(app, &queue, &wanted, progress, &watched),
            app.tell(events, &watched),
            jobs::run(&*app.store, &watched),
            forgetter.run(&watched),
            forgetter.follow(&watched, |_| {}),
            terms.run(&watched),
            watch_folders(&watch, stop),
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
        if let Some(walk) = walk {
            super::let_go(walk).await;
        }
        Ok(())
    }

    /// Waits for work, and loads the networks. `None` if it was asked to stop, or if they cannot be loaded.
    async fn load_for_work(&self, wanted: &Wanted, stop: &CancellationToken) -> Option<Pipeline> {
        loop {
            match self.app.store.waiting(wanted).await {
                Ok(waiting) if waiting.left => break,
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(error = &error as &dyn std::error::Error, "cannot ask for work");
                }
            }
            tokio::select! {
                () = stop.cancelled() => return None,
                () = self.wake.notified() => {}
                () = tokio::time::sleep(ANYTHING) => {}
            }
        }
        match self.app.pipeline(analyzers(wanted)).await {
            Ok(pipeline) => {
                self.health.up("models");
                Some(pipeline)
            }
            Err(error) => {
                let cause: &dyn std::error::Error = error.as_ref();
                self.health.down("models", crate::health::reason(cause));
                tracing::error!(
                    error = cause,
                    "nothing is analyzed until this is mended and docent is started again"
                );
                None
            }
        }
    }
}

fn analyzers(wanted: &Wanted) -> Vec<AnalyzerId> {
    wanted.keys().copied().filter(|&id| id != AnalyzerId::Decode).collect()
}

/// The queue, as soon as it is there.
async fn connected(app: &App, health: &Health) -> anyhow::Result<Transport> {
    let room = match app.config().backends.queue() {
        QueueBackend::Memory => app.config().in_flight() * super::ingest::QUEUED_PER_PLACE,
        QueueBackend::Rabbit(_) => app.config().backends.lane_capacity,
    };
    patiently(health, || backends::queue(app.config(), room)).await
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

/// Watches folders until `stop`.
async fn watch_folders(watch: &Watch, stop: &CancellationToken) {
    if let Err(error) = watch.run(stop).await {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "no folder is watched until this is mended and docent is started again"
        );
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

/// Whether the index answers, and takes the vectors that it is given.
async fn index_works(app: &App, progress: &Progress) -> std::io::Result<()> {
    let reason = match app.index.ping().await {
        Err(error) if !error.may_pass() => Some(error.sentence()),
        Err(error) => Some(crate::health::reason(&error)),
        Ok(()) => progress.stalled(),
    };
    reason.map_or(Ok(()), |reason| Err(std::io::Error::other(reason)))
}
