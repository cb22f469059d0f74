//! `docent ingest`

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use docent_pipelines::{AnalyzerId, Kind, Owner, Status};

use super::follow::{follow, summary_event};
use super::lookup::{analyzers, owner, pages, place, uri_prefix};
use super::output::{Format, FormatArg, Out, say};
use super::table::{Column, Table};
use super::{Outcome, words};
use crate::app::{Access, App, IngestRequest, IngestSummary};
use crate::config::Config;
use crate::progress::Progress;
use crate::shutdown::Shutdown;
use crate::store::{PlaceFilter, Store, SuggestionFilter};

const HELP: &str = "\
Examples:
  docent ingest ~/Pictures
  docent ingest scans/ --only text,embedding
  docent ingest /archive --format json | tee ingest.log

docent knows pictures by their content: it does not analyze a moved or copied file again, and keeps both paths. \
`docent failures` lists pictures that could not be analyzed; they do not stop the rest.

docent leaves out hidden files and what programs leave behind: thumbnails of a NAS, recycle bins, previews, unfinished \
downloads. `assets.ignore` in the configuration adds patterns and takes some back. A file or folder that you name here is \
never left out.

docent takes a file for unchanged if its size and its time of change are the same. Some programs keep both when they \
write other content: --reread reads every file again.

Ctrl-C finishes the current pictures and stops. The same command always continues, however docent was stopped. \
`docent retry --missing` runs analyzers that --only left out.

