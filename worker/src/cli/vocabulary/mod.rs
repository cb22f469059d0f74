//! `docent vocabulary`

mod apply;
mod edit;
mod files;
mod look;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use docent_pipelines::vocabulary::{Language, VocabularyError};

use super::Outcome;
use super::lookup::confidence;
use super::output::{FormatArg, Out};
use super::problem::Hinted;
use crate::app::{Access, App};
use crate::config::Config;

const HELP: &str = "\
Examples:
  docent vocabulary list wedding                 look for a term
  docent vocabulary import thesaurus.ttl         SKOS, keyword list, CSV or JSON
  docent vocabulary add \"harbor festival\" --below festival
  docent vocabulary test \"harbor festival\"       what it would be offered for
  docent vocabulary export keywords.txt          for Lightroom or Photo Mechanic

Tags speak the vocabulary: a word of a network becomes the term that has it as a name, a synonym or a hidden label. A word \
of no term is a proposal, apart from the tags. docent also finds terms by their meaning, in the pictures' stored vectors: a \
new or changed term is applied to every picture, without running a network over any.

A TERM is a word of a term, the path of its names ('animal > cat'), its address or its id.

Exit codes: 0 done, 1 nothing found or changed, 2 an error, 130 stopped before the end.";

const IMPORT_HELP: &str = "\
Examples:
  docent vocabulary import thesaurus.ttl
  docent vocabulary import keywords.txt --dry-run
  docent vocabulary import begriffe.csv --replace

Reads SKOS (Turtle, RDF/XML), keyword lists of Lightroom and Photo Mechanic, CSV and docent's JSON. A term is recognized \
by its id, its address, or its name below the same broader term. An import adds and never removes, unless --replace is \
given: then the vocabulary says what the file says. A file with a fault changes nothing, and the message names the line.

Exit codes: 0 done, 1 it changes nothing, 2 an error.";

const TEST_HELP: &str = "\
Goes through the stored vectors, shows the pictures that the term is surest of, and those around its threshold. It changes \
nothing. Set another threshold with `docent vocabulary change TERM --threshold 0.7`.

Exit codes: 0 it would be offered, 1 for no picture, 2 an error.";

/// Look at, change, import and export the archive's own terms
#[derive(Debug, Subcommand)]
#[command(after_long_help = HELP)]
pub enum VocabularyCommand {
    /// List terms, or look for some by their words
    List(ListArgs),
    /// Show all that is known of a term
    Show(TermArg),
    /// Add a term
    Add(AddArgs),
    /// Change a term: its name, its words, its threshold, whether it is offered
    Change(ChangeArgs),
    /// Put a term below others
    Move(MoveArgs),
    /// Give a term's words, narrower terms and decisions to another term
    Merge(MergeArgs),
    /// Take a term out; what was decided stays
    Remove(TermArg),
    /// Read a vocabulary file
    #[command(after_long_help = IMPORT_HELP)]
    Import(ImportArgs),
    /// Write a vocabulary file
    Export(ExportArgs),
    /// Show which pictures a term would be offered for
    #[command(after_long_help = TEST_HELP)]
    Test(TestArgs),
    /// Apply terms that are not yet applied to every picture
    Apply,
    /// Learn terms from what was decided, where held-out decisions get better
    Learn(OptionalTermArg),
    /// Throw away what was learned of a term
    Forget(TermArg),
    /// Show what was learned, with its figures
    Learned(FormatArg),
    /// Show who changed what
    Log(LogArgs),
    /// Show or set the language whose names become tags
    Language(LanguageArgs),
}

/// A term.
#[derive(Debug, Args)]
pub struct TermArg {
    /// A word of it, the path of its names, its address or its id
    #[arg(value_name = "TERM")]
    term: String,
}

/// A term, or all.
#[derive(Debug, Args)]
pub struct OptionalTermArg {
    /// Only this term, however little was decided since
    #[arg(value_name = "TERM")]
    term: Option<String>,
    #[command(flatten)]
    format: FormatArg,
}

/// Arguments of `docent vocabulary list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Terms that have a word which begins so
    words: Vec<String>,
    /// Only what is below this term
    #[arg(long, value_name = "TERM")]
    below: Option<String>,
    /// At most this many
    #[arg(short = 'n', long, value_name = "NUMBER", default_value_t = 1000)]
    limit: usize,
    #[command(flatten)]
    format: FormatArg,
}

/// What may be said of a term.
#[derive(Debug, Args)]
pub struct WordsArgs {
    /// The language of the words given here, such as en or de [default: that of the tags]
    #[arg(long, value_name = "LANGUAGE", value_parser = language)]
    language: Option<Language>,
    /// A synonym; may be given several times
    #[arg(long, value_name = "WORD")]
    synonym: Vec<String>,
    /// A word that is found and never shown, such as what a network calls it; may be given several times
    #[arg(long, value_name = "WORD")]
    hidden: Vec<String>,
    /// A sentence that describes a picture of it, for matching by meaning; may be given several times
    #[arg(long, value_name = "SENTENCE")]
    prompt: Vec<String>,
    /// What the term is for
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Its address in a public thesaurus
    #[arg(long, value_name = "ADDRESS")]
    uri: Option<String>,
    /// From which probability on it is offered (0 to 1)
    #[arg(long, value_name = "PROBABILITY", value_parser = confidence)]
    threshold: Option<f64>,
}

