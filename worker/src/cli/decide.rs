//! `docent accept`, `docent reject` and `docent undo`

use clap::Args;
use docent_pipelines::Status;

use super::bulk::{self, BulkArgs};
use super::output::{Format, FormatArg, Out, say};
use super::table::{excerpt, printable};
use super::{Outcome, words};
use crate::app::{Access, App};
use crate::assets::display_path;
use crate::config::Config;
use crate::store::{Decision, Reviewer, Store, StoreError, SuggestionRow};

const ACCEPT: &str = "\
Examples:
  docent accept 3f2a9c 77b0e1
  docent accept --all --kind tag --min-confidence 0.95 --path ~/Pictures/1998

You may shorten an id if it still fits only one suggestion; `docent suggestions` lists ids. The review log keeps every \
decision with its time and the reviewer's name; `docent history` shows it. With --all the decision is a job, which may \
be interrupted: `docent jobs` lists it, and `docent undo --job` reverts all of it.

Exit codes: 0 all were accepted; 1 some were not, because they are unknown or somebody else decided first; 2 an error.";

const REJECT: &str = "\
Examples:
  docent reject 3f2a9c 77b0e1
  docent reject --all --kind caption --min-confidence 0 --path ~/Pictures/1998

You may shorten an id if it still fits only one suggestion; `docent suggestions` lists ids. The review log keeps every \
decision with its time and the reviewer's name; `docent history` shows it. With --all the decision is a job, which may \
be interrupted: `docent jobs` lists it, and `docent undo --job` reverts all of it.

Exit codes: 0 all were rejected; 1 some were not, because they are unknown or somebody else decided first; 2 an error.";

const UNDO: &str = "\
Examples:
  docent undo 3f2a9c
  docent undo --job 7

The review log keeps the decision and its undoing; `docent history` shows both.

Exit codes: 0 all are pending again; 1 some are not, because they are unknown or were not decided; 2 an error.";

/// Accept suggestions: they become metadata
#[derive(Debug, Args)]
#[command(after_long_help = ACCEPT)]
pub struct AcceptArgs {
    /// Ids of suggestions, or the first digits (at least 6)
    #[arg(required_unless_present = "all", conflicts_with = "all", value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    bulk: BulkArgs,
    #[command(flatten)]
    by: ByArgs,
}

/// Reject suggestions: docent never repeats them, unless you undo it
#[derive(Debug, Args)]
#[command(after_long_help = REJECT)]
pub struct RejectArgs {
    /// Ids of suggestions, or the first digits (at least 6)
    #[arg(required_unless_present = "all", conflicts_with = "all", value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    bulk: BulkArgs,
    #[command(flatten)]
    by: ByArgs,
}

/// Undo decisions: the suggestions are pending again
#[derive(Debug, Args)]
#[command(after_long_help = UNDO)]
pub struct UndoArgs {
    /// Ids of suggestions, or the first digits (at least 6)
    #[arg(required_unless_present = "job", conflicts_with = "job", value_name = "ID")]
    ids: Vec<String>,
    /// Everything a job decided, except what somebody changed since; `docent jobs` lists jobs
    #[arg(long, value_name = "NUMBER")]
    job: Option<i64>,
    #[command(flatten)]
    by: ByArgs,
}

/// Who decides, and how it is told.
#[derive(Debug, Args)]
pub(super) struct ByArgs {
    /// The reviewer's name [default: `docent doctor` shows it]
    #[arg(long = "as", value_name = "NAME")]
    reviewer: Option<String>,
    #[command(flatten)]
    pub format: FormatArg,
}

impl ByArgs {
    pub fn reviewer(&self, config: &Config) -> Reviewer {
        let name = self.reviewer.clone().unwrap_or_else(|| config.reviewer.clone());
        Reviewer { name, client: "cli".to_owned() }
    }
}

pub async fn accept(config: Config, args: AcceptArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    if args.bulk.all {
        return bulk::decide(config, args.bulk, args.by, false, out).await;
    }
    run(config, args.ids, args.by, Decision::Accept, out).await
}

pub async fn reject(config: Config, args: RejectArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    if args.bulk.all {
        return bulk::decide(config, args.bulk, args.by, true, out).await;
    }
    run(config, args.ids, args.by, Decision::Reject, out).await
}

pub async fn undo(config: Config, args: UndoArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    if let Some(job) = args.job {
        return bulk::revert(config, job, args.by, out).await;
    }
    run(config, args.ids, args.by, Decision::Undo, out).await
}

async fn run(
    config: Config,
    ids: Vec<String>,
    args: ByArgs,
    decision: Decision,
    out: &mut Out,
) -> anyhow::Result<Outcome> {
    let by = args.reviewer(&config);
    let app = App::open(config, Access::Shared).await?;
    let store = app.store();
    let mut outcome = Outcome::Done;
    for id in &ids {
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
