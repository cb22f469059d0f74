//! `docent retry`

use std::sync::Arc;

use clap::Args;
use docent_pipelines::AnalyzerId;

use super::follow::{follow, summary_event};
use super::ingest::advise;
use super::lookup::{analyzers, asset};
use super::output::{Format, FormatArg, Out, say};
use super::{Outcome, words};
use crate::app::{Access, App, IngestSummary};
use crate::config::Config;
use crate::progress::Progress;
use crate::shutdown::Shutdown;
use crate::store::Requeue;

const HELP: &str = "\
Examples:
  docent retry                      what failed
  docent retry --stale              what an older model did
  docent retry --missing            analyzers that were left out before
  docent retry --all 3f2a9c0d11e4   everything for one picture

Decisions stay: docent does not touch what was accepted or rejected, and does not repeat rejected suggestions. New \
suggestions replace the pending ones.

Exit codes: 0 done, 1 there is nothing to do again, 2 an error, 130 stopped before the end.";

/// Do work again: what failed, what is stale or missing, or everything
///
/// Without a flag it does what failed.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct RetryArgs {
    /// What failed, including damaged files (the default)
    #[arg(long, group = "what")]
    failed: bool,
    /// What another model or version did
    #[arg(long, group = "what")]
    stale: bool,
    /// Analyzers that never ran on a picture
    #[arg(long, group = "what")]
    missing: bool,
    /// Everything
    #[arg(long, group = "what")]
    all: bool,
    /// Only these pictures: ids, first digits of ids, or paths
    #[arg(value_name = "ASSET")]
    assets: Vec<String>,
    /// Only these analyzers
    #[arg(long, value_delimiter = ',', value_parser = analyzers(), value_name = "ANALYZER,...")]
    only: Option<Vec<AnalyzerId>>,
    /// Only mark the work as pending; the next `ingest` or `retry` does it
    #[arg(long)]
    queue_only: bool,
    #[command(flatten)]
    format: FormatArg,
}

pub async fn run(config: Config, args: RetryArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    let what = match (args.stale, args.missing, args.all) {
        (true, _, _) => Requeue::Stale,
        (_, true, _) => Requeue::Missing,
        (_, _, true) => Requeue::All,
        _ => Requeue::Failed,
    };
    let format = args.format.format;
    let grace = config.work.grace_seconds;
    let app = App::open(config, Access::IfFree).await?;
    let store = app.store();
    let mut assets = Vec::new();
    for text in &args.assets {
        assets.push(asset(&*store, text).await?);
    }
    let wanted = app.wanted(args.only.as_deref())?;
    let chosen = (!assets.is_empty()).then_some(assets.as_slice());
    let requeued = store.requeue(what, &wanted, chosen).await?;
    if format == Format::Table {
        say(format!("{} to do again", words::count(requeued, "picture", "pictures")));
    }
    let outcome = if args.queue_only {
        if format == Format::Json {
            out.json(&serde_json::json!({ "event": "queued", "assets": requeued }))?;
        }
        if requeued == 0 { Outcome::Nothing } else { Outcome::Done }
    } else {
        let progress = Arc::new(Progress::default());
        let shutdown = Shutdown::new();
        let job = app.work(args.only, true, Arc::clone(&progress), &shutdown);
        let summary = follow(job, Arc::clone(&progress), &shutdown, grace, format, out).await?;
        report(&summary, format, out)?;
        match summary {
            IngestSummary { interrupted: true, .. } => Outcome::Interrupted,
            // What was pending before is done as well.
            IngestSummary { analyzed: 0, failed: 0, .. } if requeued == 0 => Outcome::Nothing,
            _ => Outcome::Done,
        }
    };
    app.close().await;
    Ok(outcome)
}

fn report(summary: &IngestSummary, format: Format, out: &mut Out) -> anyhow::Result<()> {
    if format == Format::Json {
        summary_event(summary, out)?;
        return Ok(());
    }
    let (analyzed, failed) = (words::number(summary.analyzed), words::number(summary.failed));
    out.line(format!(
        "{analyzed} analyzed, {failed} failed in {}",
        words::duration(summary.elapsed_seconds)
    ))?;
    out.flush()?;
    advise(summary);
    Ok(())
}
