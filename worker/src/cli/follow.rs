//! Shows how a long job gets on: a bar on a terminal, lines elsewhere, events for programs.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::output::{Format, Out, OutputError, say};
use super::words;
use crate::progress::{Progress, ProgressSnapshot};
use crate::shutdown::Shutdown;
use crate::telemetry;

/// What a program reads on stdout while a job runs.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event<'a, S> {
    /// Once a second.
    Progress(&'a ProgressSnapshot),
    /// At the end.
    Summary(&'a S),
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
pub async fn follow<T>(
    job: impl Future<Output = anyhow::Result<T>>,
    progress: Arc<Progress>,
    shutdown: &Shutdown,
    grace_seconds: u64,
    format: Format,
    out: &mut Out,
) -> anyhow::Result<T> {
    // Nobody says anything on the way.
    let (_silent, mut heard) = mpsc::channel::<()>(1);
    let look = Look { progress, shutdown, grace_seconds, format };
    follow_and_hear(job, look, &mut heard, |(), _| Ok(()), out).await
}

/// How a job is looked at.
pub struct Look<'a> {
    /// What it counts.
    pub progress: Arc<Progress>,
    /// How it is asked to stop …
    pub shutdown: &'a Shutdown,
    /// … and how long that takes at most.
    pub grace_seconds: u64,
    /// For whom.
    pub format: Format,
}

/// The same for a job that says something on its way: `write` puts it out, above the bar if there is one.
pub async fn follow_and_hear<T, W>(
    job: impl Future<Output = anyhow::Result<T>>,
    look: Look<'_>,
    heard: &mut mpsc::Receiver<W>,
    mut write: impl FnMut(W, &mut Out) -> Result<(), OutputError>,
    out: &mut Out,
) -> anyhow::Result<T> {
    let Look { progress, shutdown, grace_seconds, format } = look;
    shutdown.listen(|| {})?;
    let mut view = View::new(format);
    let mut ticks = tokio::time::interval(if matches!(view, View::Bar(_)) { DRAW } else { TELL });
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = false;
    tokio::pin!(job);
    let result = loop {
        let shown = tokio::select! {
            biased;
            Some(words) = heard.recv() => view.aside(|| {
                write(words, out)?;
                out.flush()
            }),
            result = &mut job => break result,
            () = shutdown.token().cancelled(), if !told => {
                told = true;
                view.say(&format!(
                    "stopping: what is in work may finish, at most {grace_seconds} s; a second Ctrl-C stops at once"
                ));
                Ok(())
            }
            _ = ticks.tick() => view.show(&progress.snapshot(), out),
        };
        if let Err(error) = shown {
            // Nobody reads any more; the work that was begun is finished all the same.
            shutdown.request();
            heard.close();
            view = View::Lines { last: Instant::now(), text: String::new() };
            tracing::debug!(error = &error as &dyn std::error::Error, "stopping");
        }
    };
    while let Ok(words) = heard.try_recv() {
        view.aside(|| write(words, out))?;
    }
    view.end();
    result
}

/// Writes the summary as the last event.
pub fn summary_event(summary: &impl Serialize, out: &mut Out) -> Result<(), OutputError> {
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
                out.json(&Event::<()>::Progress(snapshot))?;
                out.flush()?;
            }
        }
        Ok(())
    }

    fn say(&self, text: &str) {
        self.aside(|| say(text));
    }

    /// Writes something while no bar is in the way.
    fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        match self {
            Self::Bar(bar) => bar.suspend(write),
            _ => write(),
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
        let event =
            serde_json::to_value(Event::<()>::Progress(&Progress::default().snapshot())).expect("is JSON");
        assert_eq!(event["event"], "progress");
        assert_eq!(event["done"], 0);
    }
}
