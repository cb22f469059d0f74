//! `docent export xmp`

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};

use super::FilterArgs;
use crate::app::{Access, App};
use crate::assets::display_path;
use crate::cli::output::{Format, FormatArg, Out, say};
use crate::cli::problem::Hinted;
use crate::cli::table::printable;
use crate::cli::{Outcome, words};
use crate::config::Config;
use crate::export::Export;
use crate::export::xmp::{Change, Extras, Naming, Sidecars, State, Told, XmpExport};
use crate::shutdown::Shutdown;

const HELP: &str = "\
Examples:
  docent export xmp --path ~/Pictures/1998 --dry-run
  docent export xmp --since 24h
  docent export xmp --naming adobe --ancestors

docent writes what was accepted into a sidecar beside each picture, and never into the picture itself. It takes out again \
what is no longer accepted. It neither removes nor replaces what other programs and people wrote; a title, description \
or alternative text of theirs stays.

  dc:subject                           tags; --ancestors adds broader terms
  lr:hierarchicalSubject               tags with their broader terms, A|B|C
  digiKam:TagsList                     the same, A/B/C
  Iptc4xmpExt:AboutCvTerm              tags that have an address in a thesaurus
  dc:description                       the caption (--headline: Headline, too)
  Iptc4xmpCore:AltTextAccessibility    the alternative text
  mwg-rs:Regions                       objects and faces, in stored orientation
  docent:Text, docent:Accepted         text in the picture; who accepted what,
                                       and which model said it

A picture at several places has a sidecar at each. A sidecar that docent cannot read stays as it is and is listed as \
failed. docent knows what it wrote before by docent:Written in the sidecar.

Lightroom reads sidecars of raw files only, and only with --naming adobe. That naming is refused where two pictures would \
share a sidecar (a.jpg and a.png).

--format json writes an object for each sidecar, and the numbers in a last line.

Exit codes: 0 done, 1 there is nothing to write, 2 an error, also if one of the sidecars failed; 130 stopped before the end.";

/// Write what was accepted into XMP sidecars beside the pictures
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct XmpArgs {
    /// What sidecars are called
    #[arg(long, value_enum, value_name = "NAMING", default_value_t = NamingName::Full)]
    naming: NamingName,
    /// Write broader terms as keywords, too
    #[arg(long)]
    ancestors: bool,
    /// Write the caption as the headline, too
    #[arg(long)]
    headline: bool,
    /// Only say what would be written
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    format: FormatArg,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum NamingName {
    /// a.jpg.xmp, as darktable, digiKam and Immich have it
    Full,
    /// a.xmp, as Lightroom, Capture One and Photo Mechanic have it
    Adobe,
}

/// How far it is is said so often.
const SAY: Duration = Duration::from_secs(10);
/// Values of a property that are named.
const NAMED: usize = 8;

pub(super) async fn run(config: Config, args: XmpArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    let app = App::open(config, Access::Shared).await?;
    let (source, roots) = (Arc::clone(app.source()), app.config().roots());
    let XmpArgs { naming, ancestors, headline, dry_run, filter, format } = args;
    let kind = filter.kind;
    let mut export = Export { everything: true, ..filter.export(app.store()) };
    // What was taken back is no longer of any kind.
    export.filter.kind = None;
    let naming = match naming {
        NamingName::Full => Naming::Full,
        NamingName::Adobe => Naming::Adobe,
    };
    let export =
        XmpExport { export, kind, naming, extras: Extras { ancestors, headline }, dry_run, source, roots };
    let shutdown = Shutdown::new();
    shutdown.listen(|| say("stopping after this sidecar; a second Ctrl-C stops at once"))?;
    let (mut so_far, mut said) = (0_u64, Instant::now());
    let told = export.run(shutdown.token(), |told| {
        so_far += 1;
        if said.elapsed() >= SAY {
            said = Instant::now();
            out.flush()?;
            say(format!("{} so far", words::count(so_far, "sidecar", "sidecars")));
        }
        match format.format {
            Format::Json => out.json(&told)?,
            Format::Table => {
                lines(&told, dry_run).into_iter().try_for_each(|line| out.line(printable(&line)))?
            }
        }
        Ok(())
    });
    let sidecars = told.await?;
    app.close().await;
    if format.format == Format::Json {
        out.json(&sidecars)?;
    }
    out.flush()?;
    say(summary(&sidecars, dry_run));
    if sidecars.interrupted {
        say("stopped; the same command goes on from here");
        return Ok(Outcome::Interrupted);
    }
    if sidecars.failed > 0 {
        let failed = words::count(sidecars.failed, "sidecar", "sidecars");
        let what = format!("{failed} could not be written");
        return Err(
            Hinted::new(what, "the list above has the reasons; the same command tries them again").into()
        );
    }
    Ok(if sidecars.total() == 0 { Outcome::Nothing } else { Outcome::Done })
}

/// What is said of a sidecar; nothing of one that stays as it is.
fn lines(told: &Told, dry_run: bool) -> Vec<String> {
    let path = told.sidecar.as_deref().map_or_else(|| display_path(&told.uri), shown);
    let first = match told.state {
        State::Unchanged if told.notes.is_empty() => return Vec::new(),
        State::Unchanged => format!("unchanged: {path}"),
        State::Failed => format!("failed: {path}: {}", told.reason.as_deref().unwrap_or_default()),
        State::Created if dry_run => format!("would create: {path}"),
        State::Changed if dry_run => format!("would change: {path}"),
        State::Created => format!("created: {path}"),
        State::Changed => format!("changed: {path}"),
    };
    let changes = told.changes.iter().map(|change| format!("  {}", changed(change)));
    let notes = told.notes.iter().map(|note| format!("  note: {note}"));
    std::iter::once(first).chain(changes).chain(notes).collect()
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// `dc:subject: + cat, dog - bird`
fn changed(Change { property, added, removed }: &Change) -> String {
    let part = |sign: &str, values: &[String]| {
        if values.is_empty() {
            return String::new();
        }
        let more = values.len().saturating_sub(NAMED);
        let named: Vec<String> =
            values.iter().take(NAMED).map(|value| crate::cli::table::excerpt(value)).collect();
        let more = if more == 0 { String::new() } else { format!(", {more} more") };
        format!(" {sign} {}{more}", named.join(", "))
    };
    format!("{property}:{}{}", part("+", added), part("-", removed))
}

fn summary(sidecars: &Sidecars, dry_run: bool) -> String {
    let Sidecars { created, changed, unchanged, failed, .. } = *sidecars;
    let would = if dry_run { "would be " } else { "" };
    let parts = [
        (created, format!("{would}created")),
        (changed, format!("{would}changed")),
        (unchanged, "unchanged".to_owned()),
        (failed, "failed".to_owned()),
    ];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, is)| format!("{} {is}", words::number(*count)))
        .collect();
    if parts.is_empty() { "no sidecars".to_owned() } else { format!("sidecars: {}", parts.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_one_line_each() {
        let words = |count: usize| (0..count).map(|n| format!("w{n}")).collect::<Vec<_>>();
        let change = Change { property: "dc:subject".to_owned(), added: words(9), removed: words(1) };
        assert_eq!(changed(&change), "dc:subject: + w0, w1, w2, w3, w4, w5, w6, w7, 1 more - w0");
        let some = Sidecars { created: 1204, failed: 2, ..Sidecars::default() };
        assert_eq!(summary(&some, false), "sidecars: 1,204 created, 2 failed");
        assert_eq!(summary(&some, true), "sidecars: 1,204 would be created, 2 failed");
        assert_eq!(summary(&Sidecars::default(), false), "no sidecars");
    }
}
