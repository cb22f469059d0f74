//! `docent bench`

use std::path::{Path, PathBuf};

use clap::Args;
use docent_pipelines::AnalyzerId;
use docent_pipelines::image::is_candidate;
use walkdir::WalkDir;

use super::lookup::{analyzers, place};
use super::output::{Format, FormatArg, Out, say};
use super::problem::Hinted;
use super::table::{Column, Table};
use super::{Outcome, words};
use crate::app::{Access, App};
use crate::assets::path_of_uri;
use crate::bench::{self, BenchReport, BenchRequest};
use crate::config::Config;
use crate::scanner::head;
use crate::shutdown::Shutdown;
use crate::store::{AssetFilter, Page};

const HELP: &str = "\
Examples:
  docent bench                          with 100 pictures of the archive
  docent bench --corpus ~/Pictures      with pictures of a folder
  docent bench --only tags,embedding    only some analyzers

The command analyzes the pictures into a temporary ledger and only reads the archive. Run it on an idle machine: it \
shows what other programs use, and that spoils the figures.

What the columns say:
  calm    processor time per picture, with one picture at a time
  busy    the same with a picture for each core at once
  walk    the same in the whole walk
  share   of the processor time of the walk

The difference from calm to busy is what pictures take from each other. The difference from busy to walk is what the \
rest of the walk takes from the stages.

ideal is the time per picture if every core did only the stages' own work, as in the column busy, with the \
better number of threads in a call. efficiency is ideal / achieved.";

/// Measure how fast this machine is, and what limits it
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct BenchArgs {
    /// Pictures to measure with, instead of those of the archive
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    corpus: Option<PathBuf>,
    /// How many pictures, taken evenly from all of them
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(8..=100_000))]
    count: u32,
    /// Only these analyzers
    #[arg(long, value_delimiter = ',', value_parser = analyzers(), value_name = "ANALYZER,...")]
    only: Option<Vec<AnalyzerId>>,
    #[command(flatten)]
    format: FormatArg,
}

pub async fn run(config: Config, args: BenchArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    let shutdown = Shutdown::new();
    shutdown.listen(|| say("stopping"))?;
    let files = match &args.corpus {
        Some(folder) => below(&place(folder)),
        None => of_archive(&config).await?,
    };
    if files.len() < bench::FEWEST {
        let found = words::count(files.len() as u64, "picture", "pictures");
        return Err(Hinted::new(
            format!("found {found}; at least {} are needed", bench::FEWEST),
            "name a folder of pictures with --corpus, or ingest some first",
        )
        .into());
    }
    let files = evenly(files, args.count as usize);
    let request = BenchRequest { files, only: args.only };
    let report = bench::run(&config, request, &shutdown, |text| say(text)).await?;
    if args.format.format == Format::Json {
        out.json(&report)?;
    } else {
        show(&report, out)?;
    }
    Ok(Outcome::Done)
}

/// The pictures below `folder`, by name.
fn below(folder: &Path) -> Vec<PathBuf> {
    WalkDir::new(folder)
        .sort_by_file_name()
        .into_iter()
        .flatten()
        .filter(|entry| entry.file_type().is_file())
        .map(walkdir::DirEntry::into_path)
        .filter(|path| {
            let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
            head(path).is_ok_and(|head| is_candidate(&head, extension.as_deref()))
        })
        .collect()
}

/// The latest pictures of the archive.
async fn of_archive(config: &Config) -> anyhow::Result<Vec<PathBuf>> {
    const PAGE: u32 = 1000;
    let app = App::open(config.clone(), Access::Shared).await?;
    let page = Page { limit: PAGE, after: None };
    let rows = app.store().list_assets(&AssetFilter::default(), &page).await?.rows;
    app.close().await;
    let path = |uris: Vec<String>| uris.iter().find_map(|uri| path_of_uri(uri).filter(|path| path.is_file()));
    Ok(rows.into_iter().filter_map(|row| path(row.uris)).collect())
}

fn evenly(files: Vec<PathBuf>, count: usize) -> Vec<PathBuf> {
    let all = files.len();
    let count = count.min(all);
    (0..count).map(|place| files[place * all / count].clone()).collect()
}

fn show(report: &BenchReport, out: &mut Out) -> anyhow::Result<()> {
    let mut table = Table::new(
        [Column::left("STAGE")]
            .into_iter()
            .chain(["INPUTS", "BATCH", "CALM MS", "BUSY MS", "WALK MS", "SHARE"].map(Column::right)),
    );
    for stage in &report.stages {
        let inputs = if stage.inputs > 0.0 { format!("{:.2}", stage.inputs) } else { String::new() };
        table.row([
            stage.name.clone(),
            inputs,
            stage.batch.map(|size| size.to_string()).unwrap_or_default(),
            format!("{:.1}", stage.calm_ms),
            format!("{:.1}", stage.busy_ms),
            format!("{:.1}", stage.walk_ms),
            format!("{:.0} %", stage.share * 100.0),
        ]);
    }
    out.table(&mut table)?;
    out.line("")?;
    let failed = match report.failed {
        0 => String::new(),
        failed => format!(", {} failed", words::number(failed)),
    };
    out.line(format!("pictures     {}{failed}", words::number(report.pictures)))?;
    out.line(format!(
        "speed        {:.2} pictures/s on {}; a lone picture takes {:.0} ms",
        report.images_per_second,
        words::count(report.cores as u64, "core", "cores"),
        report.lone_ms
    ))?;
    if !report.provider.is_empty() {
        out.line(format!("networks on  {}", report.provider))?;
    }
    out.line(format!("processor    {:.3} s per picture", report.cpu_seconds_per_picture))?;
    if let [configured, other] = report.threads[..] {
        out.line(format!(
            "threads      {} in a call costs {:.0} ms of processor time per picture by itself, {} costs {:.0} ms",
            configured.0, configured.1, other.0, other.1
        ))?;
    }
    out.line(format!(
        "efficiency   {:.2}: ideal {:.1} ms ({:.1} ms one after the other), achieved {:.1} ms per picture",
        report.efficiency, report.ideal_ms, report.calm_ideal_ms, report.achieved_ms
    ))?;
    out.line(format!(
        "cores        {:.0} % idle, {:.0} % taken by other programs",
        report.idle * 100.0,
        report.taken_by_others * 100.0
    ))?;
    out.line(format!("memory       {} MiB at most", report.peak_memory_bytes >> 20))?;
    out.line(format!("bottleneck   {}", report.bottleneck))?;
    for advice in &report.advice {
        out.line(format!("  - {advice}"))?;
    }
    Ok(())
}
