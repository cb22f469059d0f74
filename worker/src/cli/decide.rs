//! `docent accept`, `docent reject` and `docent undo`

use clap::Args;
use docent_pipelines::Status;

use super::output::{Format, FormatArg, Out, say};
use super::table::{excerpt, printable};
use super::{Outcome, words};
use crate::app::{Access, App};
use crate::assets::display_path;
use crate::config::Config;
use crate::store::{Decision, Reviewer, Store, StoreError, SuggestionRow};

const HELP: &str = "\
An id may be shortened as long as it fits one suggestion only; `docent suggestions` lists them. Every decision is kept
in the review log with its time and the reviewer's name; `docent history` shows it.

Exit codes: 0 all were decided; 1 some could not be, because they are unknown or somebody else decided first; 2 an error.";

/// Accept suggestions: they become metadata
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct AcceptArgs {
    #[command(flatten)]
    decide: DecideArgs,
}

/// Reject suggestions: they are never made again, unless undone
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct RejectArgs {
    #[command(flatten)]
    decide: DecideArgs,
}

/// Take decisions back: the suggestions are pending again
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct UndoArgs {
    #[command(flatten)]
    decide: DecideArgs,
}

#[derive(Debug, Args)]
struct DecideArgs {
    /// Ids of suggestions, or the first digits (at least 6)
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// Decide in this name [default: the configured reviewer, or the user that runs docent]
    #[arg(long = "as", value_name = "NAME")]
    reviewer: Option<String>,
    #[command(flatten)]
    format: FormatArg,
}

pub async fn accept(config: Config, args: AcceptArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    run(config, args.decide, Decision::Accept, out).await
}

pub async fn reject(config: Config, args: RejectArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    run(config, args.decide, Decision::Reject, out).await
}

pub async fn undo(config: Config, args: UndoArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    run(config, args.decide, Decision::Undo, out).await
}

async fn run(config: Config, args: DecideArgs, decision: Decision, out: &mut Out) -> anyhow::Result<Outcome> {
    let name = args.reviewer.unwrap_or_else(|| config.reviewer.clone());
    let by = Reviewer { name, client: "cli".to_owned() };
    let app = App::open(config, Access::Shared).await?;
    let store = app.store();
    let mut outcome = Outcome::Done;
    for id in &args.ids {
        match decide(&*store, id, decision, &by).await {
            Ok(row) if args.format.format == Format::Json => out.json(&row)?,
            Ok(row) => out.line(printable(&sentence(decision, &row)))?,
            Err(error) => {
                let (code, reason) = refusal(error)?;
                outcome = Outcome::Nothing;
                if args.format.format == Format::Json {
                    out.json(&serde_json::json!({ "id": id, "error": { "code": code, "message": reason } }))?;
                } else {
                    out.flush()?;
                    say(printable(&reason));
                }
            }
        }
    }
    app.close().await;
    Ok(outcome)
}

async fn decide(
    store: &dyn Store,
    id: &str,
    decision: Decision,
    by: &Reviewer,
) -> Result<SuggestionRow, StoreError> {
    let row = store.suggestion(&id.to_ascii_lowercase()).await?;
    store.decide(&row.id, decision, by).await
}

fn sentence(decision: Decision, row: &SuggestionRow) -> String {
    let done = match decision {
        Decision::Accept => "accepted",
        Decision::Reject => "rejected",
        Decision::Undo => "pending again",
    };
    let (id, path) = (words::short(row.id.as_str()), display_path(&row.uri));
    format!("{done}: {id}  {} \"{}\" of {path}", row.kind, excerpt(&row.value))
}

/// Why one suggestion was not decided; an error if that concerns them all.
fn refusal(error: StoreError) -> Result<(&'static str, String), StoreError> {
    match error {
        StoreError::NotFound { id, .. } => Ok(("not_found", format!("there is no suggestion {id}"))),
        StoreError::Ambiguous { .. } => Ok(("ambiguous", error.to_string())),
        StoreError::Conflict { id, actual, .. } => {
            let id = words::short(id.as_str());
            let then = match actual {
                Status::Accepted | Status::Rejected => "`docent undo` takes that back",
                Status::Pending => "there is nothing to take back",
                Status::Superseded => "a later run no longer suggests it",
            };
            Ok(("conflict", format!("suggestion {id} is {actual} already and stays so; {then}")))
        }
        error => Err(error),
    }
}
