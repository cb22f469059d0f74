//! Looks at the vocabulary.

use docent_pipelines::vocabulary::{Role, Term, folded};
use serde_json::json;

use super::{ListArgs, LogArgs, TestArgs, wrong};
use crate::app::App;
use crate::assets::path_of_uri;
use crate::cli::lookup::pages;
use crate::cli::output::{Format, Out, say};
use crate::cli::table::{Column, Table};
use crate::cli::{Outcome, words};
use crate::store::TermEntry;

pub(super) async fn list(app: &App, args: ListArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    let known = app.store().vocabulary().await?;
    let asked = folded(&args.words.join(" "));
    let below: Vec<&Term> = match &args.below {
        Some(below) => known.narrower(known.find(below).map_err(wrong)?),
        None => known.terms().iter().collect(),
    };
    let has = |term: &&Term| term.labels.iter().any(|label| folded(&label.text).starts_with(&asked));
    let mut found: Vec<(String, &Term)> =
        below.into_iter().filter(has).map(|term| (known.path(term), term)).collect();
    found.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.id.cmp(&b.1.id)));
    let all = found.len();
    let mut table = Table::new([Column::text("TERM"), Column::text("ALSO"), Column::left("OFFERED")]);
    for (path, term) in found.into_iter().take(args.limit) {
        match args.format.format {
            Format::Json => out.json(&json!({ "path": path, "term": term }))?,
            Format::Table => {
                let name = term.name(&known.language);
                let shown =
                    term.labels.iter().filter(|label| label.role != Role::Hidden && label.text != name);
                let also: Vec<&str> = shown.map(|label| label.text.as_str()).collect();
                let offered = match (term.heading, term.enabled) {
                    (true, _) => "heading",
                    (false, true) => "yes",
                    (false, false) => "no",
                };
                table.row([path, also.join(", "), offered.to_owned()]);
            }
        }
    }
    out.table(&mut table)?;
    if all > args.limit {
        let more = words::number((all - args.limit) as u64);
        say(format!("{more} more; look for words, or ask for more with -n"));
    }
    Ok(if all == 0 { Outcome::Nothing } else { Outcome::Done })
}

pub(super) async fn show(app: &App, asked: &str, out: &mut Out) -> anyhow::Result<Outcome> {
    let known = app.store().vocabulary().await?;
    let term = known.find(asked).map_err(wrong)?;
    let broader: Vec<&str> = known.broader(term).into_iter().map(|term| known.tag(term)).collect();
    let narrower: Vec<&str> = known.children(&term.id).map(|term| known.tag(term)).collect();
    out.line(serde_json::to_string_pretty(&json!({
        "path": known.path(term), "broader": broader, "narrower": narrower, "term": term,
    }))?)?;
    Ok(Outcome::Done)
}

pub(super) async fn log(app: &App, args: LogArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    let store = app.store();
    let known = store.vocabulary().await?;
    let term = match &args.term {
        Some(asked) => Some(known.find(asked).map_err(wrong)?.id.clone()),
        None => None,
    };
    let mut table = Table::new([
        Column::left("WHEN"),
        Column::left("WHO"),
        Column::left("WHAT"),
        Column::text("TERM"),
        Column::text("NOW"),
    ]);
    let seen = pages(
        Some(args.limit),
        async |page| store.term_log(term.as_ref(), page).await,
        |rows: Vec<TermEntry>| {
            for row in rows {
                match args.format.format {
                    Format::Json => out.json(&row)?,
                    Format::Table => {
                        let name = |term: &Option<Term>| {
                            term.as_ref()
                                .map_or_else(String::new, |term| term.name(&known.language).to_owned())
                        };
                        let (before, after) = (name(&row.before), name(&row.after));
                        table.row([row.at, row.reviewer, row.action, before, after]);
                    }
                }
            }
            Ok(out.table(&mut table)?)
        },
    )
    .await?;
    Ok(if seen == 0 { Outcome::Nothing } else { Outcome::Done })
}

pub(super) async fn test(app: &App, args: TestArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    let known = app.store().vocabulary().await?;
    let term = known.find(&args.term.term).map_err(wrong)?;
    let Some(trial) = app.terms().test(&term.id, args.limit).await? else {
        say(
            "its words say too little: there are fewer than 32 pictures with a vector, or no text network for them",
        );
        return Ok(Outcome::Nothing);
    };
    let mut table =
        Table::new([Column::right("PROBABILITY"), Column::left("OFFERED"), Column::path("PICTURE")]);
    let rows: Vec<_> = trial.surest.iter().chain(&trial.doubtful).collect();
    let assets: Vec<_> = rows.iter().map(|(asset, _)| asset.clone()).collect();
    let found = app.store().assets(&assets).await?;
    for (asset, probability) in rows {
        let uri = found.iter().find(|row| row.asset_id == *asset).and_then(|row| row.uris.first());
        let uri = uri.map_or("", String::as_str);
        let offered = *probability >= trial.least;
        match args.format.format {
            Format::Json => {
                out.json(
                    &json!({ "asset_id": asset, "uri": uri, "probability": probability, "offered": offered }),
                )?;
            }
            Format::Table => {
                let place =
                    path_of_uri(uri).map_or_else(|| uri.to_owned(), |path| path.display().to_string());
                table.row([
                    format!("{probability:.3}"),
                    if offered { "yes" } else { "no" }.to_owned(),
                    place,
                ]);
            }
        }
    }
    out.table(&mut table)?;
    say(format!(
        "'{}' would be offered for {} of {}, from {:.2} on, by its {}",
        known.path(term),
        words::number(trial.offered),
        words::count(trial.pictures, "picture", "pictures"),
        trial.least,
        trial.source
    ));
    Ok(if trial.offered == 0 { Outcome::Nothing } else { Outcome::Done })
}