/// Arguments of `docent vocabulary add`.
#[derive(Debug, Args)]
pub struct AddArgs {
    /// Its name
    name: String,
    /// What is broader; may be given several times [default: nothing]
    #[arg(long, value_name = "TERM")]
    below: Vec<String>,
    #[command(flatten)]
    words: WordsArgs,
}

/// Arguments of `docent vocabulary change`.
#[derive(Debug, Args)]
pub struct ChangeArgs {
    #[command(flatten)]
    term: TermArg,
    /// Its new name; the former one becomes a synonym
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    words: WordsArgs,
    /// Use the usual threshold again
    #[arg(long, conflicts_with = "threshold")]
    no_threshold: bool,
    /// Offer it
    #[arg(long, conflicts_with = "off")]
    on: bool,
    /// Do not offer it; what was decided stays
    #[arg(long)]
    off: bool,
}

/// Arguments of `docent vocabulary move`.
#[derive(Debug, Args)]
pub struct MoveArgs {
    #[command(flatten)]
    term: TermArg,
    /// What is broader from now on; may be given several times
    #[arg(long, value_name = "TERM", required_unless_present = "top")]
    below: Vec<String>,
    /// Nothing is broader from now on
    #[arg(long, conflicts_with = "below")]
    top: bool,
}

/// Arguments of `docent vocabulary merge`.
#[derive(Debug, Args)]
pub struct MergeArgs {
    #[command(flatten)]
    term: TermArg,
    /// The term that stays
    #[arg(long, value_name = "TERM")]
    into: String,
}

/// Arguments of `docent vocabulary import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The file
    #[arg(value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,
    /// Its format: turtle, rdfxml, keywords, csv or json [default: what its name and content say]
    #[arg(long = "as", value_name = "FORMAT")]
    kind: Option<docent_pipelines::vocabulary::Format>,
    /// Take out what the file does not name
    #[arg(long)]
    replace: bool,
    /// Only say what would change
    #[arg(long)]
    dry_run: bool,
}

/// Arguments of `docent vocabulary export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The file [default: standard output]
    #[arg(value_hint = clap::ValueHint::FilePath)]
    file: Option<PathBuf>,
    /// Its format: turtle, rdfxml, keywords, csv or json [default: what its name says, or json]
    #[arg(long = "as", value_name = "FORMAT")]
    kind: Option<docent_pipelines::vocabulary::Format>,
}

/// Arguments of `docent vocabulary test`.
#[derive(Debug, Args)]
pub struct TestArgs {
    #[command(flatten)]
    term: TermArg,
    /// Show so many of the surest, and as many around the threshold
    #[arg(short = 'n', long, value_name = "NUMBER", default_value_t = 10)]
    limit: usize,
    #[command(flatten)]
    format: FormatArg,
}

/// Arguments of `docent vocabulary log`.
#[derive(Debug, Args)]
pub struct LogArgs {
    /// Only about this term
    #[arg(value_name = "TERM")]
    term: Option<String>,
    /// At most this many entries
    #[arg(short = 'n', long, value_name = "NUMBER", default_value_t = 20)]
    limit: u64,
    #[command(flatten)]
    format: FormatArg,
}

/// Arguments of `docent vocabulary language`.
#[derive(Debug, Args)]
pub struct LanguageArgs {
    /// The language, such as en or de [default: only show it]
    #[arg(value_name = "LANGUAGE", value_parser = language)]
    language: Option<Language>,
}

fn language(text: &str) -> Result<Language, String> {
    Language::try_from(text.to_owned())
}

pub async fn run(config: Config, command: VocabularyCommand, out: &mut Out) -> anyhow::Result<Outcome> {
    let app = App::open(config, Access::Shared).await?;
    // A file that says everything leaves no room for the starter's terms.
    if !matches!(command, VocabularyCommand::Import(ImportArgs { replace: true, .. })) {
        app.begin_vocabulary().await?;
    }
    let outcome = match command {
        VocabularyCommand::List(args) => look::list(&app, args, out).await,
        VocabularyCommand::Show(args) => look::show(&app, &args.term, out).await,
        VocabularyCommand::Log(args) => look::log(&app, args, out).await,
        VocabularyCommand::Test(args) => look::test(&app, args, out).await,
        VocabularyCommand::Add(args) => edit::add(&app, args).await,
        VocabularyCommand::Change(args) => edit::change(&app, args).await,
        VocabularyCommand::Move(args) => edit::put_below(&app, args).await,
        VocabularyCommand::Merge(args) => edit::merge(&app, args).await,
        VocabularyCommand::Remove(args) => edit::remove(&app, &args.term).await,
        VocabularyCommand::Language(args) => edit::language(&app, args, out).await,
        VocabularyCommand::Import(args) => files::import(&app, args).await,
        VocabularyCommand::Export(args) => files::export(&app, args, out).await,
        VocabularyCommand::Apply => apply::apply(&app).await,
        VocabularyCommand::Learn(args) => apply::learn(&app, args, out).await,
        VocabularyCommand::Forget(args) => apply::forget(&app, &args.term).await,
        VocabularyCommand::Learned(args) => apply::learned(&app, args.format, out).await,
    };
    app.close().await;
    outcome
}

/// What is wrong with a vocabulary, and what to do.
fn wrong(error: VocabularyError) -> anyhow::Error {
    let VocabularyError { line, reason, next } = error;
    let place = line.map_or_else(String::new, |line| format!("line {line}: "));
    Hinted::new(format!("{place}{reason}"), next).into()
}
