//! `docent status`

use clap::Args;

use super::output::{Format, FormatArg, Out, say};
use super::table::{Column, Table};
use super::{Outcome, words};
use crate::app::{Access, App};
use crate::config::Config;
use crate::store::Counts;

const HELP: &str = "\
What the columns say:
  done     the current model did it
  pending  waits; the next `ingest` or `retry` does it
  failed   `docent failures` says why, `docent retry` tries again
  stale    another model or version did it; `docent retry --stale` repeats it
  missing  never requested; `docent retry --missing` does it
  blocked  waits for a picture that cannot be decoded";

/// Count pictures, work and suggestions
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct StatusArgs {
    #[command(flatten)]
    format: FormatArg,
}

pub async fn run(config: Config, args: StatusArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    let app = App::open(config, Access::Shared).await?;
    let counts = app.store().counts(&app.wanted(None)?).await?;
    if args.format.format == Format::Json {
        out.json(&counts)?;
    } else {
        show(&counts, out)?;
        if counts.assets == 0 {
            out.flush()?;
            say("nothing is ingested yet: `docent ingest PATH` begins");
        }
    }
    app.close().await;
    Ok(Outcome::Done)
}

fn show(counts: &Counts, out: &mut Out) -> anyhow::Result<()> {
    let pictures = words::count(counts.assets, "picture", "pictures");
    out.line(format!("{pictures} at {}", words::count(counts.paths, "path", "paths")))?;
    out.line("")?;
    let mut work = Table::new(
        [Column::left("ANALYZER")]
            .into_iter()
            .chain(["DONE", "PENDING", "FAILED", "STALE", "MISSING", "BLOCKED"].map(Column::right)),
    );
    for (analyzer, count) in &counts.analyzers {
        let numbers = [count.done, count.pending, count.failed, count.stale, count.missing, count.blocked];
        work.row([analyzer.to_string()].into_iter().chain(numbers.map(words::number)));
    }
    out.table(&mut work)?;
    for (title, numbers) in [("SUGGESTIONS", &counts.suggestions), ("VECTORS", &counts.vectors)] {
        let mut table = Table::new([Column::left(title), Column::right("NUMBER")]);
        numbers.iter().for_each(|(name, &number)| table.row([name.clone(), words::number(number)]));
        if !numbers.is_empty() {
            out.line("")?;
            out.table(&mut table)?;
        }
    }
    Ok(())
}
