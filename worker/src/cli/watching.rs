//! `docent watch`

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use docent_pipelines::Owner;
use tokio::sync::mpsc;

use super::follow::{Look, follow_and_hear, summary_event};
use super::lookup::{owner, place};
use super::output::{Format, FormatArg, Out, say};
use super::problem::Hinted;
use super::table::printable;
use super::{Outcome, words};
use crate::app::{Access, App, WatchSummary};
use crate::config::{Config, WatchEntry, watch_problem};
use crate::progress::Progress;
use crate::shutdown::Shutdown;
use crate::watch::{Portion, State, Told, WatchedFolder};

const HELP: &str = "\
Examples:
  docent watch ~/Pictures
  docent watch /archive/incoming --owner \"press office\"
  docent watch /mnt/nas --poll 60
  docent watch                     the folders of [[watch]] in the configuration

docent first looks for what came while nobody watched, as `docent ingest` does, with the same patterns and limits. Then it \
takes every picture that is written, copied, moved or renamed into the folders, once nothing has happened to it for some \
seconds (--settle). Each sweep (--sweep) finds what no event told. docent notes what is gone and removes nothing. A folder \
whose drive is away is waited for.

Network drives do not tell what other machines change: docent notices that and sweeps them every minute. --poll does so \
everywhere else, too, where events do not come, as in some virtual machines.

docent analyzes the pictures, or leaves that to a `docent serve` beside it or to the workers of a shared queue. `docent \
serve` and `docent worker` watch by themselves what [[watch]] names.

