//! Vocabulary files in and out.

use std::io::Read;

use anyhow::Context;
use docent_pipelines::vocabulary::{Change, Format, How, Language, MAX_BYTES, Noted, plan, read, write};

use super::apply::catch_up;
use super::edit::somebody;
use super::{ExportArgs, ImportArgs, wrong};
use crate::app::App;
use crate::cli::output::{Out, say};
use crate::cli::table::printable;
use crate::cli::{Outcome, words};
use crate::store::TermChange;

/// Changes of each kind that a dry run names.
const NAMED: usize = 20;
/// Remarks about a file that are said.
const REMARKS: usize = 20;

pub(super) async fn import(app: &App, args: ImportArgs) -> anyhow::Result<Outcome> {
    let reading = || format!("read {}", args.file.display());
    let mut bytes = Vec::new();
    let file = std::fs::File::open(&args.file).with_context(reading)?;
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).with_context(reading)?;
    let name = args.file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let format = match args.kind {
        Some(format) => format,
        None => Format::guess(&name, &bytes).map_err(wrong).with_context(reading)?,
    };
    let mut draft = read(format, &bytes).map_err(wrong).with_context(reading)?;
    let known = app.store().vocabulary().await?;
    draft.leave_out_unknown(known.terms());
    for Noted { line, text } in draft.noted.iter().take(REMARKS) {
        let place = if *line > 0 { format!("line {line}: ") } else { String::new() };
        say(printable(&format!("{place}{text}")));
    }
    let unsaid = draft.noted.len().saturating_sub(REMARKS) as u64 + draft.noted_more;
    if unsaid > 0 {
        say(format!("and {}", words::count(unsaid, "remark more", "remarks more")));
    }
    let how = if args.replace { How::Replace } else { How::Merge };
    let changes = plan(known.terms(), &draft, how).map_err(wrong).with_context(reading)?;
    let named = |kind: &str, of: fn(&Change) -> Option<String>| {
        let names: Vec<String> = changes.iter().filter_map(of).collect();
        if args.dry_run {
            names.iter().take(NAMED).for_each(|name| say(printable(&format!("{kind} {name}"))));
            if names.len() > NAMED {
                say(format!("{kind} {} more", words::number((names.len() - NAMED) as u64)));
            }
        }
        names.len() as u64
    };
    let added = named("adds", |change| match change {
        Change::Add(term) => Some(term.name(&Language::none()).to_owned()),
        _ => None,
    });
    let changed = named("changes", |change| match change {
        Change::Update { after, .. } => Some(after.name(&Language::none()).to_owned()),
        _ => None,
    });
    let removed = named("removes", |change| match change {
        Change::Remove(term) => Some(term.name(&Language::none()).to_owned()),
        _ => None,
    });
    let sum = format!(
        "{} new, {} changed, {} removed",
        words::count(added, "term", "terms"),
        words::number(changed),
        words::number(removed)
    );
    if args.dry_run {
        say(format!("{sum}; nothing is done yet"));
        return Ok(if changes.is_empty() { Outcome::Nothing } else { Outcome::Done });
    }
    let changes: Vec<TermChange> = changes.into_iter().map(TermChange::from).collect();
    app.store().change_terms(&changes, known.revision, &somebody(app)).await?;
    app.store().begin_vocabulary().await?;
    say(sum);
    if changes.is_empty() {
        return Ok(Outcome::Nothing);
    }
    catch_up(app).await
}

pub(super) async fn export(app: &App, args: ExportArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    let known = app.store().vocabulary().await?;
    let format = match (args.kind, &args.file) {
        (Some(format), _) => format,
        (None, None) => Format::Json,
        (None, Some(file)) => Format::guess(&file.to_string_lossy(), &[]).map_err(wrong)?,
    };
    let written = write(format, known.terms()).map_err(wrong)?;
    match &args.file {
        None => out.raw(&written.bytes)?,
        Some(file) => {
            std::fs::write(file, &written.bytes).with_context(|| format!("write {}", file.display()))?
        }
    }
    for loss in &written.lost {
        let times = words::count(loss.times, "term", "terms");
        say(printable(&format!("{format} cannot say {} ({times}, such as '{}')", loss.what, loss.example)));
    }
    say(format!("{} written", words::count(known.terms().len() as u64, "term", "terms")));
    Ok(if known.is_empty() { Outcome::Nothing } else { Outcome::Done })
}
