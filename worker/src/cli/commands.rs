//! The commands, their flags, and which code runs them.

use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand};

use super::output::Out;
use super::{
    Outcome, analyze, backup, bench, completions, decide, doctor, export, failures, forget, history, ingest,
    jobs, leases, models, retry, search, serve, similar, status, suggestions, vectors, vocabulary, watching,
    webhook, worker,
};
use crate::config::{Config, Overrides};

const EXAMPLES: &str = "\
Examples:
  docent ingest ~/Pictures              analyze every picture below a folder
  docent serve                          review what was found, in the browser
  docent search \"two dogs on grass\"     find pictures by what they show
  docent doctor                         check that everything is in place

Exit codes: 0 done, 1 nothing found or a negative answer, 2 an error, 130 interrupted.

You can also set options in docent/config.toml in the XDG configuration folder (usually ~/.config/docent/config.toml), \
or with variables such as DOCENT_DATA_DIR. worker.default.toml in the source lists them all.";

/// Describes the pictures of an archive, and asks before anything becomes metadata
///
/// docent tags and captions pictures, finds objects and faces, reads text, and makes everything searchable. Everything it
/// finds is a suggestion until a person accepts it. It never repeats a suggestion that a person rejected.
#[derive(Parser)]
#[command(name = "docent", bin_name = "docent", version, after_long_help = EXAMPLES, max_term_width = 120)]
pub(super) struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(clap::Args)]
pub(super) struct Global {
    /// The folder of everything docent keeps [default: docent's folder in the XDG data directory]
    #[arg(long, global = true, value_name = "DIR", value_hint = clap::ValueHint::DirPath, help_heading = "Global options")]
    data_dir: Option<PathBuf>,
    /// The folder of the models [default: beside the program]
    #[arg(long, global = true, value_name = "DIR", value_hint = clap::ValueHint::DirPath, help_heading = "Global options")]
    models_dir: Option<PathBuf>,
    /// The configuration file [default: docent/config.toml in the XDG configuration folder]
    #[arg(long, global = true, value_name = "FILE", value_hint = clap::ValueHint::FilePath, help_heading = "Global options")]
    config: Option<PathBuf>,
    /// Where jobs wait: memory:, or amqp://host/vhost to share them [default: memory:]
    #[arg(long, global = true, value_name = "URL", help_heading = "Global options")]
    queue: Option<String>,
    /// Where the ledger is: sqlite: or postgres://host/database [default: sqlite:, in the data directory]
    #[arg(long, global = true, value_name = "URL", help_heading = "Global options")]
    store: Option<String>,
    /// Where vectors are searched: embedded: or http://host:6334 for Qdrant [default: embedded:]
    #[arg(long, global = true, value_name = "URL", help_heading = "Global options")]
    vectors: Option<String>,
    /// Log more; twice for everything
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = "Global options")]
    verbose: u8,
}

#[derive(Subcommand)]
pub(super) enum Command {
    Ingest(ingest::IngestArgs),
    Watch(watching::WatchArgs),
    Analyze(analyze::AnalyzeArgs),
    Suggestions(suggestions::SuggestionsArgs),
    Accept(decide::AcceptArgs),
    Reject(decide::RejectArgs),
    Undo(decide::UndoArgs),
    History(history::HistoryArgs),
    Jobs(jobs::JobsArgs),
    Status(status::StatusArgs),
    Failures(failures::FailuresArgs),
    Retry(retry::RetryArgs),
    Search(search::SearchArgs),
    Similar(similar::SimilarArgs),
    Serve(serve::ServeArgs),
    Worker(worker::WorkerArgs),
    #[command(subcommand)]
    Models(models::ModelsCommand),
    #[command(subcommand)]
    Vectors(vectors::VectorsCommand),
    #[command(subcommand)]
    Leases(leases::LeasesCommand),
    #[command(subcommand)]
    Vocabulary(vocabulary::VocabularyCommand),
    #[command(subcommand)]
    Webhook(webhook::WebhookCommand),
    #[command(subcommand)]
    Export(export::ExportCommand),
    Forget(forget::ForgetArgs),
    Backup(backup::BackupArgs),
    Restore(backup::RestoreArgs),
    Bench(bench::BenchArgs),
    Doctor(doctor::DoctorArgs),
    Completions(completions::CompletionsArgs),
}