--format json writes one event per line: {\"event\":\"folder\",...} when a folder is watched, polled or away, \
{\"event\":\"portion\",...} when something was taken in, {\"event\":\"progress\",...} every second and \
{\"event\":\"summary\",...} at the end.

Exit codes: 0 ended as asked, 2 an error, 130 ended at once.";

/// Watch folders, and analyze pictures as they come
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct WatchArgs {
    /// Folders [default: those of the configuration]
    #[arg(value_name = "PATH", value_hint = clap::ValueHint::DirPath)]
    paths: Vec<PathBuf>,
    /// Owner of the pictures, for filters
    #[arg(long, value_parser = owner, value_name = "NAME", requires = "paths")]
    owner: Option<Owner>,
    /// Take a file once nothing has happened to it for so long [default: 5]
    #[arg(long, value_name = "SECONDS", requires = "paths")]
    settle: Option<u64>,
    /// Look at everything so often, for what no event told [default: 900]
    #[arg(long, value_name = "SECONDS", requires = "paths")]
    sweep: Option<u64>,
    /// Do without events, and look at everything so often
    #[arg(long, value_name = "SECONDS", requires = "paths")]
    poll: Option<u64>,
    #[command(flatten)]
    format: FormatArg,
}

/// What is told and not written yet.
const UNTOLD: usize = 64;

pub async fn run(config: Config, args: WatchArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    let format = args.format.format;
    let grace_seconds = config.work.grace_seconds;
    let folders = folders(&config, args)?;
    let app = App::open(config, Access::IfFree).await?;
    let progress = Arc::new(Progress::default());
    let shutdown = Shutdown::new();
    let (tell, mut heard) = mpsc::channel(UNTOLD);
    let job = app.watch(folders, Arc::clone(&progress), &shutdown, tell);
    let look = Look { progress, shutdown: &shutdown, grace_seconds, format };
    let mut total = Portion::default();
    let write = |told: Told, out: &mut Out| {
        if let Told::Portion { portion, .. } = &told {
            total.add(*portion);
        }
        match (format, line(&told)) {
            (Format::Json, _) => out.json(&told),
            (Format::Table, Line::Data(text)) => out.line(text),
            (Format::Table, Line::Talk(text)) => {
                say(text);
                Ok(())
            }
        }
    };
    let summary = follow_and_hear(job, look, &mut heard, write, out).await?;
    match format {
        Format::Json => summary_event(&summary, out)?,
        Format::Table => {
            out.line(told(&summary, total))?;
            out.flush()?;
        }
    }
    app.close().await;
    Ok(Outcome::Done)
}

/// The folders that are named, or those of the configuration.
fn folders(config: &Config, args: WatchArgs) -> anyhow::Result<Vec<WatchedFolder>> {
    if args.paths.is_empty() {
        let folders = config.watched();
        return match folders.is_empty() {
            false => Ok(folders),
            true => Err(Hinted::new(
                "watch: no folder is named",
                "name folders, as in docent watch ~/Pictures, or write them into the configuration ([[watch]])",
            )
            .into()),
        };
    }
    let mut entries = Vec::with_capacity(args.paths.len());
    for path in args.paths {
        let mut entry = WatchEntry::of(place(&path));
        // Who mistypes a folder is told at once; one of the configuration may come later.
        std::fs::metadata(&entry.path).with_context(|| format!("watch {}", path.display()))?;
        entry.owner.clone_from(&args.owner);
        entry.poll_seconds = args.poll;
        entry.settle_seconds = args.settle.unwrap_or(entry.settle_seconds);
        entry.sweep_seconds = args.sweep.unwrap_or(entry.sweep_seconds);
        entries.push(entry);
    }
    if let Some((option, found, expected)) = watch_problem(&entries) {
        let option = option.rsplit('.').next().unwrap_or_default().trim_end_matches("_seconds");
        let option = if option == "path" { "PATH".to_owned() } else { format!("--{option}") };
        let message = format!("watch: {option} is {found}, but must be {expected}");
        return Err(Hinted::new(message, "docent watch --help explains each of them").into());
    }
    Ok(entries.iter().map(WatchEntry::folder).collect())
}

/// A line for people.
enum Line {
    /// What happened.
    Data(String),
    /// How things are.
    Talk(String),
}

fn line(told: &Told) -> Line {
    match told {
        Told::Portion { folder, portion } => {
            Line::Data(printable(&format!("{folder}: {}", counted(*portion))))
        }
        Told::Folder { folder, state, reason } => {
            let because = reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
            Line::Talk(printable(&match state {
                State::Watched => format!("watching {folder}; Ctrl-C ends it"),
                State::Polled => format!("watching {folder} by sweeps{because}; Ctrl-C ends it"),
                State::Away => format!("waiting for {folder}{because}"),
            }))
        }
    }
}

/// What a portion has, without what it has not.
fn counted(portion: Portion) -> String {
    let Portion { new, copies, moved, changed, unreadable, gone } = portion;
    let parts = [
        (new, "new"),
        (copies, if copies == 1 { "copy of a known picture" } else { "copies of known pictures" }),
        (moved, "moved"),
        (changed, "changed"),
        (unreadable, "unreadable"),
        (gone, "gone"),
    ];
    let parts = parts.iter().filter(|(count, _)| *count > 0);
    let parts: Vec<String> = parts.map(|(count, is)| format!("{} {is}", words::number(*count))).collect();
    if parts.is_empty() { "nothing new".to_owned() } else { parts.join(", ") }
}

fn told(summary: &WatchSummary, total: Portion) -> String {
    let mut text = format!("{} in {}", counted(total), words::duration(summary.elapsed_seconds));
    for (count, is) in
        [(summary.analyzed, "analyzed"), (summary.failed, "failed"), (summary.remaining, "waiting")]
    {
        if count > 0 {
            text.push_str(&format!("; {} {is}", words::number(count)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_came_and_how_a_folder_is() {
        let portion = Portion { new: 1204, copies: 1, gone: 2, ..Portion::default() };
        let told = Told::Portion { folder: "/a\u{1b}".to_owned(), portion };
        let Line::Data(text) = line(&told) else { panic!("is data") };
        assert_eq!(text, "/a\\u{1b}: 1,204 new, 1 copy of a known picture, 2 gone");
        let value = serde_json::to_value(&told).expect("is JSON");
        assert_eq!((&value["event"], &value["new"]), (&"portion".into(), &1204.into()));
        let reason = Some("nfs4 does not tell what others change".to_owned());
        let told = Told::Folder { folder: "/a".to_owned(), state: State::Polled, reason };
        let Line::Talk(text) = line(&told) else { panic!("is talk") };
        assert_eq!(text, "watching /a by sweeps: nfs4 does not tell what others change; Ctrl-C ends it");
        let summary = WatchSummary { analyzed: 3, elapsed_seconds: 61.0, ..WatchSummary::default() };
        assert_eq!(super::told(&summary, Portion::default()), "nothing new in 1 min 1 s; 3 analyzed");
    }
}
