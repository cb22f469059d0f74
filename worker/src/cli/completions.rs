//! `docent completions`

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::output::Out;
use super::{Cli, Outcome};

const HELP: &str = "\
Examples:
  docent completions bash > ~/.local/share/bash-completion/completions/docent
  docent completions zsh  > ~/.zfunc/_docent            with ~/.zfunc in $fpath
  docent completions fish > ~/.config/fish/completions/docent.fish";

/// Write completions for a shell
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct CompletionsArgs {
    /// Which shell
    #[arg(value_enum)]
    shell: Shell,
}

pub fn run(args: &CompletionsArgs) -> anyhow::Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "docent", &mut script);
    let mut out = Out::new();
    out.raw(&script)?;
    out.flush()?;
    Ok(Outcome::Done)
}
