//! `docent forget`

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use docent_pipelines::{Fingerprint, Owner};
use serde_json::json;

use super::Outcome;
use super::decide::ByArgs;
use super::lookup::{asset, owner, pages, uri_prefix};
use super::output::{Format, Out, say};
use super::problem::Hinted;
use super::table::{Column, Table};
use super::words;
use crate::app::{Access, App};
use crate::assets::is_file_uri;
use crate::config::Config;
use crate::forget::Forgetter;
use crate::shutdown::Shutdown;
use crate::store::{Forget, ForgetRow, ForgetState, Mark, Store, Toll};

const HELP: &str = "\
Examples:
  docent forget ~/Pictures/private --dry-run    what would go
  docent forget ~/Pictures/private              asks first; --yes does not
  docent forget 3f2a9c0d11e4                    one picture, wherever it lies
  docent forget --missing                       pictures that are nowhere
  docent forget --readmit photo.jpg             lets it in again

docent removes everything that it knows of the pictures: places, suggestions, decisions, texts, vectors, and the files that it \
stored itself (uploads). It never touches your own files. A picture that also lies elsewhere stays, and only loses the places \
that you name; `docent ingest` finds these again if files are still there. This cannot be undone.

The log keeps that something was forgotten: who, when and how many, not what. docent keeps a hash of each picture's hash, so that \
a forgotten picture that is still in a folder does not come back. --barred lists these marks, --readmit removes one.

All of it is done in portions, beside other work. Ctrl-C stops after the current one; a worker, `docent serve` or --go-on does \
the rest. Copies that you made (`docent backup`), the log of a PostgreSQL server and the caches of browsers are not docent's to clear.

Exit codes: 0 done, 1 there was nothing to forget or you did not agree, 2 an error, 130 stopped before the end.";

/// Forget pictures for good, and everything docent knows of them
///
/// Removes pictures from the archive. The files themselves stay, except for uploads.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct ForgetArgs {
    /// Pictures by their ids or the first digits (at least 6), or paths with everything below them
    #[arg(value_name = "ASSET|PATH", value_hint = clap::ValueHint::AnyPath, group = "order")]
    what: Vec<String>,
    /// Pictures of this owner, as given to `docent ingest --owner`
    #[arg(long, value_parser = owner, value_name = "NAME", group = "order")]
    owner: Option<Owner>,
    /// Pictures that lie nowhere any more
    #[arg(long, group = "order")]
    missing: bool,
    /// Only tell what would be forgotten
    #[arg(long, requires = "order")]
    dry_run: bool,
    /// Do not ask
    #[arg(long, short, requires = "order")]
    yes: bool,
    /// List what was forgotten: who, when and how many
    #[arg(long, group = "act", conflicts_with = "order")]
    list: bool,
    /// List the marks of pictures that do not come back
    #[arg(long, group = "act", conflicts_with = "order")]
    barred: bool,
    /// Let a forgotten picture in again, by its mark or its file; the next `docent ingest` finds it
    #[arg(long, group = "act", conflicts_with = "order", value_name = "MARK|FILE", value_hint = clap::ValueHint::FilePath)]
    readmit: Option<String>,
    /// Continue what was interrupted
    #[arg(long, group = "act", conflicts_with = "order")]
    go_on: bool,
    #[command(flatten)]
    by: ByArgs,
}

/// How far an order is is said so often.
const SAY: Duration = Duration::from_secs(2);
/// Another process is at the order: it is looked at again after this time.
const LOOK: Duration = Duration::from_millis(200);

pub async fn run(config: Config, args: ForgetArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    let by = args.by.reviewer(&config);
    let format = args.by.format.format;
    let app = App::open(config, Access::Shared).await?;
    let (store, forgetter) = (app.store(), app.forgetter());
    let outcome = if args.list {
        list(&*store, format, out).await?
    } else if args.barred {
        barred(&*store, format, out).await?
    } else if let Some(picture) = &args.readmit {
        readmit(&*store, picture, format, out).await?
    } else if args.go_on {
        go_on(&*store, &forgetter, format, out).await?
    } else {
        let what = what(&*store, &args).await?;
        let toll = forgetter.preview(&what).await?;
        if toll.assets + toll.places == 0 {
            say("there is nothing to forget");
            Outcome::Nothing
        } else if args.dry_run {
            tell("would go", &toll, format, out)?;
            Outcome::Done
        } else if !args.yes && !agreed(&toll)? {
            say("nothing was forgotten");
            Outcome::Nothing
        } else {
            let row = forgetter.start(what, by).await?;
            finish(&*store, &forgetter, row, format, out).await?
        }
    };
    app.close().await;
    Ok(outcome)
}

