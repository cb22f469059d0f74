//! `docent webhook`

use clap::{Args, Subcommand};
use serde::Serialize;

use super::output::{Format, FormatArg, Out, say};
use super::problem::Hinted;
use super::table::{Column, Table};
use super::{Outcome, words};
use crate::app::{Access, App};
use crate::config::{Config, WebhookSection};
use crate::store::SinkRow;

const LIST_HELP: &str = "\
What the columns say:
  state    ok: it took the last event
           failing: it did not, and is tried again and again
           disabled: it is told nothing until `docent webhook enable NAME`
           incomplete: its configuration lacks something
           elsewhere: only the configuration of another process names it
  waiting  events that it has not taken; some of them it may not want to hear

Exit codes: 0 there are webhooks, 1 there are none, 2 an error.";

const ENABLE_HELP: &str = "\
docent disables a webhook that has taken nothing for 72 hours (patience_hours), or that answers with status 410. This command \
tells it again, at once, from where it was. Events are kept for a day after all others have taken them, 100,000 at most; \
the command says how many are gone.

Exit codes: 0 done, 1 there is no such webhook, 2 an error.";

const TEST_HELP: &str = "\
Sends one event of the type webhook.test from this machine, signed like all others, and prints the answer. It changes nothing.

Exit codes: 0 it was taken, 1 it was not, 2 an error.";

/// List, test or enable webhooks: addresses that are told what happens
///
/// The list `webhook` of the configuration names them; `docent serve` and `docent worker` tell them. The README says what is
/// sent.
#[derive(Debug, Subcommand)]
pub enum WebhookCommand {
    /// List webhooks and how far they are
    #[command(after_long_help = LIST_HELP)]
    List(ListArgs),
    /// Tell a webhook again that was disabled
    #[command(after_long_help = ENABLE_HELP)]
    Enable(NameArgs),
    /// Send a webhook an event that says nothing
    #[command(after_long_help = TEST_HELP)]
    Test(NameArgs),
}

/// Arguments of `docent webhook list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    format: FormatArg,
}

/// Arguments of commands for one webhook.
#[derive(Debug, Args)]
pub struct NameArgs {
    /// Its name in the configuration
    #[arg(value_name = "NAME")]
    name: String,
}

/// A webhook as it is listed.
#[derive(Debug, Serialize)]
struct Listed {
    name: String,
    state: &'static str,
    /// Where events go, without what may be secret; null if another configuration names it.
    host: Option<String>,
    #[serde(flatten)]
    sink: Option<Standing>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

#[derive(Debug, Serialize)]
struct Standing {
    waiting: u64,
    attempts: u32,
    failing_since: Option<String>,
    retry_at: Option<String>,
    reason: Option<String>,
    disabled_at: Option<String>,
}

pub async fn run(config: Config, command: WebhookCommand, out: &mut Out) -> anyhow::Result<Outcome> {
    let app = App::open(config, Access::Shared).await?;
    let outcome = match command {
        WebhookCommand::List(args) => list(&app, &args, out).await,
        WebhookCommand::Enable(args) => enable(&app, &args.name).await,
        WebhookCommand::Test(args) => test(&app, &args.name).await,
    };
    app.close().await;
    outcome
}

async fn list(app: &App, args: &ListArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    let listed = webhooks(app).await?;
    let mut table = Table::new([
        Column::left("NAME"),
        Column::left("STATE"),
        Column::right("WAITING"),
        Column::left("WHERE"),
        Column::text("WHY"),
    ]);
    for webhook in &listed {
        match args.format.format {
            Format::Json => out.json(webhook)?,
            Format::Table => table.row(cells(webhook)),
        }
    }
    out.table(&mut table)?;
    if listed.is_empty() {
        say("no webhooks: the list `webhook` of the configuration names them");
        return Ok(Outcome::Nothing);
    }
    Ok(Outcome::Done)
}

/// Those of the configuration and those of the ledger.
async fn webhooks(app: &App) -> anyhow::Result<Vec<Listed>> {
    let mut sinks = app.store().sinks().await?;
    sinks.retain(|sink| sink.name.starts_with(crate::events::WEBHOOK));
    let mut listed = Vec::new();
    for section in &app.config().webhook {
        let at = sinks.iter().position(|sink| sink.name == section.sink());
        let sink = at.map(|at| sinks.remove(at));
        let problem = app.webhook(section).err().map(|error| super::problem::chain(&error));
        let state = match (&problem, &sink) {
            (Some(_), _) => "incomplete",
            (None, Some(sink)) => state(sink),
            (None, None) => "ok",
        };
        let (name, host) = (section.name.clone(), Some(section.host()));
        listed.push(Listed { name, state, host, sink: sink.map(standing), problem });
    }
    for sink in sinks {
        let name = sink.name.trim_start_matches(crate::events::WEBHOOK).to_owned();
        let state = if sink.disabled_at.is_some() { "disabled" } else { "elsewhere" };
        listed.push(Listed { name, state, host: None, sink: Some(standing(sink)), problem: None });
    }
    Ok(listed)
}

/// How a sink stands, in a word.
pub(super) fn state(sink: &SinkRow) -> &'static str {
    match sink {
        SinkRow { disabled_at: Some(_), .. } => "disabled",
        SinkRow { failing_since: Some(_), .. } => "failing",
        _ => "ok",
    }
}

