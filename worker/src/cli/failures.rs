//! `docent failures`

use clap::Args;

use super::lookup::pages;
use super::output::{Format, FormatArg, Out, say};
use super::table::{Column, Table};
use super::{Outcome, words};
use crate::app::{Access, App};
use crate::assets::display_path;
use crate::config::Config;

const HELP: &str = "\
A permanent failure comes from the file itself: it is damaged, empty or not supported. A transient one comes from \
elsewhere, and docent has given up trying. `docent retry` tries both again.

Exit codes: 0 there are failures, 1 there are none, 2 an error.";

/// List what could not be analyzed, and why
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct FailuresArgs {
    /// At most this many
    #[arg(short = 'n', long, value_name = "NUMBER")]
    limit: Option<u64>,
    #[command(flatten)]
    format: FormatArg,
}

pub async fn run(config: Config, args: FailuresArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    let app = App::open(config, Access::Shared).await?;
    let store = app.store();
    let mut table = Table::new([
        Column::left("ASSET"),
        Column::left("ANALYZER"),
        Column::left("KIND"),
        Column::right("ATTEMPTS"),
        Column::path("FILE"),
        Column::text("REASON"),
    ]);
    let seen = pages(
        args.limit,
        async |page| store.failures(page).await,
        |rows| {
            for row in rows {
                match args.format.format {
                    Format::Json => out.json(&row)?,
                    Format::Table => table.row([
                        words::short(row.asset_id.as_str()),
                        row.analyzer.to_string(),
                        row.kind,
                        row.attempts.to_string(),
                        display_path(&row.uri),
                        row.reason,
                    ]),
                }
            }
            Ok(out.table(&mut table)?)
        },
    )
    .await?;
    app.close().await;
    if seen == 0 {
        say("no failures");
    }
    Ok(if seen == 0 { Outcome::Nothing } else { Outcome::Done })
}