/// What is named on the command line. A path comes before an id.
async fn what(store: &dyn Store, args: &ForgetArgs) -> anyhow::Result<Forget> {
    let mut what = Forget { owner: args.owner.clone(), missing: args.missing, ..Forget::default() };
    for text in &args.what {
        let prefix = uri_prefix(Path::new(text));
        let is_path = is_file_uri(text)
            || text.contains('/')
            || Path::new(text).exists()
            || !store.places_below(&prefix, None, 1).await?.is_empty();
        match is_path {
            true => what.places.push(prefix),
            false => what.assets.push(asset(store, text).await?),
        }
    }
    if what.is_empty() {
        let hint = "name pictures or paths, or use --owner or --missing; `docent forget --help` has examples";
        return Err(Hinted::new("nothing is named that is to be forgotten", hint).into());
    }
    Ok(what)
}

/// What goes and what stays, in words.
fn sentences(what: &str, toll: &Toll) -> Vec<String> {
    let mut parts = vec![
        words::count(toll.assets, "picture", "pictures"),
        words::count(toll.places, "place", "places"),
        format!(
            "{} ({} decided)",
            words::count(toll.suggestions, "suggestion", "suggestions"),
            words::number(toll.decisions)
        ),
    ];
    if toll.files > 0 {
        parts.push(words::count(toll.files, "uploaded file", "uploaded files"));
    }
    let mut lines = vec![format!("{what}: {}", parts.join(", "))];
    if toll.kept > 0 {
        let kept = words::count(toll.kept, "picture also lies", "pictures also lie");
        let lose = if toll.kept == 1 { "stays and loses" } else { "stay and lose" };
        lines.push(format!("{kept} elsewhere, {lose} only the places that you name"));
    }
    lines
}

fn tell(what: &str, toll: &Toll, format: Format, out: &mut Out) -> anyhow::Result<()> {
    match format {
        Format::Json => out.json(toll)?,
        Format::Table => sentences(what, toll).iter().try_for_each(|line| out.line(line))?,
    }
    Ok(())
}

/// Asks the person at the terminal.
fn agreed(toll: &Toll) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        let hint = "--yes forgets without a question, --dry-run only tells what would go";
        return Err(Hinted::new("nobody is there to be asked", hint).into());
    }
    sentences("going for good", toll).iter().for_each(say);
    let mut asking = std::io::stderr();
    write!(asking, "Forget this? It cannot be undone. [y/N] ")
        .and_then(|()| asking.flush())
        .context("ask")?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).context("read the answer")?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Carries an order out, and says how far it is.
async fn finish(
    store: &dyn Store,
    forgetter: &Forgetter,
    mut row: ForgetRow,
    format: Format,
    out: &mut Out,
) -> anyhow::Result<Outcome> {
    let id = row.id;
    let rest = || {
        format!(
            "order {id} is not done; a worker or `docent serve` goes on with it, or `docent forget --go-on`"
        )
    };
    let shutdown = Shutdown::new();
    shutdown.listen(|| say("stopping after the current portion; a second Ctrl-C stops at once"))?;
    let mut said = Instant::now();
    while row.state != ForgetState::Done {
        if shutdown.token().is_cancelled() {
            say(rest());
            return Ok(Outcome::Interrupted);
        }
        row = match forgetter.step(Some(id)).await.with_context(rest)? {
            Some(row) => row,
            None => {
                tokio::time::sleep(LOOK).await;
                store.forgetting(id).await?
            }
        };
        if said.elapsed() >= SAY && row.state != ForgetState::Done {
            said = Instant::now();
            say(format!("order {id}: {} so far", words::count(row.toll.assets, "picture", "pictures")));
        }
    }
    match format {
        Format::Json => out.json(&row)?,
        Format::Table => tell("forgotten", &row.toll, format, out)?,
    }
    Ok(if row.toll == Toll::default() { Outcome::Nothing } else { Outcome::Done })
}

