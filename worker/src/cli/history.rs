//! `docent history`

use clap::Args;

use super::output::{Format, FormatArg, Out, say};
use super::table::{Column, Table, excerpt};
use super::{Outcome, words};
use crate::app::{Access, App};
use crate::config::Config;

const HELP: &str = "\
Exit codes: 0 there were decisions, 1 nobody has decided yet, 2 an error.";

/// Show who decided about suggestions, when, and what
///
/// Lists the review log of suggestions, oldest entry first. Nothing is ever removed from it.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct HistoryArgs {
    /// Ids of suggestions, or the first digits (at least 6)
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    format: FormatArg,
}

pub async fn run(config: Config, args: HistoryArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    let app = App::open(config, Access::Shared).await?;
    let store = app.store();
    let mut table = Table::new([
        Column::left("WHEN"),
        Column::left("WHO"),
        Column::left("THROUGH"),
        Column::left("WHAT"),
        Column::left("BEFORE"),
        Column::left("AFTER"),
        Column::left("JOB"),
        Column::left("ID"),
        Column::text("SUGGESTION"),
    ]);
    let mut entries = 0;
    for id in &args.ids {
        let row = store.suggestion(&id.to_ascii_lowercase()).await?;
        for review in store.reviews(&row.id).await? {
            entries += 1;
            if args.format.format == Format::Json {
                out.json(&review)?;
                continue;
            }
            table.row([
                review.at,
                review.reviewer,
                review.client,
                review.action,
                review.before.to_string(),
                review.after.to_string(),
                review.job.map_or_else(String::new, |job| job.to_string()),
                words::short(row.id.as_str()),
                format!("{} {}", row.kind, excerpt(&row.value)),
            ]);
        }
    }
    out.table(&mut table)?;
    app.close().await;
    if entries == 0 {
        say("nobody has decided yet");
    }
    Ok(if entries == 0 { Outcome::Nothing } else { Outcome::Done })
}
