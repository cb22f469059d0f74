//! `docent analyze`

use std::path::PathBuf;

use clap::Args;
use docent_pipelines::AnalyzerId;

use super::lookup::{analyzers, place};
use super::output::{Format, Out, OutputError, say};
use super::table::{Column, Table, excerpt};
use super::{Outcome, words};
use crate::analyze::{AnalyzeRequest, AnalyzedAsset, analyze_paths};
use crate::assets::display_path;
use crate::config::Config;
use crate::shutdown::Shutdown;

const HELP: &str = "\
Examples:
  docent analyze photo.jpg | jq .suggestions
  docent analyze scans/ --only text --format table
  docent analyze photo.jpg --with-vectors --only embedding

This command stores nothing and does not ask the ledger. It writes one JSON object per file, in the order of the files: \
uri, content_hash, width, height, suggestions, vectors, failures, timings_ms.

Exit codes: 0 at least one file was analyzed, 1 there was none or all failed, 2 an error, 130 stopped before the end.";

/// Analyze files without keeping anything
///
/// Prints what the networks see, and stores nothing.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct AnalyzeArgs {
    /// Files and folders
    #[arg(required = true, value_name = "PATH", value_hint = clap::ValueHint::AnyPath)]
    paths: Vec<PathBuf>,
    /// Only these analyzers
    #[arg(long, value_delimiter = ',', value_parser = analyzers(), value_name = "ANALYZER,...")]
    only: Option<Vec<AnalyzerId>>,
    /// Write the values of vectors too
    #[arg(long)]
    with_vectors: bool,
    /// How to write the results
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Json)]
    format: Format,
}

pub async fn run(config: Config, args: AnalyzeArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    let shutdown = Shutdown::new();
    shutdown.listen(|| say("stopping; a second Ctrl-C stops at once"))?;
    let request = AnalyzeRequest {
        paths: args.paths.iter().map(|path| place(path)).collect(),
        only: args.only,
        with_vectors: args.with_vectors,
    };
    let (mut files, mut usable) = (0_u64, 0_u64);
    let mut written: Result<(), OutputError> = Ok(());
    let mut table = Table::new([
        Column::left("KIND"),
        Column::right("CONFIDENCE"),
        Column::text("VALUE"),
        Column::path("FILE"),
    ]);
    let sink = |asset: AnalyzedAsset| {
        files += 1;
        usable += u64::from(asset.width.is_some());
        written = match args.format {
            Format::Json => out.json(&asset).and_then(|()| out.flush()),
            Format::Table => {
                fill(&mut table, &asset);
                out.table(&mut table).and_then(|()| out.flush())
            }
        };
        written.is_ok()
    };
    analyze_paths(&config, request, shutdown.token(), sink).await?;
    written?;
    if files == 0 {
        say("there is no picture to analyze");
    } else if usable < files {
        say(format!("{} of {} failed", words::number(files - usable), words::count(files, "file", "files")));
    }
    Ok(match usable {
        _ if shutdown.token().is_cancelled() => Outcome::Interrupted,
        0 => Outcome::Nothing,
        _ => Outcome::Done,
    })
}

fn fill(table: &mut Table, asset: &AnalyzedAsset) {
    let path = display_path(&asset.uri);
    for suggestion in &asset.suggestions {
        let confidence = format!("{:.2}", suggestion.confidence);
        table.row([suggestion.kind.to_string(), confidence, excerpt(&suggestion.value), path.clone()]);
    }
    for failure in &asset.failures {
        table.row([
            format!("{} failed", failure.analyzer),
            String::new(),
            failure.reason.clone(),
            path.clone(),
        ]);
    }
}