/// The configuration, including the flags.
pub(super) fn configuration(global: &Global, command: &Command) -> anyhow::Result<Config> {
    let overrides = Overrides {
        file: global.config.clone(),
        data_dir: global.data_dir.clone(),
        models_dir: global.models_dir.clone(),
        listen: match command {
            Command::Serve(args) => args.listen.clone(),
            _ => None,
        },
        probe_listen: match command {
            Command::Worker(args) => args.listen.clone(),
            _ => None,
        },
        queue: global.queue.clone(),
        store: global.store.clone(),
        vectors: global.vectors.clone(),
        log_level: match global.verbose {
            0 => None,
            1 => Some("info".to_owned()),
            _ => Some("debug".to_owned()),
        },
    };
    Ok(Config::load(&overrides)?)
}

/// Runs a command.
pub(super) async fn dispatch(config: Config, command: Command, out: &mut Out) -> anyhow::Result<Outcome> {
    match command {
        Command::Ingest(args) => ingest::run(config, args, out).await,
        Command::Watch(args) => watching::run(config, args, out).await,
        Command::Analyze(args) => analyze::run(config, args, out).await,
        Command::Suggestions(args) => suggestions::run(config, args, out).await,
        Command::Accept(args) => decide::accept(config, args, out).await,
        Command::Reject(args) => decide::reject(config, args, out).await,
        Command::Undo(args) => decide::undo(config, args, out).await,
        Command::History(args) => history::run(config, args, out).await,
        Command::Jobs(args) => jobs::run(config, args, out).await,
        Command::Status(args) => status::run(config, args, out).await,
        Command::Failures(args) => failures::run(config, args, out).await,
        Command::Retry(args) => retry::run(config, args, out).await,
        Command::Search(args) => search::run(config, args, out).await,
        Command::Similar(args) => similar::run(config, args, out).await,
        Command::Serve(args) => serve::run(config, args, out).await,
        Command::Worker(args) => worker::run(config, args, out).await,
        Command::Models(command) => models::run(&config, command, out),
        Command::Vectors(command) => vectors::run(config, command, out).await,
        Command::Leases(command) => leases::run(config, command, out).await,
        Command::Vocabulary(command) => vocabulary::run(config, command, out).await,
        Command::Webhook(command) => webhook::run(config, command, out).await,
        Command::Export(command) => export::run(config, command, out).await,
        Command::Forget(args) => forget::run(config, args, out).await,
        Command::Backup(args) => backup::backup(config, args).await,
        Command::Restore(args) => backup::restore(config, args).await,
        Command::Bench(args) => bench::run(config, args, out).await,
        Command::Doctor(args) => doctor::run(config, args, out).await,
        Command::Completions(args) => completions::run(&args),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    fn commands(command: clap::Command) -> Vec<clap::Command> {
        let below: Vec<_> = command.get_subcommands().cloned().flat_map(commands).collect();
        std::iter::once(command).chain(below).collect()
    }

    /// Lines that clap has to wrap are whole paragraphs, and what is laid out by hand fits a terminal of 80 columns.
    #[test]
    fn help_is_wrapped_once() {
        for command in commands(Cli::command()) {
            let name = command.get_name();
            let help = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
            let lines: Vec<&str> = help.lines().collect();
            let is_prose = |line: &str| !line.is_empty() && !line.starts_with(' ');
            for pair in lines.windows(2) {
                let is_broken = is_prose(pair[0]) && is_prose(pair[1]);
                assert!(!is_broken, "{name}: end this line with a backslash: {}", pair[0]);
            }
            for line in lines.iter().filter(|line| line.starts_with(' ')) {
                assert!(line.chars().count() <= 80, "{name}: longer than 80 columns: {line}");
            }
        }
    }
}
