//! `docent history`

use clap::Args;
use docent_pipelines::Kind;
use time::OffsetDateTime;

use super::lookup::{kinds, pages};
use super::output::{Format, FormatArg, Out, say};
use super::since::since;
use super::table::{Column, Table, excerpt};
use super::{Outcome, words};
use crate::app::{Access, App};
use crate::assets::display_path;
use crate::config::Config;
use crate::store::{LoggedReview, ReviewFilter};

const HELP: &str = "\
Examples:
  docent history                          the last decisions of everybody
  docent history --since 7d --by ada      Ada's decisions of the last seven days
  docent history --since 2026-11-01 -n 1000 --format json
  docent history 3fa9c1                   what was decided about one suggestion

Times are in UTC. In the table, decisions of one job that follow each other are one line; JSON has all of them. Nothing \
is ever removed from the log.

Exit codes: 0 there were decisions, 1 there were none, 2 an error.";

/// Show who decided what, and when
///
/// Lists the review log, newest entry first. With ids of suggestions it lists their entries, oldest first.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct HistoryArgs {
    /// Only these suggestions: ids, or the first digits (at least 6)
    #[arg(value_name = "ID", conflicts_with_all = ["since", "by", "kind", "limit"])]
    ids: Vec<String>,
    /// Only since this time: a date (2026-11-30), a time (2026-11-30T14:05Z) or an age (90m, 12h, 7d, 4w)
    #[arg(long, value_parser = since, value_name = "TIME")]
    since: Option<OffsetDateTime>,
    /// Only decisions of this person
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Only about suggestions of this kind
    #[arg(long, value_parser = kinds(), value_name = "KIND")]
    kind: Option<Kind>,
    /// At most this many
    #[arg(short = 'n', long, value_name = "NUMBER", default_value_t = 50)]
    limit: u64,
    #[command(flatten)]
    format: FormatArg,
}

pub async fn run(config: Config, args: HistoryArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    let app = App::open(config, Access::Shared).await?;
    let store = app.store();
    let mut listing = Listing::new(args.format.format);
    let mut entries = 0;
    if args.ids.is_empty() {
        let filter = ReviewFilter {
            since: args.since.map(|time| (time.unix_timestamp_nanos() / 1_000_000) as i64),
            reviewer: args.by,
            kind: args.kind,
        };
        entries = pages(
            Some(args.limit),
            async |page| store.review_log(&filter, page).await,
            |rows| rows.into_iter().try_for_each(|row| listing.add(row, out)),
        )
        .await?;
    }
    for id in &args.ids {
        let row = store.suggestion(&id.to_ascii_lowercase()).await?;
        for review in store.reviews(&row.id).await? {
            entries += 1;
            let (asset_id, uri) = (row.asset_id.clone(), row.uri.clone());
            listing
                .add(LoggedReview { review, asset_id, uri, kind: row.kind, value: row.value.clone() }, out)?;
        }
    }
    listing.end(out)?;
    app.close().await;
    if entries == 0 {
        say("no decisions");
    } else if args.ids.is_empty() && entries == args.limit && args.format.format == Format::Table {
        say(format!("the last {}; -n NUMBER lists more", words::number(entries)));
    }
    Ok(if entries == 0 { Outcome::Nothing } else { Outcome::Done })
}

/// Writes entries. Those of one job that follow each other are one line of the table.
struct Listing {
    format: Format,
    table: Table,
    first: Option<LoggedReview>,
    more: u64,
}

/// Rows of the table that are aligned and written together.
const TOGETHER: usize = 500;

impl Listing {
    fn new(format: Format) -> Self {
        let table = Table::new([
            Column::left("WHEN"),
            Column::left("WHO"),
            Column::left("THROUGH"),
            Column::left("WHAT"),
            Column::left("BEFORE"),
            Column::left("AFTER"),
            Column::left("JOB"),
            Column::left("ID"),
            Column::text("SUGGESTION"),
            Column::path("FILE"),
        ]);
        Self { format, table, first: None, more: 0 }
    }

    fn add(&mut self, row: LoggedReview, out: &mut Out) -> anyhow::Result<()> {
        if self.format == Format::Json {
            return Ok(out.json(&row)?);
        }
        let job = row.review.job;
        let same = |first: &LoggedReview| {
            job.is_some() && first.review.job == job && first.review.action == row.review.action
        };
        if self.first.as_ref().is_some_and(same) {
            self.more += 1;
            return Ok(());
        }
        self.write();
        self.first = Some(row);
        if self.table.gathered() >= TOGETHER {
            out.table(&mut self.table)?;
        }
        Ok(())
    }

    fn write(&mut self) {
        let more = std::mem::take(&mut self.more);
        let Some(LoggedReview { review, uri, kind, value, .. }) = self.first.take() else { return };
        let value = excerpt(&value);
        self.table.row([
            review.at,
            review.reviewer,
            review.client,
            review.action,
            review.before.to_string(),
            review.after.to_string(),
            review.job.map_or_else(String::new, |job| job.to_string()),
            words::short(review.suggestion_id.as_str()),
            match more {
                0 => format!("{kind} {value}"),
                more => format!("{kind} {value}, and {} more", words::number(more)),
            },
            display_path(&uri),
        ]);
    }

    fn end(mut self, out: &mut Out) -> anyhow::Result<()> {
        self.write();
        Ok(out.table(&mut self.table)?)
    }
}
