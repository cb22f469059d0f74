//! `docent vectors`

use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use docent_pipelines::VectorSpace;

use super::output::{Format, FormatArg, Out, say};
use super::problem::Hinted;
use super::table::{Column, Table};
use super::{Outcome, words};
use crate::app::{Access, App, SpaceRow};
use crate::config::Config;
use crate::shutdown::Shutdown;

const LIST_HELP: &str = "\
What the columns say:
  ledger    vectors in the ledger
  index     vectors in the index; if fewer, run `docent vectors rebuild`
  use       searched: searches use this space
            filling: belongs to a newer model; searched once it has as many
            vectors as the older one
            current: belongs to a model of the manifest, not searched by words
            old: belongs to no model of the manifest; `docent vectors drop`
            removes it";

const REBUILD_HELP: &str = "\
Examples:
  docent vectors rebuild                         after the index was lost
  docent vectors rebuild picture/joint-vision@1
  docent vectors rebuild picture/joint-vision@1 --after 120344

Writes the ledger's vectors to the index, 256 at a time. It computes nothing, and writes the same vectors again if they \
exist. You may stop or kill it at any moment and start it again. Every five seconds it says how far it is; --after \
continues from there. It leaves alone what workers write meanwhile.

Exit codes: 0 done, 1 there was nothing to write, 2 an error, 130 stopped before the end.";

const DROP_HELP: &str = "\
Example:
  docent vectors drop picture/joint-vision@1     of a model without further use

Removes the space's vectors from index and ledger. If it is stopped, the same command continues. To get the vectors \
back, that model has to analyze every picture again.

Exit codes: 0 done, 1 there was no such space, 2 an error.";

/// List vector spaces, rebuild the index, or remove an old model's vectors
///
/// A space holds one kind of embedding by one version of a model. Only vectors of one space can be compared.
#[derive(Debug, Subcommand)]
pub enum VectorsCommand {
    /// List the spaces and their numbers of vectors
    #[command(after_long_help = LIST_HELP)]
    List(FormatArg),
    /// Write the ledger's vectors to the index
    #[command(after_long_help = REBUILD_HELP)]
    Rebuild(RebuildArgs),
    /// Remove an unused space
    #[command(after_long_help = DROP_HELP)]
    Drop(DropArgs),
}

/// Arguments of `docent vectors rebuild`.
#[derive(Debug, Args)]
pub struct RebuildArgs {
    /// The space [default: all of them]
    space: Option<String>,
    /// Only vectors after this number, which an earlier rebuild of that space printed
    #[arg(long, value_name = "NUMBER", requires = "space", default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    after: i64,
}

/// Arguments of `docent vectors drop`.
#[derive(Debug, Args)]
pub struct DropArgs {
    /// The space, as `docent vectors list` prints it
    space: String,
}

/// Between two lines about how far a rebuild is.
const TELL: Duration = Duration::from_secs(5);

pub async fn run(config: Config, command: VectorsCommand, out: &mut Out) -> anyhow::Result<Outcome> {
    let app = App::open(config, Access::Shared).await?;
    let outcome = match command {
        VectorsCommand::List(args) => list(&app, args.format, out).await,
        VectorsCommand::Rebuild(args) => rebuild(&app, args).await,
        VectorsCommand::Drop(args) => drop_space(&app, &args.space).await,
    };
    app.close().await;
    outcome
}

async fn list(app: &App, format: Format, out: &mut Out) -> anyhow::Result<Outcome> {
    let rows = app.spaces().await?;
    let mut table = Table::new([
        Column::left("SPACE"),
        Column::right("LEDGER"),
        Column::right("INDEX"),
        Column::left("USE"),
    ]);
    for row in &rows {
        match format {
            Format::Json => out.json(row)?,
            Format::Table => table.row([
                row.space.to_string(),
                words::number(row.ledger),
                row.index.map_or_else(|| "embedded".to_owned(), words::number),
                usage(row, &rows).to_owned(),
            ]),
        }
    }
    out.table(&mut table)?;
    Ok(if rows.is_empty() { Outcome::Nothing } else { Outcome::Done })
}

fn usage(row: &SpaceRow, all: &[SpaceRow]) -> &'static str {
    let searched = all.iter().find(|other| other.searched);
    match (row.searched, row.current) {
        (true, _) => "searched",
        (false, false) => "old",
        (false, true) if searched.is_some_and(|s| s.space.is_of_parts() == row.space.is_of_parts()) => {
            "filling"
        }
        (false, true) => "current",
    }
}

async fn rebuild(app: &App, args: RebuildArgs) -> anyhow::Result<Outcome> {
    let rows = app.spaces().await?;
    let wanted: Vec<SpaceRow> = match &args.space {
        None => rows,
        Some(name) => vec![find(rows, name)?],
    };
    if wanted.iter().all(|row| row.index.is_none()) {
        say("the index is embedded: it reads the ledger when it is searched, and needs no rebuild");
        return Ok(Outcome::Nothing);
    }
    let shutdown = Shutdown::new();
    shutdown.listen(|| say("stopping"))?;
    let mut all = 0;
    for row in wanted {
        let mut last = Instant::now();
        let rebuilt = app
            .rebuild(&row.space, args.after, shutdown.token(), |done| {
                if last.elapsed() >= TELL {
                    last = Instant::now();
                    let (written, ledger) = (words::number(done.written), words::number(row.ledger));
                    say(format!("{}: {written} of {ledger}, up to number {}", row.space, done.last));
                }
            })
            .await?;
        say(format!("{}: {} written", row.space, words::count(rebuilt.written, "vector", "vectors")));
        all += rebuilt.written;
        if shutdown.token().is_cancelled() {
            say(format!("go on with: docent vectors rebuild {} --after {}", row.space, rebuilt.last));
            break;
        }
    }
    Ok(match all {
        _ if shutdown.token().is_cancelled() => Outcome::Interrupted,
        0 => Outcome::Nothing,
        _ => Outcome::Done,
    })
}

async fn drop_space(app: &App, name: &str) -> anyhow::Result<Outcome> {
    let row = find(app.spaces().await?, name)?;
    if row.current {
        let hint = "take its model out of the manifest first; `docent vectors list` shows what is in use";
        return Err(Hinted::new(format!("{name} is in use"), hint).into());
    }
    let gone = app.drop_space(&VectorSpace::from_name(name)).await?;
    say(format!("{name}: {} removed", words::count(gone, "vector", "vectors")));
    Ok(if gone == 0 { Outcome::Nothing } else { Outcome::Done })
}

fn find(rows: Vec<SpaceRow>, name: &str) -> anyhow::Result<SpaceRow> {
    let known: Vec<String> = rows.iter().map(|row| row.space.to_string()).collect();
    rows.into_iter().find(|row| row.space.as_str() == name).ok_or_else(|| {
        let hint = match known.is_empty() {
            true => "there are no vectors yet".to_owned(),
            false => format!("there are {}", known.join(", ")),
        };
        Hinted::new(format!("there is no vector space '{name}'"), hint).into()
    })
}
