//! `docent backup` and `docent restore`

use std::path::PathBuf;

use clap::Args;

use super::output::say;
use super::{Outcome, words};
use crate::app::backup;
use crate::config::Config;

const BACKUP: &str = "\
Examples:
  docent backup /mnt/backup/docent-monday.sqlite
  docent backup ledger.sqlite && zstd --rm ledger.sqlite

The copy is the ledger as it is at one moment: suggestions, decisions, their log, vectors and the vocabulary. docent makes it \
while `docent serve`, `docent ingest` and everything else go on. It does not contain the pictures; uploaded ones lie below \
uploads in the data directory.

A ledger in PostgreSQL has tools of its own: pg_dump.

Exit codes: 0 done, 2 an error.";

const RESTORE: &str = "\
Examples:
  docent restore /mnt/backup/docent-monday.sqlite
  docent restore --replace docent-monday.sqlite

docent checks the copy before it changes anything. With --replace it keeps the ledger that is there under another name. \
Stop `docent serve` and everything else on this data directory first.

Exit codes: 0 done, 2 an error.";

/// Copy the ledger to a file while everything runs
#[derive(Debug, Args)]
#[command(after_long_help = BACKUP)]
pub struct BackupArgs {
    /// The copy, which must not be there yet
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,
}

/// Make a copy the ledger again
#[derive(Debug, Args)]
#[command(after_long_help = RESTORE)]
pub struct RestoreArgs {
    /// The copy
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,
    /// Set the ledger aside that is there
    #[arg(long)]
    replace: bool,
}

pub async fn backup(config: Config, args: BackupArgs) -> anyhow::Result<Outcome> {
    let bytes = backup::backup(&config, &args.file).await?;
    say(format!("{} MB written to {}", words::number(bytes.div_ceil(1_000_000)), args.file.display()));
    Ok(Outcome::Done)
}

pub async fn restore(config: Config, args: RestoreArgs) -> anyhow::Result<Outcome> {
    if let Some(aside) = backup::restore(&config, &args.file, args.replace).await? {
        say(format!("the ledger that was there is {} now", aside.display()));
    }
    say(format!("{} is the ledger of {}", args.file.display(), config.data_dir.display()));
    Ok(Outcome::Done)
}
