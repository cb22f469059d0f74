//! `docent suggestions`

use std::path::PathBuf;

use clap::Args;
use docent_pipelines::{Kind, Owner, Status};

use super::lookup::{asset, confidence, kinds, owner, pages, statuses, uri_prefix};
use super::output::{Format, FormatArg, Out, say};
use super::table::{Column, Table, excerpt};
use super::{Outcome, words};
use crate::app::{Access, App};
use crate::assets::display_path;
use crate::config::Config;
use crate::store::{PlaceFilter, SuggestionFilter, SuggestionRow};

const HELP: &str = "\
Examples:
  docent suggestions --status pending --kind tag --min-confidence 0.8
  docent suggestions --asset holiday/beach.jpg
  docent suggestions --kind tag --status pending --format json |
      jq -r .id | xargs docent accept

Exit codes: 0 there are some, 1 there are none, 2 an error.";

/// List suggestions, and what was decided
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct SuggestionsArgs {
    /// Only in this state
    #[arg(long, value_parser = statuses(), value_name = "STATUS")]
    status: Option<Status>,
    /// Only of this kind
    #[arg(long, value_parser = kinds(), value_name = "KIND")]
    kind: Option<Kind>,
    /// Only of this picture: an id, the first digits of one, or a path
    #[arg(long, value_name = "ASSET", value_hint = clap::ValueHint::AnyPath)]
    asset: Option<String>,
    /// Only from this confidence on (0 to 1)
    #[arg(long, value_parser = confidence, value_name = "CONFIDENCE")]
    min_confidence: Option<f64>,
    /// Only with this value
    #[arg(long, value_name = "VALUE")]
    value: Option<String>,
    /// Only of pictures at or below this path
    #[arg(long, value_name = "PATH", value_hint = clap::ValueHint::AnyPath)]
    path: Option<PathBuf>,
    /// Only of pictures of this owner, as given to `docent ingest --owner`
    #[arg(long, value_parser = owner, value_name = "NAME")]
    owner: Option<Owner>,
    /// At most this many
    #[arg(short = 'n', long, value_name = "NUMBER")]
    limit: Option<u64>,
    #[command(flatten)]
    format: FormatArg,
}

pub async fn run(config: Config, args: SuggestionsArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    let app = App::open(config, Access::Shared).await?;
    let store = app.store();
    let asset = match &args.asset {
        Some(text) => Some(asset(&*store, text).await?),
        None => None,
    };
    let filter = SuggestionFilter {
        status: args.status,
        kind: args.kind,
        asset,
        min_confidence: args.min_confidence,
        value: args.value,
        place: PlaceFilter { uri_prefix: args.path.as_deref().map(uri_prefix), owner: args.owner },
        ..SuggestionFilter::default()
    };
    let mut table = Table::new([
        Column::left("ID"),
        Column::left("KIND"),
        Column::right("CONFIDENCE"),
        Column::left("STATUS"),
        Column::text("VALUE"),
        Column::path("FILE"),
    ]);
    let seen = pages(
        args.limit,
        async |page| store.suggestions(&filter, page).await,
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
        say("no suggestions");
    }
    Ok(if seen == 0 { Outcome::Nothing } else { Outcome::Done })
}

fn cells(row: &SuggestionRow) -> [String; 6] {
    [
        words::short(row.id.as_str()),
        row.kind.to_string(),
        format!("{:.2}", row.confidence),
        row.status.to_string(),
        excerpt(&row.value),
        display_path(&row.uri),
    ]
}
