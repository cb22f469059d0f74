//! Shows how a long job gets on: a bar on a terminal, lines elsewhere, events for programs.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use tokio::time::MissedTickBehavior;

use super::output::{Format, Out, OutputError, say};
use super::words;
use crate::app::IngestSummary;
use crate::progress::{Progress, ProgressSnapshot};
use crate::shutdown::Shutdown;
use crate::telemetry;

/// What a program reads on stdout while a job runs.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event<'a> {
    /// Once a second.
    Progress(&'a ProgressSnapshot),
    /// At the end.
    Summary(&'a IngestSummary),
}

enum View {
    Bar(ProgressBar),
    Lines { last: Instant, text: String },
    Events,
}

/// A terminal is drawn so often …
const DRAW: Duration = Duration::from_millis(200);
/// … a program told so often …
const TELL: Duration = Duration::from_secs(1);
/// … and a log file written so often.
const LINE: Duration = Duration::from_secs(10);

/// Runs `job` and shows its progress until it ends. Ctrl-C and SIGTERM ask it to stop, `grace_seconds` at most.
pub async fn watch<T>(
    job: impl Future<Output = anyhow::Result<T>>,
    progress: Arc<Progress>,
    shutdown: &Shutdown,
    grace_seconds: u64,
    format: Format,
    out: &mut Out,
) -> anyhow::Result<T> {
    shutdown.listen(|| {})?;
    let mut view = View::new(format);
    let mut ticks = tokio::time::interval(if matches!(view, View::Bar(_)) { DRAW } else { TELL });
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = false;
    tokio::pin!(job);
    let result = loop {
        tokio::select! {
            biased;
            result = &mut job => break result,
            () = shutdown.token().cancelled(), if !told => {
                told = true;
                view.say(&format!(
                    "stopping: what is in work may finish, at most {grace_seconds} s; a second Ctrl-C stops at once"
                ));
            }
            _ = ticks.tick() => {
                if let Err(error) = view.show(&progress.snapshot(), out) {
                    // Nobody reads any more; the work that was begun is finished all the same.
                    shutdown.request();
                    view = View::Lines { last: Instant::now(), text: String::new() };
                    tracing::debug!(error = &error as &dyn std::error::Error, "stopping");
                }
            }
        }
    };
    view.end();
    result
}

/// Writes the summary as the last event.
pub fn summary_event(summary: &IngestSummary, out: &mut Out) -> Result<(), OutputError> {
    out.json(&Event::Summary(summary))?;
    out.flush()
}

impl View {
    fn new(format: Format) -> Self {
        if format == Format::Json {
            return Self::Events;
        }
        if !std::io::stderr().is_terminal() {
            return Self::Lines { last: Instant::now(), text: String::new() };
        }
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{bar:24} {wide_msg}").expect("the template is sound");
        bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
        let above = bar.clone();
        telemetry::write_through(Some(Box::new(move |write| above.suspend(write))));
        Self::Bar(bar)
    }

    fn show(&mut self, snapshot: &ProgressSnapshot, out: &mut Out) -> Result<(), OutputError> {
        match self {
            Self::Bar(bar) => {
                bar.set_length(snapshot.to_do.max(1));
                bar.set_position(snapshot.done + snapshot.failed);
                bar.set_message(line(snapshot));
                bar.tick();
            }
            Self::Lines { last, text } => {
                let now = line(snapshot);
                if last.elapsed() >= LINE && *text != now {
                    say(&now);
                    *last = Instant::now();
                    *text = now;
                }
            }
            Self::Events => {
                out.json(&Event::Progress(snapshot))?;
                out.flush()?;
            }
        }
        Ok(())
    }

    fn say(&self, text: &str) {
        match self {
            Self::Bar(bar) => bar.suspend(|| say(text)),
            _ => say(text),
        }
    }

    fn end(&self) {
        if let Self::Bar(bar) = self {
            telemetry::write_through(None);
            bar.finish_and_clear();
        }
    }
}

/// How far a job is, in one line.
fn line(snapshot: &ProgressSnapshot) -> String {
    let finished = snapshot.done + snapshot.failed;
    if snapshot.scanning && snapshot.to_do == 0 {
        return format!("looking for pictures, {} so far", words::count(snapshot.found, "file", "files"));
    }
    let mut parts = vec![format!("{}/{} pictures", words::number(finished), words::number(snapshot.to_do))];
    if snapshot.images_per_second > 0.0 {
        parts.push(format!("{:.1} per second", snapshot.images_per_second));
    }
    match snapshot.seconds_left {
        _ if snapshot.scanning => {
            parts.push(format!("still looking, {}", words::count(snapshot.found, "file", "files")));
        }
        Some(seconds) if seconds >= 1.0 => parts.push(format!("{} left", words::duration(seconds.ceil()))),
        _ => {}
    }
    if snapshot.failed > 0 {
        parts.push(format!("{} failed", words::number(snapshot.failed)));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use super::*;

    #[test]
    fn a_line_tells_what_is_known() {
        let progress = Progress::default();
        progress.found.store(1204, Relaxed);
        progress.scanning.store(true, Relaxed);
        assert_eq!(line(&progress.snapshot()), "looking for pictures, 1,204 files so far");
        progress.to_do.store(300, Relaxed);
        assert_eq!(line(&progress.snapshot()), "0/300 pictures, still looking, 1,204 files");
        progress.scanning.store(false, Relaxed);
        let snapshot = ProgressSnapshot {
            done: 148,
            failed: 2,
            images_per_second: 3.21,
            seconds_left: Some(46.7),
            ..progress.snapshot()
        };
        assert_eq!(line(&snapshot), "150/300 pictures, 3.2 per second, 47 s left, 2 failed");
    }

    #[test]
    fn events_name_themselves() {
        let event = serde_json::to_value(Event::Progress(&Progress::default().snapshot())).expect("is JSON");
        assert_eq!(event["event"], "progress");
        assert_eq!(event["done"], 0);
    }
}