async fn go_on(
    store: &dyn Store,
    forgetter: &Forgetter,
    format: Format,
    out: &mut Out,
) -> anyhow::Result<Outcome> {
    let mut open = Vec::new();
    pages(
        None,
        async |page| store.forgettings(page).await,
        |rows| {
            open.extend(rows.into_iter().filter(|row| row.state != ForgetState::Done));
            Ok(())
        },
    )
    .await?;
    let mut outcome = Outcome::Nothing;
    if open.is_empty() {
        say("nothing was interrupted");
    }
    for row in open.into_iter().rev() {
        outcome = finish(store, forgetter, row, format, out).await?;
        if outcome == Outcome::Interrupted {
            break;
        }
    }
    Ok(outcome)
}

async fn list(store: &dyn Store, format: Format, out: &mut Out) -> anyhow::Result<Outcome> {
    let mut table = Table::new([
        Column::right("ORDER"),
        Column::left("WHEN"),
        Column::left("WHO"),
        Column::left("THROUGH"),
        Column::left("STATE"),
        Column::right("PICTURES"),
        Column::right("PLACES"),
        Column::right("SUGGESTIONS"),
        Column::right("DECIDED"),
        Column::right("FILES"),
    ]);
    let seen = pages(
        None,
        async |page| store.forgettings(page).await,
        |rows| {
            for row in rows {
                match format {
                    Format::Json => out.json(&row)?,
                    Format::Table => table.row(cells(row)),
                }
            }
            Ok(out.table(&mut table)?)
        },
    )
    .await?;
    if seen == 0 {
        say("nothing was forgotten so far");
    }
    Ok(if seen == 0 { Outcome::Nothing } else { Outcome::Done })
}

fn cells(row: ForgetRow) -> [String; 10] {
    let ForgetRow { id, state, toll, reviewer, client, created_at, .. } = row;
    let Toll { assets, places, suggestions, decisions, files, .. } = toll;
    let [assets, places, suggestions, decisions, files] =
        [assets, places, suggestions, decisions, files].map(words::number);
    let state = state.to_string();
    [id.to_string(), created_at, reviewer, client, state, assets, places, suggestions, decisions, files]
}

async fn barred(store: &dyn Store, format: Format, out: &mut Out) -> anyhow::Result<Outcome> {
    let mut table = Table::new([Column::left("MARK"), Column::left("WHEN"), Column::right("ORDER")]);
    let seen = pages(
        None,
        async |page| store.marks(page).await,
        |rows| {
            for row in rows {
                match format {
                    Format::Json => out.json(&row)?,
                    Format::Table => table.row([row.mark.to_string(), row.at, row.forgetting.to_string()]),
                }
            }
            Ok(out.table(&mut table)?)
        },
    )
    .await?;
    if seen == 0 {
        say("no picture is barred");
    }
    Ok(if seen == 0 { Outcome::Nothing } else { Outcome::Done })
}

async fn readmit(store: &dyn Store, picture: &str, format: Format, out: &mut Out) -> anyhow::Result<Outcome> {
    let marks = match Mark::try_from(picture.to_owned()) {
        Ok(mark) if !Path::new(picture).exists() => vec![mark],
        _ => marks(PathBuf::from(picture)).await?,
    };
    let mut was_barred = false;
    for mark in marks {
        was_barred |= store.readmit(&mark).await?;
    }
    match (format, was_barred) {
        (Format::Json, _) => out.json(&json!({ "readmitted": was_barred }))?,
        (Format::Table, true) => out.line("the picture may come back")?,
        (Format::Table, false) => say("this picture was not forgotten, or is readmitted already"),
    }
    Ok(if was_barred { Outcome::Done } else { Outcome::Nothing })
}

/// The marks that a file would be known by.
async fn marks(path: PathBuf) -> anyhow::Result<Vec<Mark>> {
    let reading = format!("read {}", path.display());
    let read = move || anyhow::Ok(Fingerprint::of_reader(std::fs::File::open(path)?)?.0);
    let found = tokio::task::spawn_blocking(read).await.context("read a file")?.context(reading)?;
    Ok([found.asset_id(), found.bytes.asset_id()].iter().map(Mark::of).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_and_what_stays_is_said() {
        let toll = Toll { assets: 1200, places: 1, suggestions: 7, decisions: 2, files: 1, kept: 1 };
        assert_eq!(
            sentences("forgotten", &toll),
            [
                "forgotten: 1,200 pictures, 1 place, 7 suggestions (2 decided), 1 uploaded file",
                "1 picture also lies elsewhere, stays and loses only the places that you name"
            ]
        );
        let few = Toll { kept: 0, files: 0, ..toll };
        assert_eq!(sentences("would go", &few).len(), 1);
    }
}