fn standing(sink: SinkRow) -> Standing {
    let SinkRow { waiting, attempts, failing_since, retry_at, reason, disabled_at, .. } = sink;
    Standing { waiting, attempts, failing_since, retry_at, reason, disabled_at }
}

fn cells(webhook: &Listed) -> [String; 5] {
    let Listed { name, state, host, sink, problem } = webhook;
    let why = problem.clone().or_else(|| {
        let Standing { attempts, failing_since, reason, disabled_at, .. } = sink.as_ref()?;
        let reason = reason.as_ref()?;
        Some(match (disabled_at, failing_since) {
            (Some(at), _) => format!("since {at}: {reason}"),
            (None, Some(since)) => {
                format!(
                    "since {since}, {}: {reason}",
                    words::count((*attempts).into(), "attempt", "attempts")
                )
            }
            _ => reason.clone(),
        })
    });
    [
        name.clone(),
        (*state).to_owned(),
        sink.as_ref().map_or_else(|| "0".to_owned(), |sink| words::number(sink.waiting)),
        host.clone().unwrap_or_default(),
        why.unwrap_or_default(),
    ]
}

async fn enable(app: &App, name: &str) -> anyhow::Result<Outcome> {
    let sink = format!("{}{name}", crate::events::WEBHOOK);
    if !app.store().sinks().await?.iter().any(|known| known.name == sink) {
        say(format!("there is no webhook '{name}'; `docent webhook list` shows those there are"));
        return Ok(Outcome::Nothing);
    }
    let missed = app.store().enable_sink(&sink).await?;
    say(match missed {
        0 => format!("'{name}' is told again, from where it was"),
        missed => format!(
            "'{name}' is told again; {} that happened meanwhile are gone",
            words::count(missed, "event", "events")
        ),
    });
    Ok(Outcome::Done)
}

async fn test(app: &App, name: &str) -> anyhow::Result<Outcome> {
    let section = configured(app, name)?;
    let webhook = app.webhook(section).map_err(|error| {
        let hint = "worker.default.toml explains the list `webhook`";
        Hinted::new(super::problem::chain(&error), hint)
    })?;
    match webhook.test().await {
        Ok(status) => {
            say(format!("{} took it: status {status}", section.host()));
            Ok(Outcome::Done)
        }
        Err(refusal) => {
            say(format!("{} did not take it: {}", section.host(), refusal.reason));
            Ok(Outcome::Nothing)
        }
    }
}

fn configured<'a>(app: &'a App, name: &str) -> Result<&'a WebhookSection, Hinted> {
    app.config().webhook.iter().find(|section| section.name == name).ok_or_else(|| {
        Hinted::new(
            format!("the configuration has no webhook '{name}'"),
            "add a table [[webhook]] to the configuration file; worker.default.toml has an example",
        )
    })
}
