//! How much of this machine the walk turns into answers, and where the rest goes.
//!
//! Three passes. The calm one looks at one picture after the other and adds up the processor time of every stage. The busy one
//! looks at one for each core at once: the same work, where pictures share memory and caches. That is what the work itself costs,
//! `ideal`. The loaded one is the walk itself, into a fresh ledger in a temporary folder: `achieved`. Half of the pictures of the
//! first two come before the walk and half behind it, since a machine that is shared becomes faster and slower meanwhile.
//! Nothing is written to the user's archive.

mod clock;
mod costs;
mod machine;
mod report;
mod threads;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use costs::Costs;
use docent_pipelines::AnalyzerId;
pub use report::{BenchReport, Stage};
use tempfile::TempDir;

use crate::app::{Access, App, IngestRequest};
use crate::config::{Config, Secret};
use crate::progress::Progress;
use crate::shutdown::Shutdown;

/// What to measure with.
#[derive(Debug, Clone)]
pub struct BenchRequest {
    /// Pictures.
    pub files: Vec<PathBuf>,
    /// Only these analyzers.
    pub only: Option<Vec<AnalyzerId>>,
}

/// Pictures that the first two passes look at, at most. Reading text costs a hundred times more for one picture than for
/// another: a small sample would say little of the walk.
const SAMPLE: usize = 500;
/// Fewer pictures are all run-in and run-out.
pub const FEWEST: usize = 8;

/// Measures. `say` is told what goes on.
pub async fn run(
    config: &Config,
    request: BenchRequest,
    shutdown: &Shutdown,
    say: impl Fn(&str),
) -> anyhow::Result<BenchReport> {
    let files = request.files.len();
    anyhow::ensure!(files >= FEWEST, "{files} pictures are too few to measure with; {FEWEST} are needed");
    let folder = tempfile::tempdir().context("make a temporary folder")?;
    let config = alone(config, &folder);
    let app = App::open(config, Access::Exclusive).await?;
    let analyzers = request.only.clone().unwrap_or_else(|| app.config().analyzers.enabled.clone());

    // Evenly over all pictures.
    let step = files.div_ceil(SAMPLE);
    let sample: Vec<PathBuf> = request.files.iter().step_by(step).cloned().collect();
    let half = |first: usize| sample.iter().skip(first).step_by(2).cloned().collect::<Vec<_>>();
    say("measuring what each stage costs without the walk");
    let before = measure_costs(&app, &analyzers, &half(0), shutdown).await?;

    say("measuring the walk");
    let progress = Arc::new(Progress::default());
    machine::forget_peak_memory();
    let clock = tokio::spawn(clock::watch(Arc::clone(&progress)));
    let ingest =
        IngestRequest { paths: request.files, owner: None, reread: false, only: request.only, wait: false };
    let summary = app.ingest(ingest, Arc::clone(&progress), shutdown).await?;
    clock.abort();
    anyhow::ensure!(!summary.interrupted, "stopped before the end; nothing was measured");
    let none_before = before.0.latencies.is_empty();
    anyhow::ensure!(summary.analyzed > 0 || !none_before, "none of the pictures could be decoded");
    let window = clock
        .await
        .ok()
        .flatten()
        .context("the pictures were done too quickly to tell a speed; measure with more of them")?;
    let peak_memory = machine::peak_memory();
    say("measuring what each stage costs without the walk, with the other half");
    let behind = measure_costs(&app, &analyzers, &half(1), shutdown).await?;
    let (calm, busy) = (before.0.and(behind.0), before.1.and(behind.1));
    anyhow::ensure!(
        !calm.latencies.is_empty(),
        "none of the {} pictures that were tried could be decoded",
        sample.len()
    );
    say("measuring whether another number of threads in each call would cost less");
    let threads = threads::measure(&app, &analyzers, &sample, shutdown.token()).await?;
    let report = report::of(&calm, &busy, threads.as_ref(), &window, &summary, &progress, app.config());
    let report = BenchReport { peak_memory_bytes: peak_memory, ..report };
    app.close().await;
    Ok(report)
}

/// What the stages cost one picture after the other, and with one for each core at once; with networks that are gone afterwards,
/// so that the walk has the memory to itself.
async fn measure_costs(
    app: &App,
    analyzers: &[AnalyzerId],
    files: &[PathBuf],
    shutdown: &Shutdown,
) -> anyhow::Result<(Costs, Costs)> {
    let pipeline = Arc::new(app.pipeline(analyzers.to_vec()).await?);
    let calm = costs::measure(app, &pipeline, files, 1, shutdown.token()).await?;
    // No more than in the walk.
    let at_once = machine::cores().min(app.config().in_flight());
    let busy = costs::measure(app, &pipeline, files, at_once, shutdown.token()).await?;
    drop(tokio::task::spawn_blocking(move || drop(pipeline)).await);
    Ok((calm, busy))
}

/// The same configuration with nothing shared and nothing kept.
fn alone(config: &Config, folder: &TempDir) -> Config {
    let mut config = config.clone();
    config.data_dir = folder.path().to_path_buf();
    config.backends.queue = Secret::from("memory:");
    config.backends.store = Secret::from("sqlite:");
    config.backends.vectors = Secret::from("embedded:");
    config.backends.events = false;
    // A person names the pictures.
    config.assets.roots.clear();
    config
}
