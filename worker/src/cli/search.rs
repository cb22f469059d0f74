//! `docent search`

use clap::Args;

use super::lookup::AssetFilterArgs;
use super::output::{Format, FormatArg, Out, say};
use super::problem::Hinted;
use super::table::{Column, Table};
use super::{Outcome, words};
use crate::app::{Access, App};
use crate::assets::display_path;
use crate::config::Config;
use crate::search::Hits;
use crate::store::Store;

const HELP: &str = "\
Examples:
  docent search \"two dogs on grass\" -k 20
  docent search \"market square\" --path ~/Pictures/1998 --kind text
  docent search \"a red car\" --format json | jq -r .uri

The score is the likeness of words and picture, from -1 to 1; 0.2 to 0.5 is a good match. There is always a best match, \
even for what no picture shows: look at the scores.

Exit codes: 0 something was found, 1 nothing was, 2 an error.";

/// Find pictures by what they show, in words
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct SearchArgs {
    /// What to look for
    #[arg(value_name = "WORDS")]
    words: String,
    /// How many pictures
    #[arg(short, value_name = "NUMBER", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    k: u16,
    #[command(flatten)]
    filter: AssetFilterArgs,
    #[command(flatten)]
    format: FormatArg,
}

pub async fn run(config: Config, args: SearchArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    if args.words.trim().is_empty() {
        return Err(Hinted::new(
            "search for no words",
            "say what to look for, as in docent search \"two dogs\"",
        )
        .into());
    }
    let app = App::open(config, Access::Shared).await?;
    let hits = app.search().by_words(&args.words, args.k.into(), &args.filter.into()).await?;
    let outcome = show(&hits, args.format.format, &*app.store(), out).await?;
    app.close().await;
    Ok(outcome)
}

/// Writes hits, or says why there are none.
pub(super) async fn show(
    found: &Hits,
    format: Format,
    store: &dyn Store,
    out: &mut Out,
) -> anyhow::Result<Outcome> {
    let mut table = Table::new([Column::right("SCORE"), Column::left("ASSET"), Column::path("FILE")]);
    let hits = &found.hits;
    for hit in hits {
        match format {
            Format::Json => out.json(hit)?,
            Format::Table => table.row([
                format!("{:.3}", hit.score),
                words::short(hit.asset_id.as_str()),
                display_path(&hit.uri),
            ]),
        }
    }
    out.table(&mut table)?;
    if !found.complete {
        say(
            "the filters pass few of the nearest pictures; there may be more, further away: narrow the filters to see them",
        );
    }
    if !hits.is_empty() {
        return Ok(Outcome::Done);
    }
    let page = crate::store::Page { limit: 1, after: None };
    let empty = store.list_assets(&crate::store::AssetFilter::default(), &page).await?.rows.is_empty();
    say(if empty { "nothing is ingested yet: `docent ingest PATH` begins" } else { "nothing found" });
    Ok(Outcome::Nothing)
}
