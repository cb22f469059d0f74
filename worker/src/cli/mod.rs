//! The `docent` command. Data goes to stdout, talk to stderr; the exit code tells the outcome.

mod analyze;
mod backup;
mod bench;
mod bulk;
mod commands;
mod completions;
mod decide;
mod doctor;
mod export;
mod failures;
mod follow;
mod forget;
mod history;
mod ingest;
mod jobs;
mod leases;
mod lookup;
mod models;
mod output;
mod problem;
mod retry;
mod search;
mod serve;
mod similar;
mod since;
mod status;
mod suggestions;
mod table;
mod vectors;
mod vocabulary;
mod watching;
mod webhook;
mod words;
mod worker;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use self::commands::{Cli, Command, configuration, dispatch};
use self::output::{Out, say};
use crate::config::{Config, Servers};
use crate::{process, telemetry};

/// How a command ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// It did what it was asked to.
    Done,
    /// It found nothing, or the answer is no.
    Nothing,
    /// It was asked to stop before the end.
    Interrupted,
}

/// How long threads that still read a file may hold up the end of the program.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// Runs the program with the arguments of this process.
pub fn main() -> ExitCode {
    process::prepare();
    let Cli { global, command } = Cli::parse();
    if let Command::Completions(args) = &command {
        return ended(completions::run(args), &Servers::default());
    }
    let (outcome, servers) = match configuration(&global, &command) {
        Ok(config) => {
            let servers = config.backends.servers();
            (run(config, command), servers)
        }
        Err(error) => (Err(error), Servers::default()),
    };
    ended(outcome, &servers)
}

/// Says how it ended, and why.
fn ended(outcome: anyhow::Result<Outcome>, servers: &Servers) -> ExitCode {
    match outcome {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Nothing) => ExitCode::from(1),
        Ok(Outcome::Interrupted) => ExitCode::from(130),
        Err(error) if problem::is_closed_output(&error) => ExitCode::SUCCESS,
        Err(error) => {
            say(format!("error: {}", problem::chain(&error)));
            say(format!("hint: {}", problem::hint(&error, servers)));
            ExitCode::from(2)
        }
    }
}

fn run(config: Config, command: Command) -> anyhow::Result<Outcome> {
    let is_long_lived = matches!(command, Command::Serve(_) | Command::Worker(_) | Command::Watch(_));
    telemetry::init(&config.log, is_long_lived)?;
    for name in &config.sources.unknown_variables {
        tracing::warn!("variable {name} names no option and is ignored");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut out = Out::new();
    let outcome = runtime.block_on(async {
        let outcome = dispatch(config, command, &mut out).await?;
        out.flush()?;
        Ok(outcome)
    });
    runtime.shutdown_timeout(LAST_WAIT);
    outcome
}
