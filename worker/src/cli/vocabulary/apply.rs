//! Applies terms, and learns them from decisions.

use std::time::{Duration, Instant};

use super::{OptionalTermArg, wrong};
use crate::app::App;
use crate::cli::output::{Format, Out, say};
use crate::cli::table::{Column, Table};
use crate::cli::{Outcome, words};
use crate::shutdown::Shutdown;
use crate::terms::{Applied, Lesson, Taught};

/// Between two lines about how far it is.
const TELL: Duration = Duration::from_secs(5);

/// Applies what a change left to do, and says how far it is. What is stopped goes on in the next worker or `docent serve`.
pub(super) async fn catch_up(app: &App) -> anyhow::Result<Outcome> {
    let shutdown = Shutdown::new();
    shutdown.listen(|| say("stopping; a worker or `docent serve` goes on"))?;
    let started = Instant::now();
    let mut last = Instant::now();
    let terms = app.terms();
    terms
        .catch_up(shutdown.token(), |Applied { behind, done, of, .. }| {
            if last.elapsed() >= TELL && behind > 0 {
                last = Instant::now();
                let terms = words::count(behind, "term is", "terms are");
                say(format!("{terms} applied to {} of {} vectors", words::number(done), words::number(of)));
            }
        })
        .await?;
    if shutdown.token().is_cancelled() {
        return Ok(Outcome::Interrupted);
    }
    if started.elapsed() >= TELL {
        say(format!("every term is applied, in {}", words::duration(started.elapsed().as_secs_f64())));
    }
    Ok(Outcome::Done)
}

pub(super) async fn apply(app: &App) -> anyhow::Result<Outcome> {
    let outcome = catch_up(app).await?;
    let Applied { terms, behind, of, .. } = app.terms().applied().await?;
    if of == 0 {
        say("no picture has a vector yet: ingest pictures with the embedding analyzer");
        return Ok(Outcome::Nothing);
    }
    say(format!(
        "{} told by vectors; {} behind",
        words::count(terms, "term is", "terms are"),
        words::number(behind)
    ));
    Ok(outcome)
}

pub(super) async fn learn(app: &App, args: OptionalTermArg, out: &mut Out) -> anyhow::Result<Outcome> {
    let known = app.store().vocabulary().await?;
    let term = match &args.term {
        Some(asked) => Some(known.find(asked).map_err(wrong)?.id.clone()),
        None => None,
    };
    let taught = app.terms().learn(term.as_ref()).await?;
    if taught.is_empty() {
        say("nothing to learn: a term needs 20 decided pictures, and a quarter more each further time");
        return Ok(Outcome::Nothing);
    }
    list(&taught, args.format.format, out)?;
    catch_up(app).await
}

pub(super) async fn forget(app: &App, asked: &str) -> anyhow::Result<Outcome> {
    let known = app.store().vocabulary().await?;
    let term = known.find(asked).map_err(wrong)?;
    if !app.terms().forget(&term.id).await? {
        say("nothing was learned of it");
        return Ok(Outcome::Nothing);
    }
    catch_up(app).await
}

pub(super) async fn learned(app: &App, format: Format, out: &mut Out) -> anyhow::Result<Outcome> {
    let lessons = app.terms().lessons().await?;
    list(&lessons, format, out)?;
    Ok(if lessons.is_empty() { Outcome::Nothing } else { Outcome::Done })
}

fn list(taught: &[Taught], format: Format, out: &mut Out) -> anyhow::Result<()> {
    let mut table = Table::new([
        Column::text("TERM"),
        Column::left("USED"),
        Column::right("ACCEPTED"),
        Column::right("REJECTED"),
        Column::right("BEFORE"),
        Column::right("ACCURACY"),
        Column::right("PRECISION"),
        Column::right("RECALL"),
    ]);
    for row in taught {
        match format {
            Format::Json => out.json(row)?,
            Format::Table => {
                let Lesson { accepted, rejected, accuracy_before, accuracy, precision, recall } = row.lesson;
                table.row([
                    row.name.clone(),
                    if row.used { "yes" } else { "no" }.to_owned(),
                    accepted.to_string(),
                    rejected.to_string(),
                    format!("{accuracy_before:.2}"),
                    format!("{accuracy:.2}"),
                    format!("{precision:.2}"),
                    format!("{recall:.2}"),
                ]);
            }
        }
    }
    Ok(out.table(&mut table)?)
}
