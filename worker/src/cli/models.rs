//! `docent models`

use clap::Subcommand;
use docent_models::Pack;
use docent_models::manifest::ModelEntry;
use serde::Serialize;

use super::output::{Format, FormatArg, Out, say};
use super::table::{Column, Table};
use super::{Outcome, words};
use crate::config::Config;

const VERIFY_HELP: &str = "\
Exit codes: 0 all files are right, 1 some are not, 2 an error.";

/// List the models, or check their files
#[derive(Debug, Subcommand)]
pub enum ModelsCommand {
    /// List the models that docent can use, with their sources and licenses
    ///
    /// A demonstration model was trained on pictures that may be used for research only. Use it to try docent, and replace it
    /// for other use.
    List(FormatArg),
    /// Check that every model file is present and unchanged
    #[command(after_long_help = VERIFY_HELP)]
    Verify(FormatArg),
}

#[derive(Serialize)]
struct Row<'a> {
    id: &'a str,
    version: &'a str,
    task: String,
    architecture: &'a str,
    license: &'a str,
    source: &'a str,
    demonstration: bool,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ok: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

pub fn run(config: &Config, command: ModelsCommand, out: &mut Out) -> anyhow::Result<Outcome> {
    let pack = Pack::open(&config.models_dir)?;
    match command {
        ModelsCommand::List(args) => list(&pack, args.format, out),
        ModelsCommand::Verify(args) => verify(&pack, args.format, out),
    }
}

fn list(pack: &Pack, format: Format, out: &mut Out) -> anyhow::Result<Outcome> {
    let mut table = Table::new([
        Column::left("MODEL"),
        Column::left("TASK"),
        Column::right("SIZE"),
        Column::left("DEMONSTRATION"),
        Column::text("LICENSE"),
        Column::text("SOURCE"),
    ]);
    for entry in pack.models() {
        let row = row(entry);
        match format {
            Format::Json => out.json(&row)?,
            Format::Table => table.row([
                entry.model_ref().to_string(),
                row.task,
                words::bytes(row.bytes),
                if row.demonstration { "yes" } else { "no" }.to_owned(),
                row.license.to_owned(),
                row.source.to_owned(),
            ]),
        }
    }
    out.table(&mut table)?;
    Ok(if pack.models().next().is_some() { Outcome::Done } else { Outcome::Nothing })
}

fn verify(pack: &Pack, format: Format, out: &mut Out) -> anyhow::Result<Outcome> {
    let mut table = Table::new([Column::left("MODEL"), Column::left("FILES"), Column::text("PROBLEM")]);
    let mut outcome = Outcome::Done;
    for entry in pack.models() {
        let problem = pack.verify(entry).err().map(|error| error.to_string());
        if problem.is_some() {
            outcome = Outcome::Nothing;
        }
        match format {
            Format::Json => out.json(&Row { ok: Some(problem.is_none()), problem, ..row(entry) })?,
            Format::Table => table.row([
                entry.model_ref().to_string(),
                if problem.is_none() { "whole" } else { "not usable" }.to_owned(),
                problem.unwrap_or_default(),
            ]),
        }
    }
    out.table(&mut table)?;
    if outcome == Outcome::Nothing {
        out.flush()?;
        say("hint: restore the models from the source folder, or name another folder with --models-dir");
    }
    Ok(outcome)
}

fn row(entry: &ModelEntry) -> Row<'_> {
    Row {
        id: &entry.id,
        version: &entry.version,
        task: entry.task.to_string(),
        architecture: &entry.architecture,
        license: &entry.license,
        source: &entry.source,
        demonstration: entry.demonstration,
        bytes: entry.files.values().map(|file| file.bytes).sum(),
        ok: None,
        problem: None,
    }
}
