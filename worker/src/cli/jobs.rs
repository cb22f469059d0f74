//! `docent jobs`

use clap::Args;

use super::Outcome;
use super::bulk::finish;
use super::lookup::pages;
use super::output::{Format, FormatArg, Out, say};
use super::table::{Column, Table};
use crate::app::{Access, App};
use crate::config::Config;
use crate::store::JobRow;

const HELP: &str = "\
A job is one decision on many suggestions, by `docent accept --all`, `docent reject --all` or the review page. The next \
worker or `docent serve` continues an interrupted job, or this command with --go-on. `docent undo --job NUMBER` reverts \
one.

Exit codes: 0 there are some, 1 there are none, 2 an error.";

/// List jobs: decisions on many suggestions, and their progress
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct JobsArgs {
    /// Continue unfinished jobs to their end
    #[arg(long)]
    go_on: bool,
    /// At most this many
    #[arg(short = 'n', long, value_name = "NUMBER", default_value_t = 20)]
    limit: u64,
    #[command(flatten)]
    format: FormatArg,
}

pub async fn run(config: Config, args: JobsArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    let app = App::open(config, Access::Shared).await?;
    let store = app.store();
    if args.go_on {
        // Also those that another process is at, or that the database still believes to be in the hands of one that died.
        let mut open = Vec::new();
        pages(
            None,
            async |page| store.jobs(page).await,
            |rows| {
                open.extend(rows.into_iter().filter(|job| job.state.is_open()));
                Ok(())
            },
        )
        .await?;
        for job in open.into_iter().rev() {
            finish(&*store, job).await?;
        }
    }
    let mut table = Table::new([
        Column::right("JOB"),
        Column::left("WHAT"),
        Column::left("STATE"),
        Column::right("DONE"),
        Column::right("LEFT ALONE"),
        Column::right("OF"),
        Column::left("WHO"),
        Column::left("WHEN"),
    ]);
    let seen = pages(
        Some(args.limit),
        async |page| store.jobs(page).await,
        |rows| {
            for row in rows {
                match args.format.format {
                    Format::Json => out.json(&row)?,
                    Format::Table => table.row(cells(&row)),
                }
            }
            Ok(out.table(&mut table)?)
        },
    )
    .await?;
    app.close().await;
    if seen == 0 {
        say("no jobs");
    }
    Ok(if seen == 0 { Outcome::Nothing } else { Outcome::Done })
}

fn cells(row: &JobRow) -> [String; 8] {
    let what = match row.reverts {
        Some(reverted) => format!("{} {reverted}", row.action),
        None => row.action.to_string(),
    };
    [
        row.id.to_string(),
        what,
        row.state.to_string(),
        row.done.to_string(),
        row.skipped.to_string(),
        row.total.to_string(),
        row.reviewer.clone(),
        row.created_at.clone(),
    ]
}