With a shared queue (--queue amqp://...) this command only registers the pictures, and workers (`docent worker`) \
analyze them.

--format json writes one event per line: {\"event\":\"progress\",...} every second and {\"event\":\"summary\",...} at \
the end.

Exit codes: 0 everything was analyzed, even if some files are bad; 1 there was no file; 2 an error; 130 stopped before \
the end.";

/// Analyze pictures and keep the results as suggestions
///
/// Walks files and folders, registers every picture, and analyzes the new ones.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct IngestArgs {
    /// Files and folders
    #[arg(required = true, value_name = "PATH", value_hint = clap::ValueHint::AnyPath)]
    paths: Vec<PathBuf>,
    /// Only these analyzers; the others stay missing
    #[arg(long, value_delimiter = ',', value_parser = analyzers(), value_name = "ANALYZER,...")]
    only: Option<Vec<AnalyzerId>>,
    /// Owner of the pictures, for filters; known pictures of another owner are read once more
    #[arg(long, value_parser = owner, value_name = "NAME")]
    owner: Option<Owner>,
    /// Read known files again, even if their size and time of change are the same
    #[arg(long)]
    reread: bool,
    /// With a shared queue: wait until the workers are done
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    format: FormatArg,
}

pub async fn run(config: Config, args: IngestArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    let format = args.format.format;
    let grace = config.work.grace_seconds;
    let app = App::open(config, Access::IfFree).await?;
    let progress = Arc::new(Progress::default());
    let shutdown = Shutdown::new();
    let prefixes: Vec<String> = args.paths.iter().map(|path| uri_prefix(path)).collect();
    let request = IngestRequest {
        paths: args.paths.iter().map(|path| place(path)).collect(),
        owner: args.owner,
        reread: args.reread,
        only: args.only,
        wait: args.wait,
    };
    let job = app.ingest(request, Arc::clone(&progress), &shutdown);
    let summary = follow(job, Arc::clone(&progress), &shutdown, grace, format, out).await?;
    if format == Format::Json {
        summary_event(&summary, out)?;
    } else {
        for line in told(&summary) {
            out.line(line)?;
        }
        let mut found = Found::gather(&*app.store(), &prefixes).await?;
        if !found.is_empty() {
            out.line("")?;
            out.table(&mut found.table())?;
        }
        out.flush()?;
        advise(&summary);
    }
    app.close().await;
    Ok(match summary {
        IngestSummary { interrupted: true, .. } => Outcome::Interrupted,
        IngestSummary { found: 0, .. } => Outcome::Nothing,
        _ => Outcome::Done,
    })
}

/// The summary: the files, each once; the pictures; and what is not looked at.
fn told(summary: &IngestSummary) -> Vec<String> {
    let files = [
        (summary.new, "new"),
        (summary.unchanged, "known before"),
        (
            summary.copies,
            if summary.copies == 1 { "copy of a known picture" } else { "copies of known pictures" },
        ),
        (summary.moved, "moved"),
        (summary.changed, "changed"),
        (summary.forgotten, "forgotten before"),
        (summary.skipped, if summary.skipped == 1 { "other file" } else { "other files" }),
        (summary.left_out, "left out"),
        (summary.unreadable_count, "unreadable"),
    ];
    let seen = words::count(summary.found, "file", "files");
    let first = format!("{seen} in {}", words::duration(summary.elapsed_seconds));
    let mut lines = vec![joined(&first, &files)];
    let pictures = [
        (summary.new_assets * u64::from(summary.queued), "registered"),
        (summary.analyzed, "analyzed"),
        (summary.failed, "failed"),
        (summary.gone, "no longer there"),
    ];
    if pictures.iter().any(|(value, _)| *value > 0) {
        lines.push(joined("pictures", &pictures));
    }
    let folders = [(summary.left_out_folders, "left out"), (summary.unreadable_folders, "unreadable")];
    if folders.iter().any(|(value, _)| *value > 0) {
        lines.push(joined("folders", &folders));
    }
    if !summary.left_out_by.is_empty() {
        let mut rules: Vec<(u64, &str)> =
            summary.left_out_by.iter().map(|(rule, count)| (*count, rule.as_str())).collect();
        rules.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        let more = rules.len().saturating_sub(RULES);
        let named = rules.iter().take(RULES).map(|(count, rule)| format!("{rule} {}", words::number(*count)));
        let named = named.collect::<Vec<_>>().join(", ");
        let more = if more == 0 { String::new() } else { format!(", {more} more patterns") };
        lines.push(super::table::printable(&format!("left out by (assets.ignore): {named}{more}")));
    }
    lines
}

/// Patterns named in the summary.
const RULES: usize = 8;

fn joined(what: &str, parts: &[(u64, &str)]) -> String {
    let parts = parts.iter().filter(|(value, _)| *value > 0);
    let list: Vec<String> = parts.map(|(value, is)| format!("{} {is}", words::number(*value))).collect();
    if list.is_empty() { format!("{what}: none") } else { format!("{what}: {}", list.join(", ")) }
}

/// Places that could not be read are named up to this many.
const NAMED: usize = 20;

/// What to do next.
pub(super) fn advise(summary: &IngestSummary) {
    for (path, reason) in summary.unreadable.iter().take(NAMED) {
        say(super::table::printable(&format!("cannot be read: {path}: {reason}")));
    }
    let unreadable = summary.unreadable_count + summary.unreadable_folders;
    if unreadable > NAMED as u64 {
        let more = unreadable - NAMED as u64;
        say(format!("cannot be read: {} more", words::number(more)));
    }
    if summary.forgotten > 0 {
        let pictures = words::count(summary.forgotten, "picture was forgotten", "pictures were forgotten");
        say(format!("{pictures} and not taken in again: `docent forget --readmit FILE` lets one in"));
    }
    if summary.failed > 0 {
        let pictures = words::count(summary.failed, "picture", "pictures");
        say(format!("{pictures} failed in whole or in part: `docent failures` tells why"));
    }
    if summary.interrupted {
        let left = words::count(summary.remaining, "known picture waits", "known pictures wait");
        say(format!("stopped; {left}. The same command goes on from here"));
    } else if summary.queued && summary.remaining > 0 {
        let left = words::count(summary.remaining, "picture waits", "pictures wait");
        say(format!("{left} for the workers; `docent status` tells how far they are, --wait waits for them"));
    } else if summary.analyzed > 0 {
        say("`docent serve` opens the review page, `docent suggestions` lists what was found");
    }
}

/// What the ledger holds below some places.
#[derive(Default)]
struct Found {
    values: BTreeMap<Kind, BTreeMap<String, u64>>,
    cut_off: bool,
}

/// An overview need not read a whole archive: so many suggestions are a fraction of a second.
const OVERVIEW: u64 = 100_000;
/// Values named for each kind.
const TOP: usize = 6;

impl Found {
    async fn gather(store: &dyn Store, prefixes: &[String]) -> anyhow::Result<Self> {
        let mut found = Self::default();
        for prefix in prefixes {
            let place = PlaceFilter { uri_prefix: Some(prefix.clone()), owner: None };
            let filter = SuggestionFilter { place, ..SuggestionFilter::default() };
            let seen = pages(
                Some(OVERVIEW),
                async |page| store.suggestions(&filter, page).await,
                |rows| {
                    for row in
                        rows.into_iter().filter(|r| matches!(r.status, Status::Pending | Status::Accepted))
                    {
                        *found.values.entry(row.kind).or_default().entry(row.value).or_default() += 1;
                    }
                    Ok(())
                },
            );
            found.cut_off |= seen.await? == OVERVIEW;
        }
        Ok(found)
    }

    fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    fn table(&mut self) -> Table {
        let mut table =
            Table::new([Column::left("KIND"), Column::right("SUGGESTIONS"), Column::text("MOST FREQUENT")]);
        for (kind, values) in &self.values {
            let total = words::number(values.values().sum());
            let total = if self.cut_off { format!("{total} or more") } else { total };
            table.row([kind.to_string(), total, most_frequent(*kind, values)]);
        }
        table
    }
}

fn most_frequent(kind: Kind, values: &BTreeMap<String, u64>) -> String {
    // Sentences and texts are nearly all different, and faces all the same.
    if matches!(kind, Kind::Caption | Kind::Text | Kind::Face) {
        return String::new();
    }
    let mut sorted: Vec<_> = values.iter().collect();
    sorted.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let named = sorted.iter().take(TOP).map(|(value, count)| format!("{value} {count}"));
    named.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_counts_each_file_once_and_says_what_was_left_out() {
        let nothing = IngestSummary { elapsed_seconds: 0.1, ..IngestSummary::default() };
        assert_eq!(told(&nothing), ["0 files in 0.1 s: none"]);
        let summary = IngestSummary {
            found: 1204,
            new: 1000,
            unchanged: 130,
            copies: 50,
            moved: 3,
            changed: 1,
            skipped: 1,
            left_out: 17,
            unreadable_count: 2,
            left_out_folders: 3,
            left_out_by: [("Thumbs.db".to_owned(), 17), ("@eaDir/".to_owned(), 3)].into(),
            new_assets: 1001,
            analyzed: 999,
            failed: 2,
            gone: 4,
            elapsed_seconds: 83.0,
            ..IngestSummary::default()
        };
        let expected = [
            "1,204 files in 1 min 23 s: 1,000 new, 130 known before, 50 copies of known pictures, 3 moved, 1 changed, \
             1 other file, 17 left out, 2 unreadable",
            "pictures: 999 analyzed, 2 failed, 4 no longer there",
            "folders: 3 left out",
            "left out by (assets.ignore): Thumbs.db 17, @eaDir/ 3",
        ];
        assert_eq!(told(&summary), expected);
        let queued = IngestSummary { queued: true, analyzed: 0, failed: 0, gone: 0, ..summary };
        assert_eq!(told(&queued)[1], "pictures: 1,001 registered");
    }

    #[test]
    fn the_most_frequent_come_first_and_ties_by_name() {
        let values =
            [("cat", 2), ("dog", 7), ("apple", 2)].map(|(value, count)| (value.to_owned(), count)).into();
        assert_eq!(most_frequent(Kind::Tag, &values), "dog 7, apple 2, cat 2");
        assert_eq!(most_frequent(Kind::Caption, &values), "");
    }
}
