//! `docent leases`

use clap::{Args, Subcommand};
use docent_pipelines::AssetId;

use super::lookup::{asset, pages};
use super::output::{Format, FormatArg, Out, say};
use super::problem::Hinted;
use super::table::{Column, Table};
use super::{Outcome, words};
use crate::app::{Access, App};
use crate::assets::display_path;
use crate::config::Config;
use crate::queue::Lane;
use crate::store::{LeaseFilter, LeaseRow};

const LIST_HELP: &str = "\
What the columns say:
  run       waiting: the job is in the queue
            begun: a worker analyzes the picture
            alone: the same, alone, because an earlier run was lost
  owner     the worker that began the run, or the worker whose feeder put the
            job into the queue (NAME/feeder)
  process   alive: it said so within the last seconds
            silent: it did not, and is gone or cut off from the ledger
            unknown: it never said so
  until     when the lease ends and the picture is available again

Exit codes: 0 there are leases, 1 there are none, 2 an error.";

const RELEASE_HELP: &str = "\
Examples:
  docent leases release --all-not-begun      after the queue was deleted
  docent leases release --owner 4711-0c5d    after a machine is gone for good
  docent leases release ~/Pictures/cat.jpg   one picture

The work is pending again, and docent suspects no picture. If the job is still in a queue, it arrives twice. That does \
no harm: the second worker sees that the work is done or in progress. If the worker of a released run lives, another \
worker repeats the run with the same result.

Exit codes: 0 done, 1 there was no such lease, 2 an error.";

/// List which pictures are leased to whom, or release them
///
/// A worker leases a picture from the moment its job enters the queue until its results are recorded, so that no other worker
/// does the same. Leases of dead processes end by themselves; you need not release any.
#[derive(Debug, Subcommand)]
pub enum LeasesCommand {
    /// List the leases, the first to end at the top
    #[command(after_long_help = LIST_HELP)]
    List(ListArgs),
    /// Make leased pictures available again at once
    #[command(after_long_help = RELEASE_HELP)]
    Release(ReleaseArgs),
}

/// Arguments of `docent leases list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only of this worker and its feeder, or of one of them
    #[arg(long, value_name = "NAME")]
    owner: Option<String>,
    /// Only those whose run has begun
    #[arg(long, group = "state")]
    begun: bool,
    /// Only those whose job is in the queue
    #[arg(long, group = "state")]
    not_begun: bool,
    /// Only these pictures: ids, first digits of ids, or paths
    #[arg(value_name = "ASSET")]
    assets: Vec<String>,
    /// At most this many
    #[arg(short = 'n', long, value_name = "NUMBER")]
    limit: Option<u64>,
    #[command(flatten)]
    format: FormatArg,
}

/// Arguments of `docent leases release`.
#[derive(Debug, Args)]
pub struct ReleaseArgs {
    /// Everything that this worker and its feeder hold, or one of them
    #[arg(long, value_name = "NAME")]
    owner: Option<String>,
    /// Everything whose job is in the queue
    #[arg(long)]
    all_not_begun: bool,
    /// These pictures: ids, first digits of ids, or paths
    #[arg(value_name = "ASSET")]
    assets: Vec<String>,
    #[command(flatten)]
    format: FormatArg,
}

pub async fn run(config: Config, command: LeasesCommand, out: &mut Out) -> anyhow::Result<Outcome> {
    if let LeasesCommand::Release(args) = &command
        && args.owner.is_none()
        && args.assets.is_empty()
        && !args.all_not_begun
    {
        let hint = "give ASSET, --owner or --all-not-begun; `docent leases list` shows what there is";
        return Err(Hinted::new("nothing says which leases to release", hint).into());
    }
    let app = App::open(config, Access::Shared).await?;
    let outcome = match command {
        LeasesCommand::List(args) => list(&app, args, out).await,
        LeasesCommand::Release(args) => release(&app, args, out).await,
    };
    app.close().await;
    outcome
}

async fn list(app: &App, args: ListArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    let begun = match (args.begun, args.not_begun) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    };
    let filter = LeaseFilter { owner: args.owner, assets: chosen(app, &args.assets).await?, begun };
    let store = app.store();
    let mut table = Table::new([
        Column::left("ASSET"),
        Column::left("LANE"),
        Column::left("RUN"),
        Column::left("OWNER"),
        Column::left("PROCESS"),
        Column::left("UNTIL"),
        Column::path("FILE"),
    ]);
    let seen = pages(
        args.limit,
        async |page| store.leases(&filter, page).await,
        |rows| {
            for row in rows {
                match args.format.format {
                    Format::Json => out.json(&row)?,
                    Format::Table => table.row(cells(row)),
                }
            }
            Ok(out.table(&mut table)?)
        },
    )
    .await?;
    if seen == 0 {
        say("no leases");
    }
    Ok(if seen == 0 { Outcome::Nothing } else { Outcome::Done })
}

fn cells(row: LeaseRow) -> [String; 7] {
    let run = match (row.begun, row.alone) {
        (false, false) => "waiting",
        (false, true) => "waiting, alone",
        (true, false) => "begun",
        (true, true) => "begun, alone",
    };
    let lane = match row.lane {
        Lane::Interactive => "interactive",
        Lane::Backfill => "backfill",
    };
    let process = match row.alive {
        Some(true) => "alive",
        Some(false) => "silent",
        None => "unknown",
    };
    [
        words::short(row.asset_id.as_str()),
        lane.to_owned(),
        run.to_owned(),
        row.owner,
        process.to_owned(),
        row.until,
        row.uri.as_deref().map(display_path).unwrap_or_default(),
    ]
}

async fn release(app: &App, args: ReleaseArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    let begun = args.all_not_begun.then_some(false);
    let filter = LeaseFilter { owner: args.owner, assets: chosen(app, &args.assets).await?, begun };
    let released = app.store().release(&filter).await?;
    match args.format.format {
        Format::Json => out.json(&serde_json::json!({ "event": "released", "assets": released }))?,
        Format::Table => say(format!("{} released", words::count(released, "picture", "pictures"))),
    }
    Ok(if released == 0 { Outcome::Nothing } else { Outcome::Done })
}

/// The assets that are named; `None` if none is.
async fn chosen(app: &App, named: &[String]) -> anyhow::Result<Option<Vec<AssetId>>> {
    if named.is_empty() {
        return Ok(None);
    }
    let store = app.store();
    let mut assets = Vec::with_capacity(named.len());
    for text in named {
        assets.push(asset(&*store, text).await?);
    }
    Ok(Some(assets))
}
