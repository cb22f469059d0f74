//! Decisions on many suggestions: jobs that are made here and now, and gone on with elsewhere if this is interrupted.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use docent_pipelines::{Kind, Owner};

use super::Outcome;
use super::decide::ByArgs;
use super::lookup::{asset, confidence, kinds, owner, uri_prefix};
use super::output::{Format, Out, say};
use crate::app::{Access, App};
use crate::config::Config;
use crate::store::{JobAction, JobRow, JobState, NewJob, PlaceFilter, Store, SuggestionFilter};

/// Which pending suggestions are decided together.
#[derive(Debug, Args)]
pub(super) struct BulkArgs {
    /// Every pending suggestion that passes the filters, as one job that `docent undo --job` reverts
    #[arg(long, requires = "min_confidence")]
    pub all: bool,
    /// Only from this confidence on (0 to 1)
    #[arg(long, requires = "all", value_parser = confidence, value_name = "CONFIDENCE")]
    min_confidence: Option<f64>,
    /// Only of this kind
    #[arg(long, requires = "all", value_parser = kinds(), value_name = "KIND")]
    kind: Option<Kind>,
    /// Only of this picture: an id, the first digits of one, or a path
    #[arg(long, requires = "all", value_name = "ASSET", value_hint = clap::ValueHint::AnyPath)]
    asset: Option<String>,
    /// Only with this value
    #[arg(long, requires = "all", value_name = "VALUE")]
    value: Option<String>,
    /// Only of pictures at or below this path
    #[arg(long, requires = "all", value_name = "PATH", value_hint = clap::ValueHint::AnyPath)]
    path: Option<PathBuf>,
    /// Only of pictures of this owner, as given to `docent ingest --owner`
    #[arg(long, requires = "all", value_parser = owner, value_name = "NAME")]
    owner: Option<Owner>,
}

/// How far a job is is said so often.
const SAY: Duration = Duration::from_secs(2);
/// Another process is at the job: it is looked at again after this time.
const LOOK: Duration = Duration::from_millis(200);

/// Accepts or rejects everything that passes.
pub(super) async fn decide(
    config: Config,
    args: BulkArgs,
    by: ByArgs,
    reject: bool,
    out: &mut Out,
) -> anyhow::Result<Outcome> {
    let reviewer = by.reviewer(&config);
    let app = App::open(config, Access::Shared).await?;
    let store = app.store();
    let asset = match &args.asset {
        Some(text) => Some(asset(&*store, text).await?),
        None => None,
    };
    let filter = SuggestionFilter {
        status: None,
        kind: args.kind,
        no_proposals: true,
        asset,
        min_confidence: args.min_confidence,
        value: args.value,
        place: PlaceFilter { uri_prefix: args.path.as_deref().map(uri_prefix), owner: args.owner },
        ..SuggestionFilter::default()
    };
    let job = store.start_job(&NewJob { reject, filter, newest_run: None, by: reviewer }).await?;
    let job = finish(&*store, job).await?;
    let outcome = tell(&job, by.format.format, out)?;
    app.close().await;
    Ok(outcome)
}

/// Takes back what a job decided.
pub(super) async fn revert(config: Config, id: i64, by: ByArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    let reviewer = by.reviewer(&config);
    let app = App::open(config, Access::Shared).await?;
    let store = app.store();
    let job = store.revert_job(id, &reviewer).await?;
    let job = finish(&*store, job).await?;
    let outcome = tell(&job, by.format.format, out)?;
    app.close().await;
    Ok(outcome)
}

/// Goes on with a job until it is done, and says how far it is.
pub(super) async fn finish(store: &dyn Store, mut job: JobRow) -> anyhow::Result<JobRow> {
    let mut said = Instant::now();
    while job.state.is_open() {
        let interrupted = || {
            format!(
                "job {} is not done; a worker or `docent serve` goes on with it, or `docent jobs --go-on`",
                job.id
            )
        };
        job = match store.advance_job(Some(job.id)).await.with_context(interrupted)? {
            Some(job) => job,
            None => {
                tokio::time::sleep(LOOK).await;
                store.job(job.id).await?
            }
        };
        if said.elapsed() >= SAY && job.state.is_open() {
            said = Instant::now();
            say(match job.state {
                JobState::Collecting => format!("job {}: {} suggestions so far", job.id, job.total),
                _ => format!("job {}: {} of {}", job.id, job.done + job.skipped, job.total),
            });
        }
    }
    Ok(job)
}

/// Says what became of a job.
fn tell(job: &JobRow, format: Format, out: &mut Out) -> anyhow::Result<Outcome> {
    if format == Format::Json {
        out.json(job)?;
    } else {
        out.line(sentence(job))?;
    }
    Ok(if job.done == 0 { Outcome::Nothing } else { Outcome::Done })
}

fn sentence(job: &JobRow) -> String {
    let done = match job.action {
        JobAction::Accept => "accepted",
        JobAction::Reject => "rejected",
        JobAction::Revert => "pending again",
    };
    let mut sentence = format!("{done}: {} suggestions (job {})", job.done, job.id);
    if job.skipped > 0 {
        sentence.push_str(&format!("; {} were decided otherwise meanwhile and stay so", job.skipped));
    }
    if job.state == JobState::Stopped {
        sentence.push_str("; stopped before the end");
    }
    sentence
}
